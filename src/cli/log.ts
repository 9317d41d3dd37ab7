/**
 * The operator's log, on stderr: JSON lines, or text for people at a terminal. Never blocks, never fails. Our own
 * lines, since a logging package would be a tenth of the start (docs/decisions/0003).
 */
import { isatty } from 'node:tty'
import { type Clock, systemClock } from '../core/clock.ts'
import { pretty } from './pretty.ts'
import { Sink } from './sink.ts'

/** Lowest first. */
const LEVELS = ['debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
type Level = (typeof LEVELS)[number]

/** `json`: JSON even at a terminal. `nth`: of several processes. */
export function openLog(level: Level, json: boolean, nth: number | null): ServerLog {
  const asText = !json && isatty(2)
  const render = (line: string): string => (asText ? pretty(line) : line)
  const lossLine = (lines: number): string =>
    log.lineOf('warn', { lines }, 'log lines were dropped: nobody read them, or the disk was full')
  const sink = new Sink(2, { onLost: (lines) => render(lossLine(lines)) })
  const log = new ServerLog(level, systemClock, (line) => sink.write(render(line)), nth)
  return log
}

export class ServerLog {
  #level: Level
  #lowest: number
  /** Of the processes that share a server's ports; 0: their parent. Null: there is one. */
  nth: number | null
  readonly #clock: Clock
  readonly #write: (line: string) => void

  constructor(level: Level, clock: Clock, write: (line: string) => void, nth: number | null = null) {
    this.#level = level
    this.#lowest = LEVELS.indexOf(level)
    this.nth = nth
    this.#clock = clock
    this.#write = write
  }

  /** The lowest that is written. */
  get level(): Level {
    return this.#level
  }

  set level(level: Level) {
    this.#level = level
    this.#lowest = LEVELS.indexOf(level)
  }

  writes(level: Level): boolean {
    return LEVELS.indexOf(level) >= this.#lowest
  }

  debug(fact: object, message?: string): void {
    this.#log('debug', fact, message)
  }

  info(fact: object, message?: string): void {
    this.#log('info', fact, message)
  }

  warn(fact: object, message?: string): void {
    this.#log('warn', fact, message)
  }

  error(fact: object, message?: string): void {
    this.#log('error', fact, message)
  }

  fatal(fact: object, message?: string): void {
    this.#log('fatal', fact, message)
  }

  #log(level: Level, fact: object, message: string | undefined): void {
    if (this.writes(level)) this.#write(this.lineOf(level, fact, message))
  }

  /** With its end. */
  lineOf(level: Level, fact: object, message: string | undefined): string {
    const which = this.nth === null ? '' : `,"process":${this.nth}`
    const head = `{"level":"${level}","time":"${new Date(this.#clock.wallMs()).toISOString()}"${which}`
    const members = membersOf(fact).slice(1, -1)
    return `${head}${members && `,${members}`}${message === undefined ? '' : `,"msg":${JSON.stringify(message)}`}}\n`
  }
}

function membersOf(fact: object): string {
  try {
    return JSON.stringify('err' in fact ? { ...fact, err: readable(fact.err) } : fact)
  } catch (error) {
    // Circular, or a getter that throws
    return JSON.stringify({ unwritable: String(error) })
  }
}

const MAX_CAUSES = 8
/** Of those that were thrown as one. */
const MAX_ERRORS = 8
/** Of a text: the sink drops a line that is too long. */
const MAX_CHARS = 8_192

/** Where an error and its causes come from. */
function readable(error: unknown): unknown {
  if (!(error instanceof AggregateError)) return alone(error)
  return { ...(alone(error) as object), errors: error.errors.slice(0, MAX_ERRORS).map(alone) }
}

function alone(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const chain = [error]
  while (chain.length < MAX_CAUSES) {
    const { cause } = chain.at(-1)!
    if (!(cause instanceof Error)) break
    chain.push(cause)
  }
  const of = (read: (each: Error) => string, between: string): string =>
    chain.map((each) => bounded(read(each))).join(between)
  return {
    ...plainMembers(error),
    type: error.constructor.name,
    message: of(({ message }) => message, ': '),
    stack: of(({ stack, message }) => stack ?? message, '\ncaused by: '),
  }
}

/** Such as its code. Others can hold anything: a request, a secret, the error itself. */
function plainMembers(error: Error): object {
  const members: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(error))
    if (typeof value === 'string') members[name] = bounded(value)
    else if (typeof value === 'number' || typeof value === 'boolean') members[name] = value
  return members
}

const bounded = (text: string): string => (text.length > MAX_CHARS ? `${text.slice(0, MAX_CHARS)}…` : text)
