/**
 * So much at once, and so much in a time: a bucket that fills with what is used and leaks at a steady rate, which is
 * the generic cell rate algorithm (ATM Forum, 1996) in its other form. There is no window with an edge; debt is a
 * bucket that is more than full.
 *
 * What is held leaks, too, after all that was used, and each hold by the same share of what is left of it. A hold gives
 * back no more than that: what it leaked has let others in. So in any time no more is let in than by a bucket that knew
 * from the start what each would use (rate.test.ts).
 */
import type { RateLimit, WhenOut } from '../../core/limits.ts'
import type { Account } from './account.ts'

/** What the arithmetic of floats may leave behind: far below one unit. */
const NOTHING = 1e-6
/** What leaked of a hold when the bucket ran empty, as a mark: e^-64 of it is left. */
const ALL = 64
/** After a restart. */
const ADOPTED_WITHIN_MS = 60_000
/** In which one is forgotten that was restored, and is not limited. */
const UNLIMITED_FOR_S = 3_600

export class Rate implements Account {
  #limit: RateLimit
  readonly window = null
  /** What is held included. */
  #used = 0
  #held = 0
  /** What is left of that in the bucket. */
  #heldLeft = 0
  /** Grows while what is held leaks: of a hold that was taken at mark m, e^(m - #mark) is left. */
  #mark = 0
  /** When `#used` was right. */
  #atMono = -Infinity
  /** As restored, with what was adopted since; null once anything else was counted. */
  #found: { used: number; readonly atMono: number; readonly sinceMono: number } | null = null
  /** Nobody knows how fast it leaks, until it is limited again. */
  #isUnlimited = false

  constructor(limit: RateLimit) {
    this.#limit = limit
  }

  /** To be restored though the settings leave it out: they may put it back. */
  static unlimited(unit: RateLimit['unit'], used: number): Rate {
    const perSecond = Math.max(0, used) / UNLIMITED_FOR_S
    const rate = new Rate({ unit, burst: 0, perSecond, whenOut: 'debt', oversize: 'refuse' })
    rate.#isUnlimited = true
    return rate
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
    if (this.#isUnlimited && this.#found !== null) this.#countFound(now)
    this.#isUnlimited = false
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

  held(now: number): number {
    this.#leak(now)
    return this.#heldLeft
  }

  resetMs(now: number): number {
    return this.#leak(now) / this.#perMs
  }

  windowMs(): number {
    return this.#limit.burst / this.#perMs
  }

  hold(amount: number, now: number, held = 0, mark = this.#mark): number {
    if (amount === 0) return mark
    this.#found = null
    this.#used = this.#leak(now) + amount
    this.#held += amount
    this.#heldLeft += amount
    if (held === 0) return this.#mark
    return this.#mark + Math.log((this.#leftOf(held, mark) + amount) / (held + amount))
  }

  /** For the store: used, without what is held; below zero where some of that has leaked. Null: nothing. */
  usedBy(now: number): number | null {
    const used = this.#leak(now) - this.#held
    return this.#held === 0 && used <= NOTHING ? null : used
  }

  /** As `usedBy` told at `atMono`. */
  restore(used: number, atMono: number, now: number): void {
    this.#found = { used, atMono: Math.min(atMono, now), sinceMono: now }
    this.#countFound(now)
  }

  /** All leaks together from the time of the store on, as if nothing had happened. */
  adopt(amount: number, now: number): number {
    if (this.#found === null) return this.hold(amount, now)
    this.#held += amount
    this.#found.used += amount
    this.#countFound(now)
    return 0
  }

  /** What each hold had leaked is not stored: all have leaked by the same share. */
  #countFound(now: number): void {
    const { used, atMono } = this.#found!
    this.#used = Math.max(0, used - (now - atMono) * this.#perMs)
    this.#atMono = now
    this.#heldLeft = this.#held
    this.#mark = 0
    this.#leakHeld()
  }

  settle(held: number, used: number, now: number, mark: number): void {
    this.#found = null
    const room = this.#limit.whenOut === 'deny_next' ? Math.max(0, this.left(now)) : Infinity
    this.#leak(now)
    const left = this.#leftOf(held, mark)
    this.#held -= held
    this.#heldLeft = Math.min(this.#held, this.#heldLeft - left)
    const more = used - held
    this.#used = Math.max(0, this.#used + (more < 0 ? -Math.min(-more, left) : Math.min(more, room)))
  }

  #leftOf(held: number, mark: number): number {
    return held === 0 ? 0 : Math.min(this.#heldLeft, held * Math.exp(mark - this.#mark))
  }

  isUnused(now: number): boolean {
    // What is held may be adopted yet
    const isFound = this.#found !== null && now - this.#found.sinceMono < ADOPTED_WITHIN_MS
    return !isFound && this.#leak(now) <= NOTHING
  }

  #leak(now: number): number {
    if (now > this.#atMono) {
      this.#used = this.#used === 0 ? 0 : Math.max(0, this.#used - (now - this.#atMono) * this.#perMs)
      this.#atMono = now
      this.#leakHeld()
    }
    return this.#used
  }

  #leakHeld(): void {
    if (this.#heldLeft <= this.#used) return
    const isEmpty = this.#used <= NOTHING
    this.#mark += isEmpty ? ALL : Math.log(this.#heldLeft / this.#used)
    this.#heldLeft = isEmpty ? 0 : this.#used
  }

  get #perMs(): number {
    return this.#limit.perSecond / 1_000
  }
}
