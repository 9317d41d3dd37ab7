/**
 * So much in all, which time gives nothing back of: the budget of a run. What is held counts as if it were used. Of a
 * run without a budget it only counts: `most` is Infinity.
 */
import type { TotalLimit } from '../../core/limits.ts'
import type { Account } from './account.ts'

/** After so long without use nothing is known of a budget any more … */
const KEPT_MS = 30 * 86_400_000
/** … or of what was only counted: there may be many such runs. */
const COUNTED_MS = 86_400_000

export class Total implements Account {
  #limit: TotalLimit
  readonly window = 'run'
  readonly whenOut = 'cut'
  #used = 0
  #held = 0
  #usedMono = -Infinity

  constructor(limit: TotalLimit) {
    this.#limit = limit
  }

  get unit(): TotalLimit['unit'] {
    return this.#limit.unit
  }

  get limit(): number {
    return this.#limit.most
  }

  change(limit: TotalLimit): void {
    this.#limit = limit
  }

  /** Nobody knows what those that run will give back: the least time. */
  waitMs(amount: number): number {
    if (amount <= this.left()) return 0
    return amount > this.#limit.most - this.#used ? Infinity : 1
  }

  left(): number {
    return this.#limit.most - this.#used - this.#held
  }

  held(): number {
    return this.#held
  }

  resetMs(): number {
    return Infinity
  }

  windowMs(): number {
    return Infinity
  }

  hold(amount: number): number {
    this.#held += amount
    return 0
  }

  adopt(amount: number): number {
    return this.hold(amount)
  }

  settle(held: number, used: number, now: number): void {
    this.#held -= held
    if (used === 0) return
    this.#used += used
    this.#usedMono = now
  }

  /** For the store, without what is held; null: nothing. */
  used(): number | null {
    return this.#used === 0 ? null : this.#used
  }

  /** As `used` told. */
  restore(used: number, atMono: number): void {
    this.#used = used
    this.#usedMono = atMono
  }

  isUnused(now: number): boolean {
    const keptMs = this.#limit.most === Infinity ? COUNTED_MS : KEPT_MS
    return this.#held === 0 && (this.#used === 0 || now - this.#usedMono > keptMs)
  }
}
