/** `sluice doctor`: what is in force, and whether what it names is there. */
import { loadConfig } from '../config/load.ts'
import { printConfig } from '../config/print.ts'
import { type Check, checkAll } from './checks.ts'
import { type Command, EXIT } from './command.ts'
import { noPositionals } from './serve.ts'
import { columns } from './table.ts'

const MARKS: Readonly<Record<Check['verdict'], string>> = { ok: 'ok', note: 'note', failed: 'FAILED' }

export const command: Command = {
  usage: ['sluice doctor [--config sluice.yaml] [options]'],
  about:
    'Prints the configuration that is in force, secrets as references, and checks what it names: folder, disk, ' +
    'ports, certificates, providers.',
  options: { quiet: { help: 'only the checks' } },
  takesSettings: true,
  async run(args, out) {
    noPositionals(args)
    const loaded = loadConfig({ file: args.option('config'), flags: args.settings })
    const { openForCheck } = await import('../app/models.ts')
    const { providers, problem } = openForCheck(loaded.config)
    const checks = [
      ...loaded.warnings.map((detail): Check => ({ name: 'environment', verdict: 'note', detail })),
      ...(await checkAll(loaded.config, providers)),
      ...(problem === null ? [] : [{ name: 'models', verdict: 'failed', detail: problem } as const]),
    ]
    if (args.has('json')) out.print(JSON.stringify({ config: printConfig(loaded), checks }))
    else {
      if (!args.has('quiet')) out.print(printConfig(loaded))
      for (const line of columns(checks.map((check) => [MARKS[check.verdict], check.name, check.detail])))
        out.print(line)
    }
    return checks.some((check) => check.verdict === 'failed') ? EXIT.failed : EXIT.ok
  },
}
