/**
 * How work is handed out and ends. Words: an attempt is fenced by its number: once attempt n+1 of a job exists, or the
 * job ended, nothing of attempt n is stored any more (J2). "Committed" = survives kill -9 of this process. "Power-safe"
 * = survives power loss where `durability: power`; at lower settings it equals committed (or nothing, at `memory`).
 * test/conformance/ holds every engine to what is written here.
 */
import type { CheckReport } from '../engine-check.ts'
import type { ErrorCode, SluiceError } from '../errors.ts'
import type { Job, JobId, JobState, Timing, Usage } from '../job.ts'
import type { Amounts, Shortfall } from '../limits.ts'
import type { UpstreamLimits } from '../upstream-limits.ts'
import type { Cost } from '../usage-record.ts'

/** What runs jobs. Its methods must not throw. */
export interface Worker {
  readonly id: string
  /** Pools it serves. Empty = all. */
  readonly pools: readonly string[]
  /** Jobs at once. */
  readonly slots: number
  /** New leases, committed, in the order in which they were decided. */
  leased(leases: readonly Lease[]): void
  /** Stop this attempt at once: the job was canceled, its lease was lost, or the store fenced it. */
  revoked(job: JobId, attempt: number, reason: 'canceled' | 'lost'): void
  /**
   * Its tenant, user or key has nothing left: the answer ends where it is, with finish reason `length` and this cause.
   * May be told again.
   */
  cut(job: JobId, attempt: number, cause: Shortfall): void
}

/** Type of the part of a message's content that stands for the answer of a job: `{type, job}`. */
export const JOB_OUTPUT = 'job_output'

/** Stands for a deployment where an answer is repeated; no deployment can be called so. */
export const FROM_CACHE = '@cache'

/** What a lease occupies; settled when it ends. */
export interface Claim {
  /** FROM_CACHE with a `source`. */
  readonly deployment: string
  /** The job whose answer it repeats; absent: it asks the deployment. */
  readonly source?: JobId
  /** What is held for it; null: nothing is limited. */
  readonly reservation: Amounts | null
  /** Tokens of the deployment's own limits: its prompt as estimated, and its answer; absent: those have none. */
  readonly quotaTokens?: number
  /** The model whose deployment it is, where that answers in place of the one that was asked for. */
  readonly model?: string
  /** A stream that has shown nothing for so long after its call is to be hedged, ms; absent: never. */
  readonly hedgeAfterMs?: number
  /** Of the second call of the same attempt, until one of the two is over. */
  readonly hedge?: Claim
  /** It is of the second call of its attempt. */
  readonly isHedge?: true
}

/** One of an attempt's two calls is over, and the other is the attempt from then on. */
export interface Race {
  readonly won: 'first' | 'second'
  /** How the other one ended. */
  readonly end: 'outrun' | 'failed' | 'canceled' | 'released'
  /** Why it failed; `elsewhere`: the job is not to be tried there again. */
  readonly failure?: { readonly code: ErrorCode; readonly retryAfterMs?: number; readonly elsewhere: boolean }
  /** What it came to; absent: it was never made. */
  readonly usage?: Usage
  /** Absent: nobody knows. */
  readonly cost?: Cost
}

export interface Lease {
  /** As it was accepted, without its body. */
  readonly job: Job
  /** Its request. */
  readonly body: Uint8Array
  /** Fence: 1 for the first attempt; strictly grows with every lease of the job, also over restarts. */
  readonly attempt: number
  /** Crashes that were this job's own: see Tally. */
  readonly crashes: number
  /** Where it is to run. The engine gives it back when the lease ends. */
  readonly claim: Claim
  readonly sinceAcceptedMs: number
  /** Of these, the time in line, over all its waits: until this lease was decided. */
  readonly queuedMs: number
  /** Of `queuedMs`, the time until it was its own turn: see TtftParts. Absent: nobody knows. */
  readonly turnMs?: number
  /** Of `sinceAcceptedMs`, the time since: until its commit, when it was told. Absent: nobody knows. */
  readonly leasingMs?: number
  /** Acceptance to the first text of an earlier attempt, ms; null: there was none, or nobody knows when. */
  readonly ttftMs: number | null
  /** The log as earlier attempts left it; `head`: its last seq. */
  readonly log: { readonly epoch: number; readonly head: number }
  /** Its request can't be read: the job is to be failed with this. */
  readonly damaged?: SluiceError | undefined
}

