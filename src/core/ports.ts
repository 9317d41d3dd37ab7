/**
 * The ports: what each part asks of the others. Engines implement Queue, TokenLog, Conversations and Keys;
 * test/conformance/ holds every engine to what is written here.
 *
 * Words: an attempt is fenced by its number: once attempt n+1 of a job exists, or the job ended, nothing
 * of attempt n is stored any more (J2). "Committed" = survives kill -9 of this process. "Power-safe" =
 * survives power loss where `durability: power`; at lower settings it equals committed (or nothing, at `memory`).
 */
import type { ServerResponse } from 'node:http'
import type { SluiceError, WireError } from './errors.ts'
import type { Job, JobDraft, JobId, JobState, Place, Priority, TenantId, Timing, Usage } from './job.ts'
import type { Bytes, Cursor } from './record.ts'

// ---------------------------------------------------------------- engine

export interface Engine {
  readonly queue: Queue
  readonly log: TokenLog
  readonly conversations: Conversations
  readonly keys: Keys
  /** Is it able to take work? `degraded` tells why not (disk full, I/O error); shown by /readyz. */
  health(): { readonly ok: true } | { readonly ok: false; readonly error: SluiceError }
  /**
   * Puts unfinished jobs back in line, in steps that let the event loop turn; `each` sees every one of them. Called
   * once, when the ports are open; until it resolved, submits are refused with `starting`, and nothing is leased.
   */
  restore(each: (job: Job) => void): Promise<void>
  /**
   * Erases all that is stored of a tenant: jobs (running ones are canceled first), logs, conversations, keys.
   * Power-safe when resolved.
   */
  eraseTenant(tenant: TenantId): Promise<void>
  /** Numbers for people and metrics: bytes on disk, commits, longest commit, … */
  stats(): Readonly<Record<string, number>>
  /**
   * A stop began. What still runs will be handed back; if the process is killed before that, it is no job's crash. Does
   * not wait, never throws.
   */
  draining(): void
  /** Commits what is pending and lets go of the data folder. Safe to repeat. */
  close(): Promise<void>
}

/** The machine's start. */
export interface Boot {
  /** Another one with each start of the machine. */
  readonly id: string
  /** Ms since then: goes on while no process runs, and while the machine sleeps. Null where nobody knows. */
  ms(): number | null
}

// ---------------------------------------------------------------- queue

export type Submitted =
  /** A new job, power-safe. */
  | { readonly kind: 'accepted'; readonly job: Job; readonly place: Place }
  /** Same idempotency key and body, or an SDK's retry: the job that is there already. */
  | { readonly kind: 'joined'; readonly job: Job; readonly place: Place }
  /** idempotency_conflict, queue_full, deadline_unreachable, rate_limited, storage_full … Nothing was stored. */
  | { readonly kind: 'refused'; readonly error: SluiceError }

/** May this job start now? `null` = yes, and a slot is taken, to be given back by the one who takes it. */
export type Headroom = (job: ScheduledJob) => HeadroomRefusal | null
export interface HeadroomRefusal {
  /** What has no room: then other jobs of the same model (or tenant) are not asked about in this round. */
  readonly scope: 'model' | 'tenant' | 'job'
  readonly retryAfterMs?: number
}

export interface Worker {
  readonly id: string
  /** Pools it serves. Empty = all. */
  readonly pools: readonly string[]
  /** There may be something to lease. Called again after each change that may make a job leasable. */
  ready(): void
  /** Stop this attempt at once: the job was canceled, its lease was lost, or the store fenced it. */
  revoked(job: JobId, attempt: number, reason: 'canceled' | 'lost'): void
}

export interface Lease {
  readonly job: Job
  /** Fence: 1 for the first attempt; strictly grows with every lease of the job, also over restarts. */
  readonly attempt: number
  /** Crashes that were this job's own: see Tally. */
  readonly crashes: number
  /** Its request can't be read: the job is to be failed with this. */
  readonly damaged?: SluiceError
}

