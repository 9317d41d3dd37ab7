/** What a good answer is, and which were. */
import type { JobState, Timing } from './job.ts'
import type { TtftParts } from './measure.ts'

export interface Goals {
  readonly ttftMs: number
  readonly tpotMs: number
}

/** Fewer answers than these prove nothing: neither a figure nor a brief says that they miss a goal. */
export const MIN_ANSWERS = 5
/** Of all that ended, or were submitted: from this share of failures or refusals on it is a trouble. */
export const MANY = 0.05

/**
 * Time to first token, as it is judged: from the request's head, without the wait for its own turn, which is as long as
 * whoever submitted it asked for.
 */
export const ttftOfParts = (parts: TtftParts): number =>
  parts.admission + parts.queue + parts.retries + parts.routing + parts.connect + parts.upstream + parts.delivery

/**
 * Did a job that ended like this give a good answer? Null: nobody judges, as its client canceled it. What is not known
 * of one that is done (an embedding has no tokens; a document comes all at once) misses no goal. `isLine`: of a batch,
 * whose lines wait for as long as others need; no first token of theirs is late.
 */
export function isGood(state: JobState, timing: Timing | undefined, goals: Goals, isLine = false): boolean | null {
  if (state === 'canceled') return null
  if (state !== 'done') return false
  const { ttftMs, parts, turnMs = 0 } = timing ?? {}
  // Of a document there are parts, until it was there, and no first token
  const tookMs = ttftMs === undefined ? 0 : parts === undefined ? ttftMs - turnMs : ttftOfParts(parts)
  return (isLine || tookMs <= goals.ttftMs) && (timing?.tpotMs ?? 0) <= goals.tpotMs
}
