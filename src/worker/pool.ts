/** Leases what there is room for and runs it. One pool a process. */
import type { Clock } from '../core/clock.ts'
import type { JobId } from '../core/job.ts'
import { gauge, type NumberSource } from '../core/numbers.ts'
import type { Headroom } from '../core/ports/scheduler.ts'
import type { Worker } from '../core/ports/work.ts'
import { Run, type RunDeps } from './run-job.ts'

export interface PoolOptions {
  readonly id: string
  /** Pools it serves; empty = all. */
  readonly pools: readonly string[]
  /** Jobs at once. */
  readonly concurrency: number
  readonly heartbeatMs: number
  readonly headroom: Headroom
}

export interface WorkerPool extends NumberSource {
  /**
   * Stops leasing, gives running jobs up to `ms`, then hands the rest back (their text stays; no attempt is used up).
   */
  drain(ms: number): Promise<void>
  /** What became of the jobs that ran when the drain began. */
  drained(): Drained
}

export interface Drained {
  readonly jobsFinished: number
  readonly jobsHandedBack: number
}

/** Jobs leased in one call: few enough that none waits long for the others to start. */
const LEASE_BATCH = 64
/** Handing a job back is one commit. */
const RELEASE_MS = 2_000

export function startPool(deps: RunDeps, clock: Clock, options: PoolOptions): WorkerPool {
  const runs = new Map<JobId, Run>()
  let draining = false
  let finished = 0
  const handedBack = new Set<Run>()
  /** Asked for, by lease calls under way. */
  let reserved = 0

  const worker: Worker = {
    id: options.id,
    pools: options.pools,
    ready() {
      void lease()
    },
    revoked(job, attempt, reason) {
      const run = runs.get(job)
      if (run && run.lease.attempt === attempt) run.stop(reason)
    },
  }

  /** Calls may overlap: what one leases the queue no longer offers to the next, and none waits for another's commit. */
  async function lease(): Promise<void> {
    const max = Math.min(options.concurrency - runs.size - reserved, LEASE_BATCH)
    if (draining || max <= 0) return
    reserved += max
    try {
      const leases = await deps.work.lease(options.id, max, options.headroom)
      for (const one of leases) run(new Run(one, deps))
      if (leases.length === max) again()
    } catch {
      // The store is down and says so through health: ask again
      clock.after(250, again)
    } finally {
      reserved -= max
    }
  }
  const again = (): void => queueMicrotask(worker.ready)

  function run(one: Run): void {
    runs.set(one.lease.job.id, one)
    void one.ended.then(() => {
      const wasFull = runs.size >= options.concurrency
      if (draining && !handedBack.has(one)) finished++
      if (runs.get(one.lease.job.id) === one) runs.delete(one.lease.job.id)
      if (wasFull) worker.ready()
    })
    if (draining) handBack(one)
    void one.start()
  }

  function handBack(one: Run): void {
    handedBack.add(one)
    one.stop('released')
  }

  /** For `ms` at most. */
  async function allEnded(ms: number): Promise<void> {
    const all = Promise.allSettled([...runs.values()].map((r) => r.ended))
    let cancel = (): void => {}
    await Promise.race([all, new Promise<void>((done) => (cancel = clock.after(ms, done)))])
    cancel()
  }

  const leave = deps.work.attach(worker)
  const stopHeartbeat = clock.every(options.heartbeatMs, () => {
    if (runs.size > 0) deps.work.heartbeat(options.id)
  })
  worker.ready()

  return {
    metrics: [gauge('running', 'Jobs that run in this process', () => runs.size)],
    async drain(ms) {
      draining = true
      await allEnded(ms)
      for (const one of runs.values()) handBack(one)
      // A store that can't write keeps none of them waiting for longer: the next start finds them as leased
      await allEnded(RELEASE_MS)
      stopHeartbeat()
      leave()
    },
    drained: () => ({ jobsFinished: finished, jobsHandedBack: handedBack.size }),
  }
}
