/** The scheduler: a pure machine. */
import type { SluiceError } from '../../core/errors.ts'
import type { JobId, JobState, Place, TenantId } from '../../core/job.ts'
import type { FailedAt, ScheduledJob, Tally } from '../../core/ports/coordinator.ts'
import type { Backlog, QueueDepth, Selector } from '../../core/ports/operations.ts'
import type { Claim, Finished, Outcome } from '../../core/ports/work.ts'
import type { Hold } from '../limits/limits.ts'

export type SchedulerEvent =
  /** It went back in line without a word from its worker: the store writes its tally. */
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

/** An attempt's second call. */
export interface SecondCall {
  readonly claim: Claim
  readonly hold: Hold | null
  /** What it takes of its deployment: the plan's own. */
  readonly call: object
}

export interface NotedLease {
  readonly worker: { readonly id: string }
}

/** What waits and what runs, to be looked at; it changes with the next call. */
export interface View {
  /** In no order; some are empty. */
  readonly crowds: Iterable<InLine>
  readonly running: Iterable<{ readonly entry: Notes; readonly outputTokens: number }>
  /** Tenants that are known. */
  readonly tenants: number
  /** Whose turn it is, as far as the fair order goes; null: nothing could start. */
  readonly next: Notes | null
  /** Is it its turn as soon as its tenant's comes? Not while it is delayed, or another one of its lane is before it. */
  isReady(notes: Notes): boolean
  weightOf(tenant: TenantId): number
  counterOf(tenant: TenantId): number
  /** By so much a tenant's counter grows. */
  counted(tenant: TenantId, promptTokens: number, outputTokens: number): number
}

/** All that one tenant has in line for one model. */
export interface InLine {
  readonly tenant: TenantId
  readonly model: string
  readonly jobs: number
  readonly tokens: number
  readonly first: Notes | null
  after(notes: Notes): Notes | null
}

/** How an attempt ended. `isUntried`: where it failed, there is a deployment where the job has not failed yet. */
export type Ended =
  | Exclude<Outcome, { kind: 'failed' }>
  | (Extract<Outcome, { kind: 'failed' }> & { readonly isUntried?: boolean })

/** What the coordinator keeps with a job; the scheduler doesn't look at it. */
export interface Notes {
  /** As it is weighed now: with what is put into its prompt, as far as that is answered. */
  readonly job: ScheduledJob
  /** The number of its last lease. */
  readonly attempt: number
  /** See Tally. */
  readonly ranMs: number
  /** Acceptance to its own turn, ms; null: it has not come. */
  readonly turnMs: number | null
  /** Tokens that it may come to, prompt and answer; the same for as long as it waits. */
  readonly bound: number
  readonly lease: NotedLease | null
  /** It repeats another job's answer. Looked at by the scheduler when it comes in line. */
  repeats: boolean
  claim: Claim | null
  /** What it takes of its deployment: the plan's own. Null: it does not run, or repeats an answer. */
  call: object | null
  /** What it holds of the limits; null: nothing. */
  hold: Hold | null
  /** Null: its attempt has one call. */
  second: SecondCall | null
  /** The last attempt that got a second call; 0: none did. */
  hedgedIn: number
  /** Output tokens of the attempt that runs. */
  streamed: number
  /** Its run has counted it as a step; after a restart, as if each attempt before had used something. */
  isStep: boolean
  failedAt: FailedAt
  ttftMs: number | null
  /** When it was refused for being too many last, and how often though others were answered since the time before. */
  refusedMono: number
  refusedAlone: number
  /** Where its tenant's own key was refused for that, it is not sent again before. */
  ownKeyMono: number
}

/** May this job start now? `null` = yes; what it takes for that is given back when the lease is `released`. */
export type Headroom = (job: ScheduledJob, notes: Notes) => HeadroomRefusal | null

/**
 * May this job be taken at all? What it holds from now on, or why not; null: it may, and holds nothing. `isFirst`: no
 * other job of its lane is before it.
 */
export type Admit = (isFirst: boolean) => Hold | SluiceError | null

export interface HeadroomRefusal {
  /**
   * The scope that is full; the rest of this call skips every job in it. A model is full for one kind of job; `line`:
   * the model, for this tenant alone. `places`: for those that can go to the same ones. `weight`: the model, for those
   * that hold nothing of what they weigh. `never`: as the limits are it can't start at all; it waits for other limits,
   * and nobody waits for it.
   */
  readonly scope: 'model' | 'places' | 'weight' | 'tenant' | 'line' | 'job' | 'never'
  /**
   * The account that is used up, where it is the tenant's (`tenant`, `line`) or one of the job's `narrow` ones (`job`):
   * nothing of the scope is asked about again before that time, or before something is `freed` there. Absent: it is
   * asked about in the next call. `alone`: who shares its narrow accounts does not wait with it.
   */
  readonly blocked?: { readonly account: string; readonly untilMono: number; readonly alone?: true }
  /** Of `never`: whatever the limits, it is not to wait any longer. */
  readonly ends?: SluiceError
}

export type SchedulerSubmit =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'joined'; readonly id: JobId }
  | { readonly kind: 'refused'; readonly error: SluiceError }

