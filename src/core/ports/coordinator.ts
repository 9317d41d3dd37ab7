/**
 * The coordinator: a pure machine that decides who is next, on which deployment, and what becomes of a job whose
 * attempt failed. No clock, no disk, no randomness of its own: the same calls with the same `now` (monotonic ms) give
 * the same answers.
 *
 * After each call an engine takes what it decided: `changes`, which its journal stores, in their order and in one
 * commit, before it acts on them; and `notices`, which need no storage. An engine that stores several calls in
 * one commit keeps their order.
 */
import type { CheckReport } from '../engine-check.ts'
import type { ErrorCode, SluiceError } from '../errors.ts'
import type {
  Abilities,
  Cached,
  Instead,
  JobId,
  JobKind,
  JobState,
  Needs,
  Place,
  Priority,
  Share,
  TenantId,
  Timing,
  Usage,
} from '../job.ts'
import type {
  Amounts,
  Calendar,
  LevelKind,
  LevelState,
  LimitUse,
  RunBudget,
  RunUse,
  Shortfall,
  Standing,
  TenantStanding,
  TokenPrice,
} from '../limits.ts'
import type { Line, RowKind } from '../live.ts'
import type { PolicyName } from '../policies.ts'
import type { UsageRecord } from '../usage-record.ts'
import type { Backlog, DeploymentStatus, LineBounds, QueueDepth, RouteAsk, RouteTrace, Selector } from './operations.ts'
import type { Claim, Finished, Outcome, Race } from './work.ts'

/** A job as the coordinator holds it. */
export interface ScheduledJob {
  readonly id: JobId
  readonly kind: JobKind
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
  /** Whose limits it uses, beside its tenant's and its model's. */
  readonly keyId: string
  /** The end user; null: none is named. */
  readonly user: string | null
  /** An agent's run; null: it belongs to none. */
  readonly run: string | null
  /** What that run may use in all; absent: as much as the limits allow. */
  readonly budget?: RunBudget
  /** Tells kinds of requests apart by how long their answers are; '': not known. */
  readonly route: string
  /** As its client asked; null: as long as it gets. */
  readonly maxOutputTokens: number | null
  /** Null: nobody knows what it costs. */
  readonly price: TokenPrice | null
  /** `reject`: what it weighs is held from its submit on, or it is refused. `wait`: from its lease on. */
  readonly policy: 'reject' | 'wait'
  /** Negative if that was before this process started. */
  readonly acceptedMono: number
  /** Not leased before this. */
  readonly notBeforeMono: number
  /**
   * Must be leased before this; Infinity = never expires. A job that comes back in line has at least a minute; one that
   * waits for others has as long as this is after `acceptedMono` from when the last of them ended.
   */
  readonly deadlineMono: number
  /** For J4: the same API key, user, conversation or lane, and body as another POST; null = never joined. */
  readonly joinKey: string | null
  /** Absent: its answer is its own. */
  readonly share?: Share
  /** What a deployment must be able to do for it; absent: answer. */
  readonly needs?: Needs
  /** Of its model's fallbacks those that may answer it; absent: none. */
  readonly instead?: readonly Instead[]
  /** Not leased before all of these have ended, and only if all are done; those that are not known have ended so. */
  readonly after?: readonly JobId[]
  /** How often the answer of each is put into its prompt, which weighs that once it is known; absent: never. */
  readonly outputs?: readonly number[]
  /** It has waited in a broker, behind others: no cap of its lane refuses it. Absent: it has not. */
  readonly hasWaited?: true
  /** Digest of what its prompt begins with: jobs of the same one are best answered where the last one was. */
  readonly affinity?: string | null
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
  /** How long its attempts have run in all, ms: of the time since acceptance, what it did not spend in line. */
  readonly ranMs: number
  /** Acceptance to the answer's first text, ms; null: there was none, or nobody knows when. */
  readonly ttftMs: number | null
  /** Acceptance to its own turn, ms: see TtftParts. Absent: none, or nobody knows. */
  readonly turnMs?: number
}

/** Deployments where attempts of a job failed. It is tried there again only if there is no other. */
export type FailedAt = ReadonlyArray<{
  readonly deployment: string
  /** Only another deployment may help: not there again, unless the configuration leaves nothing else. */
  readonly never: boolean
  /** Its model refused this request: others of the model would, too. Absent: it did not. */
  readonly refused?: Refused
}>

