/** Limits are asked before the plan. If one has no room for a job, what the earlier ones took is given back. */
import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { HeadroomRefusal } from '../scheduler/port.ts'

export interface Limit {
  /** Takes the job's share and returns null, or returns what is full. */
  take(job: ScheduledJob, now: number): HeadroomRefusal | null
  /** Gives back what was taken for this job: once for each `take` that had room. */
  giveBack(job: ScheduledJob): void
}

/** All or nothing: returns the first refusal, and then nothing is taken. */
export function takeAll(limits: readonly Limit[], job: ScheduledJob, now: number): HeadroomRefusal | null {
  for (let i = 0; i < limits.length; i++) {
    const refusal = limits[i].take(job, now)
    if (refusal === null) continue
    while (--i >= 0) limits[i].giveBack(job)
    return refusal
  }
  return null
}

export function giveBackAll(limits: readonly Limit[], job: ScheduledJob): void {
  for (let i = limits.length - 1; i >= 0; i--) limits[i].giveBack(job)
}
