/** How a number grew over time: at most 120 points, the first and the last among them. */
const MAX_POINTS = 120

export class Curve {
  /** Pairs: ms, value. */
  readonly #points: number[] = []
  #size = 0
  /** A point is kept only so long after the one before it. */
  #apartMs = 0

  get size(): number {
    return this.#size
  }

  get last(): number {
    return this.#size === 0 ? 0 : this.#points[2 * this.#size - 1]
  }

  /** Times never fall, even where the clock was set back. One that comes too soon takes the place of the last. */
  add(atMs: number, value: number): void {
    const ms = Math.max(atMs, this.#size === 0 ? 0 : this.#points[2 * this.#size - 2])
    const isClose = this.#size > 1 && ms - this.#points[2 * this.#size - 4] < this.#apartMs
    if (!isClose) {
      if (this.#size === MAX_POINTS) this.#thin()
      this.#size++
    }
    this.#points[2 * this.#size - 2] = ms
    this.#points[2 * this.#size - 1] = value
  }

  /** Keeps every other point. */
  #thin(): void {
    const tookMs = this.#points[2 * this.#size - 2] - this.#points[0]
    this.#apartMs = (2 * tookMs) / MAX_POINTS
    let kept = 0
    for (let i = 0; i < this.#size; i += 2, kept++) {
      this.#points[2 * kept] = this.#points[2 * i]
      this.#points[2 * kept + 1] = this.#points[2 * i + 1]
    }
    this.#size = kept
  }

  /** As they are kept: ms, value, ms, value, … */
  points(): readonly number[] {
    return this.#points.slice(0, 2 * this.#size)
  }

  /** `scale`: of the values, which are rounded. */
  pairs(scale = 1): ReadonlyArray<readonly [number, number]> {
    return Array.from({ length: this.#size }, (_, i) => [
      Math.round(this.#points[2 * i]),
      Math.round(this.#points[2 * i + 1] * scale),
    ])
  }
}
