/**
 * A dialect: how clients of one API ask, and how they are answered. Everything in it is pure. It renders a log from its
 * start, and the same log gives the same events, however often a reader is cut and wherever it resumes.
 */
import type { SluiceError, WireError } from '../errors.ts'
import type { Job, JobId, JobKind, JobState, TenantId, Timing } from '../job.ts'
import type { JsonRecord } from '../json.ts'
import type { TtftParts } from '../measure.ts'
import type { FileField } from '../media.ts'
import type { Bytes, End } from '../record.ts'

/** Consecutive records of a log. */
export interface Run {
  readonly job: JobId
  readonly epoch: number
  /** seq of records[0]. */
  readonly firstSeq: number
  readonly records: readonly Bytes[]
}

export interface Rendered<S> {
  /** Whole events; '' if there are none. */
  readonly events: Bytes
  /** After the run. */
  readonly state: S
  /** That was the last event: nothing more is rendered for this reader. */
  readonly over: boolean
}

/** What of a job its rendering may depend on. */
export type Rendering = Pick<Job, 'id' | 'tenant' | 'kind' | 'dialect' | 'shownAs' | 'model' | 'acceptedAtMs'>

/** What clients keep for us and can't read: sealed by a key of the server, for a tenant. */
export interface Sealing {
  /** The same text each time, as a reader that was cut must see what others see. Null: there is no key to seal with. */
  seal(secret: string, tenant: string): string | null
  /** Null: it is none of ours, another tenant's, was altered, or its key is gone. */
  open(sealed: string, tenant: string): string | null
}

/** How a stream's events are written to an HTTP response. */
export interface StreamWire {
  /** content-type */
  readonly type: string
  /** Of the response, beside those of every stream. */
  readonly headers?: Readonly<Record<string, string>>
  /** Written into a long silence, between events. '': nothing. */
  readonly heartbeat: Bytes
  /** Before the text of a comment that is a part of the event after it. '': there are none. */
  readonly comment: Bytes
  /** What each event ends with, and has nowhere else. */
  readonly endsWith: Bytes
  /**
   * Its events refer to bytes of files, which are sent in their place: `bytes`: they are lines of nothing else
   * (mediaRecord); `events`: the bytes stand in them in base64 (gapOf). Absent: they don't.
   */
  readonly refers?: 'bytes' | 'events'
}

/** Server-sent events. The heartbeat is a comment without the blank line: an empty event makes openai-python raise. */
export const SSE: StreamWire = {
  type: 'text/event-stream; charset=utf-8',
  heartbeat: ': hb\n',
  comment: ': ',
  endsWith: '\n\n',
}

/**
 * Renders a log, event by event. Each event has a number, by which a client reports what it has: that of its record,
 * or a count of the dialect's own. `S` is what it remembers from record to record: a value that is never changed, as
 * readers share it.
 */
export interface StreamForm<S = unknown> {
  /** In `?dialect=` and in facts. */
  readonly name: string
  /** Absent: SSE. */
  readonly wire?: StreamWire
  /**
   * Its clients can handle a `reset`, which withdraws what they were shown. False: a job that is streamed in it never
   * restarts once it has shown text. A log may have one all the same, of a job that was asked for otherwise.
   */
  readonly takesBack: boolean
  /** Before the first record. */
  begin(job: Rendering): S
  /**
   * The run's events with numbers above `known`, all of them where it is 0. The state is the same whatever is known.
   */
  render(run: Run, state: S, known: number): Rendered<S>
  /** How many events there were so far. Absent: events are numbered as their records. */
  count?(state: S): number
  /**
   * There may be events before the first record: rendering no records, at the start, gives them. Only with a count of
   * its own. Absent: there are none.
   */
  readonly opens?: boolean
  /** Needs no state of earlier records: a reader may begin after any record. Not with a count of its own. */
  readonly beginsAnywhere: boolean
  /**
   * The event for a log that is no longer the one that was read: everything shown is void. Null: there is none, and
   * such a reader gets cursor_stale.
   */
  readonly gap: ((job: JobId) => Bytes) | null
  /** The event after everything that was stored has been sent. Null: there is none. */
  readonly live: ((job: JobId, cursor: string) => Bytes) | null
  /** An error, as the last event. Null: the stream is cut, and its clients return with their cursor. */
  readonly error: ((error: SluiceError) => Bytes) | null
  /**
   * The answer instead of a stream that would hold nothing but the job's failure: its headers wait for that. Null: the
   * stream begins at once, and a failure is an end like any other.
   */
  readonly failure: ((end: End) => Reply) | null
}

