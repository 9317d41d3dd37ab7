import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { FROM_CACHE } from '../../core/ports/work.ts'
import { chartOf, spanOf } from './chart.ts'
import { History } from './history.ts'
import { COLUMNS } from './tier.ts'

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

const ATTEMPT = {
  ...{ atMs: 10_000, job: 'j', tenant: 't', keyId: 'k', model: 'm', requestId: null, trace: null, deployment: 'd' },
}
const PARTS = { admission: 0, queue: 0, retries: 0, routing: 0, connect: 0, upstream: 5_000, delivery: 0 }
const usage = (completionTokens: number) => ({ promptTokens: 1, completionTokens, estimated: false })

/** In the bucket of all these facts. */
const tokensOf = ({ tiers: [tier] }: History): number => tier.value(tier.bucketAt(10_000), 'tokensOut')

it('counts the tokens of an answer once, though it was broken off, and another attempt went on with it', () => {
  const history = new History(0)
  const tell = (attempt: number, fact: object): void => history.observe({ ...ATTEMPT, attempt, ...fact } as Fact)
  tell(1, { type: 'attempt-progressed', tokens: 126 })
  tell(1, { type: 'attempt-ended', code: 'provider_cut', usage: usage(126) })
  tell(2, { type: 'attempt-progressed', tokens: 100 })
  tell(2, { type: 'attempt-progressed', tokens: 250 })
  tell(2, { type: 'attempt-ended', code: null, usage: usage(374) })
  expect(tokensOf(history)).toBe(500)
})

it('keeps the wait for its own turn beside a first token, in the last column: others are read by their places', () => {
  const history = new History(0)
  const first = (parts: object): void =>
    history.observe({
      ...ATTEMPT,
      type: 'first-token-delivered',
      dialect: 'chat',
      ttftMs: 0,
      parts: { ...PARTS, ...parts },
    } as Fact)
  first({ turn: 60_000 })
  first({})
  const { ttft, ttftP95 } = chartOf(spanOf(history, '15m', 10_000), null)
  expect([ttft.turn.at(-1), ttft.upstream.at(-1)]).toEqual([30_000, 5_000])
  expect(ttftP95.at(-1)).toBeLessThan(5_100)
  expect(COLUMNS.indexOf('admission')).toBe(0)
  expect(COLUMNS.indexOf('looks')).toBe(23)
  expect(COLUMNS.at(-1)).toBe('turn')
})

it('takes the time of an answer that came in one piece for no time to a first token of its deployment', () => {
  const history = new History(0)
  const tell = (fact: object): void => history.observe({ ...ATTEMPT, attempt: 1, ...fact } as Fact)
  tell({ type: 'first-token-received', ttftMs: 5_000, parts: PARTS, isWhole: true })
  expect(history.deployments.read('d', 0, 10_000).ttftP95Ms).toBeNull()
  tell({ type: 'first-token-received', ttftMs: 20, parts: { ...PARTS, upstream: 20 } })
  expect(history.deployments.read('d', 0, 10_000).ttftP95Ms).toBeLessThan(25)
})

it("a batch's lines have no first token that is late, in a fleet either", () => {
  const history = new History(0, { isOneOfMany: true })
  const tell = (requestId: string, parts: object): void =>
    history.observe({
      ...{ ...ATTEMPT, attempt: 1, requestId, type: 'first-token-received', ttftMs: 0 },
      parts: { ...PARTS, upstream: 20, ...parts },
    } as Fact)
  tell('line_00ff', { queue: 60_000 })
  tell('req_00ff', {})
  expect(chartOf(spanOf(history, '15m', 10_000), null).ttftP95.at(-1)).toBeLessThan(100)
})

it('tells of how many first tokens a mean is, though none of their answers has ended', () => {
  const history = new History(1_000_000)
  for (const upstream of [100, 300])
    history.observe({
      ...ATTEMPT,
      type: 'first-token-delivered',
      atMs: 1_001_000,
      parts: { ...PARTS, upstream },
    } as never)
  const { firstTokens, ttft, judged } = chartOf(spanOf(history, '15m', 1_001_000), null)
  expect([firstTokens, ttft.upstream, judged]).toEqual([[2], [200], [0]])
})

it('counts tokens that providers made: not those of answers from the cache', () => {
  const history = new History(1_000_000)
  for (const [job, deployment] of [
    ['job_1', 'd'],
    ['job_2', FROM_CACHE],
  ] as const)
    for (const fact of [progressed(1_001_000, 13), ended(1_001_000, 12)])
      history.observe({ ...fact, job, deployment } as Fact)
  expect(tokens(history, 1_001_000)).toEqual([12])
})

it('has no buckets of a range before the start, or ahead', () => {
  const history = new History(9_000_000)
  history.observe(progressed(9_001_000, 5))
  for (const [fromMs, toMs] of [
    [1, 1_000],
    [9_100_000, 9_200_000],
  ])
    expect(chartOf(spanOf(history, { fromMs, toMs }, 9_003_000), null)).toMatchObject({ buckets: 0, tokensOut: [] })
  expect(chartOf(spanOf(history, { fromMs: 1, toMs: 9_003_000 }, 9_003_000), null).tokensOut).toEqual([5])
})
