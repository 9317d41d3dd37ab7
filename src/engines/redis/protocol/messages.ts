/**
 * What the coordinator tells processes, on their channels: one JSON array of messages, and where leases are among
 * them a second line with what the commit's script added (see readMail). All leave inside the fenced script.
 */
import type { CheckReport } from '../../../core/engine-check.ts'
import type { Cached, Job, JobId, JobState, Place } from '../../../core/job.ts'
import type { LimitUse, RunUse, Shortfall, Standing, TenantStanding } from '../../../core/limits.ts'
import type { Line } from '../../../core/live.ts'
import type { Backlog, DeploymentStatus, QueueDepth, RouteTrace, Selector } from '../../../core/ports/operations.ts'
import type { Claim } from '../../../core/ports/work.ts'
import {
  count,
  fits,
  flag,
  list,
  type Member,
  maybe,
  members,
  number,
  object,
  orNull,
  parse,
  positive,
  readTyped,
  type Shape,
  text,
} from '../../shared/shape.ts'
import type { PackedError } from './errors.ts'
import type { Marks } from './marks.ts'

/** What was asked under this number. */
export interface Answer {
  readonly type: 'answer'
  readonly n: number
  readonly is: unknown
}

export interface Refused {
  readonly type: 'refused'
  readonly n: number
  readonly error: PackedError
}

export interface LeaseNote {
  readonly worker: string
  readonly id: JobId
  /** LiveRow, as it is stored; absent: it is enclosed. */
  readonly row?: string
  readonly bodyBytes: number
  readonly attempt: number
  readonly crashes: number
  readonly claim: Claim
  readonly sinceAcceptedMs: number
  readonly queuedMs: number
  /** Absent: of an earlier version, or nobody knows. */
  readonly turnMs?: number
  readonly ttftMs: number | null
  /** Of its log from now on. */
  readonly epoch: number
  /** Told before, but its worker does not seem to know. */
  readonly again?: true
}

export interface Leased {
  readonly type: 'leased'
  readonly leases: readonly LeaseNote[]
}

export interface Revoked {
  readonly type: 'revoked'
  readonly worker: string
  readonly id: JobId
  readonly attempt: number
  readonly reason: 'canceled' | 'lost'
}

export interface Cut {
  readonly type: 'cut'
  readonly worker: string
  readonly id: JobId
  readonly attempt: number
  readonly cause: Shortfall
}

export type Message = Answer | Refused | Leased | Revoked | Cut

/**
 * On the control channel: this coordinator acts, told once a second; where the term, or `wakes`, is another than
 * before, it wants to hear a heartbeat of all. Or none does.
 */
export type Control =
  | {
      readonly type: 'coordinator'
      readonly host: string
      readonly term: string
      /** How often it could hear nobody for a while. */
      readonly wakes?: number
      /** Its machine and process, for people. Absent, as `marks`: it is of an older version. */
      readonly place?: string
      /** Of the settings in force. */
      readonly marks?: Marks
    }
  | { readonly type: 'free' }
  /** A term broke off, and the next one may, for the same reason. */
  | { readonly type: 'broken'; readonly host: string; readonly reason: string }
  /** What checks of deployments found, by any process. */
  | { readonly type: 'checked'; readonly reports: readonly CheckReport[] }

// ---------------------------------------------------------------- what `is` an answer

export type SubmitAnswer =
  | {
      readonly kind: 'accepted'
      readonly id: JobId
      readonly seq: number
      readonly epoch: number
      readonly acceptedAtMs: number
      readonly state: JobState
      readonly attempts: number
      readonly place: Place
      /** Absent: nothing limits it, or an older version answers. */
      readonly standing?: Standing
      readonly cached?: Cached
      /** The commit made the sender a follower of the log. */
      readonly follows?: true
    }
  /** `epoch`: of logs, in which it was there; absent: an older version answers. */
  | { readonly kind: 'joined'; readonly id: JobId; readonly epoch?: number; readonly standing?: Standing }
  | { readonly kind: 'refused'; readonly error: PackedError }

export type FinishAnswer =
  | { readonly kind: 'ended'; readonly state: JobState }
  | { readonly kind: 'again'; readonly inMs: number }
  | { readonly kind: 'fenced' }

export interface Answers {
  readonly submit: readonly SubmitAnswer[]
  readonly cancel: 'canceled' | 'canceling' | 'ended' | 'unknown'
  /** Answered once the coordinator knows who of those that held something is still there. */
  readonly hello: null
  readonly seat: null
  readonly leave: null
  readonly draining: null
  readonly reading: null
  readonly finish: FinishAnswer
  readonly hedge: Claim | null
  readonly raced: null
  readonly finished: FinishAnswer
  readonly pause: null
  readonly resume: null
  /** How many. */
  readonly purge: number
  /** Those that have not ended. */
  readonly look: ReadonlyArray<Pick<Job, 'id' | 'state' | 'attempts'> & { readonly place: Place | null }>
  readonly list: ReadonlyArray<Pick<Job, 'id' | 'state' | 'attempts'> & { readonly seq: number }>
  readonly bar: null
  readonly forget: null
  readonly paused: readonly Selector[]
  readonly depth: QueueDepth
  readonly backlog: readonly Backlog[]
  readonly line: Line
  readonly standing: TenantStanding
  /** Null: nothing is known of it. */
  readonly run: RunUse | null
  readonly fullest: ReadonlyArray<LimitUse | null>
  readonly deployments: readonly DeploymentStatus[]
  readonly explain: RouteTrace
  readonly configure: null
}

