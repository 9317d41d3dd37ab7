/**
 * The frames of the WebSocket subprotocol `sluice.v1`: PROTOCOL.md section 6. Types only; @sluice/client shares them.
 * Members are as on the wire. Clients ignore unknown frames and members; the server refuses them.
 */
import type { WireError } from './errors.ts'
import type { DisconnectPolicy, JobState, Priority, WorkerLossPolicy } from './job.ts'
import type { WireLimit, WireRoom } from './limits.ts'

export type { WireError, WireLimit, WireRoom }

/** The credential, one of these. A browser has a ticket, then the token of the `welcome`. */
export type Credential = { readonly key: string } | { readonly ticket: string } | { readonly token: string }

/** A job as it is submitted, by POST /v1/jobs or a `submit`. */
export interface JobRequest {
  /** The body of a POST to `endpoint`. */
  readonly request: Readonly<Record<string, unknown>>
  /** Where such requests are posted, as "/v1/embeddings"; the server names all it has. Absent: /v1/chat/completions. */
  readonly endpoint?: string
  readonly conversation?: string
  readonly lane?: string
  /** An agent's run: all jobs of a run share its limits. */
  readonly run?: string
  /** The job that asked for it, of the same run: the id. */
  readonly parent?: string
  /** Ids of jobs: it waits until all of them are done, and fails with `dependency_failed` if one can't be. */
  readonly after?: readonly string[]
  readonly pool?: string
  readonly priority?: Priority
  readonly delay_ms?: number
  readonly deadline_ms?: number
  readonly idempotency_key?: string
  readonly policy?: 'reject' | 'wait'
  /** Of deployments: it is answered by one that has them all. */
  readonly tags?: readonly string[]
  readonly on_worker_loss?: WorkerLossPolicy
  readonly on_disconnect?: DisconnectPolicy
  readonly metadata?: Readonly<Record<string, string>>
  /** W3C Trace Context, passed on to the upstream. One that is malformed is ignored. */
  readonly traceparent?: string
}

export interface Resume {
  readonly job: string
  /** What the client has already; absent = from the start. */
  readonly cursor?: string
}

// ---------------------------------------------------------------- client to server

export interface HelloFrame {
  readonly t: 'hello'
  readonly auth?: Credential
  /** Who is calling, for the operator's log. */
  readonly client?: { readonly name: string; readonly version: string }
  /** Initial credit of each followed job, bytes of `ev` frames; absent = no credit is needed. */
  readonly window?: number
  /** Jobs to attach to at once. */
  readonly jobs?: readonly Resume[]
}

export interface SubmitFrame extends JobRequest {
  readonly t: 'submit'
  /** Chosen by the client; the answer repeats it. */
  readonly id: string
  /** False: without its events. */
  readonly follow?: boolean
}

export interface AttachFrame extends Resume {
  readonly t: 'attach'
  readonly id?: string
}

export interface DetachFrame {
  readonly t: 'detach'
  readonly id?: string
  readonly job: string
}

export interface CancelFrame {
  readonly t: 'cancel'
  readonly id?: string
  readonly job: string
}

/** This many more bytes of the job's `ev` frames may be sent. */
export interface CreditFrame {
  readonly t: 'credit'
  readonly job: string
  readonly bytes: number
}

/** What the user saw, ms from the submit to the first text; for the operator. */
export interface ReportFrame {
  readonly t: 'report'
  readonly job: string
  readonly ttft_ms: number
}

/** Requests a conversation's state, and then its news. Watching again sends the state again. */
export interface WatchFrame {
  readonly t: 'watch'
  readonly id?: string
  readonly conversation: string
}

export interface UnwatchFrame {
  readonly t: 'unwatch'
  readonly id?: string
  readonly conversation: string
}

export interface PingFrame {
  readonly t: 'ping'
}