export type Outcome =
  | {
      readonly kind: 'done'
      /** Of the whole job, over its attempts. */
      readonly usage: Usage
      /** Of this attempt; absent = the same. */
      readonly attemptUsage?: Usage
      readonly timing: Timing
      /** For a conversation: the assistant's message, JSON. */
      readonly answer?: string
    }
  /** `retry`: may another attempt be made? The scheduler still decides by attempts and deadline. */
  | {
      readonly kind: 'failed'
      readonly error: SluiceError
      readonly retry: boolean
      readonly usage?: Usage
      readonly attemptUsage?: Usage
      readonly timing?: Timing
      readonly answer?: string
    }
  | {
      readonly kind: 'canceled'
      readonly usage?: Usage
      readonly attemptUsage?: Usage
      readonly timing?: Timing
      readonly answer?: string
    }
  /** Handed back unharmed (drain): goes to the head of its lane, no attempt is counted. */
  | { readonly kind: 'released' }

/**
 * What became of the job: its end, or `delayed`/`queued` for another attempt; `fenced`: it was no longer ours, nothing
 * was stored.
 */
export type Finished =
  | { readonly kind: 'ended'; readonly state: JobState }
  | { readonly kind: 'again'; readonly notBeforeMono: number }
  | { readonly kind: 'fenced' }

export interface JobFilter {
  /** Absent = all tenants (operator only). */
  readonly tenant?: TenantId
  /** The end user that the job was submitted for. */
  readonly user?: string
  readonly states?: readonly JobState[]
  readonly lane?: string
  readonly conversation?: string
  readonly model?: string
  /** Newest first; jobs older than this id. */
  readonly before?: JobId
  /** At most this many (1-1,000). */
  readonly limit: number
}

/** What to pause, resume or purge. All given members must match. */
export interface Selector {
  readonly tenant?: TenantId
  readonly lane?: string
  readonly model?: string
}

/**
 * Durable jobs in the fair order of the scheduler. Every promise that reports a change resolves when it is power-safe.
 */
export interface Queue {
  /** All or some may be refused; results in input order. One atomic commit for all that are taken. */
  submit(drafts: readonly JobDraft[]): Promise<readonly Submitted[]>
  /**
   * As submit of one, for a plain POST, which was promised nothing yet: resolves when the job is committed;
   * `power` resolves when it is power-safe: no cursor of a stream may be shown before. A JSON answer waits for its end,
   * which is synced itself; then `power` resolves at once.
   */
  begin(draft: JobDraft): Promise<{ readonly result: Submitted; readonly power: Promise<void> }>

  /**
   * Announces a worker of this process. Returns its farewell: its leases are then lost (as crashed) unless finished.
   */
  attach(worker: Worker): () => void
  /**
   * Leases up to `max` jobs in fair order, each with `headroom`'s consent. The attempt number is committed before this
   * resolves.
   */
  lease(workerId: string, max: number, headroom: Headroom): Promise<readonly Lease[]>
  /** Prolongs all leases of this worker. Memory only. Lost ones are told through `revoked`. */
  heartbeat(workerId: string): void
  /**
   * Ends an attempt. If that ends the job, the `end` record, the job's state and its conversation's turn are
   * stored in one commit; resolves power-safe. Repeating it is `fenced`.
   */
  finish(lease: Lease, outcome: Outcome): Promise<Finished>

  /**
   * Idempotent. A queued job ends at once; a leased one is revoked from its worker and ends when that answers, or its
   * lease runs out.
   */
  cancel(job: JobId): Promise<{ readonly kind: 'canceled' | 'canceling' | 'ended' | 'unknown' }>
  /** A new job with the request of one that failed or expired, at the end of its lane. */
  redrive(job: JobId): Promise<Submitted | null>
  /** Without its body (empty), as in `list`: only leases bring it. */
  get(job: JobId): Promise<Job | null>
  /** The request as it was submitted (`JobDraft.body`); null when there is no such job. */
  request(job: JobId): Promise<Uint8Array | null>
  list(filter: JobFilter): Promise<readonly Job[]>
  /** Where it stands; null when it is not in line (running, ended, unknown). */
  place(job: JobId): Place | null
  /** Takes a job and its log out of the store, canceling it first. False when there was none. */
  erase(job: JobId): Promise<boolean>