/** How much may wait. */
export interface Caps {
  readonly maxQueuedJobs: number
  readonly maxQueuedPerTenant: number
  readonly maxQueuedPerLane: number
  readonly maxQueuedBytesPerTenant: number
  readonly maxQueuedPerSession: number
  readonly maxQueuedBytesPerSession: number
}

export interface SchedulerOptions extends Caps {
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
  /** Asked at each submit where they can change; else those of these options hold. */
  readonly caps?: () => Caps
  /** How long after a good end an SDK's retry still joins, ms (J4). */
  readonly joinAfterEndMs: number
  /** One that comes back in line has at least this long to be leased again, whatever its deadline, ms. */
  readonly returnRoomMs: number
  /** Share of each tenant; 1 is the default. */
  readonly weight: (tenant: TenantId) => number
  /** Weights of prompt and output tokens in the virtual counter (VTC: 1 and 2). */
  readonly promptWeight: number
  readonly outputWeight: number
  /** Uniform [0,1), for full jitter. */
  readonly jitter: () => number
  /**
   * Accounts of a job that may block it alone, those that are narrower than its tenant's: jobs that wait for one of
   * them are not overtaken by others of the same account. Absent: there are none.
   */
  readonly narrow?: (job: ScheduledJob, notes: Notes) => readonly string[]
  /**
   * Where a job can go, as a name: jobs of a model stand apart by it, so that those that find no room anywhere are in
   * nobody else's way. Absent: all can go wherever one can.
   */
  readonly places?: (job: ScheduledJob, failedAt: FailedAt) => string
  /** Of a job that runs: so many tokens more, weighted and output; negative takes back. */
  readonly served?: (notes: Notes, service: number, outputTokens: number, now: number) => void
  /** Jobs like this one that could start at once; asked before one is refused for its deadline. Absent: none. */
  readonly free?: (job: ScheduledJob) => number
  /** A lease is over, however it ended. Called once for each, within the call that ends it. */
  readonly released?: (notes: Notes, worker: string) => void
  /** It ends while it is in line: canceled, expired, purged, withdrawn, given up. */
  readonly left?: (notes: Notes) => void
  /** What it comes after is answered, and it weighs more than what it holds since its submit. */
  readonly outgrown?: (notes: Notes) => void
  /** What kept it in line until it expired; null: nothing that can be told. */
  readonly late?: (notes: Notes) => SluiceError | null
}

/**
 * The pure machine: no clock, no disk, no randomness of its own; the same calls with the same `now` give the
 * same answers. `now` is monotonic ms. Each call may add events, to be taken with `drain` right after it.
 */
export interface Scheduler {
  /**
   * `known`: what the store found under the tenant's idempotency key. `admit` is asked last, of a new job. `repeats`:
   * see Notes.
   */
  submit(
    job: ScheduledJob,
    now: number,
    known?: { readonly id: JobId; readonly sameBody: boolean },
    isRetry?: boolean,
    admit?: Admit,
    repeats?: boolean,
  ): SchedulerSubmit
  /** Undoes a submit that could not be stored. */
  withdraw(id: JobId): void
  /** Puts back, in order of acceptance, what a restart found. */
  restore(job: ScheduledJob, tally: Tally, now: number, repeats?: boolean, hold?: Hold | null): void
  /** Its notes were changed while it is in line: `repeats`. */
  regroup(id: JobId, now: number): void
  /** One that was just restored still runs there: it has a new lease, of the same attempt. */
  adopt(id: JobId, worker: string, now: number): void
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
  /** Something was given back to these accounts: who waits for it may try again. */
  freed(accounts: readonly string[]): void
  /** There may be other limits now: whoever waits for an account may try again. */
  limitsChanged(now: number): void
  /** Output tokens as they stream; moves the tenant's virtual counter. */
  charge(id: JobId, attempt: number, tokens: number, now?: number): void
  finish(id: JobId, attempt: number, outcome: Ended, now: number): Finished
  cancel(id: JobId, now: number): 'canceled' | 'canceling' | 'unknown'
  /** One that is in line can't be run. */
  fail(id: JobId, error: SluiceError, now: number): void
  /** Worker gone: its leases are lost now. */
  lose(worker: string, now: number): void
  /** This process did not run for a while (stopped, suspended): no lease expires because of that. */
  woke(now: number): void
  /** Expiries, lost leases, delays that ended. Call at `nextAt()` or later. */
  tick(now: number): void
  /** When `tick` has something to do; Infinity = never. */
  nextAt(): number
  pause(selector: Selector): void
  resume(selector: Selector): void
  paused(): readonly Selector[]
  /** Cancels what waits, at most `most` jobs; call again while it returns as many. */
  purge(selector: Selector, now: number, most?: number): readonly JobId[]
  place(id: JobId, now: number): Place | null
  state(id: JobId): JobState | null
  tally(id: JobId): Tally | null
  /** Mutable, for its owner; null when there is no such job. */
  notes(id: JobId): Notes | null
  depth(): QueueDepth
  backlog(): readonly Backlog[]
  view(): View
  /** Events since the last drain, in order. */
  drain(): readonly SchedulerEvent[]
}