export type ClientFrame =
  | HelloFrame
  | SubmitFrame
  | AttachFrame
  | DetachFrame
  | CancelFrame
  | CreditFrame
  | ReportFrame
  | WatchFrame
  | UnwatchFrame
  | PingFrame

// ---------------------------------------------------------------- server to client

export interface WelcomeFrame {
  readonly t: 'welcome'
  /** Names this connection in logs. */
  readonly conn: string
  /** After this much silence a client sends a `ping`; so does the server. */
  readonly heartbeat_ms: number
  /** A larger message closes the connection (1009): submit by POST /v1/jobs, and attach. */
  readonly max_message_bytes: number
  /** Jobs that one connection may follow at once. */
  readonly max_jobs: number
  /** A client that keeps sending more is closed (1008); a burst may be five times as many. */
  readonly max_messages_per_second: number
}

/**
 * Replaces the ticket from now on: for the next hello, or as a Bearer over HTTP. Sent after `welcome` and renewed
 * while the connection lives.
 */
export interface TokenFrame {
  readonly t: 'token'
  readonly token: string
  readonly expires_in_ms: number
}

/** A job's place in the queue. */
export interface WirePlace {
  /** 1 = next; null: it is not in line before others have ended. */
  readonly position: number | null
  readonly tokens_ahead: number
  /** Null while nothing has been measured yet. */
  readonly eta_ms: number | null
  /** The limit that has no room for it now; absent: it waits for its turn alone. */
  readonly waiting_for?: WireAwaited
  /** Jobs that have to end before it is in line at all; absent: none. */
  readonly waits_for_jobs?: number
}

export interface WireAwaited extends Pick<WireLimit, 'level' | 'unit' | 'window'> {
  /** Until there is room, if nothing more comes; null: nobody knows. */
  readonly reset_ms: number | null
}

/** The job is durable: it will not be lost. */
export interface AcceptedFrame {
  readonly t: 'accepted'
  readonly id: string
  readonly job: string
  /** None of it is known yet. */
  readonly cursor: string
  readonly state: JobState
  /** It existed already (same idempotency key, same body). */
  readonly joined: boolean
  /** Null when it is not queued. */
  readonly queue: WirePlace | null
  /** What is left of its limits; absent: there are none, or nobody knows. */
  readonly limits?: readonly WireRoom[]
  /** How it is to get its answer: another's, that was there (`hit`) or is being made; absent: it shares none. */
  readonly cache?: 'hit' | 'joined' | 'miss'
}

export interface AttachedFrame {
  readonly t: 'attached'
  readonly id?: string
  readonly job: string
  readonly state: JobState
  /** The log's head now. */
  readonly cursor: string
  readonly queue: WirePlace | null
}

/** While a followed job waits and its place, or what it waits for, changes: at most once a second. */
export interface QueueFrame extends WirePlace {
  readonly t: 'queue'
  readonly job: string
}

export type WireChunk = Readonly<Record<string, unknown>>

/** One record, named by its kind. */
export type WireEvent =
  | { readonly chunk: WireChunk }
  | {
      readonly attempt: {
        readonly n: number
        readonly mode: 'first' | 'continue' | 'restart'
        readonly deployment: string
      }
    }
  | { readonly reset: { readonly reason: string } }
  | { readonly usage: WireChunk }

/** A run of records. */
export interface EvFrame {
  readonly t: 'ev'
  readonly job: string
  /** Number of the first. */
  readonly seq: number
  /** The cursor of a client that has applied them. */
  readonly cursor: string
  readonly e: readonly WireEvent[]
}

/** Everything stored so far has been sent; what follows is live. Once after each attach. */
export interface LiveFrame {
  readonly t: 'live'
  readonly job: string
  readonly cursor: string
}

/** What was shown is void; everything follows from the start of a new epoch. */
export interface GapFrame {
  readonly t: 'gap'
  readonly job: string
  readonly reason: 'epoch_changed'
}

export interface WireUsage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly estimated: boolean
}