/** A whole answer over HTTP. */
export interface Reply {
  readonly status: number
  /** For errors: whether and when to retry. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Bytes
  /** content-type; absent: JSON. */
  readonly type?: string
  /** Of the job, where it is known; or of it where the time to its first text went. */
  readonly timing?: Timing
  readonly parts?: TtftParts
  /** Of a job that has not ended well. */
  readonly error?: WireError
}

/** An answer in one piece, made of a log. */
export interface WholeAnswer {
  /** The log's records, from the first on, in portions as they come. */
  take(records: readonly Bytes[]): void
  /** The answer, or the error that the job ended with. Throws for a log that has not ended. */
  reply(): Reply
}

/** A request as it is stored and sent on, in OpenAI's dialect, with what its job needs to know. */
export interface CanonicalRequest {
  /** UTF-8, and what it parses to. */
  readonly body: Uint8Array
  readonly value: JsonRecord
  /** Does the client want the answer as a stream? Undefined: the request doesn't specify. */
  readonly stream: boolean | undefined
  /** In which its events are told. Absent: its dialect's own. */
  readonly form?: StreamForm
  /** What it names as its end user; kept if it is a text. */
  readonly user: unknown
  /** How the answer is to be shown, in the dialect's own words; kept with the job. */
  readonly shownAs: Job['shownAs']
  /** Its answer is shown without what the model thought. Absent: with it. */
  readonly hidesThought?: boolean
  /** The run of the answer that it goes on from, as it is stored; absent: it is of none. */
  readonly run?: string
}

/** An earlier job that a request refers to, as far as it has come. */
export interface Recalled {
  /** As it is stored; absent: it is of none. */
  readonly run?: string
  readonly job: Rendering
  /** The canonical request. */
  readonly request: JsonRecord
  /** The whole log. */
  readonly records: readonly Bytes[]
  /** How it ended; null: it has not. */
  readonly end: End['state'] | null
  /** The end user that it was for; null: none was named. */
  readonly user: string | null
  /** The conversation that it is a turn of, whose memory is not in its request; null: of none. */
  readonly conversation: string | null
}

/** What of the server's own a request is read with. */
export interface ReadContext extends References {
  /** Whose sealed texts are opened. */
  readonly tenant: TenantId
}

export interface References {
  /** Those of `refersTo` that there are, and that the caller may see and go on from. Absent: none can be looked up. */
  readonly recalled?: ReadonlyMap<JobId, Recalled>
  /** Some are gone, and the job that this repeats was asked this: the canonical request. */
  readonly repeated?: JsonRecord
}

export interface RequestForm {
  /** Where it is posted to; also names it in a job's `endpoint`. */
  readonly path: string
  readonly kind: JobKind
  /** "chat completions", in the message about a model that doesn't support them. */
  readonly what: string
  /** "OpenAI's Responses API", in the list of routes. Absent: `what` it asks for says enough. */
  readonly api?: string
  /** Parameters that clients add to the path on their own. */
  readonly query: readonly string[]
  /** Counts the tokens of such a request instead of answering it. Absent: its API has no such call. */
  readonly counts?: { readonly path: string; reply(tokens: number): object }
  /** It may come as a form, whose files of these names are kept: the request has their ids. Absent: it is JSON. */
  readonly uploads?: readonly FileField[]
  /** Is it to be acknowledged, and to run on without the connection that it came by? Absent: never. */
  detaches?(value: JsonRecord): boolean
  /** The conversation that it is to be a turn of, made as its API makes them; null: none. Throws invalid_request. */
  conversationIn?(value: JsonRecord): string | null
  /** Jobs that it goes on from, whoever they belong to. Absent: none. */
  refersTo?(value: JsonRecord): ReadonlySet<JobId>
  /**
   * Checks what would harm us, and what we must read ourselves; the rest is the provider's to judge. `value` is what
   * `bytes` parse to; its `model` is checked already. Throws invalid_request.
   */
  read(value: JsonRecord, bytes: Uint8Array, context?: ReadContext): CanonicalRequest
  /** The same for a model whose every deployment takes older completions as they are. Absent: it is read as any. */
  readAsIs?(value: JsonRecord, bytes: Uint8Array): CanonicalRequest
}

