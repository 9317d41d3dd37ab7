/**
 * Requests and connections in progress. They are counted by API key and by session, and ended once their caller is no
 * longer valid: at once after a revocation or an erasure here, within a second after an expiry.
 */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { Slots, Table } from '../../core/table.ts'
import type { Auth } from './auth.ts'
import { type Caller, shareOf } from './caller.ts'

const CHECK_EVERY_MS = 1_000

export type Way = 'request' | 'socket'

/** How many one API key, and one session, may have at once. */
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
  readonly #visits = new Slots<Visit>()
  readonly #counts: Readonly<Record<Way, { readonly byKey: Counts; readonly bySession: Counts }>> = {
    request: { byKey: new Counts(), bySession: new Counts() },
    socket: { byKey: new Counts(), bySession: new Counts() },
  }
  #stopChecks: (() => void) | null = null

  constructor(auth: Auth, clock: Clock, caps: Caps) {
    this.#auth = auth
    this.#clock = clock
    this.#caps = caps
  }

  /** `end` is called at most once. Returns its leave; safe to repeat. Throws too_many_connections. */
  enter(caller: Caller, way: Way, end: (error: SluiceError) => void): () => void {
    this.checkRoom(caller, way)
    const { byKey, bySession } = this.#counts[way]
    const session = sessionOf(caller)
    byKey.add(caller.key.id, 1)
    if (session !== null) bySession.add(session, 1)
    const visit: Visit = { caller, end, isEnding: false }
    const place = this.#visits.add(visit)
    this.#stopChecks ??= this.#clock.every(CHECK_EVERY_MS, () => this.check())
    return () => {
      if (!this.#visits.delete(place, visit)) return
      byKey.add(caller.key.id, -1)
      if (session !== null) bySession.add(session, -1)
    }
  }

  /** Throws too_many_connections. */
  checkRoom(caller: Caller, way: Way): void {
    const { byKey, bySession } = this.#counts[way]
    const { perKey, perSession } = this.#caps[way]
    if (byKey.get(caller.key.id) >= perKey) throw new SluiceError('too_many_connections')
    const session = sessionOf(caller)
    if (session !== null && bySession.get(session) >= perSession)
      throw new SluiceError('too_many_connections', { message: TOO_MANY[way] })
  }

  /** Ends the visits of callers that are no longer valid. */
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
}

/** How many there are by name; names without any are forgotten. */
class Counts {
  readonly #counts = new Table<string, number>()

  get(name: string): number {
    return this.#counts.get(name) ?? 0
  }

  add(name: string, change: number): void {
    const count = this.get(name) + change
    if (count === 0) this.#counts.delete(name)
    else this.#counts.set(name, count)
  }
}

const TOO_MANY: Readonly<Record<Way, string>> = {
  request: 'Too many concurrent requests in this session (sessions.max_requests).',
  socket: 'Too many connections in this session (sessions.max_sockets).',
}

/** Whose share it uses, within its tenant; null: the key itself. */
function sessionOf(caller: Caller): string | null {
  const share = shareOf(caller)
  return share === null ? null : `${caller.key.tenant}\n${share}`
}
