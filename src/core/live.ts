/**
 * What the dashboard is told over its one WebSocket (`/admin/live`, subprotocol `sluice.live.v1`): types alone, which
 * the admin listener and the page share. A page watches one thing at a time; watching another ends the first. Times
 * without a word about it are durations in ms; `...AtMs` is the server's wall clock. Null: not known, or none; never 0.
 */
import type { DeploymentState } from './deployment-state.ts'
import type { WireError } from './errors.ts'
import type { JobState } from './job.ts'
import type { TtftParts } from './measure.ts'

export type RangeName = '15m' | '1h' | '6h' | '24h' | '7d'
/** The last while, which goes on; or a piece of the past. */
export type Range = RangeName | { readonly fromMs: number; readonly toMs: number }
export type RowKind = 'tenant' | 'model' | 'deployment'

export type LiveAsk =
  /** `node`: of that one alone; null: sums over all. */
  | {
      readonly t: 'watch'
      readonly page: 'now'
      readonly range: Range
      readonly rows: RowKind
      readonly node: string | null
    }
  | { readonly t: 'watch'; readonly page: 'jobs'; readonly filter: JobFilter }
  | { readonly t: 'watch'; readonly page: 'job'; readonly job: string }
  /** Any other page: the foot alone. */
  | { readonly t: 'watch'; readonly page: 'foot' }

/** Members that are given must match. */
export interface JobFilter {
  readonly state?: JobState
  readonly tenant?: string
  readonly model?: string
  readonly kind?: 'late' | 'retried' | 'cut'
}

export type LiveTold =
  /** First, once. */
  | ({ readonly t: 'hello' } & Hello)
  /** Once a second, on every page. */
  | ({ readonly t: 'foot' } & Foot)
  /** On Now: once a second. */
  | ({ readonly t: 'now' } & Now)
  /** On Now: four times a second while something changes. */
  | ({ readonly t: 'line' } & Line)
  /** On Now: all buckets after `watch`, then those that have changed, as they fill. */
  | ({ readonly t: 'chart' } & Chart)
  /** On Now and Jobs: those that are new or have changed, newest first; the first one after `watch` replaces all. */
  | { readonly t: 'jobs'; readonly jobs: readonly JobRow[] }
  /** On Now: those that are new, newest first. */
  | { readonly t: 'changes'; readonly changes: readonly ChangeRow[] }
  /** On a job: whole after `watch`, then whole again when it has changed, at most four times a second. */
  | ({ readonly t: 'job' } & JobTrace)
  /** What was asked can't be told; the connection stays. */
  | { readonly t: 'error'; readonly error: WireError }

export type Role = 'viewer' | 'operator' | 'admin'

export interface Hello {
  readonly version: string
  readonly node: string
  readonly role: Role
  readonly engine: 'embedded' | 'redis'
  readonly durability: 'memory' | 'process' | 'power'
  readonly publicUrl: string | null
  /** May prompts and answers be seen here? */
  readonly text: 'shown' | 'asked' | 'never'
  readonly goals: Goals
  /** Fewer answers than these prove nothing; of more, this share of failures is a trouble (core/goals.ts). */
  readonly minAnswers: number
  readonly manyFailed: number
  /** Why no worker may be killed from the playground; null: it may. */
  readonly noKill: string | null
  /** What a kill does here: a process dies, or a provider's call is broken. */
  readonly kills: 'worker' | 'call'
  readonly models: readonly string[]
  /** Nothing was ever submitted: the first start. */
  readonly isNew: boolean
  /** Definitions by term, from core/measure.ts. */
  readonly glossary: Readonly<Record<string, string>>
}

/** What a good answer is. */
export interface Goals {
  readonly ttftMs: number
  readonly tpotMs: number
  /** 0 to 1: of the answers that are judged, so many are to be good. */
  readonly good: number
}

export interface NodeRow {
  readonly id: string
  readonly role: 'all' | 'gateway' | 'worker'
  readonly coordinates: boolean
  /** Since its last word; more than 3,000: it is silent, and its figures are left out. */
  readonly silentMs: number
}

export interface Foot {
  readonly atMs: number
  readonly nodes: readonly NodeRow[]
  readonly deployments: { readonly all: number; readonly out: number }
  readonly logBytes: number | null
  readonly maxLogBytes: number | null
  readonly loopLagP99Ms: number | null
  /** Null: the store is well. */
  readonly storeError: WireError | null
}

/** A piece of a sentence; a target makes it a link of the dashboard. */
export interface Words {
  readonly text: string
  readonly strong?: boolean
  /** "/jobs?kind=late", "/models/vllm-b" */
  readonly to?: string
}