/** An API that keeps its answers under ids of their own, at its request's path: read, followed, canceled, deleted. */
/** A page of what a job was asked. */
export interface InputPage {
  readonly order: 'asc' | 'desc'
  readonly limit: number
  /** In that order, those behind the item of this id; of one that is not there: from the first. */
  readonly after: string | undefined
}

export interface Resource {
  /** In messages. */
  readonly what: string
  idOf(job: JobId): string
  /** Null: no id of this API. */
  jobOf(id: string): JobId | null
  /** May it be looked up by its id? */
  isKept(job: Rendering): boolean
  /** Query parameters of a read: is it to be streamed, and which events are known. */
  readonly streamed: string
  readonly after: string
  /** Others, which change nothing here. */
  readonly query: readonly string[]
  /** How many events there are up to the one that `after` names. */
  known(after: number): number
  /** Of a job that has not ended. */
  pending(job: Rendering, state: JobState): Bytes
  /** Of one that has, however it ended: no error of HTTP. */
  ended(job: Rendering): WholeAnswer
  deleted(job: JobId): Bytes
  /** What it was asked, of the canonical request. */
  inputs(job: Rendering, request: JsonRecord, page: InputPage): Bytes
}

/** What a message of a client asks for. */
export type LaneMessage =
  /** A request, to be read by the dialect's first form; it is streamed. */
  | { readonly asks: 'request'; readonly lane: string | null; readonly request: JsonRecord }
  /** What a request that goes on from it begins with; there is no answer. Only its own connection knows it. */
  | { readonly asks: 'preparation'; readonly lane: string | null; readonly request: JsonRecord }
  /** Nothing more than this to be told: text. */
  | { readonly asks: 'nothing'; readonly reply: Bytes }

/** An API whose requests come over a WebSocket, too, at their path: those of one lane are answered in their order. */
export interface Lanes {
  /** Throws invalid_request. */
  read(message: JsonRecord): LaneMessage
  /** The lane that a message names, readable or not; null: none. */
  laneOf(message: JsonRecord): string | null
  /** An answer's events, as frames. */
  stream(lane: string | null): StreamForm
  /** All that is told of what was prepared, as frames. */
  prepared(as: Rendering, lane: string | null): Bytes
  /** The request as one that needs nothing prepared; itself where it does not go on from `id`. */
  joined(request: JsonRecord, id: JobId, prepared: JsonRecord): JsonRecord
  /** An error, as text. `headers`: of an answer over HTTP. */
  error(error: SluiceError, headers: Readonly<Record<string, string>>, lane: string | null): Bytes
}

/** An API that requests come in. */
export interface Dialect<S = unknown> {
  /** Kept with the jobs. */
  readonly name: string
  readonly requests: readonly RequestForm[]
  /** Null: its answers come whole. */
  readonly stream: StreamForm<S> | null
  whole(job: Rendering): WholeAnswer
  /** The id of a job's answer, as its client knows it. Absent: the upstream's, or none. */
  answerId?(job: JobId): string
  /** Absent: its answers are not kept under ids of their own. */
  readonly resource?: Resource
  /** What was said in a turn of a conversation, as it is kept, as items of this API. Absent: it has none. */
  turnItems?(job: JobId, messages: readonly unknown[]): readonly JsonRecord[]
  /** The turn that an item is of; null: it is none of ours. */
  jobOfItem?(id: string): JobId | null
  /** Absent: it is spoken over HTTP only. */
  readonly lanes?: Lanes
  /** The body of an HTTP answer that is an error. */
  error(error: WireError): Bytes
  /** Its content-type; absent: JSON. */
  readonly errorType?: string
  /** The header that its clients read a request's id in, beside `x-request-id`. Absent: they read that. */
  readonly idHeader?: string
}

/** What of it shows in every answer of its routes. */
export type Spelling = Pick<Dialect, 'error' | 'errorType' | 'idHeader'>

/** Those that the server speaks. */
export interface Dialects {
  readonly spoken: readonly Dialect[]
  /** Forms of a job's events that no request comes in. */
  readonly read: readonly StreamForm[]
  /** The form of a job's events, unless another is requested. */
  readonly events: StreamForm
  /** What a WebSocket carries. */
  readonly frames: StreamForm
}
