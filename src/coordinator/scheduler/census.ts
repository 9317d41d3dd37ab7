/** How many jobs there are in which state, and what of each tenant, session and crowd is in line. */
import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { QueueDepth } from '../../core/ports/operations.ts'
import { Crowds } from './crowds.ts'
import type { Entry, LiveState } from './entry.ts'
import { type Share, Shares } from './shares.ts'

export class Census {
  readonly crowds = new Crowds<Entry>()
  readonly #shares = new Shares()
  readonly #depth = { queued: 0, delayed: 0, waiting: 0, leased: 0 }

  get depth(): QueueDepth {
    return { ...this.#depth }
  }

  /** All but those that run. */
  get inLine(): number {
    const { queued, delayed, waiting } = this.#depth
    return queued + delayed + waiting
  }

  /** What its session has in line; null: it is no session's. */
  shareOf(job: ScheduledJob): Share | null {
    return this.#shares.of(job)
  }

  /** In line. */
  add(entry: Entry): void {
    this.#depth[entry.state]++
    this.#count(entry, 1, false)
  }

  move(entry: Entry, state: LiveState, inFront = false): void {
    this.#count(entry, (entry.state === 'leased' ? 1 : 0) - (state === 'leased' ? 1 : 0), inFront)
    this.#depth[entry.state]--
    this.#depth[state]++
    entry.state = state
  }

  remove(entry: Entry): void {
    if (entry.state !== 'leased') this.#count(entry, -1, false)
    this.#depth[entry.state]--
  }

  #count(entry: Entry, change: number, inFront: boolean): void {
    const { tenant, job } = entry
    if (change > 0) this.crowds.add(entry, inFront)
    else if (change < 0) this.crowds.remove(entry)
    tenant.queued += change
    tenant.bytes += change * job.bodyBytes
    this.#shares.count(job, change)
  }
}
