/** What happened, as one union: all that observability may know. Facts carry ids and numbers, never text of users. */
import type { ErrorCode } from './errors.ts'
import type { JobId, JobState, TenantId, Timing, Usage } from './job.ts'

export type Fact =
  | {
      readonly type: 'job-submitted'
      readonly job: JobId
      readonly tenant: TenantId
      readonly model: string
      readonly joined: boolean
    }
  | { readonly type: 'job-refused'; readonly tenant: TenantId; readonly model: string; readonly code: ErrorCode }
  | {
      readonly type: 'attempt-started'
      readonly job: JobId
      readonly attempt: number
      readonly deployment: string
      readonly mode: 'first' | 'continue' | 'restart'
    }
  | { readonly type: 'first-token'; readonly job: JobId; readonly ttftMs: number }
  | {
      readonly type: 'attempt-ended'
      readonly job: JobId
      readonly attempt: number
      readonly deployment: string
      readonly code: ErrorCode | null
      readonly usage?: Usage
    }
  | {
      readonly type: 'job-ended'
      readonly job: JobId
      readonly tenant: TenantId
      readonly model: string
      readonly state: JobState
      readonly code: ErrorCode | null
      readonly usage?: Usage
      readonly timing?: Timing
    }
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
  | {
      readonly type: 'store-warning'
      readonly code: 'folder_exposed' | 'wal_held' | 'commits_missing' | 'job_damaged'
      readonly detail: string
    }

/** Never throws, never waits. */
export type Emit = (fact: Fact) => void
