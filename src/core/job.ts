/** A job: one accepted generation, from submit to its one terminal record. Its id also names its log. */
import type { WireError } from './errors.ts'
import type { RunBudget, Shortfall, TokenPrice } from './limits.ts'
import type { TtftParts } from './measure.ts'
import type { Traceparent } from './trace.ts'

/**
 * "job_" + 26 Crockford base32 chars: 55 bits of order (see ids.ts), then 75 random bits; sorts by order of acceptance.
 */
export type JobId = string
export type TenantId = string

/** `waiting`: next in its order, but no slot is free. `delayed`: waits for a retry, or for its `delay_ms`. */
export type JobState = 'queued' | 'delayed' | 'waiting' | 'leased' | 'done' | 'failed' | 'canceled' | 'expired'
export const isTerminal = (state: JobState): boolean =>
  state === 'done' || state === 'failed' || state === 'canceled' || state === 'expired'

export type Priority = 'high' | 'normal' | 'low'
/** What to do when a worker is lost, or an attempt fails, after text was shown. */
export type WorkerLossPolicy = 'continue' | 'restart' | 'fail'
/** A plain POST whose reader is gone is canceled after a grace period; other jobs keep running. */
export type DisconnectPolicy = 'cancel' | 'continue'

/** What a client may ask of the queue, as the gateway read it. */
export interface JobOptions {
  /** Jobs of one lane run in order, one at a time. No lane: no order. */
  readonly lane?: string
  /** A lane that remembers: the prompt is the conversation so far plus the job's own messages. */
  readonly conversation?: string
  /** Workers subscribe to pools. */
  readonly pool: string
  readonly priority: Priority
  /** Not leased before this many ms from submit. */
  readonly delayMs?: number
  /** Must be leased within this many ms from submit, or it expires. */
  readonly deadlineMs: number
  readonly idempotencyKey?: string
  /** `reject`: no headroom at submit = 429. `wait`: takes its place in line. */
  readonly policy: 'reject' | 'wait'
  readonly onWorkerLoss: WorkerLossPolicy
  readonly onDisconnect: DisconnectPolicy
  /** `no-store`: it shares no answer; `no-cache`: it takes none that is there, and makes one. Absent: as its tenant. */
  readonly cache?: 'no-store' | 'no-cache'
}

/** What is asked for. `transcription`: of a sound, as text, in its language or in English. */
export const JOB_KINDS = ['chat', 'embedding', 'image', 'speech', 'transcription'] as const
export type JobKind = (typeof JOB_KINDS)[number]

/** Where a request of this kind may be posted to, as it is stored. */
export const ENDPOINTS: Readonly<Record<JobKind, string>> = {
  chat: '/v1/chat/completions',
  embedding: '/v1/embeddings',
  image: '/v1/images/generations',
  speech: '/v1/audio/speech',
  transcription: '/v1/audio/transcriptions',
}

/** Its request or its answer has bytes that are no text: they are kept in files, and its log refers to those. */
export const isMedia = (kind: JobKind): boolean => kind !== 'chat' && kind !== 'embedding'

/** What only some models can do. */
export const ABILITIES = ['tools', 'vision', 'json_schema', 'continue'] as const
export type Ability = (typeof ABILITIES)[number]
/** Null or absent: nobody knows. */
export type Abilities = Readonly<Partial<Record<Ability, boolean | null>>>

/** What a request needs of the deployment that answers it. */
export interface Needs {
  readonly can: readonly Ability[]
  /** All of them. */
  readonly tags: readonly string[]
}

/** A model that may answer in place of the one that a request names. */
export interface Instead {
  readonly model: string
  /** Nano-dollars a token; absent: nobody knows. */
  readonly price?: TokenPrice
}

/** Jobs of the same key asked the same, of the same tenant (and user): one may be answered with another's answer. */
export interface Share {
  readonly key: string
  /** It takes no answer that is there; what it is answered is for others. Absent: it takes one. */
  readonly refresh?: true
}

/** `hit`: another job's answer that was there; `joined`: one that was being made; `miss`: it was to make its own. */
export type Cached = 'hit' | 'joined' | 'miss'

/** How a job came. */
export interface FromBroker {
  readonly broker: 'rabbitmq' | 'kafka'
  /** As another program named its message; absent: Sluice has published it. */
  readonly message?: string
}

