/** Tickets that any gateway redeems, and only one: they are kept in Redis, as digests. */
import { createHash } from 'node:crypto'
import { SluiceError } from '../../core/errors.ts'
import type { Session, Tickets } from '../../core/ports/tickets.ts'
import type { Ground } from './bus/ground.ts'
import { storageError } from './client/errors.ts'

/** Unused tickets; the oldest are dropped first, seconds before they expire. One key can't displace the others'. */
const MAX_TICKETS = 100_000
const MAX_TICKETS_PER_KEY = 10_000

type Parts = Pick<Ground, 'scripts'> & { readonly time: Pick<Ground['time'], 'nowMs'> }

const digestOf = (ticket: string): string => createHash('sha256').update(ticket).digest('base64url')

export class RedisTickets implements Tickets {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async issue(ticket: string, session: Session, ms: number): Promise<void> {
    const caps = [MAX_TICKETS_PER_KEY, MAX_TICKETS]
    const args = [digestOf(ticket), session.keyId, JSON.stringify(session), ms, ...caps]
    const unused = (await this.#run('tickets-issue', args)) as number
    if (unused >= 0)
      throw new SluiceError('rate_limit_exceeded', {
        message: `This key has ${unused} unused tickets: use some, or wait until they expire.`,
        retryAfterMs: ms,
      })
  }

  async redeem(ticket: string): Promise<Session | null> {
    const session = (await this.#run('tickets-redeem', [digestOf(ticket)])) as string | null
    return session === null ? null : (JSON.parse(session) as Session)
  }

  async #run(script: string, args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.#parts.scripts.run(script, [...args, this.#parts.time.nowMs()])
    } catch (error) {
      throw storageError(error)
    }
  }
}
