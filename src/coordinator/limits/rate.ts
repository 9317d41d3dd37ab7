/**
 * So much at once, and so much in a time: a bucket that fills with what is used and leaks at a steady rate, which is
 * the generic cell rate algorithm (ATM Forum, 1996) in its other form. There is no window with an edge; debt is a
 * bucket that is more than full.
 */
import type { RateLimit, WhenOut } from '../../core/limits.ts'
import type { Account } from './account.ts'

/** What the arithmetic of floats may leave behind: far below one unit. */
const NOTHING = 1e-6

export class Rate implements Account {
  #limit: RateLimit
  readonly window = null
  /** What is held included. */
  #used = 0
  #held = 0
  /** When `#used` was right. */
  #atMono = -Infinity

  constructor(limit: RateLimit) {
    this.#limit = limit
  }

  get unit(): RateLimit['unit'] {
    return this.#limit.unit
  }

  get whenOut(): WhenOut {
    return this.#limit.whenOut
  }

  get limit(): number {
    return this.#limit.burst
  }

  /** What was used stays used. */
  change(limit: RateLimit, now: number): void {
    this.#leak(now)
    this.#limit = limit
  }

  waitMs(amount: number, now: number): number {
    const { burst, oversize } = this.#limit
    if (amount > burst && oversize === 'refuse') return Infinity
    const excess = this.#leak(now) + Math.min(amount, burst) - burst
    return excess <= NOTHING ? 0 : excess / this.#perMs
  }

  left(now: number): number {
    return this.#limit.burst - this.#leak(now)
  }

  resetMs(now: number): number {
    return this.#leak(now) / this.#perMs
  }

  windowMs(): number {
    return this.#limit.burst / this.#perMs
  }

  hold(amount: number, now: number): void {
    this.#used = this.#leak(now) + amount
    this.#held += amount
  }

  /** Used by what has ended, for the store. */
  usedBy(now: number): number {
    return Math.max(0, this.#leak(now) - this.#held)
  }

  /** As `usedBy` told at `atMono`. */
  restore(used: number, atMono: number, now: number): void {
    this.#used = used
    this.#atMono = Math.min(atMono, now)
  }

  settle(held: number, used: number, now: number): void {
    const more = used - held
    this.#held -= held
    // What leaked meanwhile was not used: a refund never fills more than the bucket
    const room = this.#limit.whenOut === 'deny_next' ? Math.max(0, this.left(now)) : Infinity
    this.#used = Math.max(0, this.#leak(now) + Math.min(more, room))
  }

  isUnused(now: number): boolean {
    return this.#leak(now) <= NOTHING
  }

  #leak(now: number): number {
    if (now > this.#atMono) {
      this.#used = this.#used === 0 ? 0 : Math.max(0, this.#used - (now - this.#atMono) * this.#perMs)
      this.#atMono = now
    }
    return this.#used
  }

  get #perMs(): number {
    return this.#limit.perSecond / 1_000
  }
}
