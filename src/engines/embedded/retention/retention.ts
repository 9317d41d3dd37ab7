/**
 * What is kept, and for how long. A sweep visits the tenants, each from its oldest job, a few rows at a time, so that
 * no step holds the event loop. What a job that has not ended comes after is kept until it has. A tenant with retention
 * 0 keeps nothing: its jobs go with their last reader, or some minutes after an end that nobody follows.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Clock } from '../../../core/clock.ts'
import type { Job, JobId, TenantId } from '../../../core/job.ts'
import { counter } from '../../../core/numbers.ts'
import type { ConversationLimitOptions } from '../../shared/conversation-limits.ts'
import type { JobRetention } from '../../shared/retention.ts'
import type { DiskBlobs } from '../blobs.ts'
import type { Age } from '../disk/age.ts'
import type { Store } from '../disk/store.ts'
import type { DocumentStore } from '../documents.ts'
import type { Jobs } from '../jobs/jobs.ts'
import type { LiveJobs } from '../jobs/live-job.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Logs } from '../log/log.ts'
import type { UsageRetention } from '../usage/retention.ts'
import type { ConversationLimits } from './conversations.ts'
import { ENDED_SIZE, EndedBytes } from './ended-bytes.ts'

export interface RetentionOptions extends JobRetention {
  readonly conversations: ConversationLimitOptions
}

/** What is swept after the jobs. */
export interface OtherSweeps {
  readonly conversations: ConversationLimits
  readonly usage: UsageRetention
  readonly documents: DocumentStore
  readonly blobs: Pick<DiskBlobs, 'sweep'>
}

const SWEEP_MS = 10_000
const STEP_PAUSE_MS = 10
const ROWS_A_STEP = 16
/** Large bodies take long to free: a step also ends after this many bytes. */
const BYTES_A_STEP = 1 << 20
const LEAVING_MS = 500
const NEWEST = Number.MAX_SAFE_INTEGER

interface OldRow {
  readonly ord: number
  readonly id: JobId
  readonly bytes: number
  readonly endedAge: number | null
}

export class Retention {
  readonly #store: Store
  readonly #logs: Logs
  readonly #jobs: Jobs
  readonly #live: Pick<LiveJobs, 'isAwaited'>
  readonly #clock: Clock
  readonly #age: Age
  readonly #options: RetentionOptions
  readonly #nextTenant: StatementSync
  readonly #oldOfTenant: StatementSync
  readonly #ofTenant: StatementSync
  readonly #ended: EndedBytes
  readonly #others: OtherSweeps
  readonly #cancels: Array<() => void> = []
  #leavingTimer = false
  #sweeping = false
  #closed = false
  readonly removed = counter('removed_jobs', 'Jobs that were removed at the end of their retention')

