/**
 * Readers that come at once for something large are served one in a turn of the event loop, so that what they need
 * together does not hold it. As long as nothing is large, nobody waits.
 */
import type { Clock } from '../core/clock.ts'

/** Of records read at once. More than a page: a record that is larger than one. */
const LARGE_BYTES = 1 << 20

export class Turns {
  readonly #clock: Pick<Clock, 'soon'>
  readonly #waiting: Array<() => void> = []
  /** Something large was served in this turn, or someone waits for the next. */
  #isBusy = false

  constructor(clock: Pick<Clock, 'soon'>) {
    this.#clock = clock
  }

  /** Null: go on at once. */
  wait(): Promise<void> | null {
    return this.#isBusy ? new Promise((done) => void this.#waiting.push(done)) : null
  }

  /** So many bytes were read, to be rendered and written in this turn. */
  spend(bytes: number): void {
    if (bytes < LARGE_BYTES || this.#isBusy) return
    this.#isBusy = true
    this.#clock.soon(this.#next)
  }

  readonly #next = (): void => {
    const next = this.#waiting.shift()
    if (next === undefined) {
      this.#isBusy = false
      return
    }
    next()
    this.#clock.soon(this.#next)
  }
}
