/**
 * Everything that observability may know, as one union. A fact is named by its subject and a past participle, and
 * carries the tenant, model, job and trace it belongs to: no consumer has to join it with another. It has ids, names
 * and numbers, never text of users and never a key.
 */
import type { ErrorCode, SluiceError } from './errors.ts'
import type { Cached, Job, JobDraft, JobId, JobKind, JobState, TenantId, Timing, Usage } from './job.ts'
import type { LevelKind, Unit, Window } from './limits.ts'
import type { TtftParts } from './measure.ts'
import type { AuditEntry } from './ports/audit.ts'
import type { Ruling } from './ruling.ts'
import type { Traceparent } from './trace.ts'
import type { UpstreamLimits } from './upstream-limits.ts'
import type { Cost } from './usage-record.ts'

/** Who asked. */
interface Asker {
  /** Null, here and below: unknown, or not known yet. */
  readonly tenant: TenantId | null
  readonly keyId: string | null
  readonly model: string | null
  /** Of the request that started it. */
  readonly requestId: string | null
  readonly trace: Traceparent | null
}

/** Whose job it is, and which request brought it. */
interface AboutJob extends Asker {
  readonly tenant: TenantId
  readonly keyId: string
  readonly model: string
  readonly job: JobId
}

/** To be spread first: V8 then copies it at once, else member by member, at twice the cost. */
export const aboutDraft = ({ tenant, keyId, model, requestId, trace }: JobDraft | Job): Asker => ({
  tenant,
  keyId,
  model,
  requestId: requestId ?? null,
  trace: trace ?? null,
})

/** As aboutDraft. */
export const aboutJob = ({
  id,
  tenant,
  keyId,
  model,
  requestId,
  trace,
}: Pick<Job, 'id' | 'tenant' | 'keyId' | 'model' | 'requestId' | 'trace'>): AboutJob => ({
  job: id,
  tenant,
  keyId,
  model,
  requestId: requestId ?? null,
  trace: trace ?? null,
})

/** Why something failed. A provider's message may quote the request: it is not for the log. */
interface Failure {
  /** Null: it did not fail. */
  readonly code: ErrorCode | null
  readonly status?: number
  readonly message?: string
  /** The member of the request that is to blame, and the provider's own code, where it told them. */
  readonly param?: string
  readonly upstreamCode?: string
}

type Reason = Pick<SluiceError, 'code' | 'status' | 'message'> & Partial<Pick<SluiceError, 'param' | 'upstreamCode'>>

export function failureOf(error: Reason | null): Failure {
  if (error === null) return { code: null }
  const { code, status, message, param, upstreamCode } = error
  return { code, status, message, ...(param && { param }), ...(upstreamCode && { upstreamCode }) }
}

/**
 * From the gateway, once for every request, however it ended. One that was upgraded to a WebSocket is a `socket-opened`
 * instead.
 */
interface RequestFact extends Asker {
  readonly type: 'request-ended'
  readonly method: string | null
  /** As in the route table, with placeholders for ids; null: no such route. */
  readonly route: string | null
  /** HTTP status; 0: the client left before there was one. */
  readonly status: number
  /** The error's code; null: it was not answered with an error. */
  readonly code: ErrorCode | null
  /** Of the job's error, where its answer tells one, be it at the end of a stream whose status was 200. */
  readonly jobCode?: ErrorCode
  /** The whole answer was handed to the operating system. */
  readonly complete: boolean
  /** From the request's head to the end of the answer. */
  readonly tookMs: number
  /** It has a span of its own (core/trace.ts), whose parent this is; null: it begins a trace. Absent: it has none. */
  readonly parentSpan?: string | null
}

/** Where it came in a request or a message. */
interface Asked {
  /** From the head of that until its outcome. */
  readonly tookMs?: number
  /** As of a request: of a message, or of a job that names its own trace. Absent: the span is the request's. */
  readonly parentSpan?: string | null
}

/** From the gateway: the outcome of a submit. */
type SubmitFact =
  | (AboutJob &
      Asked & {
        readonly type: 'job-submitted'
        readonly kind: JobKind
        readonly joined: boolean
        readonly cached?: Cached
      })
  | (Asker & Asked & { readonly type: 'job-refused'; readonly code: ErrorCode; readonly run?: string | undefined })
  /** After that: a budget limits it, and nobody knows its price; `detail` is what the operator can do. */
  | (Asker & { readonly type: 'price-missing'; readonly detail: string })
  /** After that: a limit had no room for it. */
  | (Asker & {
      readonly type: 'limit-refused'
      readonly code: ErrorCode
      readonly limitLevel: LevelKind
      readonly unit: Unit
    })

