/** What a command is, how its arguments are read, and how it fails. */
import { parseArgs } from 'node:util'
import { FLAGS, flagName } from '../config/leaves.ts'
import { SluiceError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'

/** Exit codes; `sluice help` lists them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, unreachable: 3, refused: 4, inUse: 5 } as const

export interface OptionHelp {
  /** "N", "PATH": it takes a value. Absent: it is a switch. */
  readonly value?: string
  readonly help: string
}

export interface HelpTable {
  readonly title: string
  readonly rows: ReadonlyArray<readonly string[]>
}

export interface Command {
  /** "jobs list [options]": its usage, without the program's name. */
  readonly usage: string
  readonly about: string
  readonly options: Readonly<Record<string, OptionHelp>>
  /**
   * The one argument that it needs: "job id", and the command that lists them, if one does. Absent: it takes none.
   * `second`: it takes another one, which it may need.
   */
  readonly operand?: {
    readonly name: string
    readonly listedBy?: string
    readonly second?: 'needed' | 'optional'
    /** Absent: the same. */
    readonly secondName?: string
  }
  /** More to know, shown below the options: a title, and rows. */
  readonly tables?: readonly HelpTable[]
  /** Takes every setting as a flag too, and --config. A list: the only ones that its help shows. */
  readonly takesSettings: boolean | readonly string[]
  /** Returns the exit code. */
  run(args: Args, out: Output): Promise<number>
}

/** "jobs": a command with subcommands, by name. */
export interface Group {
  readonly about: string
  readonly commands: Readonly<Record<string, Command>>
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
  /** Results: stdout, with the line's end; without control characters but "\n" and "\t". */
  print(line: string): void
  /** Text as it is: stdout, without a line's end. */
  write(text: string): void
  /** What is not the result: stderr; as `print`. */
  note(line: string): void
}

/** Failed for a known reason, which the message names. */
export class FailedError extends Error {
  readonly exitCode: number = EXIT.failed
}
/** A mistake on the command line. */
export class UsageError extends FailedError {
  override readonly exitCode = EXIT.usage
}
/** The server could not be reached. */
export class UnreachableError extends FailedError {
  override readonly exitCode = EXIT.unreachable
}
/** The server did not accept the key. */
export class RefusedError extends FailedError {
  override readonly exitCode = EXIT.refused
}

/** Null: an unforeseen error. */
export function exitCodeOf(error: unknown): number | null {
  if (error instanceof FailedError) return error.exitCode
  if (!(error instanceof SluiceError)) return null
  return error.code === 'config_invalid' ? EXIT.usage : error.code === 'in_use' ? EXIT.inUse : EXIT.failed
}

/** How the command line is called: in a clone there is no "sluice" on the PATH, but npm knows it. */
export const invocation: string = import.meta.filename.endsWith('.ts') ? 'npx sluice' : 'sluice'

const EVERYWHERE: Readonly<Record<string, OptionHelp>> = {
  json: { help: 'print JSON, for machines' },
  help: { help: 'show this help' },
}

export const optionsOf = (
  command: Pick<Command, 'options' | 'takesSettings'>,
): Readonly<Record<string, OptionHelp>> => ({
  ...command.options,
  ...(command.takesSettings === false ? {} : { config: { value: 'PATH', help: 'the YAML file (SLUICE_CONFIG)' } }),
  ...EVERYWHERE,
})

/** Throws UsageError, which names the option that was probably meant. `within`: the subcommand, for the message. */
export function readArgs(
  command: Pick<Command, 'options' | 'takesSettings'>,
  argv: readonly string[],
  within = '',
): Args {
  const own = optionsOf(command)
  const settings = command.takesSettings === false ? [] : FLAGS
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
      throw new UsageError(`There is no option ${token.rawName}${within}. ${meantBy(name, isText)}`)
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

/** What it was written for, probably: also without what is before a "-", as in "http-port". */
function meantBy(name: string, options: ReadonlyMap<string, boolean>): string {
  const words = name.split('-')
  const tails = words.map((_, i) => words.slice(i).join('-'))
  const meant = nearest(name, options.keys()) ?? tails.find((tail) => options.has(tail))
  return meant === undefined ? '--help lists them.' : `Did you mean "--${meant}"?`
}

/** Throws UsageError. */
export function checkOperands({ operand, usage }: Command, positionals: readonly string[]): void {
  const [first, ...others] = positionals
  const more = operand?.second === undefined ? others : others.slice(1)
  if (operand === undefined && first !== undefined) throw new UsageError(`Unexpected argument: "${first}".`)
  if (operand !== undefined && !first)
    throw new UsageError(
      operand.listedBy === undefined
        ? `Missing ${operand.name}: ${invocation} ${usage}`
        : `Missing ${operand.name}: "${invocation} ${operand.listedBy}" shows them.`,
    )
  if (operand?.second === 'needed' && !others[0])
    throw new UsageError(`Missing ${operand.secondName ?? `a second ${operand.name}`}: ${invocation} ${usage}`)
  if (more.length > 0) throw new UsageError(`Unexpected argument: "${more[0]}".`)
}

/** The value of an option that is a whole number. Throws UsageError. */
export function wholeNumber(text: string, option: string, max: number): number {
  if (/^\d{1,15}$/.test(text) && Number(text) <= max) return Number(text)
  throw new UsageError(`--${option} needs a whole number, at most ${max}.`)
}

const isSetting = (name: string): boolean => FLAGS.some((leaf) => flagName(leaf) === name)
