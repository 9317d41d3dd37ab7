/**
 * How work is handed out and ends. Words: an attempt is fenced by its number: once attempt n+1 of a job exists, or the
 * job ended, nothing of attempt n is stored any more (J2). "Committed" = survives kill -9 of this process. "Power-safe"
 * = survives power loss where `durability: power`; at lower settings it equals committed (or nothing, at `memory`).
 * test/conformance/ holds every engine to what is written here.
 */
import type { SluiceError } from '../errors.ts'
import type { Job, JobId, JobState, Timing, Usage } from '../job.ts'
import type { Headroom } from './scheduler.ts'

export interface Worker {
  readonly id: string
  /** Pools it serves. Empty = all. */
  readonly pools: readonly string[]
  /** There may be something to lease. Called again after each change that may make a job leasable. */
  ready(): void
  /** Stop this attempt at once: the job was canceled, its lease was lost, or the store fenced it. */
  revoked(job: JobId, attempt: number, reason: 'canceled' | 'lost'): void
}

export interface Lease {
  readonly job: Job
  /** Fence: 1 for the first attempt; strictly grows with every lease of the job, also over restarts. */
  readonly attempt: number
  /** Crashes that were this job's own: see Tally. */
  readonly crashes: number
  /** Its request can't be read: the job is to be failed with this. */
  readonly damaged?: SluiceError
}

export type Outcome =
  | {
      readonly kind: 'done'
      /** Of the whole job, over its attempts. */
      readonly usage: Usage
      /** Of this attempt; absent = the same. */
      readonly attemptUsage?: Usage
      readonly timing: Timing
      /** For a conversation: the assistant's message, JSON. */
      readonly answer?: string
    }
  /**
   * `retry`: could another attempt help, or one on another deployment only? As far as the worker knows, which has seen
   * what was shown. The coordinator decides, by attempts, deadline and deployments.
   */
  | {
      readonly kind: 'failed'
      readonly error: SluiceError
      readonly retry: boolean | 'elsewhere'
      /** Readers have seen text of this job: it can't wait in line as if nothing had been. Absent: no. */
      readonly textShown?: boolean
      readonly usage?: Usage
      readonly attemptUsage?: Usage
      readonly timing?: Timing
      readonly answer?: string
    }
  | {
      readonly kind: 'canceled'
      readonly usage?: Usage
      readonly attemptUsage?: Usage
      readonly timing?: Timing
      readonly answer?: string
    }
  /** Handed back unharmed (drain): goes to the head of its lane, no attempt is counted. */
  | {
      readonly kind: 'released'
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

/** A worker's side of the engine. */
export interface Work {
  /**
   * Announces a worker of this process. Returns its farewell: its leases are then lost (as crashed) unless finished.
   */
  attach(worker: Worker): () => void
  /**
   * Leases up to `max` jobs in fair order, each with `headroom`'s consent. The attempt number is committed before this
   * resolves.
   */
  lease(workerId: string, max: number, headroom: Headroom): Promise<readonly Lease[]>
  /** Prolongs all leases of this worker. Memory only. Lost ones are told through `revoked`. */
  heartbeat(workerId: string): void
  /**
   * Ends an attempt. If that ends the job, the `end` record, the job's state and its conversation's turn are
   * stored in one commit; resolves power-safe. Repeating it is `fenced`.
   */
  finish(lease: Lease, outcome: Outcome): Promise<Finished>
  /** Something outside changed (a slot came free): workers are told `ready`. */
  wake(): void
}
