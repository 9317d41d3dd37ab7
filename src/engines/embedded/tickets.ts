/** Tickets live in memory: they are good for seconds. */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Session, Tickets } from '../../core/ports/tickets.ts'

/** Unused tickets; the oldest are dropped first, seconds before they expire. One key can't displace the others'. */
const MAX_TICKETS = 100_000
const MAX_TICKETS_PER_KEY = 10_000

interface Issued {
  readonly session: Session
  readonly untilMono: number
}

export class EmbeddedTickets implements Tickets {
  readonly #clock: Clock
  readonly #issued = new Map<string, Issued>()
  readonly #unusedOf = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async issue(ticket: string, session: Session, ms: number): Promise<void> {
    this.#dropOld()
    const { keyId } = session
    const unused = this.#unusedOf.get(keyId) ?? 0
    if (unused >= MAX_TICKETS_PER_KEY)
      throw new SluiceError('rate_limit_exceeded', {
        message: `This key has ${unused} unused tickets: use some, or wait until they expire.`,
        retryAfterMs: ms,
      })
    this.#unusedOf.set(keyId, unused + 1)
    this.#issued.set(ticket, { session, untilMono: this.#clock.monoMs() + ms })
  }

  async redeem(ticket: string): Promise<Session | null> {
    const found = this.#issued.get(ticket)
    if (found === undefined) return null
    this.#drop(ticket, found)
    return found.untilMono <= this.#clock.monoMs() ? null : found.session
  }

  #drop(ticket: string, { session }: Issued): void {
    this.#issued.delete(ticket)
    const left = this.#unusedOf.get(session.keyId)! - 1
    if (left === 0) this.#unusedOf.delete(session.keyId)
    else this.#unusedOf.set(session.keyId, left)
  }

  /** Tickets leave in the order in which they came: all live equally long. */
  #dropOld(): void {
    for (const [ticket, issued] of this.#issued) {
      if (issued.untilMono > this.#clock.monoMs() && this.#issued.size < MAX_TICKETS) return
      this.#drop(ticket, issued)
    }
  }
}