/** The state of things, worst first; `well`: nothing needs a person. */
export interface Brief {
  readonly kind: 'well' | 'late' | 'slow' | 'silent' | 'failing' | 'refusing' | 'stuck' | 'missed' | 'new' | 'idle'
  readonly state: readonly Words[]
  /** What explains at least 60 % of it; else it says that the cause is not clear, and shows the split. */
  readonly cause: readonly Words[]
  readonly harm: readonly Words[]
  readonly actions: readonly Words[]
  readonly sinceAtMs: number | null
}

export interface Figure {
  readonly value: number | null
  readonly goal: number | null
  readonly isWell: boolean
  /** Of so many answers, where they are too few to judge: then it is well. Null: of enough, or of none. */
  readonly few: number | null
  /** Over the range, at most 60 points. */
  readonly spark: readonly (number | null)[]
}

export interface Now {
  readonly atMs: number
  /** The worst first; never empty. */
  readonly briefs: readonly Brief[]
  /** What TTFT, TPOT and good answers here are of, and the brief with them. */
  readonly period: {
    /** The last one, or the last five where little happened; null: all of a range of the past. */
    readonly minutes: number | null
    /** Where the time to first tokens went: means; `turn` is no part of TTFT. */
    readonly parts: TtftParts | null
    readonly tpotP50Ms: number | null
  }
  readonly ttftP95Ms: Figure
  readonly tpotP95Ms: Figure
  readonly tokensPerSecond: Figure
  readonly waitingJobs: Figure
  readonly waitingTokens: number
  /** 0 to 1. */
  readonly good: Figure
  readonly spentNanoUsd: Figure
  /** What today will have cost at this pace; null: it has only just begun, or nobody knows. */
  readonly spendForecastNanoUsd: number | null
  /** Is a part of it estimated? */
  readonly isSpentEstimated: boolean
  readonly deployments: readonly DeploymentRow[]
}

export interface DeploymentRow {
  readonly model: string
  readonly deployment: string
  readonly state: DeploymentState | 'gone'
  readonly active: number
  /** Null: no limit. */
  readonly concurrent: number | null
  readonly coolsForMs: number
  readonly failuresInRow: number
  /** What its checks fail with; null, absent: they do not. */
  readonly failedCheck?: string | null
  readonly lastError: string | null
  /** Over the range. */
  readonly ttftP95Ms: number | null
  readonly tpotP50Ms: number | null
  readonly ttftSpark: readonly (number | null)[]
  readonly tpotSpark: readonly (number | null)[]
  readonly attempts: number
  readonly failed: number
  readonly nanoUsd: number | null
}

/** A job that waits or runs: its width is its tokens. */
export interface Block {
  readonly job: string
  readonly promptTokens: number
  /** So far. */
  readonly madeTokens: number
  /** What it may still come to, by what is held for it: prompt and answer. */
  readonly boundTokens: number
}

export interface LineRow {
  readonly name: string
  readonly weight: number | null
  readonly waiting: { readonly jobs: number; readonly tokens: number; readonly nextInMs: number | null }
  /** The next one first; at most 40. */
  readonly waits: readonly Block[]
  /** At most 60. */
  readonly runs: readonly Block[]
  readonly running: number
  /** Of the service of the last minute, 0 to 1; what is due by weight, null: it waits for nothing. */
  readonly share: number
  readonly due: number | null
  readonly tokensPerSecond: number
}

export interface Line {
  readonly atMs: number
  readonly rows: RowKind
  /** At most 8, most affected first. */
  readonly top: readonly LineRow[]
  readonly others: { readonly rows: number; readonly waiting: number; readonly running: number; readonly idle: number }
  readonly waiting: { readonly jobs: number; readonly tokens: number }
  readonly running: number
  /** Of all workers; null: no limit. */
  readonly slots: number | null
  /** Of the deployments that most of what waits is held up by: all are taken. Absent: it is not held up so. */
  readonly full?: { readonly slots: number }
  /** The row that goes next. */
  readonly next: string | null
}

/** Columns: a value for each bucket; null: nothing was measured in it. Counts are of the bucket, the rest is ms. */
export interface Chart {
  readonly range: Range
  readonly stepMs: number
  /** Wall clock of the first bucket of the range, and how many it has, at most 600. */
  readonly startAtMs: number
  readonly buckets: number
  /** The first bucket that is told here; 0: all of them. */
  readonly from: number
  /** Means over so many first tokens; `turn` is no part of TTFT. */
  readonly ttft: { readonly [part in keyof TtftParts]-?: readonly (number | null)[] }
  readonly firstTokens: readonly number[]
  readonly ttftP50: readonly (number | null)[]
  readonly ttftP95: readonly (number | null)[]
  readonly tpotP50: readonly (number | null)[]
  readonly tpotP95: readonly (number | null)[]
  /** Upper bounds of the rows, ms a token; and of each bucket: row, streams, row, streams, … */
  readonly heatRows: readonly number[]
  readonly heat: readonly (readonly number[])[]
  readonly stalls: readonly number[]
  readonly outcomes: {
    readonly [outcome in 'done' | 'failed' | 'canceled' | 'expired' | 'refused']: readonly number[]
  }
  readonly tokensOut: readonly number[]
  readonly tokensIn: readonly number[]
  readonly tokensCached: readonly number[]
  readonly good: readonly number[]
  readonly judged: readonly number[]
  readonly waiting: readonly (number | null)[]
  readonly running: readonly (number | null)[]
  readonly nanoUsd: readonly number[]
}

