/** How work comes in. Every promise that reports a change resolves when it is power-safe. */
import type { SluiceError } from '../errors.ts'
import type { Job, JobDraft, JobId, Place } from '../job.ts'
import type { Standing } from '../limits.ts'

/** `standing`: what is left of its client's limits; absent: there are none, or nobody knows. */
export type Submitted =
  /**
   * A new job, power-safe. `owned`: it is with its pool's broker, and the coordinator does not know it yet (its epoch
   * is 0: it has no log); asked, it resolves when that is decided, and with not_arrived once `signal` is aborted.
   */
  | {
      readonly kind: 'accepted'
      readonly job: Job
      readonly place: Place
      readonly standing?: Standing
      readonly owned?: (signal: AbortSignal) => Promise<Submitted>
    }
  /** Same idempotency key and body, or an SDK's retry: the job that is there already. */
  | { readonly kind: 'joined'; readonly job: Job; readonly place: Place; readonly standing?: Standing }
  /** idempotency_conflict, queue_full, deadline_unreachable, rate_limit_exceeded, storage_full … Nothing was stored. */
  | { readonly kind: 'refused'; readonly error: SluiceError }

/** As `Submitted`; nobody asks where a plain POST stands. */
export type Begun =
  | { readonly kind: 'accepted' | 'joined'; readonly job: Job; readonly standing?: Standing }
  | { readonly kind: 'refused'; readonly error: SluiceError }

/** What a job may cost, and who may answer it; and what it comes after, where that is not what it was. */
export type Terms = Pick<JobDraft, 'price' | 'instead'> &
  Partial<Pick<JobDraft, 'after' | 'promptTokens' | 'outputs' | 'body'>>

/** Whose key, and whose share of a tenant's quotas (absent: no session's), a redriven job uses. */
export type Redriver = Pick<JobDraft, 'keyId' | 'session'>

/** Durable jobs, in the fair order of the coordinator. */
export interface Submissions {
  /**
   * All or some may be refused; results in input order. One atomic commit for all that are taken. `ids`: of `reserve`,
   * one for each; a job that is there already under its id is `accepted` as it is.
   */
  submit(drafts: readonly JobDraft[], ids?: readonly JobId[]): Promise<readonly Submitted[]>
  /** Ids for jobs that are told before they are submitted. None is given twice. Rejects with storage_unavailable. */
  reserve(n: number): Promise<readonly JobId[]>
  /**
   * Of a job that was told as accepted under this reserved id, and then refused: it is stored, under no idempotency
   * key, as one that has failed with this (job_canceled: as canceled), however full the line is, and `accepted` as
   * that. Refused where it can't be stored now.
   */
  refuse(draft: JobDraft, id: JobId, error: SluiceError): Promise<Submitted>
  /**
   * As submit of one, for a plain POST, which was promised nothing yet: resolves when the job is committed; what
   * `power` returns resolves when it is power-safe: no cursor of a stream may be shown before. Whoever waits for the
   * end need not ask, as that is synced itself. A job for a document (`JobDraft.document`, or an embedding) that runs
   * at once may be stored with its end, if that comes within two seconds; sooner if anything of it is promised or
   * shown.
   */
  begin(draft: JobDraft): Promise<{ readonly result: Begun; readonly power: () => Promise<void> }>
  /**
   * A new job with the request of one that failed or expired, at the end of its lane. It counts for whom `by` names;
   * null: as the first one did, whether that one's key is still valid or not. `terms`: as they are now.
   */
  redrive(job: JobId, by: Redriver | null, terms?: Terms): Promise<Submitted | null>
}
