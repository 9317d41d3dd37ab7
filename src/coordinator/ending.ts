/** How an attempt ended: for the books, and as it is told. Pure. */
import { SluiceError } from '../core/errors.ts'
import type { JobId, JobState, Usage } from '../core/job.ts'
import type { Change, EndState, ScheduledJob } from '../core/ports/coordinator.ts'
import type { Claim, Outcome } from '../core/ports/work.ts'
import type { AttemptEnd, Cost } from '../core/usage-record.ts'
import type { Verdict } from './verdict.ts'

/** For the books. */
export interface Ending {
  readonly end: AttemptEnd
  /** Absent: it never called. */
  readonly usage: Usage | undefined
  /** Absent: nobody computed it. */
  readonly cost: Cost | undefined
  /** As its outcome tells. */
  readonly sentAgoMs?: number
}

/** As the scheduler gets it. */
export type SchedulerOutcome = Exclude<Outcome, { kind: 'failed' }> | Verdict

export const RELEASED: Extract<Outcome, { kind: 'released' }> = { kind: 'released' }
export const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0, estimated: false }
/** It was leased, and nobody was told. */
export const UNTOLD: Ending = { end: 'released', usage: undefined, cost: undefined }

/** A worker's end of an attempt. What it came to, if it came to anything. */
export function endingOf(outcome: Outcome): Ending {
  const usage = outcome.kind === 'done' ? (outcome.attemptUsage ?? outcome.usage) : outcome.attemptUsage
  const end = outcome.kind === 'done' && outcome.cut !== undefined ? 'cut' : outcome.kind
  const ending: Ending = { end, usage, cost: outcome.cost }
  const isTold = (outcome.kind === 'done' || outcome.kind === 'failed') && outcome.sentAgoMs !== undefined
  return isTold ? { ...ending, sentAgoMs: outcome.sentAgoMs } : ending
}

/** Its worker is lost: the call was made, and what came of it is what was streamed. */
export const lostOf = (job: ScheduledJob, streamed: number): Ending => ({
  end: 'lost',
  usage: seenOf(job, streamed),
  cost: undefined,
})

/** At its provider; null: nothing, as where it refused. */
export const cameTo = ({ end, usage }: Ending): Usage | null =>
  usage === undefined || (end !== 'done' && usage.promptTokens === 0 && usage.completionTokens === 0) ? null : usage

/** Nobody generated anything for it. What came to no end was no request either. */
export const ofRepeat = ({ end }: Ending): Ending =>
  end === 'done' || end === 'canceled' || end === 'failed'
    ? { end, usage: NO_USAGE, cost: { nanoDollars: 0, priceVersion: null } }
    : { end, usage: undefined, cost: undefined }

/** As far as anybody saw it. */
export const seenOf = ({ promptTokens }: ScheduledJob, completionTokens: number): Usage => ({
  promptTokens,
  completionTokens,
  estimated: true,
})

// ---------------------------------------------------------------- as it is told

export const ttftOf = (outcome: Outcome): number | undefined =>
  outcome.kind === 'released' ? outcome.ttftMs : outcome.timing?.ttftMs

export function endOf(id: JobId, state: JobState, outcome: SchedulerOutcome, { deployment }: Claim): Change {
  const { usage, timing } = outcome.kind === 'released' ? {} : outcome
  return {
    type: 'ended',
    id,
    state: state as EndState,
    error: state === 'done' ? null : errorOf(state, outcome),
    ...(usage && { usage }),
    ...(timing && { timing }),
    ...(outcome.kind === 'done' && outcome.cut !== undefined && { cut: outcome.cut }),
    deployment,
  }
}

const errorOf = (state: JobState, outcome: SchedulerOutcome): SluiceError =>
  state === 'failed' && outcome.kind === 'failed' ? outcome.error : new SluiceError('job_canceled')
