/** What only an operator may do to queued work. */
import type { CheckStatus } from '../engine-check.ts'
import type { ErrorCode } from '../errors.ts'
import type { JobId, JobKind, Needs, TenantId } from '../job.ts'
import type { LimitUse, RunUse, TenantStanding } from '../limits.ts'
import type { Line, RowKind } from '../live.ts'
import type { PolicyName } from '../policies.ts'

/** What to pause, resume or purge. All given members must match. */
export interface Selector {
  readonly tenant?: TenantId
  readonly lane?: string
  readonly model?: string
}

export interface QueueDepth {
  readonly queued: number
  readonly delayed: number
  readonly waiting: number
  readonly leased: number
}

/** Work of a pool and model that could start now, if there were room for it: what another worker could take. */
export interface Backlog {
  readonly pool: string
  readonly model: string
  readonly jobs: number
  /** Of their prompts, and what they will write by what such jobs have written lately. */
  readonly tokens: number
  /** How long all of it takes at the speed of late; null: there is too little data. */
  readonly waitMs: number | null
}

/** How much of the line is told, at most: rows, and of each what waits and what runs. */
export interface LineBounds {
  readonly rows: number
  readonly waits: number
  readonly runs: number
}

/** The state of a deployment. */
export interface DeploymentStatus {
  readonly deployment: string
  /** Calls now. */
  readonly active: number
  /** Calls at once; Infinity: no limit, 0: it is no longer configured, and its last calls still run. */
  readonly concurrent: number
  /** No call starts there, until it is put back. */
  readonly isDrained: boolean
  /** By the upstream's name of the model; those without a failure are left out. */
  readonly unwell: ReadonlyArray<{
    readonly model: string
    /** No call starts there for this long; 0: it may be called. */
    readonly coolsForMs: number
    /** One that fails again and again is used only where there is no other. */
    readonly failuresInRow: number
    /** Its breaker lets none through for this long, then one at a time. Absent, 0: it is closed. */
    readonly brokenForMs?: number
    /** Of the failure that opened it last; absent: it is closed. */
    readonly brokenBy?: ErrorCode
  }>
  /** Absent: its requests and tokens are not limited, and so not counted. */
  readonly used?: DeploymentUse
  /** What the last check of it found. Null, absent: nobody checks it. */
  readonly check?: CheckStatus | null
}

/** Of the last 60 s, as its provider counts them. */
export interface DeploymentUse {
  readonly requests: number
  readonly tokens: number
  /** Of answers that are being written: expected, and not yet used. */
  readonly heldTokens: number
}

/** A request, to ask where it would go. */
export interface RouteAsk {
  readonly model: string
  readonly kind: JobKind
  readonly promptTokens: number
  /** Null: as long as it gets. */
  readonly maxOutputTokens: number | null
  /** Absent: answer. */
  readonly needs?: Needs
  /** Draws among equals go by it: another text may go elsewhere. */
  readonly draw: string
  /** That this one is like: in line or running, where it has failed and what it begins with count as well. */
  readonly job?: JobId
}

/** Where a request would go now, and why. Nothing is taken. */
export interface RouteTrace {
  readonly promptTokens: number
  /** As it is expected. */
  readonly outputTokens: number
  /** Null: it would wait. */
  readonly deployment: string | null
  /** Of its model, and of each fallback that was looked at. Empty: there is no such model. */
  readonly steps: readonly RouteStep[]
}

export interface RouteStep {
  readonly model: string
  readonly policy: PolicyName
  /** Of the scores: lower is better. Of weights each gets its share. */
  readonly unit: 'ms' | 'nano_dollars' | 'weight' | 'turn'
  /** Where a prompt that begins so was read last. */
  readonly cachedAt: string | null
  readonly deployments: readonly RouteCandidate[]
  readonly chosen: string | null
  /** A full one that is waited for, as it is expected to answer sooner than those with room. Absent: none. */
  readonly awaits?: { readonly deployment: string; readonly inMs: number }
}

export interface RouteCandidate {
  readonly deployment: string
  readonly order: number
  /** Calls now. */
  readonly active: number
  /** Why it is no candidate; null: it is one. */
  readonly out: RouteOut | null
  /** What it lacks, by what is known: no other has it, so it is sent all the same. Null, absent: nothing. */
  readonly despite?: 'abilities' | 'context' | null
  /** A candidate that was not chosen: why. Null, absent: it was, or none was. */
  readonly behind?: Behind | null
  /** Null: nobody knows. */
  readonly score: number | null
  readonly expectedMs: number
  /** Of late; null: nobody knows. */
  readonly ttftMs: number | null
  readonly tpotMs: number | null
  readonly errorRate: number
  /** Share of its requests or tokens a minute that is left, 0 to 1. */
  readonly headroom: number
  /** A call of it that has shown nothing gets a second one, ms; null: never, or not known yet. Absent: as null. */
  readonly hedgeAfterMs?: number | null
}

/** `amount`: in the unit of the scores; of `wait` ms. */
export type Behind =
  | { readonly by: 'score' | 'wait'; readonly amount: number }
  /** The chosen one read the prompt's beginning last, is tried as nothing is known of it; chance. */
  | { readonly by: 'cache' | 'untried' | 'draw' }
  /** Its score is not known; nothing is known of any, and it has more to do. */
  | { readonly by: 'unknown' | 'busier' }

export type RouteOut =
  /** It does not serve such requests. */
  | 'kind'
  /** What the request needs: its tags, what it can do, its context window. */
  | 'tags'
  | 'abilities'
  | 'context'
  | 'drained'
  | 'cooling'
  | 'broken'
  | 'slots'
  | 'quota'
  | 'failed_here'
  /** Another one comes first: of a lower order; that fails less; that it is not overtaken by. */
  | 'order'
  | 'errors'
  | 'outrun'

/** Tenants that are looked at for one answer. */
export const MOST_STANDING = 1_000

/** Changes are power-safe when their promise resolves. */
export interface Operations {
  /** No job that matches is leased until resumed. Survives a restart. */
  pause(selector: Selector): Promise<void>
  resume(selector: Selector): Promise<void>
  paused(): Promise<readonly Selector[]>
  /** Cancels all that matches and is not running. Returns how many. */
  purge(selector: Selector): Promise<number>
  depth(): Promise<QueueDepth>
  backlog(): Promise<readonly Backlog[]>
  /** Who waits and what runs, now. Its cost is bounded, whatever waits; still, ask only while somebody looks. */
  line(by: RowKind, most: LineBounds): Promise<Line>
  /** How a tenant stands with its limits, now. Its cost is bounded; still, ask only while somebody looks. */
  standing(tenant: TenantId): Promise<TenantStanding>
  /** Of a run with a budget. Null: nothing is known of it, as it has used nothing yet. */
  runUse(tenant: TenantId, run: string): Promise<RunUse | null>
  /** Of each of these tenants its fullest limit, its models' included; null: it has none. At most `MOST_STANDING`. */
  fullest(tenants: readonly TenantId[]): Promise<ReadonlyArray<LimitUse | null>>
  /** Those in the configuration, in its order, and those that still have calls. */
  deployments(): Promise<readonly DeploymentStatus[]>
  /** Where such a request would go now, and why. */
  explain(ask: RouteAsk): Promise<RouteTrace>
}
