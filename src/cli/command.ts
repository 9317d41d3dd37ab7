/** What a command is, and how its arguments are read. */
import { parseArgs } from 'node:util'
import { FLAGS, flagName } from '../config/leaves.ts'
import { SluiceError } from '../core/errors.ts'
import { didYouMean } from '../core/nearest.ts'

/** Exit codes; `sluice help` lists them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, unreachable: 3, refused: 4 } as const

export interface OptionHelp {
  /** "N", "PATH": it takes a value. Absent: it is there or not. */
  readonly value?: string
  readonly help: string
}

export interface HelpTable {
  readonly title: string
  readonly rows: ReadonlyArray<readonly string[]>
}

export interface Command {
  /** "sluice jobs list [options]" and the like, one a line. */
  readonly usage: readonly string[]
  readonly about: string
  readonly options: Readonly<Record<string, OptionHelp>>
  /** More to know, shown below the options: a title, and rows. */
  readonly tables?: readonly HelpTable[]
  /** Takes every setting as a flag too, and --config. */
  readonly takesSettings: boolean
  /** Returns the exit code. */
  run(args: Args, out: Output): Promise<number>
}

export interface Args {
  readonly positionals: readonly string[]
  /** The value of an option; "true" for one without a value. */
  option(name: string): string | undefined
  has(name: string): boolean
  /** Settings that were given as flags, by flag name. */
  readonly settings: Readonly<Record<string, string>>
}

/** Where a command writes; tests hand in their own. */
export interface Output {
  /** Results: stdout, with the line's end. */
  print(line: string): void
  /** Text as it is: stdout, without a line's end. */
  write(text: string): void
  /** What is not the result: stderr. */
  note(line: string): void
}

/** A mistake on the command line, or in the configuration. */
export class UsageError extends Error {}
/** It failed for a known reason, which the message names. */
export class FailedError extends Error {}
/** The server could not be reached. */
export class UnreachableError extends Error {}
/** The server did not accept the key. */
export class RefusedError extends Error {}

/** Null: an error that nobody foresaw. */
export function exitCodeOf(error: unknown): number | null {
  if (error instanceof UsageError || (error instanceof SluiceError && error.code === 'config_invalid'))
    return EXIT.usage
  if (error instanceof UnreachableError) return EXIT.unreachable
  if (error instanceof RefusedError) return EXIT.refused
  return error instanceof SluiceError || error instanceof FailedError ? EXIT.failed : null
}

/** How the command line is called: in a clone there is no "sluice" on the PATH, but npm knows it. */
export const invocation: string = import.meta.filename.endsWith('.ts') ? 'npx sluice' : 'sluice'

const EVERYWHERE: Readonly<Record<string, OptionHelp>> = {
  json: { help: 'write JSON, for machines' },
  help: { help: 'show this' },
}

export const optionsOf = (command: Command): Readonly<Record<string, OptionHelp>> => ({
  ...command.options,
  ...(command.takesSettings ? { config: { value: 'PATH', help: 'the YAML file (SLUICE_CONFIG)' } } : {}),
  ...EVERYWHERE,
})

/** Throws UsageError, which names the option that was probably meant. */
export function readArgs(command: Command, argv: readonly string[]): Args {
  const own = optionsOf(command)
  const settings = command.takesSettings ? FLAGS : []
  const isText = new Map<string, boolean>([
    ...settings.map((leaf): [string, boolean] => [flagName(leaf), leaf.kind !== 'flag']),
    ...Object.entries(own).map(([name, option]): [string, boolean] => [name, option.value !== undefined]),
  ])
  const { tokens, positionals } = parseArgs({
    args: [...argv],
    options: {
      ...Object.fromEntries(
        [...isText].map(([name, text]) => [name, { type: text ? ('string' as const) : ('boolean' as const) }]),
      ),
      help: { type: 'boolean', short: 'h' },
    },
    allowPositionals: true,
    allowNegative: true,
    strict: false,
    tokens: true,
  })
  const values: Record<string, string> = {}
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const no = token.name.startsWith('no-') && isText.get(token.name.slice(3)) === false
    const name = no ? token.name.slice(3) : token.name
    const text = isText.get(name)
    if (text === undefined)
      throw new UsageError(
        `There is no option ${token.rawName}.${didYouMean(name, isText.keys()).replace(/"(.+)"/, '"--$1"')}`,
      )
    if (text && token.value === undefined) throw new UsageError(`The option --${name} needs a value.`)
    if (!text && token.value !== undefined && !isSetting(name))
      throw new UsageError(`The option --${name} takes no value.`)
    values[name] = token.value ?? (no ? 'false' : 'true')
  }
  return {
    positionals,
    option: (name) => values[name],
    has: (name) => values[name] !== undefined,
    settings: Object.fromEntries(Object.entries(values).filter(([name]) => own[name] === undefined)),
  }
}

const isSetting = (name: string): boolean => FLAGS.some((leaf) => flagName(leaf) === name)
