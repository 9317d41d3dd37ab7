#!/usr/bin/env node
/** The command line: finds the command, runs it, and turns what it throws into a line and an exit code. */
import './signals.ts'
import { didYouMean } from '../core/nearest.ts'
import { type Command, EXIT, exitCodeOf, type Output, readArgs, UsageError } from './command.ts'

/** Loaded when used: a start of the server waits for nothing that it does not need. */
const COMMANDS: Readonly<Record<string, { readonly about: string; load(): Promise<{ readonly command: Command }> }>> = {
  serve: { about: 'start the server', load: () => import('./serve.ts') },
  keys: { about: 'create, list and revoke API keys', load: () => import('./keys.ts') },
  jobs: { about: 'list, show, follow, cancel and redrive jobs', load: () => import('./jobs.ts') },
  doctor: {
    about: 'print the configuration that is in force, and check what it names',
    load: () => import('./doctor.ts'),
  },
  mock: { about: 'an OpenAI-compatible upstream with scripted latency and faults', load: () => import('./mock.ts') },
}

const out: Output = {
  print: (line) => void process.stdout.write(`${line}\n`),
  write: (text) => void process.stdout.write(text),
  note: (line) => void process.stderr.write(`${line}\n`),
}

export async function main(argv: readonly string[]): Promise<number> {
  const [name = 'help', ...rest] = argv
  try {
    if (name === 'version' || name === '--version' || name === '-v') {
      out.print((await import('./version.ts')).version)
      return EXIT.ok
    }
    const help = await (name === 'help' ||
    name === '--help' ||
    name === '-h' ||
    rest.includes('--help') ||
    rest.includes('-h')
      ? import('./help.ts')
      : null)
    if (help !== null) {
      const about = COMMANDS[name] === undefined ? rest.find((word) => !word.startsWith('-')) : name
      if (about === undefined) out.print(help.overview(COMMANDS))
      else out.print(about === 'settings' ? help.settings() : help.forCommand((await find(about).load()).command))
      return EXIT.ok
    }
    const { command } = await find(name).load()
    return await command.run(readArgs(command, rest), out)
  } catch (error) {
    return explain(error)
  }
}

function find(name: string): (typeof COMMANDS)[string] {
  if (!Object.hasOwn(COMMANDS, name)) {
    const near = didYouMean(name, [...Object.keys(COMMANDS), 'help', 'version'])
    throw new UsageError(`There is no command "${name}".${near} "sluice help" lists them.`)
  }
  return COMMANDS[name]
}

function explain(error: unknown): number {
  out.note(`sluice: ${error instanceof Error ? error.message : String(error)}`)
  const code = exitCodeOf(error)
  // What nobody foresaw is shown whole
  if (code === null && error instanceof Error) out.note(error.stack ?? '')
  return code ?? EXIT.failed
}

// A reader that has enough (`| head`) is no error. A server does not write here: sink.ts
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok)
  throw error
})
process.stderr.on('error', () => {})
// The clock's timers don't keep a process alive; a command that is under way does
const awake = new MessageChannel().port1
awake.ref()
process.exitCode = await main(process.argv.slice(2))
awake.close()