  /** No job that matches is leased until resumed. Survives a restart. */
  pause(selector: Selector): Promise<void>
  resume(selector: Selector): Promise<void>
  paused(): readonly Selector[]
  /** Cancels all that matches and is not running. Returns how many. */
  purge(selector: Selector): Promise<number>
  /** Something outside changed (a slot came free): workers are told `ready`. */
  wake(): void
  depth(): QueueDepth
}

export interface QueueDepth {
  readonly queued: number
  readonly delayed: number
  readonly waiting: number
  readonly leased: number
}

// ---------------------------------------------------------------- scheduler (pure)

/** A job as the scheduler holds it. */
export interface ScheduledJob {
  readonly id: JobId
  readonly tenant: TenantId
  /** Already unique over tenants and kinds: conversations and lanes of all tenants share this name space. */
  readonly lane: string | null
  /** Whose share of the tenant's caps it uses; null: no session's. */
  readonly session: string | null
  readonly pool: string
  readonly model: string
  readonly priority: Priority
  readonly promptTokens: number
  readonly bodyBytes: number
  /** Negative where that was before this process. */
  readonly acceptedMono: number
  /** Not leased before. */
  readonly notBeforeMono: number
  /** Must be leased before; Infinity = never expires. Only its first lease counts: a retry does not expire. */
  readonly deadlineMono: number
  /** For J4: the same API key, user, conversation or lane, and body as another POST; null = never joined. */
  readonly joinKey: string | null
}

export type SchedulerEvent =
  /** It went back in line without its worker's word: the store writes its tally. */
  | { readonly type: 'delayed'; readonly id: JobId; readonly notBeforeMono: number }
  /**
   * It ended without a worker: expired, canceled while queued, given up after crashes, or its cancel outlived its
   * lease.
   */
  | {
      readonly type: 'ended'
      readonly id: JobId
      readonly state: 'failed' | 'canceled' | 'expired'
      readonly error: SluiceError
    }
  /** Its worker must stop. */
  | {
      readonly type: 'revoked'
      readonly id: JobId
      readonly worker: string
      readonly attempt: number
      readonly reason: 'canceled' | 'lost'
    }
  /** Something may be leasable for workers of this pool. */
  | { readonly type: 'ready'; readonly pool: string }

export type SchedulerSubmit =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'joined'; readonly id: JobId }
  | { readonly kind: 'refused'; readonly error: SluiceError }

export interface SchedulerOptions {
  readonly leaseMs: number
  /** Attempts that a job may use up by failing. */
  readonly maxAttempts: number
  /**
   * Crashes after which a job is given up (poison) at the next one. Once that many workers died while it ran (at least
   * one), the job is a suspect: suspects run one at a time.
   */
  readonly maxCrashes: number
  readonly retryBaseMs: number
  readonly retryCapMs: number
  readonly maxQueuedJobs: number
  readonly maxQueuedPerTenant: number
  readonly maxQueuedPerLane: number
  readonly maxQueuedBytesPerTenant: number
  readonly maxQueuedPerSession: number
  readonly maxQueuedBytesPerSession: number
  /** How long after a good end an SDK's retry still joins, ms (J4). */
  readonly joinAfterEndMs: number
  /** Share of each tenant, 1 unless said. */
  readonly weight: (tenant: TenantId) => number
  /** Weights of prompt and output tokens in the virtual counter (VTC: 1 and 2). */
  readonly promptWeight: number
  readonly outputWeight: number
  /** Uniform [0,1), for full jitter. */
  readonly jitter: () => number
}