export interface WireTiming {
  readonly queued_ms: number | null
  /** Of that, until it was its own turn; absent: it never waited so. */
  readonly turn_ms?: number
  readonly ttft_ms: number | null
  readonly tpot_ms: number | null
  readonly total_ms: number | null
  readonly attempts: number
  /** Where the time to the first text went; absent: nobody knows. */
  readonly ttft?: WireTtft
}

export interface WireTtft {
  readonly admission_ms: number
  /** Until it was its own turn; absent: it never waited so. */
  readonly turn_ms?: number
  readonly queue_ms: number
  readonly retries_ms: number
  readonly routing_ms: number
  readonly connect_ms: number
  readonly upstream_ms: number
}

/** The job's last record. Nothing follows. */
export interface EndFrame {
  readonly t: 'end'
  readonly job: string
  readonly seq: number
  readonly cursor: string
  readonly state: 'done' | 'failed' | 'canceled' | 'expired'
  readonly error?: WireError
  /** The limit that ended the answer early: its finish reason is `length`. */
  readonly cut?: WireLimit
  readonly usage?: WireUsage
  readonly timing?: WireTiming
}

/** A job as over HTTP (PROTOCOL.md section 4); these members and others. */
export interface WireJob {
  readonly id: string
  readonly state: JobState
  readonly created_at: number
  readonly metadata: Readonly<Record<string, string>>
  readonly queue: WirePlace | null
  readonly error: WireError | null
}

/** The state of a watched conversation: the first answer to a watch. */
export interface WatchingFrame {
  readonly t: 'watching'
  readonly id?: string
  readonly conversation: string
  readonly name: string | null
  /** Turns that have ended. */
  readonly turns: number
  /** The job of the newest of them. A client that does not know it reads the conversation's newest turns. */
  readonly last_turn: string | null
  /** Jobs that have not ended, in their order, at most 100. */
  readonly jobs: readonly WireJob[]
  /** There are more jobs after them. */
  readonly more: boolean
}

export type WireNews =
  /** Sent once, or again if it was among the `jobs`. */
  | { readonly submitted: WireJob }
  | { readonly ended: WireJob }
  | { readonly erased: { readonly job: string } }
  | { readonly renamed: { readonly name: string } }
  /** Its last turns are gone. */
  | { readonly truncated: Readonly<Record<string, never>> }
  | { readonly deleted: Readonly<Record<string, never>> }

/** One change of a watched conversation, whoever made it. */
export interface NewsFrame {
  readonly t: 'news'
  readonly conversation: string
  readonly e: WireNews
}

/** Answers a detach, a cancel or an unwatch that named an `id`. */
export interface OkFrame {
  readonly t: 'ok'
  readonly id: string
  readonly job?: string
  readonly conversation?: string
  /** Of a cancel: its result. */
  readonly state?: 'canceled' | 'canceling' | 'ended'
}

/** A frame was refused, or a followed job can't be followed any longer. The connection stays open. */
export interface ErrorFrame {
  readonly t: 'error'
  readonly id?: string
  readonly job?: string
  readonly error: WireError
  /** The same frame may be sent again, and may succeed. */
  readonly retryable: boolean
  readonly retry_after_ms?: number
}

/**
 * The server stops: it accepts nothing new, and closes this connection (1012) within `by_ms`. Reconnect at a random
 * moment within `reconnect_ms` after the close.
 */
export interface GoawayFrame {
  readonly t: 'goaway'
  readonly reason: 'draining'
  readonly by_ms: number
  readonly reconnect_ms: readonly [number, number]
}

export interface PongFrame {
  readonly t: 'pong'
}

export type ServerFrame =
  | WelcomeFrame
  | TokenFrame
  | AcceptedFrame
  | AttachedFrame
  | QueueFrame
  | EvFrame
  | LiveFrame
  | GapFrame
  | EndFrame
  | WatchingFrame
  | NewsFrame
  | OkFrame
  | ErrorFrame
  | GoawayFrame
  | PongFrame
