/** `sluice serve`: one calm screen, then the log. Signals: lifecycle.ts. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isatty } from 'node:tty'
import type { App } from '../app.ts'
import { findModels } from '../config/found.ts'
import { loadConfig, type Sources } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { FIRST_KEY_FILE } from '../config/secret-file.ts'
import { systemClock as clock } from '../core/clock.ts'
import { type Args, type Command, EXIT } from './command.ts'
import { Lifecycle } from './lifecycle.ts'
import { listenError } from './listen.ts'
import type { ServerLog } from './log.ts'
import { collectAlone } from './one-core.ts'
import { nthProcess } from './processes/nth.ts'
import { type Ready, readyLine, screen } from './screen.ts'
import { onSignal } from './signals.ts'
import { Sink } from './sink.ts'
import { boundYoungGeneration } from './young-generation.ts'

export const command: Command = {
  usage: 'serve [--config sluice.yaml] [options]',
  about:
    'Starts the server. The first start creates an API key: shown once at a terminal, else written to a file.\n' +
    'SIGTERM, SIGINT and SIGQUIT stop it gracefully; SIGHUP reloads models, tenants and the log level.',
  options: {},
  tables: [
    {
      title: 'Signals',
      rows: [
        ['SIGTERM, SIGINT, SIGQUIT', 'stop: finish running jobs (workers.drain_ms), hand back the others'],
        ['the same again', 'hand running jobs back now; they continue at the next start'],
        ['SIGHUP', 'reload models, tenants and the log level; stop if the terminal was closed'],
      ],
    },
    {
      title: 'Switches of the model "demo", used in a message such as "Hi. demo: tokens=200 delay=5 cut=30 faults=1":',
      rows: [
        ['tokens=N', 'answer with exactly N tokens'],
        ['delay=MS', 'time between tokens'],
        ['ttft=MS', 'time to the first token'],
        ['fail=STATUS', 'fail as a provider does (429, 500, 401 …); with retry_after=SECONDS'],
        ['cut=N', 'break off after N tokens'],
        ['stall=N', 'fall silent after N tokens'],
        ['garbage=N', 'send nonsense after N tokens'],
        ['faults=N', "only a job's first N attempts go wrong"],
        ['echo=1', 'answer with the messages it received, as JSON'],
      ],
    },
  ],
  takesSettings: true,
  async run(args) {
    const { openLog } = await import('./log.ts')
    const log = openLog('info', args.has('json'), nthProcess())
    const lifecycle = new Lifecycle(log, clock)
    onSignal(lifecycle.signal)
    endOnUnforeseen(log)
    try {
      return await serve(args, log, lifecycle)
    } catch (error) {
      if (!lifecycle.stopAsked.aborted) throw error
      lifecycle.ended({ jobsFinished: 0, jobsHandedBack: 0 })
      return EXIT.ok
    }
  },
}

async function serve(args: Args, log: ServerLog, lifecycle: Lifecycle): Promise<number> {
  collectAlone()
  let sources: Sources = { file: args.option('config'), flags: args.settings }
  let loaded = loadConfig(sources)
  if (!loaded.hasOwnModels) {
    sources = { ...sources, found: await findModels() }
    loaded = loadConfig(sources)
  }
  const { config, warnings } = loaded
  log.level = config.log.level
  const several = config.processes === 1 ? null : await import('./processes/several.ts')
  const child = several?.childOf(lifecycle) ?? null
  if (several !== null && child === null) log.nth = 0
  // Once, though each of several processes reads the settings
  if (child === null) for (const warning of warnings) log.warn({}, warning)
  const atTerminal = isatty(1) && !args.has('json')
  if (several !== null && child === null) {
    lifecycle.stopAsked.throwIfAborted()
    const { ready, ended } = await several.startAll(config, log)
    if (ready !== null) show(ready, config, firstKeyFile(config), atTerminal)
    return ended
  }
  const { startApp } = await import('../app.ts')
  const keyFile = atTerminal ? null : firstKeyFile(config)
  const configAgain = (): Config => {
    const { config, warnings } = loadConfig({ ...sources, isReload: true })
    if (child?.isFirst !== false) for (const warning of warnings) log.warn({}, warning)
    return config
  }
  const app = await startApp(config, {
    log,
    configAgain,
    onReload(next) {
      log.level = next.log.level
    },
    signal: lifecycle.stopAsked,
    ...(child === null ? {} : { siblings: child }),
    ...(config.key === null ? {} : { keyOnStart: config.key.reveal() }),
    ...(keyFile === null ? {} : { keyFile }),
  }).catch((error: unknown) => {
    throw listenError(error, ...listeners(error, config))
  })
  lifecycle.started(app, config.workers.drainMs)
  boundYoungGeneration(process.execArgv)
  // Only who sits at this terminal sees it
  if (child === null) show({ ...app, link: atTerminal ? await linkInto(app) : null }, config, keyFile, atTerminal)
  else child.started(app)
  await lifecycle.stopped
  // Whatever still keeps the loop alive is not worth waiting for
  clock.after(LINGER_MS, () => process.exit(EXIT.ok))
  return EXIT.ok
}

const LINGER_MS = 300

/** Null: the store is away. */
const linkInto = (app: Pick<App, 'dashboardUrl'>): Promise<string | null> => app.dashboardUrl('admin').catch(() => null)

function show(app: Ready, config: Config, keyFile: string | null, atTerminal: boolean): void {
  const out = new Sink(1, { onLost: () => '' })
  if (!atTerminal) out.write(`${readyLine(app, config, keyFile, new Date(clock.wallMs()).toISOString())}\n`)
  else for (const line of screen(app, config, Math.round(process.uptime() * 1000))) out.write(`${line}\n`)
}

/** Where the first API key is kept, if this start makes one. In memory alone there is no data folder. */
const firstKeyFile = (config: Config): string =>
  config.engine === 'embedded' && config.durability === 'memory'
    ? join(mkdtempSync(join(tmpdir(), 'sluice-')), 'api.key')
    : join(config.dataDir, FIRST_KEY_FILE)

/** An unforeseen error ends the process, with its reason in the log: no state can be trusted after it. */
function endOnUnforeseen(log: ServerLog): void {
  process.on('uncaughtException', (err) => {
    try {
      log.fatal({ err }, 'unforeseen error: the process ends')
    } finally {
      process.exit(EXIT.failed)
    }
  })
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message }) => {
    if (name === 'ExperimentalWarning') log.debug({ name }, message)
    else log.warn({ name }, message)
  })
}

/** The hosts, and the flag of the port that the error is about. */
function listeners(error: unknown, { host, admin }: Config): [hosts: string, flag: string] {
  const { port } = error as { readonly port?: number }
  return [
    `${host} (host) or ${admin.host} (admin.host)`,
    port === admin.port ? '--admin-port (SLUICE_ADMIN_PORT)' : '--port (SLUICE_PORT)',
  ]
}