/** What became of a job's attempts; stored whenever it goes back in line. */
export interface Tally {
  /** Leases so far: the number of the last one, the fence. */
  readonly attempts: number
  /** Attempts that failed. */
  readonly fails: number
  /** Attempts during which the worker died, whoever was to blame. */
  readonly deaths: number
  /** Deaths for which this job alone may be blamed. */
  readonly crashes: number
}

/**
 * The pure machine: no clock, no disk, no randomness of its own; the same calls with the same `now` give the
 * same answers. `now` is monotonic ms. Each call may add events, to be taken with `drain` right after it.
 */
export interface Scheduler {
  /** `known`: what the store found under the tenant's idempotency key. */
  submit(
    job: ScheduledJob,
    now: number,
    known?: { readonly id: JobId; readonly sameBody: boolean },
    isRetry?: boolean,
  ): SchedulerSubmit
  /** Undoes a submit that could not be stored. */
  withdraw(id: JobId): void
  /** Puts back, in order of acceptance, what a restart found. */
  restore(job: ScheduledJob, tally: Tally, now: number): void
  /** These, all restored, were running when their worker's process died. Restarts alone call this: see `lose`. */
  died(ids: readonly JobId[], now: number): void
  lease(
    worker: string,
    pools: readonly string[],
    max: number,
    headroom: Headroom,
    now: number,
  ): ReadonlyArray<{ readonly id: JobId; readonly attempt: number; readonly crashes: number }>
  heartbeat(worker: string, now: number): void
  /** Output tokens as they stream; moves the tenant's virtual counter. */
  charge(id: JobId, attempt: number, tokens: number): void
  finish(id: JobId, attempt: number, outcome: Outcome, now: number): Finished
  cancel(id: JobId, now: number): 'canceled' | 'canceling' | 'unknown'
  /** Worker gone: its leases are lost now. */
  lose(worker: string, now: number): void
  /** This process did not run for a while (stopped, suspended): no lease has run out for that. */
  woke(now: number): void
  /** Expiries, lost leases, delays that ended. Call at `nextAt()` or later. */
  tick(now: number): void
  /** When `tick` has something to do; Infinity = never. */
  nextAt(): number
  pause(selector: Selector): void
  resume(selector: Selector): void
  paused(): readonly Selector[]
  purge(selector: Selector, now: number): readonly JobId[]
  place(id: JobId, now: number): Place | null
  state(id: JobId): JobState | null
  tally(id: JobId): Tally | null
  depth(): QueueDepth
  /** Events since the last drain, in order. */
  drain(): readonly SchedulerEvent[]
}

// ---------------------------------------------------------------- token log

export interface LogPage {
  /**
   * Under which these records were written: a record keeps its cursor for ever, and no page holds those of two epochs.
   */
  readonly epoch: number
  /** seq of records[0]. */
  readonly firstSeq: number
  /** Whole records; at least one unless none is there. */
  readonly records: readonly Bytes[]
  /** Last seq that is readable now. */
  readonly head: number
  /** The last readable record is the `end` record. */
  readonly ended: boolean
}

/** How far a log goes. */
export type LogHead = Pick<LogPage, 'epoch' | 'head' | 'ended'>

export interface LogWriter {
  readonly epoch: number
  /** Last seq of the log when this attempt opened it. */
  readonly head: number
  /**
   * Takes records in order, to be stored with the next commit window; never throws. `outputTokens` of them are
   * charged to the tenant's fair share. `urgent`: commit at the end of this turn (the first token). What was
   * taken before `Queue.finish` is stored before the end record.
   */
  append(records: readonly Bytes[], outputTokens: number, urgent: boolean): void
  /** Bytes taken and not yet committed: stop reading the upstream above a cap. */
  readonly pendingBytes: number
  /** Resolves when all that was taken is committed. */
  flushed(): Promise<void>
}

