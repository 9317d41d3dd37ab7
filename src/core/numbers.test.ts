import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BUCKETS,
  bucketBound,
  bucketOf,
  counter,
  counters,
  countOf,
  histogram,
  MAX_SERIES,
  OVERFLOW,
  quantileOf,
} from './numbers.ts'

describe('buckets', () => {
  it('lie side by side, each up to a quarter of an octave wide', () => {
    for (let i = 1; i < BUCKETS - 1; i++) {
      const low = bucketBound(i - 1)
      const high = bucketBound(i)
      expect(bucketOf(low)).toBe(i)
      expect(bucketOf(high)).toBe(i + 1)
      expect(high / low).toBeGreaterThan(1.14)
      expect(high / low).toBeLessThanOrEqual(1.25)
    }
  })

  it('hold any number', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (value) => {
        const bucket = bucketOf(value)
        expect(value).toBeLessThanOrEqual(bucketBound(bucket))
        if (bucket > 0) expect(value).toBeGreaterThanOrEqual(bucketBound(bucket - 1))
      }),
      { numRuns: 2_000 },
    )
    expect(bucketOf(0)).toBe(0)
    expect(bucketOf(Number.MIN_VALUE)).toBe(0)
    expect(bucketOf(Infinity)).toBe(BUCKETS - 1)
  })
})

it('a quantile is never too small, and at most a quarter too large', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.02, max: 1e9, noNaN: true }), { minLength: 1 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (values, share) => {
        const seen = histogram('x_ms', 'x')
        for (const value of values) seen.record(value)
        const exact = values.toSorted((a, b) => a - b)[Math.ceil(values.length * share - 1e-9) - 1]
        const read = quantileOf(seen, share)
        expect(read).toBeGreaterThanOrEqual(exact)
        expect(read).toBeLessThanOrEqual(exact * 1.25)
      },
    ),
  )
})

it('one value is told exactly, none is told as 0', () => {
  const seen = histogram('x_ms', 'x')
  expect([countOf(seen), quantileOf(seen, 0.99), seen.max]).toEqual([0, 0, 0])
  seen.record(321)
  expect([countOf(seen), quantileOf(seen, 0.5), seen.max, seen.sum]).toEqual([1, 321, 321, 321])
})

it('what is no number is not counted', () => {
  const seen = histogram('x_ms', 'x')
  for (const value of [Number.NaN, Infinity, -Infinity]) seen.record(value)
  expect([countOf(seen), seen.sum]).toEqual([0, 0])
})

it('a counter counts', () => {
  const one = counter('jobs', 'Jobs')
  one.add()
  one.add(4)
  expect(one.value).toBe(5)
})

it('a family keeps its series apart, and no more of them than it may', () => {
  const seen = counters('requests_by', 'Requests', 'model', 'outcome')
  seen.of('a', 'b').add(2)
  seen.of('a', 'c').add()
  expect(seen.of('a', 'b')).toBe(seen.of('a', 'b'))
  expect(seen.members.map(({ labels, value }) => [labels, value])).toEqual([
    [
      [
        ['model', 'a'],
        ['outcome', 'b'],
      ],
      2,
    ],
    [
      [
        ['model', 'a'],
        ['outcome', 'c'],
      ],
      1,
    ],
  ])
  for (let i = 0; i < MAX_SERIES * 2; i++) seen.of(String(i), 'b').add()
  expect(seen.members).toHaveLength(MAX_SERIES + 1)
  expect(seen.of(OVERFLOW, 'b').value).toBe(MAX_SERIES + 2)
})

it('beyond that, what is a fixed list stays told apart: tenants go first, then models, then deployments', () => {
  const ended = counters('ended', 'Jobs that ended', 'model', 'state', 'tenant')
  for (let i = 0; i < 3_000; i++) ended.of(`m${i % 3}`, 'done', `t${i}`).add()
  for (let i = 0; i < 30; i++) ended.of('m1', 'failed', `t${i}`).add()
  expect(ended.of('m1', 'failed', OVERFLOW).value).toBe(30)
  for (let i = 0; i < 3_000; i++) ended.of(`other${i}`, 'done', 't').add()
  for (let i = 0; i < 3_000; i++) ended.of(`other${i}`, 'expired', 't').add()
  expect(ended.of(OVERFLOW, 'expired', OVERFLOW).value).toBeGreaterThan(2_800)
  const of = (state: string) =>
    ended.members.reduce((sum, { labels, value }) => sum + (labels![1][1] === state ? value : 0), 0)
  expect([of('done'), of('failed'), of('expired')]).toEqual([6_000, 30, 3_000])
  expect(ended.members.length).toBeLessThanOrEqual(2 * MAX_SERIES)
})

it('whatever is asked for, a family is bounded', () => {
  const all = counters('all', 'All', 'model', 'state', 'code', 'tenant')
  for (let i = 0; i < 5_000; i++) all.of(`m${i % 70}`, `s${i % 11}`, `c${i % 130}`, `t${i}`).add()
  expect(all.members.length).toBeLessThanOrEqual(2 * MAX_SERIES + 1)
  expect(all.members.reduce((sum, { value }) => sum + value, 0)).toBe(5_000)
})
