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

/** Of a sum that grows: how much of the last minute it was, where it is of ms. Read it every few seconds. */
export class ShareOfMinute {
  readonly #reads: Array<{ readonly atMono: number; readonly sum: number }> = []

  /** 0 to 1; null: it was read for less than five seconds. */
  read(sum: number, nowMono: number): number | null {
    this.#reads.push({ atMono: nowMono, sum })
    while (this.#reads.length > 2 && this.#reads[1].atMono <= nowMono - MINUTE_MS) this.#reads.shift()
    const [first] = this.#reads
    const tookMs = nowMono - first.atMono
    return tookMs < LEAST_MS ? null : Math.min(1, Math.max(0, (sum - first.sum) / tookMs))
  }
}

const MINUTE_MS = 60_000
const LEAST_MS = 5_000