export interface TokenLog {
  /** Opens the log for the lease's attempt. Throws what fences it. */
  open(lease: Lease): LogWriter
  /** Without reading any record; null as in `read`. */
  head(job: JobId): Promise<LogHead | null>
  /**
   * How far the log is the one that a cursor of an older `epoch` saw: up to this seq its records are the same. 0: not
   * at all, or nothing is known of that epoch.
   */
  commonWith(job: JobId, epoch: number): Promise<number>
  /**
   * Records after `afterSeq`, at most about `maxBytes` of them; null when there is no such log (unknown, erased,
   * retention).
   */
  read(job: JobId, afterSeq: number, maxBytes: number): Promise<LogPage | null>
  /**
   * Calls `listener` with each run of records once it may be read (stored; the end record: power-safe), in
   * order, in the same turn for all listeners of a job. Does not replay: follow first, then read, then drop
   * what both brought. Returns its unfollow. A log that ended calls nobody.
   */
  follow(job: JobId, listener: (firstSeq: number, records: readonly Bytes[]) => void): () => void
}

// ---------------------------------------------------------------- conversations

export interface Turn {
  readonly job: JobId
  readonly state: JobState
  /** The job's own messages: JSON array. */
  readonly messages: string
  /** The assistant's final message: JSON object; null for a turn without one. */
  readonly answer: string | null
}

