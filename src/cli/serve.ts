/** `sluice serve`: one calm screen, then the log; stops on SIGTERM and SIGINT. */

import type { App } from '../app.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { type Args, type Command, EXIT, FailedError, type Output, UsageError } from './command.ts'
import { columns } from './table.ts'
import { version } from './version.ts'

export const command: Command = {
  usage: ['sluice serve [--config sluice.yaml] [options]'],
  about: 'Starts the server. The first start makes an API key and shows it once.',
  options: {},
  takesSettings: true,
  async run(args, out) {
    noPositionals(args)
    const loaded = loadConfig({ file: args.option('config'), flags: args.settings })
    for (const warning of loaded.warnings) out.note(`sluice: ${warning}`)
    const [{ startApp }, { openLog }] = await Promise.all([import('../app.ts'), import('./log.ts')])
    const { config } = loaded
    const app = await startApp(config, {
      log: openLog(config.log.level),
      ...(config.key === null ? {} : { keyOnStart: config.key.reveal() }),
    }).catch((error: unknown) => {
      throw explained(error, config)
    })
    const stopped = stopOnSignal(app, out)
    if (args.has('json'))
      out.print(
        JSON.stringify({
          event: 'ready',
          version,
          url: app.publicUrl,
          admin_url: app.adminUrl,
          key: app.createdKey,
          data_dir: config.data_dir,
        }),
      )
    else for (const line of screen(app, config, Math.round(process.uptime() * 1000))) out.print(line)
    await stopped
    return EXIT.ok
  },
}

export function noPositionals(args: Args): void {
  if (args.positionals.length > 0) throw new UsageError(`"${args.positionals[0]}" is one argument too many.`)
}

/** What people read at the start. The curl line works as it is copied. */
export function screen(
  app: Pick<App, 'publicUrl' | 'adminUrl' | 'createdKey'>,
  config: Config,
  readyMs: number,
): string[] {
  const key = app.createdKey ?? '$SLUICE_KEY'
  const model = config.models.find((m) => !m.name.endsWith('*'))?.name ?? config.models[0].name.replace('*', '…')
  const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'Hello' }] })
  const adminKey =
    config.admin.key === null ? `its key: ${config.data_dir}/admin.key` : `its key: as in ${config.admin.key}`
  const about = [
    [
      'API key',
      app.createdKey === null
        ? config.key === null
          ? 'made before; another: sluice keys create'
          : `as in ${config.key}`
        : `${app.createdKey}   (shown once; more: sluice keys create)`,
    ],
    ['Models', [...new Set(config.models.map((m) => m.name))].join(', ')],
    ['Admin', `${app.adminUrl}   (${adminKey})`],
    ['Data', `${config.data_dir}   (durability: ${config.durability})`],
  ]
  return [
    `Sluice ${version} is ready on ${app.publicUrl}   (${readyMs} ms)`,
    '',
    ...columns(about).map((line) => `  ${line}`),
    '',
    '  Try it:',
    '',
    `curl -N ${app.publicUrl}/v1/chat/completions -H "authorization: Bearer ${key}" -H 'content-type: application/json' -d '${body}'`,
    '',
  ]
}

/** Resolves when the app has stopped. A second signal ends the process at once. */
function stopOnSignal(app: App, out: Output): Promise<void> {
  return new Promise((done, fail) => {
    let asked = false
    const stop = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(EXIT.failed)
      asked = true
      out.note(`${signal}: finishing what runs; once more to stop at once.`)
      app.stop().then(done, fail)
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}

function explained(error: unknown, config: Config): unknown {
  const { code, port } = error as NodeJS.ErrnoException & { port?: number }
  const flag = port === config.admin.port ? '--admin-port (SLUICE_ADMIN_PORT)' : '--port (SLUICE_PORT)'
  if (code === 'EADDRINUSE')
    return new FailedError(`port ${port} is in use, perhaps by another Sluice. Choose another one with ${flag}.`, {
      cause: error,
    })
  if (code === 'EACCES' && port !== undefined)
    return new FailedError(`port ${port} may not be used by this user. Choose another one with ${flag}.`, {
      cause: error,
    })
  if (code === 'EADDRNOTAVAIL')
    return new FailedError(`this machine has no address ${config.host} (host) or ${config.admin.host} (admin.host).`, {
      cause: error,
    })
  return error
}
