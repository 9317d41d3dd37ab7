/** One coarse timer for all deadlines of a client, instead of a timer a call or a token. */
import type { Clock } from '../../../core/clock.ts'

export interface Swept {
  /** Looks whether a deadline has passed. `nowMs` is monotonic. */
  sweep(nowMs: number): void
}

const SWEEP_MS = 250

export class Sweep {
  readonly #clock: Clock
  readonly #live = new Set<Swept>()
  #stop: (() => void) | null = null
  #lastMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(swept: Swept): void {
    this.#live.add(swept)
    if (this.#stop !== null) return
    this.#lastMs = this.#clock.monoMs()
    this.#stop = this.#clock.every(SWEEP_MS, () => this.#round())
  }

  delete(swept: Swept): void {
    if (!this.#live.delete(swept) || this.#live.size > 0) return
    this.#stop?.()
    this.#stop = null
  }

  #round(): void {
    const now = this.#clock.monoMs()
    const late = now - this.#lastMs > 4 * SWEEP_MS
    this.#lastMs = now
    // The process itself was held up: what came meanwhile waits in the kernel and is read before the next round
    if (late) return
    for (const swept of this.#live) swept.sweep(now)
  }
}
