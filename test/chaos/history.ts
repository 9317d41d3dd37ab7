/** What clients saw, written down as it happened. All that the checker knows. */
import type { UsageLeft } from './check-usage.ts'

/** One event as a reader applied it. */
export interface Seen {
  /** "<epoch>-<seq>". */
  readonly id: string
  readonly event: string
  readonly data: string
  /** When, by the driver's clock. */
  readonly atMs?: number
}

export interface Acked {
  readonly id: string
  readonly key: string
  /** Tokens that its model was told to say. */
  readonly tokens: number
  readonly lane: string | null
  /** Place in its lane, in the order of acknowledgement. Those that have the same one may run in any order. */
  readonly place: number
  readonly ackedAtMs?: number
  /** A cancel was sent. */
  canceled: boolean
  /** When it was told that the job is canceled. */
  canceledAtMs?: number
}

export interface Reader {
  readonly job: string
  readonly dialect: 'native' | 'chat' | 'socket'
  /** All it applied, over all its connections. */
  readonly seen: Seen[]
  /** It was told that this is the end. */
  complete: boolean
  /** It was refused for good: the code of the error. */
  refused?: string
}

/** A whole JSON answer. */
export interface Answer {
  readonly job: string
  readonly key: string
  /** Tokens that its model was told to say. */
  readonly tokens: number
  /** Its text; or the code of the error. */
  readonly text: string
  readonly status: number
  readonly sentAtMs: number
  readonly atMs: number
}

/** A job as it is after the last restart. */
export interface Final {
  readonly id: string
  readonly state: string
  /** The whole log, native. */
  readonly log: readonly Seen[]
}

export interface UpstreamCall {
  readonly user: string
  /** Each worker of a fleet calls a path of its own: "/<worker>/v1/chat/completions". */
  readonly path?: string
  readonly startMs: number
  readonly endMs: number | null
}

export interface Span {
  readonly fromMs: number
  readonly toMs: number
}

export interface History {
  readonly acked: Acked[]
  readonly readers: Reader[]
  readonly finals: ReadonlyMap<string, Final>
  readonly calls: readonly UpstreamCall[]
  /** Jobs of each conversation's turns, in its order. */
  readonly turns: ReadonlyMap<string, readonly string[]>
  readonly answers?: readonly Answer[]
  /** Several processes give ids: they don't sort by acceptance. */
  readonly isFleet?: boolean
  /** What was stored in these spans may be lost, and must then be told: a fail-over to a replica that was late. */
  readonly losses?: readonly Span[]
  /** A worker that could not be reached: a call of its may run on beside its successor's. */
  readonly isolated?: ReadonlyArray<Span & { readonly worker: string }>
  /** What the ledger has; absent: an older version ended some of the attempts. */
  readonly usage?: UsageLeft
}
