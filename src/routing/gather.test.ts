import { beforeEach, expect, it, vi } from 'vitest'
import { type ManualClock, manualClock } from '../../test/manual-clock.ts'
import { type GatherGauge, gatherGauge } from './gather.ts'

let clock: ManualClock
let gauge: GatherGauge

beforeEach(() => {
  vi.restoreAllMocks()
  clock = manualClock()
  gauge = gatherGauge({ gather: 'auto', gatherMs: 60 }, clock)
})

/** A sample with so many reads, during which the loop is busy for this share of the time. */
function sample(reads: number, utilization: number): void {
  for (let i = 0; i < reads; i++) gauge.gatherMs()
  vi.spyOn(performance, 'eventLoopUtilization').mockReturnValue({ utilization, active: 0, idle: 0 })
  clock.advance(200)
}

it('begins when the loop is busy, and ends when it clearly is no longer', () => {
  sample(500, 0.25)
  expect(gauge.gatherMs()).toBe(0)
  sample(500, 0.35)
  expect(gauge.gatherMs()).toBe(60)
  sample(500, 0.2)
  expect(gauge.gatherMs()).toBe(60)
  sample(500, 0.1)
  expect(gauge.gatherMs()).toBe(0)
})

it('a few are read as their tokens come however busy the loop is: to leave them unread would save nothing', () => {
  sample(149, 0.9)
  expect(gauge.gatherMs()).toBe(0)
  sample(150, 0.9)
  sample(40, 0.9)
  expect(gauge.gatherMs()).toBe(60)
  sample(38, 0.9)
  expect(gauge.gatherMs()).toBe(0)
})

it('always or never, if it is set so', () => {
  gauge = gatherGauge({ gather: 'on', gatherMs: 30 }, clock)
  sample(0, 0)
  expect(gauge.gatherMs()).toBe(30)
  gauge = gatherGauge({ gather: 'off', gatherMs: 30 }, clock)
  sample(500, 0.9)
  expect(gauge.gatherMs()).toBe(0)
})

it('the number that operators see is no read', () => {
  const [metric] = gauge.metrics
  for (let i = 0; i < 500; i++) (metric as { read(): number }).read()
  sample(0, 0.9)
  expect(gauge.gatherMs()).toBe(0)
})
