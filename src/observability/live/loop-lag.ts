/** How late the event loop was of late: what a histogram has got since it was last looked at. */
import { BUCKETS, type Histogram, quantileOf } from '../../core/numbers.ts'

export class LoopLag {
  readonly #delay: Histogram
  readonly #before = new Float64Array(BUCKETS)

  constructor(delay: Histogram) {
    this.#delay = delay
  }

  /** Since the last call. Null: nothing was measured. */
  p99(): number | null {
    const buckets = this.#delay.buckets.map((count, i) => count - this.#before[i])
    this.#before.set(this.#delay.buckets)
    const { sum, max } = this.#delay
    return buckets.some((count) => count > 0) ? quantileOf({ buckets, sum, max }, 0.99) : null
  }
}