/** From admission, of a request; from the worker, of an answer: what a guard of the tenant made of it. */
type GuardFact = Asker & { readonly type: 'guard-decided'; readonly job: JobId | null } & Ruling

/** From the engine. */
type JobFact = AboutJob &
  (
    | {
        readonly type: 'job-leased'
        readonly attempt: number
        readonly deployment: string
        /** In line so far, over all its waits. */
        readonly queuedMs: number
        /** Of that, until it was its own turn; absent: nobody knows. */
        readonly turnMs?: number
        /** With the attempts before this one, and what no server ran for. Absent: as long as it was in line. */
        readonly sinceAcceptedMs?: number
      }
    /** Back in line: handed back, lost by its worker, or due for a retry. */
    | { readonly type: 'job-returned'; readonly attempt: number; readonly delayMs: number }
    | (Failure & {
        readonly type: 'job-ended'
        readonly state: JobState
        /** Of the last attempt; null: there was none. */
        readonly deployment: string | null
        readonly usage?: Usage
        readonly timing?: Timing
        /**
         * Did it end well, and meet the goals of its model? Null: nobody judges it, as its client canceled it. Filled
         * in on its way to the observers (app/goals.ts), as no engine knows the goals.
         */
        readonly good?: boolean | null
        /** Of all its attempts. Absent: none was called; null: nobody knows the price of one of them. */
        readonly nanoDollars?: number | null
      })
  )

/** What came of a call when, in ms since it began; absent: it never came. */
export interface CallMarks {
  readonly firstChunkMs?: number
  readonly firstTokenMs?: number
  /** Was that part of the answer, not of its reasoning? */
  readonly isOutput?: boolean
  readonly lastTokenMs?: number
  readonly kind: JobKind
  readonly isStream: boolean
  /** An answer that is there already was repeated: no provider was called. */
  readonly isReplay: boolean
  /** As the provider's last chunk has them. Read only of a job whose trace is recorded. */
  readonly finishReasons?: readonly string[]
  readonly model?: string
}

/** From the worker. */
type AttemptFact = AboutJob & { readonly attempt: number; readonly deployment: string } & (
    | {
        readonly type: 'attempt-started'
        readonly mode: 'first' | 'continue' | 'restart'
        /** On another deployment than the attempt before it. */
        readonly isFallback: boolean
        /** Tokens that attempts before it left in the answer, as `attempt-progressed` counts them. */
        readonly fromTokens?: number
      }
    /**
     * The first text of the answer arrived, so long after the job was accepted. `parts.delivery` is still 0. `isWhole`:
     * it came with all the rest, in a document, so this is no time to a first token.
     */
    | {
        readonly type: 'first-token-received'
        readonly ttftMs: number
        readonly parts: TtftParts
        readonly isWhole?: true
      }
    /** It had two calls, and the one at `deployment` is over: the other one is the attempt from now on. */
    | {
        readonly type: 'attempt-hedged'
        readonly other: string
        /** Why it failed; null: it did not. */
        readonly code: ErrorCode | null
        /** Which one goes on. */
        readonly won: 'first' | 'second'
        /** How that at `deployment` ended. */
        readonly end: 'outrun' | 'failed' | 'canceled' | 'released'
        /** From the first call to the second, and from there on. */
        readonly afterMs: number
        readonly tookMs: number
        /** What it came to. */
        readonly usage: Usage
        readonly cost?: Cost
      }
    /** At most twice a second while it runs: tokens that this attempt has made, chunks with text counted as one. */
    | { readonly type: 'attempt-progressed'; readonly tokens: number }
    /** Nothing came since its last chunk, for STALL_MS or more. Once a pause; told while it lasts. */
    | { readonly type: 'answer-stalled'; readonly ms: number }
    /** That pause is over, at its whole length: more came, or the attempt has ended. */
    | { readonly type: 'answer-resumed'; readonly ms: number }
    /** By a limit: nothing was left for it. */
    | {
        readonly type: 'answer-cut'
        readonly limitLevel: LevelKind
        readonly unit: Unit
        /** Of a budget; null: it is a rate. */
        readonly window: Window | 'run' | null
      }
    | (Failure & {
        readonly type: 'attempt-ended'
        /** It did not fail, nor come to its own end. */
        readonly stopped?: 'cut' | 'canceled' | 'released'
        /** It is of the second one of two calls. */
        readonly isHedge?: true
        readonly usage?: Usage
        /** Absent: it never called. */
        readonly cost?: Cost
        /** What its upstream's headers told of our limits there. */
        readonly quota?: UpstreamLimits
        /** From the call to its end; absent, as all below: it never called. */
        readonly calledMs?: number
        /** What Sluice itself took, neither line nor provider: admission (of the first attempt), opening, end. */
        readonly overheadMs?: number
        /** Chunks with text, of this attempt. */
        readonly chunks?: number
        readonly marks?: CallMarks
      })
  )

