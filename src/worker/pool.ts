/** Runs the jobs that it is given leases of, up to its slots. One pool a process. */
import type { Clock } from '../core/clock.ts'
import type { JobId } from '../core/job.ts'
import { SILENT_MS } from '../core/measure.ts'
import { gauge, type NumberSource } from '../core/numbers.ts'
import type { Provider } from '../core/ports/provider.ts'
import type { Work, Worker } from '../core/ports/work.ts'
import { Table } from '../core/table.ts'
import type { RunDeps } from './run-deps.ts'
import { Run } from './run-job.ts'

export interface PoolOptions {
  readonly id: string
  /** Pools it serves; empty = all. */
  readonly pools: readonly string[]
  /** Jobs at once. */
  readonly concurrency: number
  readonly heartbeatMs: number
}

export interface WorkerPool extends NumberSource {
  /** Does this job run here? */
  runs(job: JobId): boolean
  /** Breaks the call of a job that runs here, as an upstream would. False: it calls nothing. */
  breakCall(job: JobId): boolean
  /** Does a job run on it? */
  isUsing(provider: Provider): boolean
  /**
   * Takes no more jobs, gives running ones up to `ms`, then hands the rest back (their text stays; no attempt is used
   * up).
   */
  drain(ms: number): Promise<void>
  /** What became of the jobs that ran when the drain began. */
  drained(): Drained
}

export interface Drained {
  readonly jobsFinished: number
  readonly jobsHandedBack: number
}

/** Answers that bring nothing are noticed this often. */
const LOOK_MS = 1_000
/** Handing a job back is one commit. */
const RELEASE_MS = 2_000

export function startPool(work: Pick<Work, 'attach'>, deps: RunDeps, clock: Clock, options: PoolOptions): WorkerPool {
  const runs = new Table<JobId, Run>()
  let draining = false
  let finished = 0
  const handedBack = new Set<Run>()

  const worker: Worker = {
    id: options.id,
    pools: options.pools,
    slots: options.concurrency,
    leased(leases) {
      for (const lease of leases) run(new Run(lease, deps))
    },
    revoked(job, attempt, reason) {
      const run = runs.get(job)
      if (run?.lease.attempt === attempt) run.stop(reason)
    },
    cut(job, attempt, cause) {
      const run = runs.get(job)
      if (run?.lease.attempt === attempt) run.cut(cause)
    },
  }

  function run(one: Run): void {
    const { id } = one.lease.job
    runs.set(id, one)
    one.ended.when(() => {
      if (draining && !handedBack.has(one)) finished++
      if (runs.get(id) === one) runs.delete(id)
    })
    if (draining) handBack(one)
    one.start()
  }

  function handBack(one: Run): void {
    handedBack.add(one)
    one.stop('released')
  }

  /** For `ms` at most. */
  async function allEnded(ms: number): Promise<void> {
    const all = Promise.all([...runs.values()].map(({ ended }) => new Promise<void>((done) => ended.when(done))))
    let cancel = (): void => {}
    await Promise.race([all, new Promise<void>((done) => (cancel = clock.after(ms, done)))])
    cancel()
  }

  function silent(): number {
    let count = 0
    for (const one of runs.values()) if (one.isSilent(SILENT_MS)) count++
    return count
  }

  const attachment = work.attach(worker)
  const stopHeartbeat = clock.every(options.heartbeatMs, () => {
    if (runs.size > 0) attachment.heartbeat()
  })
  const stopLooks = clock.every(LOOK_MS, () => {
    const now = clock.monoMs()
    for (const one of runs.values()) one.look(now)
  })

  return {
    metrics: [
      gauge('running', 'Jobs that run in this process', () => runs.size),
      gauge('running_silent', 'Of them, those that began and have brought nothing for 10 s or more', silent),
    ],
    runs: (job) => runs.get(job) !== undefined,
    breakCall: (job) => runs.get(job)?.breakCall() ?? false,
    isUsing: (provider) => [...runs.values()].some((run) => run.isUsing(provider)),
    async drain(ms) {
      draining = true
      attachment.resize(0)
      await allEnded(ms)
      for (const one of runs.values()) handBack(one)
      // A store that can't write keeps none of them waiting for longer: the next start finds them as leased
      await allEnded(RELEASE_MS)
      stopHeartbeat()
      stopLooks()
      await attachment.leave()
    },
    drained: () => ({ jobsFinished: finished, jobsHandedBack: handedBack.size }),
  }
}