  constructor(
    store: Store,
    logs: Logs,
    jobs: Jobs,
    live: Pick<LiveJobs, 'isAwaited'>,
    others: OtherSweeps,
    clock: Clock,
    age: Age,
    options: RetentionOptions,
  ) {
    this.#store = store
    this.#logs = logs
    this.#jobs = jobs
    this.#live = live
    this.#clock = clock
    this.#age = age
    this.#options = options
    this.#others = others
    const { db } = store
    this.#ended = new EndedBytes(db, clock)
    const rows = `SELECT j.ord AS ord, j.id AS id, ${ENDED_SIZE} AS bytes, r.ended_age AS endedAge
      FROM jobs j LEFT JOIN results r ON r.ord = j.ord`
    this.#nextTenant = db.prepare('SELECT tenant FROM jobs WHERE tenant > ? ORDER BY tenant LIMIT 1')
    this.#oldOfTenant = db.prepare(
      `${rows} WHERE j.tenant = ? AND j.ord > ? AND j.ord < ? ORDER BY j.ord LIMIT ${ROWS_A_STEP}`,
    )
    this.#ofTenant = db.prepare(`${rows} WHERE j.tenant = ? ORDER BY j.ord LIMIT ${ROWS_A_STEP}`)
  }

  start(): void {
    this.#cancels.push(this.#clock.every(SWEEP_MS, () => void this.sweep()))
  }

  stop(): void {
    this.#closed = true
    for (const cancel of this.#cancels) cancel()
  }

  #keptMs(tenant: TenantId): number {
    return this.#options.tenant(tenant)?.logsMs ?? this.#options.logsMs
  }

  // ------------------------------------------------------------ nothing kept

  /** The job's end was just reported. */
  ended(job: Pick<Job, 'id' | 'tenant'>, log: LiveLog): void {
    if (this.#keptMs(job.tenant) > 0) return
    // Who asked for it may come for it later: the sweep removes it
    if (log.listeners.length === 0 && this.#options.atLeastMs > 0) return
    this.#logs.leaving.set(job.id, log)
    this.#seeOff()
  }

  #seeOff(): void {
    if (this.#leavingTimer || this.#closed) return
    this.#leavingTimer = true
    const seen = [...this.#logs.leaving.values()]
    this.#clock.after(LEAVING_MS, () => {
      this.#leavingTimer = false
      // Only those that were there half a second ago: a reader that has just seen the end may still read
      const gone = seen.filter(
        ({ job, listeners }) => listeners.length === 0 && this.#logs.leaving.has(job) && !this.#live.isAwaited(job),
      )
      if (gone.length > 0)
        void this.#remove(gone.map((log) => ({ ord: log.order, id: log.job, bytes: 0, endedAge: 0 }))).catch(() => {})
      if (this.#logs.leaving.size > gone.length) this.#seeOff()
    })
  }

  // ------------------------------------------------------------ age and size

  /** One pass over all tenants. */
  async sweep(): Promise<void> {
    if (this.#sweeping || this.#closed) return
    this.#sweeping = true
    try {
      for (let tenant = ''; ; ) {
        const next = this.#nextTenant.get(tenant) as { tenant: string } | undefined
        if (next === undefined) break
        tenant = next.tenant
        await this.#sweepTenant(tenant)
        await new Promise<void>((next) => this.#clock.soon(next))
      }
      if (usedBytes(this.#store.db) > this.#options.bytes) await this.#sweepBytes()
      const { conversations, usage, documents, blobs } = this.#others
      for (const other of [conversations, usage, documents, blobs]) await other.sweep(() => this.#closed)
    } catch {
      // The store is down, which its health shows; the next sweep continues
    } finally {
      this.#sweeping = false
    }
  }

  async #sweepTenant(tenant: TenantId): Promise<void> {
    const until = this.#age.now() - (this.#keptMs(tenant) || this.#options.atLeastMs)
    // A job accepted later can't have ended earlier
    const before = this.#jobs.acceptedAfter(until)
    for (let after = -1; !this.#closed; ) {
      const rows = this.#oldOfTenant.all(tenant, after, before) as unknown as OldRow[]
      const old = someOf(rows.filter((row) => this.#mayGo(row, until)))
      if (old.length > 0) await this.#remove(old)
      if (old.length > 0) await this.#pause()
      else if (rows.length < ROWS_A_STEP) return
      // What was removed is not found again; what was skipped is not looked at again
      else after = rows[rows.length - 1].ord
    }
  }

  /**
   * From the tenant that takes most, and from none that takes less than its share: nobody's work evicts another's.
   */
  async #sweepBytes(): Promise<void> {
    const totals = await this.#ended.count(() => this.#closed)
    if (totals === null) return
    let excess = -this.#options.bytes
    for (const bytes of totals.values()) excess += bytes
    const share = this.#options.bytes / totals.size
    const places = new Map([...totals.keys()].map((tenant) => [tenant, -1]))
    while (excess > 0 && places.size > 0 && !this.#closed) {
      const tenant = largest(places.keys(), totals)
      if (totals.get(tenant)! <= share) return
      const rows = this.#oldOfTenant.all(tenant, places.get(tenant)!, NEWEST) as unknown as OldRow[]
      const until = this.#age.now() - this.#options.atLeastMs
      const taken: OldRow[] = []
      for (const row of someOf(rows)) {
        if (excess <= 0) break
        places.set(tenant, row.ord)
        if (!this.#mayGo(row, until)) continue
        taken.push(row)
        excess -= row.bytes
        totals.set(tenant, totals.get(tenant)! - row.bytes)
      }
      if (rows.length === 0) places.delete(tenant)
      if (taken.length > 0) {
        await this.#remove(taken)
        await this.#pause()
      } else await new Promise<void>((next) => this.#clock.soon(next))
    }
  }

  #mayGo({ id, endedAge }: OldRow, until: number): boolean {
    const isUsed = this.#logs.live.has(id) || this.#logs.leaving.has(id) || this.#live.isAwaited(id)
    return endedAge !== null && endedAge <= until && !isUsed
  }

  /** Removes what its jobs used, too; they must have ended. */
  removeUsage(tenant: TenantId): Promise<void> {
    return this.#others.usage.removeTenant(tenant)
  }

  /** Removes all jobs of a tenant that have ended. */
  async removeTenant(tenant: TenantId): Promise<void> {
    for (;;) {
      const rows = (this.#ofTenant.all(tenant) as unknown as OldRow[]).filter(
        (row) => row.endedAge !== null && !this.#logs.live.has(row.id),
      )
      if (rows.length === 0) return
      await this.#remove(someOf(rows))
    }
  }

  async #remove(rows: readonly OldRow[]): Promise<void> {
    await this.#store.run(() => {
      for (const { ord } of rows) this.#jobs.remove(ord)
    }, true)
    for (const { id } of rows) this.#logs.forget(id)
    this.removed.add(rows.length)
  }

  #pause(): Promise<void> {
    return new Promise((done) => this.#clock.after(STEP_PAUSE_MS, done))
  }
}

const largest = (tenants: Iterable<TenantId>, totals: ReadonlyMap<TenantId, number>): TenantId =>
  [...tenants].reduce((most, tenant) => (totals.get(tenant)! > totals.get(most)! ? tenant : most))

/** As many rows as one step may free. */
function someOf(rows: readonly OldRow[]): readonly OldRow[] {
  let bytes = 0
  let n = 0
  while (n < rows.length && bytes <= BYTES_A_STEP) bytes += rows[n++].bytes
  return rows.slice(0, n)
}

/** Bytes of pages in use. The file itself does not shrink: its free pages are written again. */
export function usedBytes(db: DatabaseSync): number {
  const read = (pragma: string): number =>
    Object.values(db.prepare(`PRAGMA ${pragma}`).get() as Record<string, number>)[0]
  return (read('page_count') - read('freelist_count')) * read('page_size')
}
