/**
 * How many more calls a model's failures and slow answers may cause: a fifth of its calls, and a few besides. Where all
 * of an upstream fails, jobs that are tried again at once are what keeps it from coming back. What is beyond that waits
 * for its turn; it is not failed. Pure.
 */
const SHARE = 0.2
/** Whatever the calls are, a second. */
const FLOOR = 2
/** Saved up at most: about ten seconds of a hundred calls a second. */
const MOST = 200
const MOST_WAIT_MS = 30_000

export class RetryBudget {
  #left = MOST / 10
  #atMono = -Infinity

  called(): void {
    this.#left = Math.min(MOST, this.#left + SHARE)
  }

  /** Takes one, if there is one. */
  takesLeft(now: number): boolean {
    this.#refill(now)
    if (this.#left < 1) return false
    this.#left--
    return true
  }

  #refill(now: number): void {
    if (this.#atMono > -Infinity) this.#left = Math.min(MOST, this.#left + ((now - this.#atMono) / 1_000) * FLOOR)
    this.#atMono = now
  }

  /** Takes one: how long until it may be tried, ms. */
  takes(now: number): number {
    this.#refill(now)
    this.#left = Math.max(this.#left - 1, -(MOST_WAIT_MS / 1_000) * FLOOR)
    return this.#left >= 0 ? 0 : (-this.#left / FLOOR) * 1_000
  }
}
