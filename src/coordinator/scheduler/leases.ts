/**
 * Leases by worker: a sign of life prolongs all of a worker's leases at once, and one timer a worker finds those that
 * ran out.
 */
import type { Entry } from './entry.ts'
import { Hold } from './entry.ts'
import type { Timed, Timers } from './timers.ts'

export class WorkerLeases implements Timed {
  readonly id: string
  readonly seq: number
  lastBeatMono = -Infinity
  oldest: Hold | null = null
  newest: Hold | null = null
  due = Infinity
  heapAt = -1

  constructor(id: string, seq: number) {
    this.id = id
    this.seq = seq
  }
}

export class Leases {
  readonly #workers = new Map<string, WorkerLeases>()
  readonly #leaseMs: number
  readonly #timers: Timers<Entry | WorkerLeases>
  #made = 0

  constructor(leaseMs: number, timers: Timers<Entry | WorkerLeases>) {
    this.#leaseMs = leaseMs
    this.#timers = timers
  }

  take(entry: Entry, workerId: string, now: number, isSuspect: boolean): Hold {
    const worker = this.#workers.get(workerId) ?? new WorkerLeases(workerId, -++this.#made)
    this.#workers.set(workerId, worker)
    const hold = new Hold(entry, worker, now, isSuspect)
    hold.before = worker.newest
    if (worker.newest === null) worker.oldest = hold
    else worker.newest.after = hold
    worker.newest = hold
    if (worker.oldest === hold) this.arm(worker)
    return hold
  }

  release(hold: Hold): void {
    const { worker, before, after } = hold
    if (before === null) worker.oldest = after
    else before.after = after
    if (after === null) worker.newest = before
    else after.before = before
    hold.before = hold.after = null
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

  /** All of a worker's leases, newest first: put back in front one after the other, they keep their order. */
  of(workerId: string): readonly Hold[] {
    return this.#until(this.#workers.get(workerId)?.newest ?? null)
  }

  /** Those that ran out, newest first. */
  expired(worker: WorkerLeases, now: number): readonly Hold[] {
    let last = worker.newest
    while (last !== null && this.#endOf(last) > now) last = last.before
    return this.#until(last)
  }

  arm(worker: WorkerLeases): void {
    if (worker.oldest !== null) this.#timers.set(worker, this.#endOf(worker.oldest))
  }

  #until(newest: Hold | null): readonly Hold[] {
    const holds: Hold[] = []
    for (let hold = newest; hold !== null; hold = hold.before) holds.push(hold)
    return holds
  }

  #endOf(hold: Hold): number {
    return Math.max(hold.leasedMono, hold.worker.lastBeatMono) + this.#leaseMs
  }
}