/** What a model may refuse a request for, though another model may take it. */
export type Refused = Exclude<keyof Fallbacks, 'general'>

/** An attempt that was running when its worker's process died. */
export interface Died {
  readonly id: JobId
  /** Where it ran; null: nobody knows. */
  readonly deployment: string | null
  /** The model that answered in place of its own; absent: its own did. */
  readonly model?: string
  /** Of its answer, as far as it was stored. */
  readonly outputTokens: number
  /** A stop was under way: nobody is blamed for it. */
  readonly wasDraining?: boolean
  /** It is the second call of its attempt that went on. */
  readonly isHedge?: boolean
  /** Where a second call ran beside it, which had brought nothing; absent: there was none. */
  readonly beside?: string
}

/** What a restart found of a job that has not ended. */
export interface Found {
  readonly tally: Tally
  readonly failedAt: FailedAt
  /** What it holds while it waits, as its acceptance told; null: nothing. */
  readonly reservation: Amounts | null
  /** It still runs there: the lease is adopted, and begins anew. */
  readonly held: { readonly worker: string; readonly claim: Claim } | null
}

// ---------------------------------------------------------------- out

export type Change =
  | { readonly type: 'accepted'; readonly id: JobId }
  /** It runs, and ends when its worker has stopped. */
  | { readonly type: 'canceling'; readonly id: JobId }
  | {
      readonly type: 'leased'
      readonly id: JobId
      readonly worker: string
      readonly attempt: number
      /** See Tally. */
      readonly crashes: number
      readonly claim: Claim
      readonly sinceAcceptedMs: number
      /** Of these, the time in line, over all its waits. */
      readonly queuedMs: number
      /** Of these, the time until it was its own turn. */
      readonly turnMs: number
      readonly ttftMs: number | null
    }
  /** A lease's claim has changed: it has a second call from now on, or one of its two is over. */
  | { readonly type: 'hedged'; readonly id: JobId; readonly attempt: number; readonly claim: Claim }
  /** Back in line: handed back, to be tried again, or its lease was lost. */
  | {
      readonly type: 'returned'
      readonly id: JobId
      readonly notBeforeMono: number
      readonly tally: Tally
      readonly failedAt: FailedAt
    }
  | {
      readonly type: 'ended'
      readonly id: JobId
      readonly state: EndState
      /** Null: done. */
      readonly error: SluiceError | null
      readonly usage?: Usage
      readonly timing?: Timing
      /** The answer was cut for this. */
      readonly cut?: Shortfall
      /** Of the last attempt; null: it ended in line, or its worker was lost. */
      readonly deployment: string | null
    }
  /** What a call of an attempt came to, once for each; before the `returned` or `ended` of its job, in its commit. */
  | {
      readonly type: 'used'
      readonly id: JobId
      readonly record: UsageRecord
      /** Of the attempt's other call: the attempt itself is told with the record of the one that it came to. */
      readonly isBeside: boolean
    }

export type EndState = JobState & ('done' | 'failed' | 'canceled' | 'expired')

export type Notice =
  /** Its worker must stop this attempt. Needs no commit: an attempt that was stopped too early is simply made again. */
  | {
      readonly type: 'revoked'
      readonly id: JobId
      readonly worker: string
      readonly attempt: number
      readonly reason: 'canceled' | 'lost'
    }
  /** Nothing is left for it: its worker ends the answer where it is. */
  | {
      readonly type: 'cut'
      readonly id: JobId
      readonly worker: string
      readonly attempt: number
      readonly cause: Shortfall
    }
  /** A level spends its budget too fast: nothing that costs money starts there for `ms`; worth a line in the log. */
  | {
      readonly type: 'tripped'
      readonly level: LevelKind
      /** Null: it is of all tenants. */
      readonly tenant: string | null
      /** The model, or the key's id; null: of all, or of somebody who is not to be in a log. */
      readonly name: string | null
      readonly ms: number
    }
  /** Checks of this deployment fail, or no longer; worth a line in the log. */
  | { readonly type: 'checked'; readonly deployment: string; readonly isDown: boolean; readonly why: string }
  /** No call starts on this deployment for `ms`; worth a line in the log. */
  | {
      readonly type: 'cooling'
      readonly deployment: string
      readonly model: string
      readonly code: ErrorCode
      readonly ms: number
    }

