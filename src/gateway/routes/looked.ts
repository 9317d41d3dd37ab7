/** Looks at texts that are in the audit: to read on, where one has looked, is no other look. Bounded. */
import type { Exchange } from '../http/exchange.ts'

const OPEN_MS = 3_600_000
const MAX_LOOKS = 4_096

export class Looked {
  /** Who looked at what, and when; in order of time. */
  readonly #looks = new Map<string, number>()

  add(who: string, what: string, nowMono: number): void {
    const look = `${who}\n${what}`
    this.#looks.delete(look)
    this.#looks.set(look, nowMono)
    if (this.#looks.size > MAX_LOOKS) this.#looks.delete(this.#looks.keys().next().value!)
  }

  /** Did the same look at it in the last hour? */
  has(who: string, what: string, nowMono: number): boolean {
    const atMono = this.#looks.get(`${who}\n${what}`)
    return atMono !== undefined && nowMono - atMono < OPEN_MS
  }
}

/** One session, or whoever holds the admin key at one address. */
export const lookerOf = ({ session, request }: Pick<Exchange, 'session' | 'request'>): string =>
  session ?? `key ${request.socket.remoteAddress ?? ''}`