// ---------------------------------------------------------------- heartbeats

/** On the `beats` channel, once a second from each process that has workers or readers; may be lost. */
export interface Beat {
  readonly type: 'beat'
  readonly version: number
  readonly process: string
  readonly workers: ReadonlyArray<{
    readonly id: string
    readonly pools: readonly string[]
    readonly slots: number
    readonly version: number
    /** It has given a sign of life since the last beat. */
    readonly alive: boolean
    /** "<job id> <attempt>" of what it has. */
    readonly held: readonly string[]
  }>
  /** Output tokens since the last one: [job id, attempt, tokens]. */
  readonly charges: ReadonlyArray<readonly [JobId, number, number]>
  /** All output tokens of what it holds, likewise; only where a new coordinator asked. */
  readonly streamed?: ReadonlyArray<readonly [JobId, number, number]>
  /** All plain POSTs that have a reader there; only where a new coordinator asked. */
  readonly reading?: readonly JobId[]
  /** When that was so, by Redis's clock as that process knows it. */
  readonly atMs?: number
}

const CHARGE: Member = (value) => Array.isArray(value) && text(value[0]) && count(value[1]) && count(value[2])

const BEAT: Shape = {
  process: text,
  workers: list((value) =>
    fits(value, { id: text, pools: list(text), slots: count, version: count, held: list(text) }),
  ),
  charges: list(CHARGE),
  streamed: maybe(list(CHARGE)),
}

export const readBeats = (json: string): readonly Beat[] => readTyped<Beat>(json, { beat: BEAT })

// ---------------------------------------------------------------- mail

const LEASE: Shape = { worker: text, id: text, row: maybe(text), attempt: count, crashes: count, claim: object }

const SHAPES: Readonly<Record<Message['type'], Shape>> = {
  answer: { n: count },
  refused: { n: count, error: object },
  leased: { leases: list((value) => fits(value, LEASE)) },
  revoked: { worker: text, id: text, attempt: count, reason: text },
  cut: { worker: text, id: text, attempt: count, cause: object },
}

/** What comes with a lease: its row, its request, unless that is large, and how far its log goes. */
export interface Enclosed {
  /** Null: it is in the lease's note. */
  readonly row: string | null
  /** Null: to be fetched. */
  readonly body: Buffer | null
  /** Last seq; 0: it is empty. */
  readonly head: number
  /** As a log's writer noted it. */
  readonly ttftMs: number | null
}

export interface Mail {
  readonly messages: readonly Message[]
  /** One for each lease, in their order. */
  readonly enclosed: readonly Enclosed[]
}

const LINE = 0x0a

/**
 * One message of a process's channel: JSON; then, where there are leases, a line with "<bytes> <head> <ttft> <bytes of
 * its row>" for each, split by commas ("-1": the body is not here; "-": no text was shown yet; no fourth: the row is in
 * the JSON), and row and body of each, one after the other.
 */
export function readMail(mail: Buffer): Mail {
  const end = mail.indexOf(LINE)
  if (end < 0) return { messages: readTyped(mail.toString(), SHAPES), enclosed: [] }
  const messages = readTyped<Message>(mail.toString('utf8', 0, end), SHAPES)
  const start = mail.indexOf(LINE, end + 1) + 1
  let at = start
  const enclosed = mail
    .toString('latin1', end + 1, start - 1)
    .split(',')
    .map((note) => {
      const [bytes, head, ttft, rowBytes = 0] = note.split(' ').map(Number)
      const ttftMs = Number.isNaN(ttft) ? null : ttft
      const [rowAt, bodyAt] = [at, at + rowBytes]
      at = bodyAt + Math.max(0, bytes)
      const row = rowBytes === 0 ? null : mail.toString('utf8', rowAt, bodyAt)
      return { row, body: bytes < 0 ? null : mail.subarray(bodyAt, at), head, ttftMs }
    })
  return { messages, enclosed }
}

const COORDINATOR: Shape = {
  type: (type) => type === 'coordinator',
  host: text,
  term: text,
  wakes: maybe(count),
  place: maybe(text),
  marks: maybe(object),
}

const BROKEN: Shape = { type: (type) => type === 'broken', host: text, reason: text }

const CHECKED: Shape = {
  type: (type) => type === 'checked',
  reports: list(
    members({
      deployment: text,
      ok: orNull(flag),
      why: text,
      tookMs: number,
      holdsMs: positive,
      running: orNull(number),
      waiting: orNull(number),
    }),
  ),
}

export function readControl(json: string): Control | null {
  const control = parse(json)
  if (fits(control, { type: (t) => t === 'free' })) return { type: 'free' }
  return [COORDINATOR, BROKEN, CHECKED].some((shape) => fits(control, shape)) ? (control as Control) : null
}
