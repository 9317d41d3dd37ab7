/** What would miss a goal, were it not of too few answers to say so. */
import { MANY, MIN_ANSWERS } from '../../core/goals.ts'
import type { Goals } from '../../core/live.ts'
import type { Period } from './situation.ts'
import { duration, plural } from './words.ts'

/** Null: there is nothing like that. */
export function tooFew(period: Period, goals: Goals): string | null {
  const { firstTokens, ttftP95Ms, tpots, tpotP95Ms, judged, good, done, refused } = period
  const failed = period.failed + period.expired
  const ended = failed + done
  const isMany = (n: number, of: number): boolean => n > 0 && n < MIN_ANSWERS && n / of >= MANY
  const over = (n: number, p95: number | null, goal: number): boolean => n < MIN_ANSWERS && (p95 ?? 0) > goal
  const p95 = (n: number, ms: number | null, goal: number): string =>
    `${duration(ms ?? 0)} (p95 of ${plural(n, 'answer')}, goal ${duration(goal)})`
  const told = [
    isMany(failed, ended) && `${failed} of ${plural(ended, 'job')} failed`,
    isMany(refused, refused + ended) && `${refused} of ${plural(refused + ended, 'request')} refused`,
    over(firstTokens, ttftP95Ms, goals.ttftMs) &&
      `first tokens came after ${p95(firstTokens, ttftP95Ms, goals.ttftMs)}`,
    over(tpots, tpotP95Ms, goals.tpotMs) && `tokens took ${p95(tpots, tpotP95Ms, goals.tpotMs)}`,
    judged > 0 &&
      judged < MIN_ANSWERS &&
      good / judged < goals.good &&
      `${judged - good} of ${plural(judged, 'answer')} missed a goal`,
  ].filter((each) => each !== false)
  return told.length === 0 ? null : told.join('; ')
}
