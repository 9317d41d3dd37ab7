/** What a handler is called with: a request whose route is known, and whose caller may use it. */
import { SluiceError } from '../../core/errors.ts'
import type { Caller } from '../caller/caller.ts'
import type { Exchange } from './exchange.ts'
import type { Inflow } from './inflow.ts'

/** `Who` null: anybody, or somebody whom the body or the frames name. */
export class Call<Who extends Caller | null = Caller | null> {
  readonly exchange: Exchange
  readonly caller: Who
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, unknown>>
  /** Counts the bytes of its body while it comes; null: nobody counts them. */
  readonly inflow: Inflow | null
  readonly #check: (caller: Caller) => void

  /** `check` throws for a caller that is no longer valid. */
  constructor(
    exchange: Exchange,
    caller: Who,
    params: Readonly<Record<string, string>>,
    query: Readonly<Record<string, unknown>>,
    inflow: Inflow | null,
    check: (caller: Caller) => void,
  ) {
    this.exchange = exchange
    this.caller = caller
    this.params = params
    this.query = query
    this.inflow = inflow
    this.#check = check
  }

  get requestId(): Exchange['requestId'] {
    return this.exchange.requestId
  }

  get startedMono(): Exchange['startedMono'] {
    return this.exchange.startedMono
  }

  get uploadMs(): Exchange['uploadMs'] {
    return this.exchange.uploadMs
  }

  /** For what it submits. */
  get trace(): Exchange['trace'] {
    return this.exchange.traced()
  }

  get method(): string | undefined {
    return this.exchange.request.method
  }

  /** Throws if its caller is no longer valid. */
  check(): void {
    if (this.caller !== null) this.#check(this.caller)
  }

  /** A header's value; of repeated ones the first, or their list as node joins it. */
  header(name: string): string | undefined {
    const value = this.exchange.request.headers[name]
    return Array.isArray(value) ? value[0] : value
  }

  /** A query parameter; undefined if absent. Throws invalid_request if it has two values. */
  parameter(name: string): string | undefined {
    const value = this.query[name]
    if (value === undefined || typeof value === 'string') return value
    throw new SluiceError('invalid_request', { param: name, message: `The query has two values for "${name}".` })
  }

  /** A whole number in the range; undefined if absent. Throws invalid_request. */
  integer(name: string, min: number, max: number): number | undefined {
    const text = this.parameter(name)
    if (text === undefined) return undefined
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new SluiceError('invalid_request', {
      param: name,
      message: `"${name}" must be a whole number from ${min} to ${max}.`,
    })
  }
}

/** With a known caller. */
export type KeyCall = Call<Caller>
