/** What a job must pass before the queue sees it, whichever door it came through, and what its answer must pass. */
import type { SluiceError } from '../errors.ts'
import type { Job, JobKind, TenantId } from '../job.ts'
import type { JsonRecord } from '../json.ts'
import type { Ruling } from '../ruling.ts'
import type { ProviderSink } from './provider.ts'

/** A checked request, in no dialect. */
export interface Asked {
  readonly tenant: TenantId
  readonly kind: JobKind
  /** The model's public name, as the client asked. */
  readonly model: string
  /** Estimate of what the request brings. */
  readonly promptTokens: number
  /** All text in it, and names that are the client's own; not of images, sounds and files. */
  readonly texts: () => readonly string[]
  /** When it is asked, wall clock: guards have no clock of their own. */
  readonly atMs: number
  /** Images, sounds, files and texts that can't be decoded: nothing of them is in `texts`. Absent: none. */
  readonly media?: () => number
  /** Its members. Absent: nothing is known but what is above. */
  readonly request?: () => JsonRecord
}

export interface Decision {
  /** Of the first guard that blocks it; null if all let it pass. */
  readonly error: SluiceError | null
  /** The request as it may be stored and sent, given the one that was asked; null: as it is. */
  readonly edit: ((body: Uint8Array) => Uint8Array) | null
  readonly rulings: readonly Ruling[]
}

/**
 * Pure: it stores nothing, waits for nothing, and answers the same request at the same time alike until the settings
 * change.
 */
export interface Admission {
  check(asked: Asked): Decision
}

/** A call that is about to be made for an attempt. */
export interface GuardedCall {
  readonly job: Job
  readonly attempt: number
  readonly deployment: string
  /** The request for the provider. */
  readonly body: Uint8Array
  /** What is to be continued. */
  readonly prefix: string | undefined
}

/** Stands between a provider and the log: the provider's sink. */
export interface Stage extends ProviderSink {
  /** The request, and what is to be continued, as the provider may see them. */
  readonly body: Uint8Array
  readonly prefix: string | undefined
  /** Nobody waits for the answer any more, and its call is aborted: an end that the provider told waits for nothing. */
  stop(): void
}

/** The guards of answers. */
export interface AnswerGuards {
  /**
   * Null: no guard of the tenant concerns this answer, and its events go to the log as they come. Else `to` gets what
   * may be stored; `abort` stops the call. Throws what keeps the call from being made.
   */
  stand(call: GuardedCall, to: ProviderSink, abort: () => void): Stage | null
}
