/** What a brief is made of: how things are now, and how they were in the hour before. Plain data. */
import type { WireError } from '../../core/errors.ts'
import type { DeploymentRow, Goals } from '../../core/live.ts'
import type { TtftParts } from '../../core/measure.ts'
import type { Selector } from '../../core/ports/operations.ts'
import type { DeploymentLately } from '../history/deployments.ts'

export interface Period {
  /** Answers whose first token a reader got live, and where the time went: means. */
  readonly firstTokens: number
  readonly parts: TtftParts | null
  readonly ttftP95Ms: number | null
  /** Answers of which a time per token is known. */
  readonly tpots: number
  readonly tpotP95Ms: number | null
  readonly tpotP50Ms: number | null
  readonly done: number
  readonly failed: number
  readonly expired: number
  readonly refused: number
  /** Answers that were held against their goals, and those that met them. */
  readonly judged: number
  readonly good: number
}

/** What happened how often. A null name: nobody's. */
export interface Counted {
  readonly code: string
  /** A deployment's for failures, a tenant's for refusals. */
  readonly name: string | null
  readonly count: number
}

export interface DeploymentNow extends DeploymentRow {
  /** How long it has been out; null: it is in use; 0: nobody knows, or it only just is. */
  readonly outForMs: number | null
  /** Of the hour before. */
  readonly tpotP50BeforeMs: number | null
  /** In the time that `now` is of: what it had a part in then. */
  readonly lately: DeploymentLately
}

/** `share`: of the jobs in line, and of those of each model, what it holds; null: not known. */
export type Paused = Selector & { readonly share: number | null; readonly of: ReadonlyMap<string, number> }

/** Of jobs in line. */
export interface Waits {
  /** What most of those that were asked wait for: a limit's level and unit, and which share of them. */
  readonly limit: { readonly level: string; readonly unit: string; readonly share: number } | null
  /** Who has the most of them, and how many. */
  readonly most: { readonly tenant: string; readonly jobs: number } | null
}

/** Ms by model, as the configuration names it; the most first. */
export type Delays = ReadonlyArray<{ readonly model: string; readonly ms: number }>

export type Trouble = 'late' | 'slow' | 'failing' | 'refusing' | 'stuck'

export interface Situation {
  readonly nowMs: number
  /** Nothing was ever submitted. */
  readonly isNew: boolean
  readonly goals: Goals
  /** The last minute, or the last five where little happened. */
  readonly now: Period
  /** Null: nothing is known of it. */
  readonly before: Period | null
  /** When each began, as far as is known. */
  readonly since: Readonly<Partial<Record<Trouble, number>>>
  readonly waiting: Waits & {
    readonly jobs: number
    readonly tokens: number
    /** Models that these jobs wait for, as the configuration names them; the most first. */
    readonly models: ReadonlyArray<Waits & { readonly model: string; readonly jobs: number }>
  }
  /** Of which models the first tokens were that waited in line, or for attempts that failed before. */
  readonly delays: { readonly queue: Delays; readonly retries: Delays }
  /** Of all workers; null: no limit, or nobody has asked. */
  readonly slots: number | null
  /** The node whose event loop was held the most in the last minute, 0 to 1 of it; null: not known. */
  readonly loop: { readonly node: string; readonly share: number } | null
  /** Null: the store is away, and nobody knows. */
  readonly running: number | null
  /** For how long jobs wait while none runs; 0: it is not so. */
  readonly stuckMs: number
  /** Models of which jobs wait while none runs, and for how long; the longest first. */
  readonly stuckModels: ReadonlyArray<{ readonly model: string; readonly jobs: number; readonly forMs: number }>
  /** Jobs that tenants submit, a minute: now, and before, if enough is known of that. The most first. */
  readonly submits: ReadonlyArray<{
    readonly tenant: string
    readonly model: string
    readonly now: number
    readonly before: number | null
  }>
  /** That "before" is of so many minutes, at most 60. */
  readonly beforeMinutes: number
  readonly paused: readonly Paused[]
  readonly deployments: readonly DeploymentNow[]
  readonly failures: readonly Counted[]
  /** Answers that have brought nothing for a while, and for how long all of them have. */
  readonly silent: ReadonlyArray<{ readonly deployment: string; readonly answers: number; readonly forMs: number }>
  /** Failed attempts, of jobs that went on. */
  readonly retried: readonly Counted[]
  readonly refusals: readonly Counted[]
  readonly store: {
    readonly error: WireError | null
    /** Since when there is this error, as far as is known. */
    readonly sinceAtMs: number | null
    readonly commitP99Ms: number | null
  }
  /** Nodes that are silent, or have gone in the last ten minutes. */
  readonly gone: readonly string[]
}
