/** What happened, as one union: all that observability may know. Facts carry ids and numbers, never text of users. */
import type { ErrorCode, SluiceError } from './errors.ts'
import type { Job, JobId, JobState, TenantId, Timing, Usage } from './job.ts'

/** Whose job it is, and what it came with. */
interface AboutJob {
  readonly job: JobId
  readonly tenant: TenantId
  readonly keyId: string
  readonly model: string
  /** Of the request that submitted it. */
  readonly requestId: string | null
}

export const aboutJob = ({ id, tenant, keyId, model, requestId }: Job): AboutJob => ({
  job: id,
  tenant,
  keyId,
  model,
  requestId: requestId ?? null,
})

/** Why something failed. A provider's message may quote the request: it is not for logs as it stands. */
interface Failure {
  readonly code: ErrorCode | null
  readonly status?: number
  readonly message?: string
}

export const failureOf = (error: Pick<SluiceError, 'code' | 'status' | 'message'> | null): Failure =>
  error === null ? { code: null } : { code: error.code, status: error.status, message: error.message }

export type Fact =
  | {
      readonly type: 'job-submitted'
      readonly job: JobId
      readonly tenant: TenantId
      readonly model: string
      readonly joined: boolean
    }
  | { readonly type: 'job-refused'; readonly tenant: TenantId; readonly model: string; readonly code: ErrorCode }
  /** A request that was answered with an error before there was a job, or about none. */
  | {
      readonly type: 'request-refused'
      readonly requestId: string | null
      readonly tenant: TenantId | null
      readonly keyId: string | null
      readonly method: string | null
      /** As in the route table, without the ids in the path; null: there is no such route. */
      readonly route: string | null
      readonly code: ErrorCode
      readonly status: number
    }
  | {
      readonly type: 'attempt-started'
      readonly job: JobId
      readonly attempt: number
      readonly deployment: string
      readonly mode: 'first' | 'continue' | 'restart'
    }
  | { readonly type: 'first-token'; readonly job: JobId; readonly ttftMs: number }
  | (AboutJob &
      Failure & {
        readonly type: 'attempt-ended'
        readonly attempt: number
        readonly deployment: string
        readonly usage?: Usage
      })
  | (AboutJob &
      Failure & {
        readonly type: 'job-ended'
        readonly state: JobState
        /** Of the last attempt; null: there was none in this process. */
        readonly deployment: string | null
        readonly usage?: Usage
        readonly timing?: Timing
      })
  | { readonly type: 'reader-opened'; readonly job: JobId; readonly dialect: string }
  | { readonly type: 'reader-closed'; readonly job: JobId; readonly dialect: string; readonly complete: boolean }
  | { readonly type: 'session-opened'; readonly tenant: TenantId; readonly transport: 'http' | 'socket' }
  | { readonly type: 'socket-opened'; readonly conn: string; readonly tenant: TenantId; readonly client: string | null }
  | {
      readonly type: 'socket-closed'
      readonly conn: string
      readonly tenant: TenantId | null
      readonly closeCode: number
    }
  /** What a user saw: submit to first text. */
  | { readonly type: 'ttft-seen'; readonly job: JobId; readonly tenant: TenantId; readonly ttftMs: number }
  | { readonly type: 'store-degraded'; readonly code: ErrorCode; readonly detail: string }
  | { readonly type: 'store-recovered' }
  /** The store works, and an operator should do something: `detail` tells what. */
  /** Its provider is too busy: no call starts there for so long. */
  | {
      readonly type: 'deployment-cooling'
      readonly deployment: string
      readonly model: string
      readonly code: ErrorCode
      readonly ms: number
    }
  | {
      readonly type: 'store-warning'
      readonly code: 'folder_exposed' | 'wal_held' | 'commits_missing' | 'job_damaged' | 'row_damaged'
      readonly detail: string
    }

/** Never throws, never waits. */
export type Emit = (fact: Fact) => void
