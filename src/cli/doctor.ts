/** `sluice doctor`: what is in force, and whether what it refers to is there. */
import { loadConfig } from '../config/load.ts'
import { printConfig } from '../config/print.ts'
import { Secret } from '../settings/fields.ts'
import { type Check, checkAll, checkDeployments, checkFleet } from './checks.ts'
import { adminClient } from './client.ts'
import { type Args, type Command, EXIT, FailedError } from './command.ts'
import { columns } from './table.ts'

const MARKS: Readonly<Record<Check['verdict'], string>> = { ok: 'ok', note: 'note', failed: 'FAILED' }

export const command: Command = {
  usage: 'doctor [--config sluice.yaml] [options]',
  about:
    'Prints the configuration in force, with secrets as references, and checks what it refers to: folder, disk, ' +
    'ports, certificates, providers, and how a running server finds its deployments.',
  options: { quiet: { help: 'print only the checks' } },
  takesSettings: true,
  async run(args, out) {
    const loaded = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
    const { openForCheck } = await import('../app/models.ts')
    const { providers, problem } = await openForCheck({
      ...loaded.config,
      models: loaded.config.models.filter(hasItsSecrets),
    })
    const checks = [
      ...loaded.warnings.map((detail): Check => ({ name: 'environment', verdict: 'note', detail })),
      ...loaded.missing.map((detail): Check => ({ name: 'secret', verdict: 'failed', detail })),
      ...(await checkAll(loaded.config, providers)),
      // Settings that lack their secrets are nobody's
      ...(loaded.missing.length === 0 ? await checkFleet(loaded.config) : []),
      ...(await checkServer(args)),
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

/** What is missing has a row of its own; the other models are checked nevertheless. */
const hasItsSecrets = (value: unknown): boolean =>
  value instanceof Secret
    ? value.known
    : typeof value !== 'object' || value === null || Object.values(value).every(hasItsSecrets)

/** Without a key of its operator nothing is asked. */
async function checkServer(args: Args): Promise<readonly Check[]> {
  try {
    return await checkDeployments(adminClient(args))
  } catch (error) {
    if (error instanceof FailedError) return []
    throw error
  }
}
