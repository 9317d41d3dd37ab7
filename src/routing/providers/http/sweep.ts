/** One coarse timer for all deadlines of a client, instead of a timer a call or a token. */
import type { Clock } from '../../../core/clock.ts'
import { Slots } from '../../../core/table.ts'

export interface Swept {
  /** Its place in the sweep, which alone writes it; -1 before the first time. */
  sweepPlace: number
  /** Looks whether a deadline has passed. */
  sweep(nowMono: number): void
}

const SWEEP_MS = 250

export class Sweep {
  readonly #clock: Clock
  readonly #live = new Slots<Swept>()
  #stop: (() => void) | null = null
  #lastMono = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(swept: Swept): void {
    if (this.#live.get(swept.sweepPlace) === swept) return
    swept.sweepPlace = this.#live.add(swept)
    if (this.#stop !== null) return
    this.#lastMono = this.#clock.monoMs()
    this.#stop = this.#clock.every(SWEEP_MS, () => this.#round())
  }

  /** Safe to repeat. The timer goes with the next round: calls that follow each other don't set it anew each time. */
  delete(swept: Swept): void {
    this.#live.delete(swept.sweepPlace, swept)
  }

  /** Stops checking deadlines. */
  close(): void {
    this.#stop?.()
    this.#stop = () => {}
  }

  #round(): void {
    const now = this.#clock.monoMs()
    const late = now - this.#lastMono > 4 * SWEEP_MS
    this.#lastMono = now
    if (this.#live.size === 0) {
      this.#stop?.()
      this.#stop = null
      return
    }
    // The process itself was held up: what came meanwhile waits in the kernel and is read before the next round
    if (late) return
    for (const swept of this.#live) swept.sweep(now)
  }
}
