/**
 * The breaker of a level that spends its budget too fast. How fast is told by two averages of what was spent, one that
 * forgets within five minutes and one within an hour, as alerts on error budgets have a short and a long window: a
 * spike is too much for the short one only, a runaway for both. Beyond its factor of the budget's pace in both it
 * trips. Once it has cooled down a single request is let in as a probe, whose end closes it or trips it again.
 */
import type { LevelUse, VelocityLimit } from '../../core/limits.ts'
import type { Account } from './account.ts'

const SHORT_MS = 300_000
const HOUR_MS = 3_600_000
/** While a probe runs: nobody knows when it ends, which wakes who waits. */
const ASK_AGAIN_MS = 5_000
/** The mark of its hold. */
const PROBE = 1
/** Of what trips it in an hour: so little can be forgotten. */
const NOTHING = 1e-3

export class Velocity implements Account {
  readonly unit = 'spend_velocity'
  readonly whenOut = 'debt'
  readonly window = null
  #limit: VelocityLimit
  /** Nano-dollars of the last five minutes, and of the last hour: each fades by its own time constant. */
  #short = 0
  #long = 0
  #atMono = -Infinity
  /** When it has cooled down; null: it is closed. */
  #cooledMono: number | null = null
  #isProbed = false
  #isNews = false

  constructor(limit: VelocityLimit) {
    this.#limit = limit
  }

  /** What may be spent in an hour before it trips, nano-dollars. */
  get limit(): number {
    return this.#limit.hour * this.#limit.nanoDollarsPerHour
  }

  /** Other settings close it, which is how an operator resets it. */
  change(limit: VelocityLimit): void {
    const { nanoDollarsPerHour, fiveMinutes, hour, coolDownMs } = this.#limit
    const isSame =
      limit.nanoDollarsPerHour === nanoDollarsPerHour &&
      limit.fiveMinutes === fiveMinutes &&
      limit.hour === hour &&
      limit.coolDownMs === coolDownMs
    if (isSame) return
    this.#limit = limit
    if (this.#cooledMono === null) return
    this.#cooledMono = null
    this.#isProbed = false
    this.#short = this.#long = 0
  }

  waitMs(_amount: number, now: number): number {
    if (this.#cooledMono === null) return 0
    if (now < this.#cooledMono) return this.#cooledMono - now
    return this.#isProbed ? ASK_AGAIN_MS : 0
  }

  left(now: number): number {
    if (this.#cooledMono !== null) return 0
    this.#fade(now)
    return Math.max(0, this.limit - this.#long)
  }

  held(): number {
    return 0
  }

  resetMs(now: number): number {
    return this.waitMs(0, now)
  }

  windowMs(): number {
    return HOUR_MS
  }

  /** Marks the probe. */
  hold(amount: number, now: number, _held = 0, mark = 0): number {
    if (amount === 0 || this.#cooledMono === null || now < this.#cooledMono) return mark
    this.#isProbed = true
    return PROBE
  }

  adopt(amount: number, now: number): number {
    return this.hold(amount, now)
  }

  /** While it cools down, what had been let in before ends. Later any end tells how fast it is by then. */
  settle(_held: number, used: number, now: number, mark: number): void {
    if (used > 0) {
      this.#fade(now)
      this.#short += used
      this.#long += used
    }
    const isTripped = this.#cooledMono !== null
    if (isTripped && now < this.#cooledMono!) return
    if (mark === PROBE) this.#isProbed = false
    // What cost nothing tells nothing
    if (used <= 0) return
    this.#isProbed = false
    const isTooFast = this.#isTooFast
    this.#cooledMono = isTooFast ? now + this.#limit.coolDownMs : null
    this.#isNews ||= isTooFast
  }

  get #isTooFast(): boolean {
    const { nanoDollarsPerHour, fiveMinutes } = this.#limit
    return this.#long > this.limit && this.#short > (fiveMinutes * nanoDollarsPerHour * SHORT_MS) / HOUR_MS
  }

  /** Has it tripped since this was asked? For how long, ms; null: no. */
  takeTrip(): number | null {
    if (!this.#isNews) return null
    this.#isNews = false
    return this.#limit.coolDownMs
  }

  isUnused(now: number): boolean {
    this.#fade(now)
    // One that has tripped, and was left alone for hours since, is closed
    return (this.#cooledMono === null || now >= this.#cooledMono) && this.#long <= this.limit * NOTHING
  }

  // ------------------------------------------------------------ for the store

  /** Null: nothing. */
  state(now: number): LevelUse['velocity'] | null {
    if (this.isUnused(now)) return null
    const cooledInMs = this.#cooledMono === null ? null : this.#cooledMono - now
    return { fiveMinutes: this.#short, hour: this.#long, cooledInMs }
  }

  /** As `state` told at `atMono`. */
  restore({ fiveMinutes, hour, cooledInMs }: NonNullable<LevelUse['velocity']>, atMono: number): void {
    this.#short = fiveMinutes
    this.#long = hour
    this.#atMono = atMono
    this.#cooledMono = cooledInMs === null ? null : atMono + cooledInMs
  }

  #fade(now: number): void {
    if (now <= this.#atMono) return
    if (this.#long > 0) {
      this.#short *= Math.exp((this.#atMono - now) / SHORT_MS)
      this.#long *= Math.exp((this.#atMono - now) / HOUR_MS)
    }
    this.#atMono = now
  }
}