/** What the provider's headers told of its own limits, and how long before the end that was. */
export interface Quota extends UpstreamLimits {
  readonly agoMs: number
}

export type Outcome = Ended & {
  /** Of an attempt that had two calls, whether `raced` was told or not. */
  readonly race?: Race
}

type Ended =
  | {
      readonly kind: 'done'
      readonly quota?: Quota
      /** Since its request was on its way to the provider, ms; absent: not known, or of no interest there. */
      readonly sentAgoMs?: number
      /** Of the whole job, over its attempts. */
      readonly usage: Usage
      /** What this attempt came to; absent = the same. */
      readonly attemptUsage?: Usage
      readonly timing: Timing
      /** Of this attempt; absent: nobody knows. */
      readonly cost?: Cost
      /** It was cut for this; the answer is as long as it was allowed to be. */
      readonly cut?: Shortfall
      /** For a conversation: the assistant's message, JSON. */
      readonly answer?: string
    }
  /**
   * `retry`: could another attempt help, or only one on another deployment? This is the worker's view, which knows what
   * was shown; the coordinator decides, by attempts, deadline and deployments.
   */
  | {
      readonly kind: 'failed'
      readonly quota?: Quota
      /** Since its request was on its way to the provider, ms; absent: not known, or of no interest there. */
      readonly sentAgoMs?: number
      readonly error: SluiceError
      readonly retry: boolean | 'elsewhere'
      /** Readers have seen text of this job, so it can't wait in line as if nothing had happened. Absent: no. */
      readonly textShown?: boolean
      readonly usage?: Usage
      /** Absent: it never called. */
      readonly attemptUsage?: Usage
      readonly cost?: Cost
      readonly timing?: Timing
      readonly answer?: string
    }
  | {
      readonly kind: 'canceled'
      readonly usage?: Usage
      /** Absent: it never called. */
      readonly attemptUsage?: Usage
      readonly cost?: Cost
      readonly timing?: Timing
      readonly answer?: string
    }
  /** Handed back unharmed (drain): goes to the head of its lane, no attempt is counted. */
  | {
      readonly kind: 'released'
      /** Not ready before that; its worker can't run it, and others come first. Absent: at once. */
      readonly inMs?: number
      /** What the attempt came to; absent: it never called. */
      readonly attemptUsage?: Usage
      readonly cost?: Cost
      /** Acceptance to first text, where some was shown. */
      readonly ttftMs?: number
    }

/**
 * What became of the job: its end, or `delayed`/`queued` for another attempt; `fenced`: it was no longer ours, nothing
 * was stored.
 */
export type Finished =
  | { readonly kind: 'ended'; readonly state: JobState }
  | { readonly kind: 'again'; readonly notBeforeMono: number }
  | { readonly kind: 'fenced' }

export const FENCED: Finished = { kind: 'fenced' }

/** A worker that has joined. */
export interface Attachment {
  /** Prolongs all its leases. Memory only. Lost ones are reported by `revoked`. */
  heartbeat(): void
  /** Jobs at once from now on; 0: it drains. What it has it keeps. */
  resize(slots: number): void
  /** Its leases are lost now (as crashed) unless finished. Safe to repeat. */
  leave(): Promise<void>
}

/** A worker's side of the engine. */
export interface Work {
  /** From now on it is assigned leases, as many as it has slots. */
  attach(worker: Worker): Attachment
  /**
   * A second call for an attempt that has shown nothing yet: on another deployment that has room, with all that it may
   * cost held; committed. Null: it goes on alone. Once for each attempt; asked again it answers the same. Rejects as
   * the store does; it may have been granted all the same.
   */
  hedge(lease: Lease): Promise<Claim | null>
  /** As soon as that is known: what the other call held is given back. May be lost; the attempt's end tells it too. */
  raced(lease: Lease, race: Race): void
  /**
   * Ends an attempt. If that ends the job, the `end` record, the job's state and its conversation's turn are
   * stored in one commit; resolves power-safe. Repeating it is `fenced`.
   */
  finish(lease: Lease, outcome: Outcome): Promise<Finished>
  /** What checks of deployments found, for whoever decides. Memory only, and may be lost: they are made again. */
  checked(reports: readonly CheckReport[]): void
  /** What any process on this store has found, this one included. */
  onChecked(fn: (reports: readonly CheckReport[]) => void): void
}