export type Decision =
  /** `reservation`: what it holds from now on, to be stored with it; null: nothing. */
  | {
      readonly kind: 'accepted'
      readonly reservation: Amounts | null
      readonly standing: Standing
      /** Absent: it shares no answer. */
      readonly cached?: Cached
    }
  | { readonly kind: 'joined'; readonly id: JobId; readonly standing: Standing }
  | { readonly kind: 'refused'; readonly error: SluiceError }

// ---------------------------------------------------------------- models

/** What is planned with. Clients ask for a model by name; a trailing "*" stands for any ending. */
export interface PlanModel {
  readonly name: string
  readonly deployments: readonly PlanDeployment[]
  /** How one of several is chosen; absent: `least-wait`. */
  readonly policy?: PolicyName
  /** Models that answer in its place, by why it can't; absent: none. */
  readonly fallbacks?: Fallbacks
}

/** Names of models, in the order in which they are tried. */
export interface Fallbacks {
  /** None of its deployments works. That they are busy is no reason: the job waits. */
  readonly general: readonly string[]
  /** The prompt is too long for it. */
  readonly contextWindow: readonly string[]
  /** It refuses what was asked. */
  readonly contentPolicy: readonly string[]
}

export const NO_FALLBACKS: Fallbacks = { general: [], contextWindow: [], contentPolicy: [] }

export interface PlanDeployment {
  /** The same name is the same deployment, over reloads too; and another one that is made of the same: `identity`. */
  readonly name: string
  readonly kinds: readonly JobKind[]
  /** The upstream's name of the model; null = the name the client asked for. */
  readonly upstreamModel: string | null
  /** Calls at once; Infinity = no limit. */
  readonly concurrent: number
  /** Lower orders first. */
  readonly order: number
  /** Its share of the jobs under `weighted`; 0: none, unless there is no other. Absent: 1. */
  readonly weight?: number
  /** Of any 60 s, counted as providers do: prompt and answer. Absent, null, Infinity: no limit. */
  readonly requestsPerMinute?: number | null
  readonly tokensPerMinute?: number | null
  /** Prompt and answer, tokens; absent, null, Infinity: nobody knows. */
  readonly contextTokens?: number | null
  /** Null or absent: nobody knows, so it is taken to be able. */
  readonly can?: Abilities
  readonly tags?: readonly string[]
  readonly region?: string | null
  /** Nano-dollars a token; null or absent: nobody knows. */
  readonly price?: TokenPrice | null
  /** Absent or null: its calls are not hedged. */
  readonly hedge?: Hedging | null
  /** Changes when something else answers under this name: its health is then reset. */
  readonly revision: string
  /** What it is made of: see core/renamed.ts. Absent: nobody knows. */
  readonly identity?: string
  /** What takes the same key of a tenant's own has the same one; null or absent: it takes none. */
  readonly ownKeyAt?: string | null
}

/** When a call that has shown nothing gets a second one. */
export interface Hedging {
  /** After such a quantile of the deployment's own times to a first text, 0 to 1 … */
  readonly quantile: number
  /** … or after so long, ms; null: as it is learned. */
  readonly afterMs: number | null
}

/** A worker, as the coordinator sees it. */
export interface WorkerSeat {
  readonly id: string
  /** Pools it serves. Empty = all. */
  readonly pools: readonly string[]
  /** Jobs at once. */
  readonly slots: number
}

// ---------------------------------------------------------------- the machine

export interface Coordinator {
  /** `known`: what the store found under the tenant's idempotency key. */
  submit(
    job: ScheduledJob,
    now: number,
    known?: { readonly id: JobId; readonly sameBody: boolean },
    isRetry?: boolean,
  ): Decision
  /** A job that was told as accepted before its submit, and then refused: it ends with this, and never was in line. */
  refuse(id: JobId, error: SluiceError): void
  /** Undoes a submit that could not be stored, and what came of it. */
  withdraw(id: JobId): void
  /** Puts back, in order of acceptance, what a restart found. */
  restore(job: ScheduledJob, found: Found, now: number): void
  /** These, all restored and not held, were running when their worker's process died. */
  died(attempts: readonly Died[], now: number): void