/** From delivery, and from clients that report what their users saw. */
type ReaderFact = AboutJob &
  (
    | { readonly type: 'reader-opened'; readonly dialect: string; readonly reader: number }
    | {
        readonly type: 'reader-closed'
        readonly dialect: string
        readonly reader: number
        readonly complete: boolean
        /** The last record that was written to it, and how many it had before it came; null: not known. */
        readonly seq: number
        readonly from: number | null
        readonly tookMs: number
      }
    /** At most twice a second while it reads. */
    | {
        readonly type: 'reader-progressed'
        readonly dialect: string
        readonly reader: number
        readonly seq: number
        readonly from: number | null
      }
    /** Once a job: its first text was handed to the socket of its first live reader. `ttftMs`: as goals have it. */
    | {
        readonly type: 'first-token-delivered'
        readonly dialect: string
        readonly ttftMs: number
        readonly parts: TtftParts
      }
    /** From submit to the first text, as measured by the client. */
    | { readonly type: 'first-token-shown'; readonly ttftMs: number }
  )

/** From the gateway: an operator's change to jobs in line. A null member of the selector matches any value. */
interface OperatorFact {
  readonly type: 'queue-paused' | 'queue-resumed' | 'queue-purged'
  readonly tenant: TenantId | null
  readonly lane: string | null
  readonly model: string | null
  readonly requestId: string
  /** How many jobs were canceled. */
  readonly jobs?: number
}

/** From the gateway: what an operator has changed of tenants, keys and switches; kept in the audit, too. */
type AdminFact = { readonly type: 'admin-changed' } & AuditEntry

type ConnectionFact =
  | { readonly type: 'session-opened'; readonly tenant: TenantId; readonly transport: 'http' | 'socket' }
  | { readonly type: 'socket-opened'; readonly conn: string; readonly tenant: TenantId; readonly client: string | null }
  | {
      readonly type: 'socket-closed'
      readonly conn: string
      readonly tenant: TenantId | null
      readonly closeCode: number
    }

type DeploymentFact =
  /** From the plan: the provider is too busy, so no call starts there for `ms`. */
  | {
      readonly type: 'deployment-cooled'
      readonly deployment: string
      readonly model: string
      readonly code: ErrorCode
      readonly ms: number
    }
  /** Its engine was found not to work, or to work again. */
  | {
      readonly type: 'deployment-checked'
      readonly deployment: string
      readonly isDown: boolean
      /** A few words. */
      readonly why: string
    }

/** From the limits: a level spends its budget too fast, and nothing that costs money starts there for `ms`. */
interface VelocityFact {
  readonly type: 'velocity-tripped'
  readonly level: LevelKind
  /** Null: it is of all tenants. */
  readonly tenant: TenantId | null
  /** The model, or the key's id. */
  readonly name: string | null
  readonly ms: number
}

type StoreFact =
  | { readonly type: 'store-degraded'; readonly code: ErrorCode; readonly detail: string }
  | { readonly type: 'store-recovered' }
  /** In a fleet: groups of settings in which this process differs from the one that coordinates; none: no longer. */
  | { readonly type: 'settings-compared'; readonly differ: readonly string[]; readonly coordinator: string }
  /** The store works, but needs an operator: see `detail`. */
  | {
      readonly type: 'store-warned'
      readonly code:
        | 'folder_exposed'
        | 'wal_held'
        | 'commits_missing'
        | 'job_damaged'
        | 'row_damaged'
        | 'data_may_be_lost'
        | 'redis_settings'
      readonly detail: string
    }

/** As emitted. */
export type Happened =
  | RequestFact
  | SubmitFact
  | GuardFact
  | JobFact
  | AttemptFact
  | ReaderFact
  | OperatorFact
  | AdminFact
  | ConnectionFact
  | DeploymentFact
  | VelocityFact
  | StoreFact

/** As observed. */
export type Fact = Happened & { readonly atMs: number }

/** Never throws, never waits. Takes ownership of the object: don't use it again. */
export type Emit = (happened: Happened) => void
