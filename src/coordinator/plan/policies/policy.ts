/** How one of several deployments is chosen that all could answer a job. One file each; all are pure. */
import type { PolicyName } from '../../../core/policies.ts'
import type { DeploymentState } from '../deployment.ts'

/** The job, as far as a choice goes by it. */
export interface Ask {
  /** Uniform over jobs, 32 bits: the machine has no randomness. */
  readonly draw: number
  readonly promptTokens: number
  /** As expected. */
  readonly outputTokens: number
  /** In units (speed.ts). */
  readonly work: number
  readonly now: number
  /** Calls of the route so far. */
  readonly turn: number
  /** Of a unit of work, at the fastest of the candidates, ms; 0: nothing is known of any. */
  readonly bestUnitMs: number
}

export interface Policy {
  readonly name: PolicyName
  /** What a score is; lower is better. Of weights each gets its share. */
  readonly unit: 'ms' | 'nano_dollars' | 'weight' | 'turn'
  /** May a job go where the beginning of its prompt is in the cache, though another one would be chosen? */
  readonly followsCache: boolean
  /** Is a full one waited for, where an answer of it is expected sooner than of those with room? */
  readonly awaits: boolean
  /** For people. Infinity: nobody knows. */
  score(one: DeploymentState, ask: Ask): number
  /** `candidates`: at least two, of the same `order`; only read. */
  pick(candidates: readonly DeploymentState[], ask: Ask): DeploymentState
}

/** How long an answer takes there, by what runs there and how fast that was. */
export function expectedMs(one: DeploymentState, { work: own, bestUnitMs, turn, now }: Ask): number {
  const { speed, settings } = one
  const load = one.load(own)
  // Until something is known of any, what they may do at once tells how much they can do
  if (bestUnitMs === 0) return (load + own) / Math.min(settings?.concurrent ?? 1, MOST_SLOTS)
  return speed.expectedMs(own, load, bestUnitMs, one.longestMs(now), turn - one.turn >= DUE_AFTER)
}
const MOST_SLOTS = 100
/** Calls of the others after which one is tried that would not be: few enough that the slowest hundredth is not its. */
const DUE_AFTER = 256

/** The first of the least, from a place on that differs from job to job. */
export function least(
  candidates: readonly DeploymentState[],
  ask: Ask,
  score: (one: DeploymentState, ask: Ask) => number,
): DeploymentState {
  const { length } = candidates
  let at = ask.draw % length
  let best = candidates[at]
  let lowest = score(best, ask)
  for (let i = 1; i < length; i++) {
    at = at + 1 === length ? 0 : at + 1
    const one = candidates[at]
    const own = score(one, ask)
    if (own < lowest) {
      best = one
      lowest = own
    }
  }
  return best
}