export interface ConversationInfo {
  readonly id: string
  readonly name: string | null
  readonly turns: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

export interface TurnRange {
  readonly from: 'newest' | 'oldest'
  /** Those after this job's turn, in the order of `from`; it need not be there any more. */
  readonly beyond?: JobId
  /** At most this many (1-1,000). */
  readonly limit: number
  /** A page ends before the turn that would exceed this. */
  readonly maxBytes: number
}

export interface TurnPage {
  readonly turns: readonly Turn[]
  /** There are others beyond the last one. */
  readonly more: boolean
}

export interface ConversationRange {
  readonly limit: number
  readonly scope?: string
  readonly after?: string
}

export interface ConversationPage {
  readonly conversations: readonly ConversationInfo[]
  readonly next: string | null
}

/** What a watcher of a conversation is told. */
export type ConversationNews =
  /**
   * How it stands: always told first, and again instead of changes where there are many. `info` null: there is none.
   * `jobs`: those that have not ended, in their order, at most 100; `more`: there are others after them.
   */
  | {
      readonly type: 'standing'
      readonly info: ConversationInfo | null
      readonly lastTurn: JobId | null
      readonly jobs: readonly Job[]
      readonly more: boolean
    }
  /** Power-safe. Told again where the standing had it already. */
  | { readonly type: 'submitted'; readonly job: Job }
  /** Its turn is in the conversation. */
  | { readonly type: 'ended'; readonly job: Job }
  | { readonly type: 'erased'; readonly job: JobId }
  | { readonly type: 'renamed'; readonly name: string }
  | { readonly type: 'truncated' }
  | { readonly type: 'deleted' }

/**
 * The remembered side of lanes. A conversation exists from the commit that accepts its first job; turns are added by
 * Queue.finish, in lane order.
 */
export interface Conversations {
  /** Tells `listener` how the conversation stands, then each change, in order. Returns its stop. */
  watch(tenant: TenantId, id: string, listener: (news: ConversationNews) => void): () => void
  get(tenant: TenantId, id: string): Promise<ConversationInfo | null>
  /**
   * Turns in the order of `from`; at least one where there is one, whatever it weighs. Null when there is no such
   * conversation.
   */
  turns(tenant: TenantId, id: string, range: TurnRange): Promise<TurnPage | null>
  /** The instructions (system, developer) that it began with: JSON array; null when it began with none. */
  instructions(tenant: TenantId, id: string): Promise<string | null>
  /**
   * The one with the newest turn first, or with the first job where there is none. `scope`: '' for all of the tenant's,
   * or a name space: a text up to and including the first "/" of an id. `after`: the `next` of the page before; null at
   * the end. Throws cursor_invalid.
   */
  list(tenant: TenantId, page: ConversationRange): Promise<ConversationPage>
  rename(tenant: TenantId, id: string, name: string): Promise<boolean>
  /**
   * Keeps the first `keepTurns` turns, where a job that has not ended is the turn that it will be; those beyond are
   * canceled and erased, and what was accepted after the call is not touched.
   */
  truncate(tenant: TenantId, id: string, keepTurns: number): Promise<boolean>
  /** Also cancels and erases its jobs that have not ended; what is accepted after the call begins it anew. */
  delete(tenant: TenantId, id: string): Promise<boolean>
}

// ---------------------------------------------------------------- keys

export interface ApiKey {
  readonly id: string
  readonly tenant: TenantId
  readonly name: string
  /** First chars of the key, to tell keys apart. */
  readonly hint: string
  readonly createdAtMs: number
  readonly expiresAtMs?: number
  readonly revokedAtMs?: number
}

/** Keys are stored as digests; the key itself is nowhere. */
export interface Keys {
  /** Answers from memory. `digest`: SHA-256 of the key, base64url. */
  find(digest: string): ApiKey | null
  get(id: string): ApiKey | null
  add(key: ApiKey, digest: string): Promise<void>
  /** False when there is none. */
  revoke(id: string, atMs: number): Promise<boolean>
  list(): readonly ApiKey[]
}

// ---------------------------------------------------------------- providers

export interface ProviderCall {
  readonly kind: 'chat' | 'embedding'
  /** The request to send: OpenAI dialect, UTF-8. */
  readonly body: Uint8Array
  /** Ask for events, or for the answer in one piece? A provider that can do only one of them does that one. */
  readonly stream: boolean
  /** For the upstream's correlation. */
  readonly requestId: string
  readonly timeouts: Timeouts
  /** The assistant's text so far, to be prolonged; only where `continues`. */
  readonly prefix?: string
}

export interface Timeouts {
  /** To the first text, where the answer comes as a stream. */
  readonly ttftMs: number
  /** Between events, from the first text on. */
  readonly interTokenMs: number
  /** The whole attempt. */
  readonly totalMs: number
}

export type ProviderEnd =
  /** The answer is complete: the upstream said so ([DONE], or a finish reason for every choice and a clean end). */
  | { readonly kind: 'done' }
  /**
   * `retry`: could the same call succeed later, or on another deployment only? The error's `retryAfterMs` is there if
   * the upstream is too busy: no call starts there before.
   */
  | { readonly kind: 'failed'; readonly error: SluiceError; readonly retry: boolean | 'elsewhere' }
  /** `abort` was called. */
  | { readonly kind: 'aborted' }

export interface ProviderSink {
  /** Events of the canonical dialect, each the bytes of one JSON text, in order, as many as one read brought. */
  events(payloads: readonly Bytes[]): void
  /**
   * The whole answer in one piece, instead of events: the upstream's bytes. `usage`: its member of that name, parsed.
   */
  document(document: Bytes, usage: unknown): void
  /** Exactly once; nothing follows. */
  end(end: ProviderEnd): void
}

export interface ProviderRun {
  /** Stops the call and closes its connection within this turn; `end` follows with `aborted`. Safe to repeat. */
  abort(): void
  /** Stops and goes on reading; what the upstream sends waits in the kernel. */
  pause(): void
  resume(): void
}

/** One way to reach models; bound at construction to its origin and key, which no caller can change. */
export interface Provider {
  /** Can it prolong a given prefix of an answer? */
  readonly continues: boolean
  /** Starts a call; never throws. An embedding answers with a document. */
  start(call: ProviderCall, sink: ProviderSink): ProviderRun
  /** Reachable, and does it accept our key? For doctor. */
  check(): Promise<{ readonly ok: boolean; readonly detail: string; readonly status?: number }>
  close(): void
}

/** A model somewhere: what routing chooses among. */
export interface Deployment {
  readonly name: string
  readonly provider: Provider
  /** The upstream's name of the model; null = the name the client asked for. */
  readonly upstreamModel: string | null
  /** Calls at once; Infinity = no limit. */
  readonly concurrent: number
  /** Lower orders first. */
  readonly order: number
  /** Tokens the model can take in; conversations are cut to it. */
  readonly contextTokens: number
  /** Is it asked for streams as the client asks for them, always, or never? */
  readonly stream: 'as_asked' | 'always' | 'never'
  /** Members of an answer that a conversation sends back to it, beside those that any provider takes. */
  readonly conversationMembers: readonly string[]
  readonly timeouts: Timeouts
}

// ---------------------------------------------------------------- delivery

/** A whole JSON answer over HTTP. */
export interface Reply {
  readonly status: number
  /** Those of an error: is it worth another try, and when? */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Bytes
}

export interface ReaderRequest {
  readonly job: Job
  readonly dialect: 'chat' | 'native'
  /** Null: from the start. Already checked to be well formed; whether it fits the log is found out here. */
  readonly cursor: Cursor | null
  readonly response: ServerResponse
  /** Answer with headers at the latest after this; null = at once. */
  readonly headersAfterMs: number | null
  /** Nothing that names a cursor is written before this. */
  readonly ready: Promise<void>
  /** The reader left, or its stream was closed by us (drain), before the end. */
  onGone(): void
  /** The reader has all there is. */
  onDone(): void
}

/**
 * A connection that many readers share, as they see it. Whole frames; what is written in one turn leaves in one write.
 */
export interface FrameSink {
  write(frames: Bytes): void
  /** It takes nothing more now. */
  readonly full: boolean
  /**
   * Bytes that may be read for this reader now, at most `most`; they count as written until they are released. 0: it is
   * full, and the reader is told to `resume` when its turn has come: those that waited longest first.
   */
  claim(most: number, reader: SocketReader): number
  release(claimed: number): void
}

/** One job's place on a shared connection. */
export interface SocketReaderRequest {
  readonly job: Job
  readonly cursor: Cursor | null
  readonly sink: FrameSink
  /** Bytes of `ev` frames that may be written until there is credit for more; Infinity = without end. */
  readonly window: number
  /** Is a `live` frame wanted when it has caught up? */
  readonly tellsLive: boolean
  /** It can't be read (any longer): cursor_ahead, job_gone, … Nothing follows. */
  onFail(error: SluiceError): void
  /** `complete`: it has all there is. Else delivery closed. Nothing follows. */
  onOver(complete: boolean): void
}

export interface SocketReader {
  /** Has any of its records been written? */
  readonly started: boolean
  credit(bytes: number): void
  /** The sink has room again. */
  resume(): void
  /** No more of it; nobody is called any more. */
  leave(): void
}

/** From the log to readers: replay, then live. */
export interface Delivery {
  /** Writes the job's frames behind the cursor to the sink until the end. */
  follow(reader: SocketReaderRequest): SocketReader
  /**
   * Streams the job's events to the response until the end. Writes status and headers itself (with `headers`
   * added); what fails before the first event is answered as JSON with its own status.
   */
  stream(reader: ReaderRequest, headers: Readonly<Record<string, string>>): void
  /** The whole answer, once the job has ended and its end is power-safe: `chat.completion` or error. */
  result(job: Job): Promise<Reply>
  /** Calls `fn` once the end may be told; at once (later in this turn) if it ended before. Returns its unwatch. */
  ended(job: JobId, fn: () => void): () => void
  /** Open streams of the job. */
  readers(job: JobId): number
  /** Ends all streams at a record boundary (drain). */
  close(): void
}

export type { Job, JobDraft, JobId, JobState, Place, WireError }