export interface JobRow {
  readonly job: string
  readonly state: JobState
  readonly tenant: string
  readonly model: string
  readonly acceptedAtMs: number
  readonly ttft: Partial<TtftParts> | null
  readonly ttftMs: number | null
  readonly totalMs: number | null
  readonly attempts: number
  readonly tokens: number
  readonly nanoUsd: number | null
  readonly isEstimated: boolean
  readonly error: WireError | null
  /** The last words of its text, at most 120 characters; null: text may not be shown here. */
  readonly words: string | null
  /** "3rd in line", "room for tokens of tenant acme" */
  readonly waitsFor: string | null
  readonly isCut: boolean
  /** Of its request, its trace and its key, as far as they are known: what people search by. */
  readonly ids?: readonly string[]
}

export interface ChangeRow {
  readonly atMs: number
  /** As drawn on time axes: config, keys, deployments out and back, bench runs, looks at text. */
  readonly kind: 'config' | 'key' | 'deployment-out' | 'deployment-back' | 'bench' | 'look' | 'operator' | 'node'
  readonly words: readonly Words[]
  readonly by: string | null
}

/** One job, on one axis: ms since it was accepted. */
export interface JobTrace {
  readonly row: JobRow
  /** Null where nobody knows any more: its marks are kept in memory, for the last jobs. */
  readonly spans: readonly Span[] | null
  readonly attempts: readonly AttemptSpan[]
  readonly readers: readonly ReaderSpan[]
  /** Pairs: ms, tokens. */
  readonly stored: readonly (readonly [number, number])[]
  readonly shown: readonly (readonly [number, number])[]
  readonly counts: {
    readonly stored: number
    readonly shown: number | null
    readonly lost: number | null
    readonly shownTwice: number | null
  }
  readonly place: { readonly position: number; readonly tokensAhead: number; readonly etaMs: number | null } | null
  readonly facts: readonly { readonly name: string; readonly value: string; readonly of?: string }[]
}

export interface Span {
  /** `unknown`: nobody who could tell is there any more. */
  readonly part: 'admission' | 'turn' | 'queue' | 'routing' | 'connect' | 'upstream' | 'tokens' | 'pause' | 'unknown'
  readonly fromMs: number
  /** Null: it goes on. */
  readonly toMs: number | null
}

export interface AttemptSpan {
  readonly attempt: number
  /** Empty: not known any more. */
  readonly deployment: string
  readonly mode: 'first' | 'continue' | 'restart'
  readonly spans: readonly Span[]
  readonly tokens: number
  readonly error: string | null
}

export interface ReaderSpan {
  /** "SSE", "WebSocket" */
  readonly by: string
  readonly fromMs: number
  readonly toMs: number | null
  readonly complete: boolean
}

// ---------------------------------------------------------------- asked for by GET, one at a time

/** `GET /admin/jobs/:id/text?part=answer`: a look, which is recorded where texts are shown on demand alone. */
export interface AnswerText {
  /** The text of each chunk, in order; void ones (before a restart) too. */
  readonly chunks: readonly string[]
  /** Where attempts begin: before which chunk. */
  readonly attempts: ReadonlyArray<{
    readonly attempt: number
    readonly deployment: string | null
    readonly mode: AttemptSpan['mode']
    readonly chunk: number
  }>
  /** To ask for what came after it: `after`. */
  readonly seq: number
  readonly ended: boolean
  /** It is longer than what is shown here. */
  readonly isCut: boolean
}

/** `GET /admin/jobs/:id/text?part=request`: a look, which is recorded. */
export interface RequestText {
  /** Where it was posted. */
  readonly endpoint: string
  /** As its client sent it, at most 1 MB of it. */
  readonly request: string
  readonly isCut: boolean
}

/** `GET /admin/jobs/:id/text?part=error`: in its provider's own words, which may quote the request. */
export interface ErrorText {
  readonly error: WireError | null
}

/** Records of one kind in a row, of `GET /admin/jobs/:id/records`: no text. */
export interface RecordGroup {
  readonly fromSeq: number
  readonly toSeq: number
  readonly type: string
  /** "first, vllm-b"; "role, then text; finish_reason “stop”" */
  readonly note: string
  /** Of an attempt's record. */
  readonly attempt: number | null
}
