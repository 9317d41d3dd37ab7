/**
 * Which job killed its worker. A death counts as a crash of a job only where that job ran alone, or was the one suspect
 * that ran: of many at most one killed the worker. A job that was there at enough deaths is a suspect; suspects run one
 * at a time, so that a job that kills its worker each time is found after 2 × maxCrashes + 1 deaths (2 for 0), however
 * many run beside it.
 */
import type { ActiveLease, Entry } from './entry.ts'

export class Suspects {
  readonly #maxCrashes: number
  /** Of the one that runs. */
  #lease: ActiveLease | null = null

  constructor(maxCrashes: number) {
    this.#maxCrashes = maxCrashes
  }

  /** Is it one? */
  has({ deaths }: Entry): boolean {
    return deaths >= Math.max(1, this.#maxCrashes)
  }

  /** Until the one that runs has ended. */
  mustWait(entry: Entry): boolean {
    return this.#lease !== null && this.has(entry)
  }

  leased(lease: ActiveLease): void {
    if (lease.isSuspect) this.#lease = lease
  }

  /** True: the next one may run. */
  released(lease: ActiveLease): boolean {
    if (lease !== this.#lease) return false
    this.#lease = null
    return true
  }

  /** A worker died of its `running` jobs, of which these were lost. Returns the one whose crashes are too many. */
  blame(entries: readonly Entry[], running: number): Entry | null {
    const suspects = entries.filter((entry) => this.has(entry))
    const blamed = running === 1 ? entries[0] : suspects.length === 1 ? suspects[0] : null
    for (const entry of entries) entry.deaths++
    return blamed != null && ++blamed.crashes > this.#maxCrashes ? blamed : null
  }
}
