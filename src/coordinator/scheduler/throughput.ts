/**
 * What a flow achieves while work waits for it: tokens per ms, and how long its jobs usually take. Time without waiting
 * work is not counted: it would measure demand, not capacity. Old values fade with a half-life of 30 s of such time.
 */
const SLICE_MS = 1_000
const FADE = 0.5 ** (SLICE_MS / 30_000)
/** With less data than this, no time is shown, and nothing is refused because of one. */
const SHOWN_AFTER = { busyMs: 1_000, ends: 3 }
const SURE_AFTER = { busyMs: 5_000, ends: 20 }

export class Throughput {
  /** Mean output tokens, and mean ms from lease to end, of attempts that ended by an answer. */
  meanOutput = 0
  meanMs = 0
  #ends = 0
  #seenMono = -Infinity
  #tokens = 0
  #busyMs = 0
  #sliceTokens = 0
  #sliceMs = 0
  /** Served since `#seenMono`. */
  #pending = 0

  /** Before each change: was there work waiting since the last call? */
  observe(now: number, waited: boolean): void {
    const elapsed = now - this.#seenMono
    if (waited && elapsed > 0 && elapsed !== Infinity) {
      this.#sliceMs += elapsed
      this.#sliceTokens += this.#pending
      if (this.#sliceMs >= SLICE_MS) this.#fold()
    }
    if (elapsed > 0) {
      this.#seenMono = now
      this.#pending = 0
    }
  }

  serve(tokens: number): void {
    this.#pending += tokens
  }

  answered(outputTokens: number, ms: number): void {
    const share = Math.max(1 / ++this.#ends, 0.02)
    this.meanOutput += (outputTokens - this.meanOutput) * share
    this.meanMs += (ms - this.meanMs) * share
  }

  /** Tokens per ms; null while there is too little data. */
  get rate(): number | null {
    return this.#rate(SHOWN_AFTER)
  }

  /** Like `rate`, with enough data to refuse work by it. */
  get sureRate(): number | null {
    return this.#rate(SURE_AFTER)
  }

  /** Mean ms from lease to end, likewise. */
  get sureMeanMs(): number | null {
    return this.#ends < SURE_AFTER.ends ? null : this.meanMs
  }

  #rate(enough: typeof SURE_AFTER): number | null {
    const busyMs = this.#busyMs + this.#sliceMs
    const tokens = this.#tokens + this.#sliceTokens
    return busyMs < enough.busyMs || this.#ends < enough.ends || tokens <= 0 ? null : tokens / busyMs
  }

  #fold(): void {
    const fade = FADE ** (this.#sliceMs / SLICE_MS)
    this.#tokens = this.#tokens * fade + this.#sliceTokens
    this.#busyMs = this.#busyMs * fade + this.#sliceMs
    this.#sliceTokens = this.#sliceMs = 0
  }
}
