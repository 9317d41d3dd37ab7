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

/** `json`: JSON even at a terminal. */
export function openLog(level: Level, json: boolean): ServerLog {
  const asText = !json && isatty(2)
  const render = (line: string): string => (asText ? pretty(line) : line)
  const lossLine = (lines: number): string =>
    lineOf('warn', systemClock, { lines }, 'log lines were dropped: nobody read them, or the disk was full')
  const sink = new Sink(2, { onLost: (lines) => render(lossLine(lines)) })
  return new ServerLog(level, systemClock, (line) => sink.write(render(line)))
}

export class ServerLog {
  /** The lowest that is written. */
  level: Level
  readonly #clock: Clock
  readonly #write: (line: string) => void

  constructor(level: Level, clock: Clock, write: (line: string) => void) {
    this.level = level
    this.#clock = clock
    this.#write = write
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
    if (LEVELS.indexOf(level) >= LEVELS.indexOf(this.level)) this.#write(lineOf(level, this.#clock, fact, message))
  }
}

function lineOf(level: Level, clock: Clock, fact: object, message: string | undefined): string {
  const head = `{"level":"${level}","time":"${new Date(clock.wallMs()).toISOString()}"`
  const members = membersOf(fact).slice(1, -1)
  return `${head}${members && `,${members}`}${message === undefined ? '' : `,"msg":${JSON.stringify(message)}`}}\n`
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
