/**
 * Leases by worker: a sign of life prolongs all of a worker's leases at once, and one timer per worker finds those that
 * expired.
 */

import { Table } from '../../core/table.ts'
import { ActiveLease, type Entry, WorkerLeases } from './entry.ts'
import type { Timers } from './timers.ts'

export class Leases {
  readonly #workers = new Table<string, WorkerLeases>()
  readonly #leaseMs: number
  readonly #timers: Timers<Entry | WorkerLeases>
  #made = 0

  constructor(leaseMs: number, timers: Timers<Entry | WorkerLeases>) {
    this.#leaseMs = leaseMs
    this.#timers = timers
  }

  take(entry: Entry, workerId: string, now: number, isSuspect: boolean): ActiveLease {
    const worker = this.#workers.get(workerId) ?? new WorkerLeases(workerId, -++this.#made)
    this.#workers.set(workerId, worker)
    const lease = new ActiveLease(entry, worker, now, isSuspect)
    lease.before = worker.newest
    if (worker.newest === null) worker.oldest = lease
    else worker.newest.after = lease
    worker.newest = lease
    if (worker.oldest === lease) this.arm(worker)
    return lease
  }

  release(lease: ActiveLease): void {
    const { worker, before, after } = lease
    if (before === null) worker.oldest = after
    else before.after = after
    if (after === null) worker.newest = before
    else after.before = before
    lease.before = lease.after = null
    if (worker.oldest === null) {
      this.#workers.delete(worker.id)
      this.#timers.clear(worker)
    } else if (before === null) this.arm(worker)
  }

  heartbeat(workerId: string, now: number): void {
    const worker = this.#workers.get(workerId)
    if (worker === undefined) return
    worker.lastBeatMono = now
    this.arm(worker)
  }

  /** As if each worker had given a sign of life now. */
  woke(now: number): void {
    for (const id of [...this.#workers.keys()]) this.heartbeat(id, now)
  }

  /** Oldest first, of each worker. */
  *all(): Generator<ActiveLease> {
    for (const { oldest } of this.#workers.values())
      for (let lease = oldest; lease !== null; lease = lease.after) yield lease
  }

  /** All of a worker's leases, newest first: put back in front one after the other, they keep their order. */
  of(workerId: string): readonly ActiveLease[] {
    return this.#until(this.#workers.get(workerId)?.newest ?? null)
  }

  /** The expired ones, newest first. */
  expired(worker: WorkerLeases, now: number): readonly ActiveLease[] {
    let last = worker.newest
    while (last !== null && this.#endOf(last) > now) last = last.before
    return this.#until(last)
  }

  arm(worker: WorkerLeases): void {
    if (worker.oldest !== null) this.#timers.set(worker, this.#endOf(worker.oldest))
  }

  #until(newest: ActiveLease | null): readonly ActiveLease[] {
    const leases: ActiveLease[] = []
    for (let lease = newest; lease !== null; lease = lease.before) leases.push(lease)
    return leases
  }

  #endOf(lease: ActiveLease): number {
    return Math.max(lease.leasedMono, lease.worker.lastBeatMono) + this.#leaseMs
  }
}