/** A job as submitted. */
export interface JobDraft {
  readonly tenant: TenantId
  /** Id of the API key that submitted it. */
  readonly keyId: string
  /** End user: the dialect's `user` / `safety_identifier`, or `sluice-user`. */
  readonly user?: string
  /** Of a page's session: whose share of the tenant's caps it counts against (all sessions of a user share one). */
  readonly session?: string
  readonly kind: JobKind
  /** The model's public name, as the client asked. */
  readonly model: string
  /** The request in OpenAI's dialect, as the client sent it, without its `sluice` member. UTF-8. */
  readonly body: Uint8Array
  /** Digest of what the client sent: the same body again is the same request. */
  readonly bodyHash: string
  readonly options: JobOptions
  /** An SDK's own retry of a POST (J4): joins its first job instead of paying twice. */
  readonly isRetry: boolean
  /** The dialect of its request, in which its result is rendered. */
  readonly dialect: string
  /** How that dialect is to show the answer, by the request: in its own words. */
  readonly shownAs?: Readonly<Record<string, unknown>> | undefined
  /** May what was shown of its answer be withdrawn? Not where it is streamed in a dialect that can't tell. */
  readonly takesBack: boolean
  /** Its thought is not shown, and so may be withdrawn. Absent: it may be shown. */
  readonly hidesThought?: true
  /**
   * Is the upstream asked for the answer in one piece? So it is where nobody follows the job live, or its request has
   * `stream: false`.
   */
  readonly document?: boolean
  /** Estimate, for fairness and limits; corrected by the provider's usage. */
  readonly promptTokens: number
  /** The most that it lets its model answer, tokens; absent: it names no limit. */
  readonly maxOutputTokens?: number
  /** Tells kinds of requests apart by how long their answers are: a digest of its instructions. */
  readonly route?: string
  /** An agent's run, as its client names it: all jobs of a run share its limits. */
  readonly run?: string
  /** The job that gave rise to this one. Absent: it is nobody's child. */
  readonly parent?: JobId
  /** Jobs that have to end well before this one is leased, all of them older. Absent: it waits for none. */
  readonly after?: readonly JobId[]
  /**
   * How often the answer of each of `after` is put into its messages, where `promptTokens` does not count it yet.
   * Absent: none is.
   */
  readonly outputs?: readonly number[]
  /** Nano-dollars a token when it was accepted; absent: nobody knows. */
  readonly price?: TokenPrice
  /** Of its model's fallbacks, when it was accepted, those that its caller may use. Absent: none. */
  readonly instead?: readonly Instead[]
  /** With which requests it may share an answer; absent: with none. */
  readonly share?: Share
  /** Absent: any deployment of its model will do. */
  readonly needs?: Needs
  /** Digest of what its prompt begins with, where that matters; absent: of a conversation, or it does not. */
  readonly affinity?: string
  /** The client's own labels, returned with the job. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Id of the HTTP request, or of the WebSocket connection, that submitted it: links a log line to its client. */
  readonly requestId?: string
  /** From that request's head to the submit, ms, less the client's upload: what its acceptance took. */
  readonly admissionMs?: number
  /** Of that request: sent to the upstream, and part of every fact about the job. */
  readonly trace?: Traceparent
  /** The endpoint that its end is told to, too; absent: to none but those that want all such ends. */
  readonly webhook?: string
  /** What its end is announced as; absent: as nothing, unless it names a webhook. */
  readonly tells?: 'response' | 'job'
  /** What its run may use in all, by when it was submitted; absent: as much as the limits allow. */
  readonly budget?: RunBudget
  /** How many it stems from, itself included, up to one without a parent; absent: 1. */
  readonly depth?: number
  /** It came through a broker, where it had waited; absent: it did not. */
  readonly intake?: FromBroker
  /** The job that this one repeats (redrive of a dead letter). */
  readonly redriveOf?: JobId
}

/** A job as it is stored. */
export interface Job extends Omit<JobDraft, 'isRetry'> {
  readonly id: JobId
  readonly state: JobState
  /** The log's incarnation. */
  readonly epoch: number
  /** Attempts begun. */
  readonly attempts: number
  readonly acceptedAtMs: number
  /** How it was to get its answer when it was accepted; absent: it shares none. */
  readonly cached?: Cached
  readonly endedAtMs?: number
  readonly error?: WireError
  readonly usage?: Usage
  readonly timing?: Timing
  /** Its answer was cut for this: nothing was left for it. */
  readonly cut?: Shortfall
}

/** Tokens, counted by the provider, or by us where it could not (`estimated`). */
export interface Usage {
  readonly promptTokens: number
  readonly completionTokens: number
  /** Part of `promptTokens`, as are those written to the provider's cache, and those of sounds. */
  readonly cachedTokens?: number
  readonly cacheWriteTokens?: number
  readonly audioPromptTokens?: number
  /** Part of `completionTokens`, as are those of sounds. */
  readonly reasoningTokens?: number
  readonly audioCompletionTokens?: number
  readonly estimated: boolean
}

/** Tokens of an answer where it is put into another prompt: its thought is not. */
export const saidTokens = ({ completionTokens, reasoningTokens = 0 }: Usage): number =>
  Math.max(0, completionTokens - reasoningTokens)

/** Where the time went, ms. */
export interface Timing {
  /** In line: all of its waits, its own delay and the pauses between attempts among them. No attempt's time. */
  readonly queuedMs: number
  /** Of that, until it was its own turn: see TtftParts. Absent: it never waited so, or nobody knows. */
  readonly turnMs?: number
  /**
   * Time to first token: accepted to the first text of the answer. Absent where there was none, where it came with all
   * the rest in a document, or where nobody knows.
   */
  readonly ttftMs?: number
  /** Where it went; all but `admission`, which comes before acceptance, and `delivery`, add up to `ttftMs`. */
  readonly parts?: TtftParts
  /** Time per output token after the first. */
  readonly tpotMs?: number
  /** Accepted to the end of its last attempt. */
  readonly totalMs: number
  readonly attempts: number
}

/** A job's place in the queue. */
export interface Place {
  /** 1 = next of its lane or tenant. 0 = running, ended, or not in line yet (`waitsForJobs`). */
  readonly position: number
  /** Tokens to be served before it, by the fair order. */
  readonly tokensAhead: number
  /** Absent while nothing has been measured yet. */
  readonly etaMs?: number
  /** The limit that has no room for it now; absent: it waits for its turn alone. */
  readonly waitingFor?: Awaited
  /** How many jobs have to end before it is in line at all; absent: none. */
  readonly waitsForJobs?: number
}

/** As a client would notice: that time passes is no change. `told` null: nothing was. */
export const isSamePlace = ({ position, waitingFor, waitsForJobs }: Place, told: Place | null): boolean =>
  told !== null &&
  position === told.position &&
  waitsForJobs === told.waitsForJobs &&
  waitingFor?.level === told.waitingFor?.level &&
  waitingFor?.unit === told.waitingFor?.unit

export interface Awaited extends Pick<Shortfall, 'level' | 'unit' | 'window'> {
  /** Until there is room, if nothing more comes; null: nobody knows. */
  readonly inMs: number | null
}
