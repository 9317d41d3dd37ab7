/**
 * What happened, as one union: all that observability may know. A fact is named for its subject and a past participle,
 * and tells by itself whose it is: no consumer has to join it with another. It carries ids, names and numbers, never a
 * text of users or a key.
 */
import type { ErrorCode, SluiceError } from './errors.ts'
import type { Job, JobDraft, JobId, JobKind, JobState, TenantId, Timing, Usage } from './job.ts'
import type { Traceparent } from './trace.ts'

/** Who asked, and on whose behalf. */
interface Asker {
  /** Null, as all below: not known, or not known yet. */
  readonly tenant: TenantId | null
  readonly keyId: string | null
  readonly model: string | null
  /** Of the request that it began with. */
  readonly requestId: string | null
  readonly trace: Traceparent | null
}

/** Whose job it is, and what it came with. */
interface AboutJob extends Asker {
  readonly tenant: TenantId
  readonly keyId: string
  readonly model: string
  readonly job: JobId
}

export const aboutDraft = ({ tenant, keyId, model, requestId, trace }: JobDraft | Job): Asker => ({
  tenant,
  keyId,
  model,
  requestId: requestId ?? null,
  trace: trace ?? null,
})

export const aboutJob = ({ id, tenant, keyId, model, requestId, trace }: Job): AboutJob => ({
  job: id,
  tenant,
  keyId,
  model,
  requestId: requestId ?? null,
  trace: trace ?? null,
})

/** Why something failed. A provider's message may quote the request: it is not for logs as it stands. */
interface Failure {
  /** Null: it did not fail. */
  readonly code: ErrorCode | null
  readonly status?: number
  readonly message?: string
}

export const failureOf = (error: Pick<SluiceError, 'code' | 'status' | 'message'> | null): Failure =>
  error === null ? { code: null } : { code: error.code, status: error.status, message: error.message }

/**
 * From the gateway: a request that was answered, or given up. Every one, whatever its end; but what became a WebSocket
 * is told as such.
 */
interface RequestFact extends Asker {
  readonly type: 'request-ended'
  readonly method: string | null
  /** As in the route table, without the ids in the path; null: there is no such route. */
  readonly route: string | null
  /** What was answered; 0: it could not be. */
  readonly status: number
  /** Of the error that it was answered with. */
  readonly code: ErrorCode | null
  /** All of the answer was handed to the system; false: the client left before, or was sent away. */
  readonly complete: boolean
  /** From its head to the last byte of its answer. */
  readonly tookMs: number
}

/** From the gateway: what its one door decided. */
type SubmitFact =
  | (AboutJob & { readonly type: 'job-submitted'; readonly kind: JobKind; readonly joined: boolean })
  | (Asker & { readonly type: 'job-refused'; readonly code: ErrorCode })

/** From the engine: a job's way. */
type JobFact = AboutJob &
  (
    | {
        readonly type: 'job-leased'
        readonly attempt: number
        readonly deployment: string
        /** In line, from its acceptance, or since it was last returned. */
        readonly waitedMs: number
      }
    /** Back in line: handed back, lost by its worker, or to be tried again. */
    | { readonly type: 'job-returned'; readonly attempt: number; readonly delayMs: number }
    | (Failure & {
        readonly type: 'job-ended'
        readonly state: JobState
        /** Of the last attempt; null: there was none. */
        readonly deployment: string | null
        readonly usage?: Usage
        readonly timing?: Timing
      })
  )

/** From the worker: an attempt's way. */
type AttemptFact = AboutJob & { readonly attempt: number; readonly deployment: string } & (
    | { readonly type: 'attempt-started'; readonly mode: 'first' | 'continue' | 'restart' }
    /** Its first text is on its way to the log. */
    | { readonly type: 'first-token-received'; readonly ttftMs: number }
    | (Failure & { readonly type: 'attempt-ended'; readonly usage?: Usage })
  )

/** From delivery, and from the clients that tell what their users saw. */
type ReaderFact = AboutJob &
  (
    | { readonly type: 'reader-opened'; readonly dialect: string }
    | { readonly type: 'reader-closed'; readonly dialect: string; readonly complete: boolean }
    /** Submit to first text, as the client measured it. */
    | { readonly type: 'first-token-shown'; readonly ttftMs: number }
  )

/** From the gateway: what an operator did to jobs in line; null members of the selector: whatever they are. */
interface OperatorFact {
  readonly type: 'queue-paused' | 'queue-resumed' | 'queue-purged'
  readonly tenant: TenantId | null
  readonly lane: string | null
  readonly model: string | null
  readonly requestId: string
  /** How many were canceled. */
  readonly jobs?: number
}

type ConnectionFact =
  | { readonly type: 'session-opened'; readonly tenant: TenantId; readonly transport: 'http' | 'socket' }
  | { readonly type: 'socket-opened'; readonly conn: string; readonly tenant: TenantId; readonly client: string | null }
  | {
      readonly type: 'socket-closed'
      readonly conn: string
      readonly tenant: TenantId | null
      readonly closeCode: number
    }

/** From the plan: no call starts there for `ms`, since its provider is too busy. */
interface DeploymentFact {
  readonly type: 'deployment-cooled'
  readonly deployment: string
  readonly model: string
  readonly code: ErrorCode
  readonly ms: number
}

type StoreFact =
  | { readonly type: 'store-degraded'; readonly code: ErrorCode; readonly detail: string }
  | { readonly type: 'store-recovered' }
  /** The store works, and an operator should do something: `detail` tells what. */
  | {
      readonly type: 'store-warned'
      readonly code: 'folder_exposed' | 'wal_held' | 'commits_missing' | 'job_damaged' | 'row_damaged'
      readonly detail: string
    }

/** As a part tells it. */
export type Happened =
  | RequestFact
  | SubmitFact
  | JobFact
  | AttemptFact
  | ReaderFact
  | OperatorFact
  | ConnectionFact
  | DeploymentFact
  | StoreFact

/** As it is recorded. */
export type Fact = Happened & { readonly atMs: number }

/** Never throws, never waits. Takes over what it is given, which is not to be used again. */
export type Emit = (happened: Happened) => void
