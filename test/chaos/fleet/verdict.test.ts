/** Whether a fleet is as fast as promised: a busy machine excuses as much as its control lost, and no more. */
import { expect, it } from 'vitest'
import { slowdownOf } from './slowdown.ts'
import type { Times } from './times.ts'
import { tooSlow } from './verdict.ts'

const round = (acceptMs: number, slowdown = 1, fault: Times['fault'] = 'kill coordinator'): Times => ({
  fault,
  node: 'g1',
  acceptMs,
  slowdown,
  failed: 0,
  calls: 10,
  resumeMs: [],
  goOnMs: [],
  silenceMs: 50,
})

it('a call that is accepted in time', () => {
  expect(tooSlow([round(999), round(2_400, 1, 'stop coordinator')])).toEqual([])
  expect(tooSlow([round(1_400, 1.5)])).toEqual([])
  // One of three: of another cause
  expect(tooSlow([round(400), round(1_400), round(500)])).toEqual([])
})

it.each([
  [[round(1_001)], 1],
  [[round(2_501, 1, 'stop coordinator')], 1],
  [[round(1_400, 1.3)], 1],
  [[round(400), round(1_400), round(1_600)], 2],
  [[round(Infinity, 3)], 1],
])('a call that is accepted too late: %#', (times, wrong) => {
  const found = tooSlow(times)
  expect(found.length).toBe(wrong)
  for (const each of found) expect(each).toContain('a call was accepted after')
})

it('a control tells how much slower a process was than alone', () => {
  expect(slowdownOf([])).toBe(1)
  expect(slowdownOf([{ atMs: 1, tookMs: 10, cpuMs: 10 }])).toBe(1)
  expect(slowdownOf([10, 50].map((tookMs) => ({ atMs: 1, tookMs, cpuMs: 10 })))).toBe(3)
})
