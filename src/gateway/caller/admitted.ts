/**
 * Who is in: requests and connections under way. They are counted by API key and by session, and sent away once their
 * caller is let in no more: at once after a revocation or an erasure here, within a second of an end by the clock.
 */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Auth } from './auth.ts'
import { type Caller, shareOf } from './caller.ts'

const CHECK_EVERY_MS = 1_000

export type Way = 'request' | 'socket'

/** How many of a way one API key may have at once, and one session. */
export type Caps = Readonly<Record<Way, { readonly perKey: number; readonly perSession: number }>>

interface Visit {
  readonly caller: Caller
  readonly end: (error: SluiceError) => void
  isEnding: boolean
}

export class Admitted {
  readonly #auth: Auth
  readonly #clock: Clock
  readonly #caps: Caps
  readonly #visits = new Set<Visit>()
  readonly #counts = new Map<string, number>()
  #stopChecks: (() => void) | null = null

  constructor(auth: Auth, clock: Clock, caps: Caps) {
    this.#auth = auth
    this.#clock = clock
    this.#caps = caps
  }

  /** `end` sends it away, at most once. Returns its leave; safe to repeat. Throws too_many_connections. */
  enter(caller: Caller, way: Way, end: (error: SluiceError) => void): () => void {
    this.checkRoom(caller, way)
    const names = namesOf(caller, way)
    for (const name of names) this.#counts.set(name, this.#count(name) + 1)
    const visit: Visit = { caller, end, isEnding: false }
    this.#visits.add(visit)
    this.#stopChecks ??= this.#clock.every(CHECK_EVERY_MS, () => this.check())
    return () => {
      if (!this.#visits.delete(visit)) return
      for (const name of names) {
        const left = this.#count(name) - 1
        if (left === 0) this.#counts.delete(name)
        else this.#counts.set(name, left)
      }
    }
  }

  /** Throws too_many_connections. */
  checkRoom(caller: Caller, way: Way): void {
    const [key, ...session] = namesOf(caller, way)
    const { perKey, perSession } = this.#caps[way]
    if (this.#count(key) >= perKey) throw new SluiceError('too_many_connections')
    if (session.some((name) => this.#count(name) >= perSession))
      throw new SluiceError('too_many_connections', { message: TOO_MANY[way] })
  }

  /** Sends away whoever is let in no more. */
  check(): void {
    for (const visit of [...this.#visits]) {
      if (visit.isEnding) continue
      try {
        this.#auth.check(visit.caller)
      } catch (thrown) {
        visit.isEnding = true
        visit.end(SluiceError.from(thrown))
      }
    }
    if (this.#visits.size === 0) this.close()
  }

  close(): void {
    this.#stopChecks?.()
    this.#stopChecks = null
  }

  #count(name: string): number {
    return this.#counts.get(name) ?? 0
  }
}

const TOO_MANY: Readonly<Record<Way, string>> = {
  request: 'Too many concurrent requests in this session (sessions.max_requests).',
  socket: 'Too many connections in this session (sessions.max_sockets).',
}

/** The counts that a visit is part of: its key's, and its session's. */
function namesOf(caller: Caller, way: Way): readonly string[] {
  const key = `${way}\n${caller.key.id}`
  const share = shareOf(caller)
  return share === null ? [key] : [key, `${way}\n${caller.key.tenant}\n${share}`]
}
