/** How long a deployment's first texts took lately, for who does not want to wait for its slowest ones. Pure. */

const KEPT = 128
/** Of fewer calls nobody can tell what is slow. */
const ENOUGH = 20

export class FirstTexts {
  /** The oldest is overwritten. */
  readonly #times: number[] = []
  #next = 0
  /** In order; null: they have changed since. */
  #sorted: readonly number[] | null = null

  /** Of a call that was given up before it had shown anything: so long at least. */
  add(ms: number): void {
    this.#times[this.#next] = ms
    this.#next = (this.#next + 1) % KEPT
    this.#sorted = null
  }

  /** So long at most took such a share of them; null: too few are known. */
  quantile(share: number): number | null {
    if (this.#times.length < ENOUGH) return null
    this.#sorted ??= Float64Array.from(this.#times).sort() as unknown as readonly number[]
    return this.#sorted[Math.max(0, Math.ceil(share * this.#sorted.length) - 1)]
  }

  forget(): void {
    this.#times.length = this.#next = 0
    this.#sorted = null
  }
}
