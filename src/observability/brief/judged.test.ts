/** One rule for the brief and the figures beneath it. */
import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { History } from '../history/history.ts'
import { figuresOf, latelyOf } from '../live/now.ts'
import { briefsOf } from './brief.ts'
import { situation } from './testing/situations.ts'
import { textOf } from './words.ts'

const NOW = 1_800_000_000_000
const GOALS = { ttftMs: 1_500, tpotMs: 50, good: 0.99 }
const PARTS = { admission: 5, queue: 0, retries: 0, routing: 1, connect: 2, upstream: 100, delivery: 1 }

function told(ends: ReadonlyArray<{ state?: string; good?: boolean; tpotMs?: number; upstream?: number }>) {
  const history = new History(NOW - 60_000)
  for (const { state = 'done', good = true, tpotMs, upstream = 100 } of ends) {
    const about = { atMs: NOW, job: 'j', tenant: 't', model: 'm', deployment: 'd' }
    history.observe({ ...about, type: 'first-token-delivered', parts: { ...PARTS, upstream } } as never as Fact)
    history.observe({ ...about, type: 'job-ended', state, good, timing: { tpotMs } } as never as Fact)
  }
  const { period } = latelyOf(history, NOW)
  const beside = { waitingJobs: 0, waitingTokens: 0, spentNanoUsd: 0, spendGoal: null, isSpentEstimated: false }
  const { ttftP95Ms, tpotP95Ms, good } = figuresOf(history, '15m', NOW, GOALS, beside)
  const given = situation({ nowMs: NOW, now: period, before: null, running: 0, deployments: [] })
  const [brief] = briefsOf(given)
  return { kind: brief.kind, text: textOf([...brief.state, ...brief.cause]), ttftP95Ms, tpotP95Ms, good }
}

const SLOW = { tpotMs: 63, good: false }
const WELL = { tpotMs: 20 }

it('of too few answers nobody says that they miss a goal, or that all is well', () => {
  const { kind, text, ...figures } = told([SLOW, WELL])
  expect(kind).toBe('idle')
  expect(text).toBe(
    'Too little happened to judge: tokens took 63 ms (p95 of 2 answers, goal 50 ms); 1 of 2 answers missed a goal.',
  )
  expect(figures).toMatchObject({
    ttftP95Ms: { isWell: true, few: 2 },
    tpotP95Ms: { isWell: true, few: 2, value: 63 },
    good: { isWell: true, few: 2, value: 0.5 },
  })
})

it('of enough answers both do', () => {
  const { kind, ...figures } = told([SLOW, SLOW, WELL, WELL, WELL])
  expect(kind).toBe('slow')
  expect(figures).toMatchObject({ tpotP95Ms: { isWell: false, few: null }, good: { isWell: false, few: null } })
})

it('says which of few jobs failed', () => {
  const failed = { state: 'failed', good: false, tpotMs: 20 }
  expect(told([failed, failed, WELL]).text).toBe(
    'Too little happened to judge: 2 of 3 jobs failed; 2 of 3 answers missed a goal.',
  )
  const { kind, text } = told([...Array(3).fill(failed), ...Array(15).fill(WELL)])
  expect(kind).toBe('missed')
  expect(text).toMatch(/^17% of answers missed a goal, where 1% may: 3 of 18\.3 of them failed\. A good answer/)
})

it('late first tokens of few, too', () =>
  expect(told([{ upstream: 2_091 }]).text).toBe(
    'Too little happened to judge: first tokens came after 2.1 s (p95 of 1 answer, goal 1.5 s).',
  ))
