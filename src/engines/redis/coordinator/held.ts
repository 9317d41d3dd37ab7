/** A job that has not ended, as its coordinator holds it beside the machine. */
import { aboutJob } from '../../../core/facts.ts'
import type { JobId, TenantId } from '../../../core/job.ts'
import type { Change, FailedAt, Tally } from '../../../core/ports/coordinator.ts'
import type { Claim } from '../../../core/ports/work.ts'
import { Table } from '../../../core/table.ts'
import { Spent } from '../../shared/spent.ts'
import { type Ceded, type LiveRow, type RunRow, writeRun } from '../protocol/rows.ts'

/** Who is told when it has ended. */
export interface Waiting {
  readonly from: string
  readonly n: number
}

const NO_ATTEMPTS: Tally = { attempts: 0, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
const NOWHERE: FailedAt = []

export class HeldJob {
  readonly row: LiveRow
  /** Of the attempt that runs; 0: none does. */
  attempt = 0
  worker: string | null = null
  claim: Claim | null = null
  leasedAtMs: number | null = null
  leasedMono = 0
  /** Output tokens of the attempt that runs, as far as this coordinator was told. */
  streamed = 0
  tally = NO_ATTEMPTS
  failedAt = NOWHERE
  notBeforeAtMs = 0
  canceling = false
  /** Its first attempt has ended, and wrote nothing. */
  isEmpty = false
  /** The last attempt that its worker ended without ending the job. */
  ceded: Ceded | undefined
  waiting: Waiting[] = []
  readonly spent: Spent

  constructor(row: LiveRow, run: RunRow | null = null) {
    this.row = row
    this.spent = new Spent(run === null || run.tally.attempts === 0)
    if (run === null) return
    this.attempt = run.attempt
    this.worker = run.worker
    this.claim = run.claim
    this.leasedAtMs = run.leasedAtMs
    this.tally = run.tally
    this.failedAt = run.failedAt
    this.notBeforeAtMs = run.notBeforeAtMs
    this.canceling = run.canceling
    this.ceded = run.ceded
  }

  get id(): JobId {
    return this.row.id
  }

  /** Attempts begun. */
  get attempts(): number {
    return Math.max(this.attempt, this.tally.attempts)
  }

  /** As it is stored. */
  run(): string {
    const { attempt, worker, claim, leasedAtMs, tally, failedAt, notBeforeAtMs, canceling, ceded } = this
    const run = { attempt, worker, claim, leasedAtMs, tally, failedAt, notBeforeAtMs, canceling }
    return writeRun(ceded === undefined ? run : { ...run, ceded })
  }

  about(): ReturnType<typeof aboutJob> {
    const { tenant, keyId, model, requestId, trace } = this.row.facts
    return aboutJob({ id: this.id, tenant, keyId, model, requestId, trace })
  }
}

/** All that have not ended, and who runs them. */
export class HeldJobs {
  readonly #jobs = new Table<JobId, HeldJob>()
  readonly #byWorker = new Table<string, Table<JobId, HeldJob>>()
  readonly #bytes = new Table<TenantId, number>()

  get size(): number {
    return this.#jobs.size
  }

  has(id: JobId): boolean {
    return this.#jobs.has(id)
  }

  get(id: JobId): HeldJob | undefined {
    return this.#jobs.get(id)
  }

  values(): Iterable<HeldJob> {
    return this.#jobs.values()
  }

  /** Those that run something. */
  get workers(): readonly string[] {
    return this.#byWorker.keys()
  }

  of(worker: string): Iterable<HeldJob> {
    return this.#byWorker.get(worker)?.values() ?? []
  }

  add(job: HeldJob): void {
    this.#jobs.set(job.id, job)
    this.#count(job, 1)
    if (job.worker !== null) this.#give(job, job.worker)
  }

  delete(job: HeldJob): void {
    this.giveBack(job)
    if (this.#jobs.delete(job.id)) this.#count(job, -1)
  }

  /** What a tenant's jobs take in the store, about. */
  bytesOf(tenant: TenantId): number {
    return this.#bytes.get(tenant) ?? 0
  }

  lease(
    job: HeldJob,
    { worker, attempt, claim, turnMs }: Pick<Leased, 'worker' | 'attempt' | 'claim' | 'turnMs'>,
    mono: number,
    atMs: number,
  ): void {
    job.attempt = attempt
    job.worker = worker
    job.claim = claim
    job.leasedMono = mono
    job.streamed = 0
    job.leasedAtMs = Math.floor(atMs)
    // Stored once it is worth its bytes: most jobs never wait for their turn
    job.tally = { ...job.tally, attempts: attempt, ...(turnMs > 0 && { turnMs: Math.round(turnMs) }) }
    this.#give(job, worker)
  }

  /** No attempt of it runs any more. */
  giveBack(job: HeldJob): void {
    if (job.worker !== null) {
      const jobs = this.#byWorker.get(job.worker)
      if (jobs?.delete(job.id) && jobs.size === 0) this.#byWorker.delete(job.worker)
    }
    job.attempt = 0
    job.worker = job.claim = job.leasedAtMs = null
  }

  #count({ row }: HeldJob, sign: 1 | -1): void {
    const { tenant } = row.facts
    const bytes = this.bytesOf(tenant) + sign * bytesOf(row)
    if (bytes > 0) this.#bytes.set(tenant, bytes)
    else this.#bytes.delete(tenant)
  }

  #give(job: HeldJob, worker: string): void {
    const jobs = this.#byWorker.get(worker) ?? new Table<JobId, HeldJob>()
    jobs.set(job.id, job)
    this.#byWorker.set(worker, jobs)
  }
}

type Leased = Extract<Change, { type: 'leased' }>

/** Rows and indexes of a job that has not ended, beside its request. */
const ROW_BYTES = 1_024

/** What is stored takes up to a quarter more, by the sizes in which Redis's allocator gives memory. */
const ALLOCATED = 1.25

/** What a job takes in the store until it ends, at most, but for its log. */
export const bytesOf = ({ bodyBytes }: Pick<LiveRow, 'bodyBytes'>): number => ALLOCATED * bodyBytes + ROW_BYTES

/** The process of a worker: "<process>.<n>". */
export const processOf = (worker: string): string => worker.slice(0, worker.indexOf('.'))
