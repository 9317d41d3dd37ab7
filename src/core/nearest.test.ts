/** Near names are told; what is far too long is not compared at all. */
import { expect, it } from 'vitest'
import { didYouMean, nearest } from './nearest.ts'

const NAMES = ['idempotency_key', 'conversation', 'lane']

it.each([
  ['lnae', 'lane'],
  ['LANE', 'lane'],
  ['idempotencykey', 'idempotency_key'],
  ['zzz', null],
  ['', null],
])('%s: %s', (word, name) => {
  expect(nearest(word, NAMES)).toBe(name)
  expect(didYouMean(word, NAMES)).toBe(name === null ? '' : ` Did you mean "${name}"?`)
})

it('a text that no name is as long as costs nothing, nor do names without end', () => {
  const from = process.cpuUsage()
  expect(nearest('lane'.repeat(1_000_000), NAMES)).toBeNull()
  expect(nearest('lane', ['x'.repeat(4_000_000)])).toBeNull()
  expect(
    nearest(
      'lane',
      (function* () {
        for (;;) yield 'other'
      })(),
    ),
  ).toBeNull()
  expect(process.cpuUsage(from).user / 1_000).toBeLessThan(200)
})

it('to a single letter nothing is near, however short', () => {
  expect(nearest('x', ['t', 'id'])).toBeNull()
  expect(nearest('di', ['t', 'id'])).toBe('id')
})
