/** What ends by itself at some time: waits, breakers, quotas, and what checks have told. */
import type { Timed, Timers } from '../scheduler/timers.ts'

/** What keeps calls from a deployment, until a time. */
export interface Waiting extends Timed {
  /** When the next wait ends; Infinity: none is left. */
  nextMono(now: number): number
}

export type Cooling = Timers<Waiting>
