/**
 * Bytes held for peers who may never finish: of unfinished requests and messages, and of large answers that are not
 * read yet. Counted by their owner, so that no peer can hold what the others need.
 */
import { SluiceError } from '../../core/errors.ts'
import { Table } from '../../core/table.ts'
import { type Caller, shareOf } from '../caller/caller.ts'

export interface InflowOptions {
  readonly total: number
  readonly perKey: number
  readonly perSession: number
}

/** All unauthenticated senders together may hold the total divided by this. */
const STRANGERS_SHARE = 16

/** What one sender holds. */
export interface Holding {
  /** Holds this many bytes from now on. Throws overloaded, too_many_unfinished, and then holds what it held. */
  hold(bytes: number): void
  /** Holds this many, whatever the limits. */
  take(bytes: number): void
}

export class Inflow {
  readonly #options: InflowOptions
  readonly #what: string
  readonly #held = new Table<string, number>()

  /** `what`: of which there is too much, for the refusal. */
  constructor(options: InflowOptions, what: string) {
    this.#options = options
    this.#what = what
  }

  /** Bytes held by all, for tests and the operator. */
  get bytes(): number {
    return this.#held.get(ALL) ?? 0
  }

  /** `caller` null: a stranger. */
  open(caller: Caller | null): Holding {
    const pots = this.#potsOf(caller)
    let held = 0
    const take = (bytes: number): void => {
      for (const { name } of pots) {
        const now = (this.#held.get(name) ?? 0) + bytes - held
        if (now === 0) this.#held.delete(name)
        else this.#held.set(name, now)
      }
      held = bytes
    }
    const hold = (bytes: number): void => {
      if (bytes > held)
        for (const { name, most, setting } of pots)
          if ((this.#held.get(name) ?? 0) + bytes - held > most) throw full(setting, this.#what)
      take(bytes)
    }
    return { hold, take }
  }

  /** The most that one holding of the caller's can have. */
  most(caller: Caller): number {
    return Math.min(...this.#potsOf(caller).map(({ most }) => most))
  }

  #potsOf(caller: Caller | null): readonly Pot[] {
    const { total, perKey, perSession } = this.#options
    const all: Pot = { name: ALL, most: total, setting: null }
    if (caller === null) return [{ name: 'strangers', most: total / STRANGERS_SHARE, setting: null }, all]
    const key: Pot = { name: `key\n${caller.key.id}`, most: perKey, setting: 'http.max_unfinished_bytes_per_key' }
    const share = shareOf(caller)
    if (share === null) return [key, all]
    const session = `session\n${caller.key.tenant}\n${share}`
    return [{ name: session, most: perSession, setting: 'sessions.max_unfinished_bytes' }, key, all]
  }
}

const ALL = 'all'

interface Pot {
  readonly name: string
  readonly most: number
  /** Null: it is the total, and no single caller's fault. */
  readonly setting: string | null
}

const full = (setting: string | null, what: string): SluiceError =>
  setting === null
    ? new SluiceError('overloaded')
    : new SluiceError('too_many_unfinished', {
        message: `Too many bytes in ${what} (${setting}): finish some of them, then send this again.`,
      })
