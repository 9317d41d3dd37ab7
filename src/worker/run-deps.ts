/** What an attempt needs of the rest. */
import type { Clock } from '../core/clock.ts'
import type { Emit } from '../core/facts.ts'
import type { Job, JobId, JobKind, TenantId, Usage } from '../core/job.ts'
import type { MediaUnits } from '../core/media-units.ts'
import type { AnswerGuards } from '../core/ports/admission.ts'
import type { LogPage, LogWriter } from '../core/ports/log.ts'
import type { Deployment } from '../core/ports/provider.ts'
import type { Claim, Finished, Lease, Outcome, Race } from '../core/ports/work.ts'
import type { Cost } from '../core/usage-record.ts'
import type { MediaDeps } from './media.ts'

/** A job and what it asks for. */
export type JobRequest = Pick<Lease, 'job' | 'body'>

/** What an attempt comes to, by its tokens, and what it has of media. */
export type PriceOf = (usage: Usage, units?: MediaUnits) => Cost

export interface RunDeps {
  /** Where a claim leads, for a job of this tenant; null: taken out of the configuration. */
  readonly deployment: (name: string, tenant: TenantId) => Deployment | null
  /** Could another deployment answer this job, as far as is configured? */
  readonly hasOther: (job: Job, deployment: string) => boolean
  /** May another model answer it where its own one's policy does not? */
  readonly hasInstead: (job: Job) => boolean
  /** Where a claim with a source leads. */
  readonly replay: (source: JobId) => Deployment
  /** Opens the log for the lease's attempt. Throws what fences it. */
  readonly open: (lease: Lease) => LogWriter
  readonly read: (job: string, afterSeq: number, maxBytes: number) => Promise<LogPage | null>
  /**
   * The request as the upstream gets it: a conversation's with all that was said before. `stopped`: asked for where
   * others are waited for; rejects with its reason once it is aborted.
   */
  readonly prompt: (
    request: JobRequest,
    deployment: Deployment,
    stopped: () => AbortSignal,
  ) => Uint8Array | Promise<Uint8Array>
  /** What a tenant's guards have to look at in answers. */
  readonly guards: AnswerGuards
  readonly hedge: (lease: Lease) => Promise<Claim | null>
  readonly raced: (lease: Lease, race: Race) => void
  readonly finish: (lease: Lease, outcome: Outcome) => Promise<Finished>
  /** The price of a call to this deployment now, for the model that the client asked for. */
  readonly price: (deployment: string, model: string, kind: JobKind) => PriceOf
  /** Where bytes of answers go, and sounds of requests are. */
  readonly media: MediaDeps
  readonly emit: Emit
  /** Something unforeseen was thrown: for the log. Must not throw. */
  readonly onFault: (thrown: unknown, job: Job) => void
  readonly clock: Clock
  readonly maxAnswerBytes: number
  /** Bytes not yet committed above which the upstream is left unread. */
  readonly maxPendingBytes: number
}
