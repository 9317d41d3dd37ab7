import { beforeEach, expect, it } from 'vitest'
import { type ManualClock, manualClock } from '../../test/manual-clock.ts'
import { type GatherGauge, gatherGauge } from './gather.ts'

let clock: ManualClock
let gauge: GatherGauge

beforeEach(() => {
  clock = manualClock()
  gauge = gatherGauge({ gather: 'auto', gatherMs: 60 }, clock)
})

const TOGETHER = { ms: 15, together: true }
const APART = { ms: 60, together: false }

/** A sample in which so many reads are made, and about so much of a core is used. */
function sample(reads: number, share = 0): void {
  for (let i = 0; i < reads; i++) gauge.gathering()
  const before = process.threadCpuUsage()
  const usedMs = (): number => {
    const { user, system } = process.threadCpuUsage(before)
    return (user + system) / 1000
  }
  while (usedMs() < share * 200);
  clock.advance(200)
}

it('a few streams are read as their tokens come', () => {
  for (let i = 0; i < 5; i++) sample(29)
  expect(gauge.gathering()).toBeNull()
})

it('several are read together, until there are clearly fewer', () => {
  sample(30)
  expect(gauge.gathering()).toEqual(TOGETHER)
  sample(15)
  expect(gauge.gathering()).toEqual(TOGETHER)
  sample(13)
  expect(gauge.gathering()).toBeNull()
})

it('each for itself and longer when the thread is busy, until it clearly is no longer', () => {
  sample(500, 0.25)
  expect(gauge.gathering()).toEqual(APART)
  sample(500, 0.15)
  expect(gauge.gathering()).toEqual(APART)
  sample(500)
  expect(gauge.gathering()).toEqual(TOGETHER)
  sample(500, 0.15)
  expect(gauge.gathering()).toEqual(TOGETHER)
})

it('a few are read as their tokens come however busy the thread is: to leave them unread would save nothing', () => {
  sample(29, 0.25)
  expect(gauge.gathering()).toBeNull()
  sample(500, 0.25)
  sample(4, 0.25)
  expect(gauge.gathering()).toEqual(APART)
  sample(2, 0.25)
  expect(gauge.gathering()).toBeNull()
})

it('always or never, if it is set so', () => {
  gauge = gatherGauge({ gather: 'on', gatherMs: 30 }, clock)
  sample(0)
  expect(gauge.gathering()).toEqual({ ms: 30, together: false })
  gauge = gatherGauge({ gather: 'off', gatherMs: 30 }, clock)
  sample(500, 0.25)
  expect(gauge.gathering()).toBeNull()
})

it('the number that operators see is no read', () => {
  const [metric] = gauge.metrics
  const read = (): number => (metric as { read(): number }).read()
  for (let i = 0; i < 100; i++) read()
  sample(0)
  expect(read()).toBe(0)
  sample(30)
  expect(read()).toBe(15)
})