  /** First of all: what the store has of the limits, and the calendar that budgets go by. */
  openLimits(levels: readonly LevelState[], calendar: Calendar, now: number): void
  /**
   * Levels whose use has changed since the last call, as it is now: to be stored in the commit of the changes that were
   * taken before, so asked for once a commit.
   */
  takeLevels(now: number): readonly LevelState[]
  /** It is erased, and none of its jobs is left: what it has used of limits is told as changed to nothing. */
  forgetTenant(tenant: TenantId): void

  /** A worker that takes jobs. Attaching it again changes its pools or slots; it keeps what it holds. */
  attach(worker: WorkerSeat, now: number): void
  /** It is gone: its leases are lost. */
  leave(worker: string, now: number): void
  /** Prolongs all leases of this worker. */
  heartbeat(worker: string, now: number): void
  /** Nothing ran for a while (stopped, suspended): no lease expires because of that. */
  woke(now: number): void
  /** Is `lease` worth a call? Something became leasable, or room came free. */
  readonly leasable: boolean
  /**
   * Assigns what may start to workers with free slots, in fair order. It stops after a batch and stays `leasable`: a
   * worker that is assigned many begins the first before the last is stored.
   */
  lease(now: number): void
  /** Output tokens as they stream; moves the tenant's virtual counter, and may end the answer (see `notices`). */
  charge(id: JobId, attempt: number, tokens: number, now: number): void
  /** A second call for an attempt that has shown nothing; null: there is no other deployment, no room, or too many. */
  hedge(id: JobId, attempt: number, now: number): Claim | null
  /** One of an attempt's two calls is over. The second time nothing changes. */
  raced(id: JobId, attempt: number, race: Race, now: number): void
  /** Ends an attempt, unless it is fenced. */
  finish(id: JobId, attempt: number, outcome: Outcome, now: number): Finished
  /** What a check of a deployment found. */
  checked(report: CheckReport, now: number): void
  cancel(id: JobId, now: number): 'canceled' | 'canceling' | 'unknown'
  /** Nobody reads it any more: it is canceled, unless others share its answer; then when they have gone as well. */
  abandon(id: JobId, now: number): 'canceled' | 'canceling' | 'unknown' | 'kept'

  /** Replaces the models. What runs continues, and counts; jobs of a model that is gone wait for it. */
  configure(models: readonly PlanModel[], now: number): void
  /** Other limits are in force: whoever waits for room may try again. `configure` does the same. */
  limitsChanged(now: number): void
  pause(selector: Selector, now: number): void
  resume(selector: Selector, now: number): void
  paused(): readonly Selector[]
  /** Cancels what waits, at most `most` jobs; call again while it returns as many. */
  purge(selector: Selector, now: number, most?: number): readonly JobId[]

  /** What is due by now: expiries, lost leases, delays and waits that ended. Call at `nextAt()` or later. */
  tick(now: number): void
  /** Infinity = never. */
  nextAt(): number

  /** Of those that are in line. */
  places(ids: readonly JobId[], now: number): ReadonlyMap<JobId, Place>
  state(id: JobId): JobState | null
  depth(): QueueDepth
  backlog(): readonly Backlog[]
  /** `atMs`: what the wall clock shows. */
  line(by: RowKind, most: LineBounds, now: number, atMs: number): Line
  /** What is left of the limits that a job like this one is under. */
  standing(job: ScheduledJob, now: number): Standing
  /** For operators. */
  tenantStanding(tenant: TenantId, now: number): TenantStanding
  /** See Operations. */
  runUse(tenant: TenantId, run: string): RunUse | null
  /** Of each its fullest limit; null: it has none. At most `MOST_STANDING`. */
  fullest(tenants: readonly TenantId[], now: number): ReadonlyArray<LimitUse | null>
  status(now: number): readonly DeploymentStatus[]
  /** Where such a request would go now, and why. */
  explain(ask: RouteAsk, now: number): RouteTrace

  /** Since the last call, in order. */
  changes(): readonly Change[]
  notices(): readonly Notice[]
}
