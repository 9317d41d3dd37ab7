/** Looking at jobs, and ending them. */
import type { Job, JobId, JobState, Place, TenantId } from '../job.ts'

export interface JobFilter {
  /** Absent = all tenants (operator only). */
  readonly tenant?: TenantId
  /** The end user that the job was submitted for. */
  readonly user?: string
  readonly states?: readonly JobState[]
  readonly lane?: string
  readonly conversation?: string
  readonly model?: string
  /** An agent's, as it is stored. With its tenant it costs what the run has jobs, however many others there are. */
  readonly run?: string
  /** Newest first; jobs older than this id. */
  readonly before?: JobId
  /** At most this many (1-1,000). */
  readonly limit: number
}

/** Jobs in any state. */
export interface Jobs {
  /** Without its body (empty), as in `list`: leases bring it. */
  get(job: JobId): Promise<Job | null>
  /**
   * Waits for a job that was published and is not owned yet (its epoch is 0, or `get` knows nothing of it). Resolves
   * with it as soon as it is owned; with null after `withinMs`, once `signal` is aborted, when it is known to come no
   * more, or at once where too many wait for unknown ones. Never rejects: while the store is away it has not come.
   * Absent: a job that was told is owned.
   */
  arrived?(job: JobId, withinMs: number, signal: AbortSignal): Promise<Job | null>
  /**
   * May a job of this tenant's, and of this user's where one is named, still come from its pool's broker under this id,
   * though `get` knows nothing of it? Absent: none may.
   */
  mayCome?(job: JobId, tenant: TenantId, user: string | null): boolean
  /**
   * Of one that may come: it is stored as canceled, and not run when it comes. Rejects where it can't be stored now.
   * There where `mayCome` is.
   */
  withdraw?(job: JobId, by: Pick<Job, 'tenant' | 'keyId' | 'user'>): Promise<void>
  /** The request as it was submitted (`JobDraft.body`); null when there is no such job. */
  request(job: JobId): Promise<Uint8Array | null>
  /** The job that was submitted under this idempotency key; null: none that is still kept. */
  byKey(tenant: TenantId, key: string): Promise<JobId | null>
  list(filter: JobFilter): Promise<readonly Job[]>
  /** Their places; those that are not queued (running, ended, unknown) are left out. */
  places(jobs: readonly JobId[]): Promise<ReadonlyMap<JobId, Place>>
  /**
   * Sends `listener` the job's place when its position, or the limit that it waits for, has changed, about once a
   * second. Returns a function that ends it.
   */
  watchPlace(job: JobId, listener: (place: Place) => void): () => void
  /**
   * Idempotent. A queued job ends at once; a leased one is revoked from its worker and ends when that answers, or its
   * lease expires.
   */
  cancel(job: JobId): Promise<{ readonly kind: 'canceled' | 'canceling' | 'ended' | 'unknown' }>
  /** Removes a job and its log from the store, canceling it first. False when there was none. */
  erase(job: JobId): Promise<boolean>
}
