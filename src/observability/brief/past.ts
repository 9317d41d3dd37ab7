/** How things were in a range of the past: what was measured, the worst first. The present has no part in it. */
import { MANY, MIN_ANSWERS } from '../../core/goals.ts'
import type { Brief, Goals, Words } from '../../core/live.ts'
import { addedOf, EXPLAINS } from './brief.ts'
import { PART_NAMES } from './causes.ts'
import { tooFew } from './few.ts'
import type { Situation } from './situation.ts'
import { duration, listed, percent, plural, say, strong } from './words.ts'

type Past = Pick<Situation, 'now' | 'before'>

export function briefsOfPast(past: Past, goals: Goals): readonly Brief[] {
  const troubles = [failed(past), late(past, goals), slow(past, goals), refused(past)].filter((brief) => brief !== null)
  return troubles.length > 0 ? troubles : [missed(past, goals) ?? calm(past, goals)]
}

const told = (kind: Brief['kind'], state: string, cause: readonly Words[] = []): Brief => ({
  kind,
  state: [say(`In this range ${state}`)],
  cause,
  harm: [],
  actions: [],
  sinceAtMs: null,
})

function failed({ now: period }: Past): Brief | null {
  const failures = period.failed + period.expired
  const ended = failures + period.done
  if (failures < MIN_ANSWERS || failures / ended < MANY) return null
  return told('failing', `${percent(failures / ended)} of jobs failed: ${failures} of ${ended}.`)
}

function late({ now: { firstTokens, ttftP95Ms: p95, parts }, before }: Past, goals: Goals): Brief | null {
  if (firstTokens < MIN_ANSWERS || p95 === null || parts === null || p95 <= goals.ttftMs) return null
  const { total, added } = addedOf({ before, goals }, parts)
  const [[part, most]] = added
  const share = added.filter(([, ms]) => ms > 0).slice(0, most / total >= EXPLAINS ? 1 : 4)
  return told('late', `first tokens were late: p95 was ${duration(p95)}, the goal ${duration(goals.ttftMs)}.`, [
    say(`Of the ${duration(total)} added to first tokens on average, `),
    ...(share.length === 1
      ? [strong(`${duration(most)} was ${PART_NAMES[part]}`)]
      : listed(share.map(([name, ms]) => [strong(duration(ms)), say(` was ${PART_NAMES[name]}`)]))),
    say('.'),
  ])
}

function slow({ now: { tpots, tpotP95Ms: p95 } }: Past, goals: Goals): Brief | null {
  if (tpots < MIN_ANSWERS || p95 === null || p95 <= goals.tpotMs) return null
  return told('slow', `tokens came slowly: p95 was ${duration(p95)} a token, the goal ${duration(goals.tpotMs)}.`)
}

function refused({ now: period }: Past): Brief | null {
  const asked = period.refused + period.done + period.failed + period.expired
  if (period.refused < MIN_ANSWERS || period.refused / asked < MANY) return null
  return told('refusing', `${plural(period.refused, 'request was', 'requests were')} refused, of ${asked}.`)
}

function missed({ now: { judged, good } }: Past, goals: Goals): Brief | null {
  if (judged < MIN_ANSWERS || good / judged >= goals.good) return null
  const bad = judged - good
  return told('missed', `${percent(bad / judged)} of answers missed a goal: ${bad} of ${judged}.`)
}

function calm({ now: period }: Past, goals: Goals): Brief {
  const { firstTokens, done, failed, expired, refused, ttftP95Ms } = period
  if (firstTokens + done + failed + expired + refused === 0) return told('idle', 'nothing was measured.')
  const few = tooFew(period, goals)
  if (few !== null) return told('idle', `too little happened to judge: ${few}.`)
  const first =
    ttftP95Ms === null ? '' : ` First tokens came within ${duration(ttftP95Ms)} (p95, goal ${duration(goals.ttftMs)}).`
  return told('well', `all was well: ${plural(done, 'job')} done.${first}`)
}
