import { expect, it } from 'vitest'
import type { BenchRecord } from './record.ts'
import { throughputOf } from './throughput.ts'

/** 40 requests, 4 a second; each takes so long. */
const records = (tookMs: (index: number) => number): BenchRecord[] =>
  Array.from({ length: 40 }, (_, index) => {
    const sent = (index + 1) * 250
    return { round: 0, outcome: 'ok', sent, end: sent + tookMs(index), tokens: { completion: 30 } } as BenchRecord
  })
const open = (): boolean => true

it('of an open loop is what was asked for, however long an answer takes', () => {
  for (const tookMs of [100, 1_000, 8_000]) {
    const { requestsPerSecond, tokensPerSecond } = throughputOf(
      records(() => tookMs),
      open,
    )
    expect(requestsPerSecond).toBeCloseTo(40 / 9.75)
    expect(tokensPerSecond).toBeCloseTo(1_200 / 9.75)
  }
})

it('of more than can be carried is what was carried', () => {
  // Two a second: each waits for all before it
  const { requestsPerSecond } = throughputOf(
    records((index) => 500 + index * 250),
    open,
  )
  expect(requestsPerSecond).toBeGreaterThan(1.9)
  expect(requestsPerSecond).toBeLessThan(2.7)
})

it('of a closed loop is by the whole time', () => {
  const { requestsPerSecond } = throughputOf(
    records(() => 1_000),
    () => false,
  )
  expect(requestsPerSecond).toBeCloseTo(40 / 10.75)
})
