/** Finds the command, runs it, and turns what it throws into a line and an exit code. */
import { isatty } from 'node:tty'
import { didYouMean } from '../core/nearest.ts'
import {
  type Args,
  type Command,
  checkOperands,
  EXIT,
  exitCodeOf,
  type Group,
  invocation,
  type Output,
  readArgs,
  UsageError,
} from './command.ts'

interface Entry {
  readonly about: string
  /** Loaded when used: a start of the server waits for nothing that it does not need. */
  load(): Promise<{ readonly command: Command | Group }>
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  serve: { about: 'start the server', load: () => import('./serve.ts') },
  keys: { about: 'create, list, change, rotate and revoke API keys', load: () => import('./keys.ts') },
  tenants: { about: 'list, set and disable tenants, and what was changed', load: () => import('./tenants.ts') },
  'provider-keys': { about: "set and remove tenants' own provider keys", load: () => import('./provider-keys.ts') },
  models: { about: 'disable and enable models', load: () => import('./models.ts') },
  deployments: { about: 'add, remove, weigh and drain deployments', load: () => import('./deployments.ts') },
  route: { about: 'explain where a request would go', load: () => import('./route.ts') },
  dashboard: { about: 'print a link into the dashboard', load: () => import('./dashboard.ts') },
  top: { about: 'show what a running server does now', load: () => import('./top.ts') },
  jobs: { about: 'list, show, follow, cancel and redrive jobs', load: () => import('./jobs.ts') },
  runs: { about: "list, show and cancel agents' runs", load: () => import('./runs.ts') },
  batches: { about: 'list, show and cancel batches', load: () => import('./batches.ts') },
  webhooks: { about: 'list webhooks and what they were told, and tell it again', load: () => import('./webhooks.ts') },
  replay: { about: 'submit what came through Kafka once more, to compare models', load: () => import('./replay.ts') },
  usage: { about: 'show what was used, and what it cost', load: () => import('./usage.ts') },
  doctor: {
    about: 'print the configuration in force, and check what it refers to',
    load: () => import('./doctor.ts'),
  },
  import: { about: "turn LiteLLM's configuration into one of Sluice", load: () => import('./import.ts') },
  migrate: { about: 'move everything from the embedded engine to Redis, or back', load: () => import('./migrate.ts') },
  backup: { about: 'save everything that a running server stores in a file', load: () => import('./backup.ts') },
  restore: { about: 'fill an empty store from a backup', load: () => import('./restore.ts') },
  bench: {
    about: 'measure a server: time to first token, time per output token, and why',
    load: () => import('./bench.ts'),
  },
  mock: {
    about: 'run an OpenAI-compatible upstream with scripted latency and faults',
    load: () => import('./mock.ts'),
  },
}
/** What `help` knows besides commands. */
const TOPICS = ['settings']

/** Returns the exit code. */
export async function run(argv: readonly string[], out: Output): Promise<number> {
  const [name = 'help', ...rest] = argv
  try {
    if (name === 'version' || name === '--version' || name === '-v') {
      out.print((await import('../config/version.ts')).version)
      return EXIT.ok
    }
    if (name === 'help' || name === '--help' || name === '-h') {
      out.print(await help(rest.filter(isWord)))
      return EXIT.ok
    }
    const { command } = await find(name).load()
    if (rest.includes('--help') || rest.includes('-h')) {
      // Words may be values of options here
      const verb = 'commands' in command ? rest.find((word) => Object.hasOwn(command.commands, word)) : undefined
      out.print(await help(verb === undefined ? [name] : [name, verb]))
      return EXIT.ok
    }
    const [chosen, args] = 'commands' in command ? choose(name, command, rest) : [command, readArgs(command, rest)]
    checkOperands(chosen, args.positionals)
    return await chosen.run(args, out)
  } catch (error) {
    // A server's lines are JSON unless a person reads them; so is its last one
    const asJson = name === 'serve' && (rest.includes('--json') || !isatty(2))
    return asJson ? await logFatal(error) : explain(error, out)
  }
}

const isWord = (arg: string): boolean => !arg.startsWith('-')

async function help([topic, verb]: readonly string[]): Promise<string> {
  const { forCommand, forGroup, overview, settings } = await import('./help.ts')
  if (topic === undefined) return overview(COMMANDS)
  if (topic === 'settings') return settings()
  const { command } = await find(topic, TOPICS).load()
  if (!('commands' in command)) return forCommand(command)
  return verb === undefined ? forGroup(topic, command) : forCommand(subcommand(topic, command, verb))
}

function find(name: string, others: readonly string[] = ['help', 'version']): Entry {
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name]
  const near = didYouMean(name, [...Object.keys(COMMANDS), ...others])
  throw new UsageError(`There is no command "${name}".${near} "${invocation} help" lists them.`)
}

function subcommand(name: string, { commands }: Group, verb: string): Command {
  if (Object.hasOwn(commands, verb)) return commands[verb]
  const near = didYouMean(verb, Object.keys(commands))
  throw new UsageError(`There is no command "${name} ${verb}".${near} "${invocation} help ${name}" lists them.`)
}

/** The subcommand that was named, and its arguments. Options may precede it, so all of the group's are known. */
function choose(name: string, group: Group, argv: readonly string[]): readonly [Command, Args] {
  const all = Object.values(group.commands)
  const options = Object.assign({}, ...all.map((command) => command.options)) as Command['options']
  const [verb] = readArgs(
    { options, takesSettings: all.some(({ takesSettings }) => takesSettings !== false) },
    argv,
  ).positionals
  if (verb === undefined) {
    const [first, ...others] = Object.keys(group.commands)
    const last = others.pop()
    const verbs = [`"${invocation} ${name} ${first}"`, ...others.map((each) => `"${each}"`)].join(', ')
    throw new UsageError(`Missing subcommand: ${verbs} or "${last}".`)
  }
  const command = subcommand(name, group, verb)
  const args = readArgs(command, argv, ` in "${name} ${verb}"`)
  return [command, { ...args, positionals: args.positionals.slice(1) }]
}

function explain(error: unknown, out: Output): number {
  out.note(`sluice: ${error instanceof Error ? error.message : String(error)}`)
  const code = exitCodeOf(error)
  // An unforeseen error is shown whole
  if (code === null && error instanceof Error) out.note(error.stack ?? '')
  return code ?? EXIT.failed
}

async function logFatal(error: unknown): Promise<number> {
  const [{ openLog }, { nthProcess }] = await Promise.all([import('./log.ts'), import('./processes/nth.ts')])
  const log = openLog('fatal', true, nthProcess())
  const exitCode = exitCodeOf(error)
  const { code, message } = error as Error & { code?: string }
  if (exitCode === null) log.fatal({ err: error }, 'the start failed')
  else log.fatal({ code }, message)
  return exitCode ?? EXIT.failed
}
