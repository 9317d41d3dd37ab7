/** Waits for what may be away, such as the coordinator of a fleet, for a bounded time; and knows since when it is. */
import type { Clock } from '../../core/clock.ts'
import { durationText } from '../../core/duration.ts'
import { SluiceError } from '../../core/errors.ts'

const MOST_MS = 5_000

export class Patience {
  readonly #clock: Clock
  /** Since the first of what has failed, with nothing between that worked. */
  #awayMono: number | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * As `work`. Rejects with storage_unavailable, which tells for how long it has been so, where that does, or where it
   * takes too long.
   */
  wait<T>(work: Promise<T>): Promise<T> {
    const sinceMono = this.#clock.monoMs()
    return bounded(this.#clock, MOST_MS, work).then(
      (value) => {
        this.#awayMono = null
        return value
      },
      (thrown: unknown) => {
        if (SluiceError.from(thrown).code !== 'storage_unavailable') throw thrown
        this.#awayMono = Math.min(this.#awayMono ?? sinceMono, sinceMono)
        throw new SluiceError('storage_unavailable', { message: this.#words(), cause: thrown })
      },
    )
  }

  #words(): string {
    const forMs = Math.round((this.#clock.monoMs() - this.#awayMono!) / 1_000) * 1_000
    return (
      `The store, or the coordinator, has not answered for ${durationText(Math.max(1_000, forMs))}: figures are from ` +
      'before that. It is asked again every second.'
    )
  }
}

/** Rejects with storage_unavailable after `ms`. */
export function bounded<T>(clock: Clock, ms: number, work: Promise<T>): Promise<T> {
  return new Promise((done, fail) => {
    const cancel = clock.after(ms, () => fail(new SluiceError('storage_unavailable')))
    work.then(done, fail).finally(cancel)
  })
}
