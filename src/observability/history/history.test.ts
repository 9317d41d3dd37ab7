import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { chartOf, spanOf } from './chart.ts'
import { History } from './history.ts'

const about = { job: 'job_1', tenant: 't', keyId: 'k', model: 'm', attempt: 1, deployment: 'd' }
const progressed = (atMs: number, tokens: number): Fact =>
  ({ type: 'attempt-progressed', atMs, ...about, tokens }) as unknown as Fact
const ended = (atMs: number, completionTokens: number): Fact =>
  ({
    ...{ type: 'attempt-ended', atMs, ...about, code: null },
    usage: { promptTokens: 5, completionTokens, estimated: false },
  }) as unknown as Fact
const tokens = (history: History, nowMs: number): readonly number[] =>
  chartOf(spanOf(history, '15m', nowMs), null).tokensOut

it('counts the tokens that are reported in the end, whatever was counted while they came', () => {
  const history = new History(1_000_000)
  history.observe(progressed(1_001_000, 13))
  history.observe(ended(1_002_000, 12))
  expect(tokens(history, 1_003_000)).toEqual([12])
  // The correction falls into a bucket of its own, where it takes nothing away
  history.observe(progressed(1_004_000, 13))
  history.observe(ended(1_006_000, 12))
  expect(tokens(history, 1_006_000)).toEqual([25, 0])
})

it('goes on where the clock is set back', () => {
  const history = new History(9_000_000)
  for (let s = 0; s < 30; s++) history.observe(progressed(1_000_000 + s * 1_000, s))
  expect(history.startAtMs).toBe(1_000_000)
  expect(tokens(history, 1_029_000)).toEqual([4, 5, 5, 5, 5, 5])
})
