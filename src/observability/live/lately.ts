/** What a histogram has got since it was last looked at. */
import { BUCKETS, type Histogram, quantileOf } from '../../core/numbers.ts'

export class Lately {
  readonly #of: Histogram
  readonly #before = new Float64Array(BUCKETS)

  constructor(of: Histogram) {
    this.#of = of
  }

  /** Null: nothing was measured. */
  p99(): number | null {
    const buckets = this.#of.buckets.map((count, i) => count - this.#before[i])
    this.#before.set(this.#of.buckets)
    const { sum, max } = this.#of
    return buckets.some((count) => count > 0) ? quantileOf({ buckets, sum, max }, 0.99) : null
  }
}
