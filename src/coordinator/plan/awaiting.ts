/**
 * A fast deployment that is full may be worth waiting for, where the one with room is slow: an answer is there sooner.
 * Bounded: a job that is in line for as long as the slow one would take does not wait any longer, so where more comes
 * than the fast ones can do, all are used. Pure.
 */
import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { DeploymentState } from './deployment.ts'
import { type Ask, expectedMs } from './policies/policy.ts'

/** It must be sooner by so much: what is expected is no more than that. */
const WORTH = 1.25
/** Jobs that wait for one at a time. */
const MOST = 16
/** When it is asked again, whatever else happens. */
const MIN_LOOK_MS = 50
const MOST_LOOK_MS = 5_000

export interface Awaited {
  readonly state: DeploymentState
  /** Until it has room for the job, as expected. */
  readonly inMs: number
}

/** `full`: those that would be candidates, had they room. Null: `chosen` it is. */
export function worthAwaiting(
  chosen: DeploymentState,
  full: readonly DeploymentState[],
  job: ScheduledJob,
  ask: Ask,
): Awaited | null {
  const { now } = ask
  // One of which nothing is known is tried first, and one that was slow now and then, as among candidates
  const bestUnitMs = full.reduce((least, { speed }) => Math.min(least, speed.unitMs ?? least), ask.bestUnitMs)
  const hereMs = expectedMs(chosen, { ...ask, bestUnitMs })
  const waitedMs = Math.max(0, now - job.acceptedMono)
  let best: Awaited | null = null
  let bestMs = hereMs / WORTH
  for (const state of full) {
    const before = state.awaited.before(now)
    if (state.speed.unitMs === null || before >= MOST) continue
    const oneOf = state.work / state.active
    const others = state.load(oneOf) - oneOf
    const takesMs = (work: number): number =>
      state.speed.expectedMs(work, others, bestUnitMs, state.longestMs(now), false)
    const inMs = ((before + 1) * takesMs(oneOf)) / state.active
    const thereMs = inMs + takesMs(ask.work)
    if (thereMs >= bestMs || waitedMs + inMs > hereMs) continue
    best = { state, inMs }
    bestMs = thereMs
  }
  return best
}

export const looksInMs = (inMs: number): number => Math.min(MOST_LOOK_MS, Math.max(MIN_LOOK_MS, inMs))
