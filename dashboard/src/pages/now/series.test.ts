import { expect, it } from 'vitest'
import { chartOf, nowOf } from '../../../dev/frames.ts'
import { partOf, periodWords, STACK, ttftLabels, turnOf } from './series.ts'

const NOW = 1_800_000_000_000
const upstream = STACK.find(({ id }) => id === 'upstream')!

it('a mean of several buckets counts each first token once, whenever its answer ends', () => {
  const chart = {
    ...chartOf('well', '15m', NOW),
    ttft: Object.fromEntries(
      ['admission', 'queue', 'retries', 'routing', 'connect', 'upstream', 'delivery'].map((part) => [
        part,
        part === 'upstream' ? [2_000, 50, null] : [0, 0, null],
      ]),
    ) as never,
    firstTokens: [20, 20, 0],
    // Answers that began late are done later
    judged: [0, 20, 20],
  }
  expect(partOf(chart, upstream, { startMs: 0, from: 0, to: 3 })).toBe(1_025)
})

it('what stands at the chart of first tokens is of one time: that of the figure above it', () => {
  const now = nowOf('late', '15m', NOW)
  const parts = { admission: 1, queue: 400, retries: 0, routing: 1, connect: 3, upstream: 90, delivery: 1 }
  const told = { ...now, ttftP95Ms: { ...now.ttftP95Ms, value: 2_200 }, period: { minutes: 5, tpotP50Ms: 10, parts } }
  expect(ttftLabels(told).map(({ key, ms }) => [key, ms])).toEqual([
    ['p95', 2_200],
    ['upstream', 90],
    ['connect', 3],
    ['queue', 400],
    ['sluice', 3],
  ])
  expect(periodWords(told)).toBe('last 5 min')
  expect(periodWords({ ...told, period: { ...told.period, minutes: null } })).toBe('in this range')
})

it('the wait for its own turn is told where there was one, and is no part of the stack', () => {
  const chart = chartOf('well', '15m', NOW)
  const waited = { ...chart, ttft: { ...chart.ttft, turn: [4_000, 0, null] }, firstTokens: [10, 10, 0] }
  const at = (from: number, to = from + 1) => turnOf(waited, { startMs: 0, from, to })
  expect([at(0), at(1), at(2), at(0, 3)]).toEqual([4_000, null, null, 2_000])
  expect(STACK.flatMap(({ parts }) => parts)).not.toContain('turn')
})
