import { expect, it } from 'vitest'
import { limitsOf } from './limits.ts'

const read = (lines: Readonly<Record<string, string>>) => limitsOf(new Map(Object.entries(lines)))

it('reads what is told, and only that', () => {
  expect(
    read({
      'x-ratelimit-limit-requests': '10000',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '6ms',
      'x-ratelimit-remaining-tokens': '29999981',
    }),
  ).toEqual({ requests: { limit: 10_000, remaining: 0, resetMs: 6 }, tokens: { remaining: 29_999_981 } })
  expect(read({})).toBeUndefined()
  expect(read({ date: 'Thu, 26 Nov 2026 04:30:00 GMT' })).toBeUndefined()
})

it.each([
  ['1s', 1_000],
  ['6m0s', 360_000],
  ['1h2m3.5s', 3_723_500],
  ['0s', 0],
  ['12', 12_000],
  ['7.66s', 7_660],
  ['1d', 86_400_000],
])('a reset of %s', (text, ms) => {
  expect(read({ 'x-ratelimit-reset-tokens': text })).toEqual({ tokens: { resetMs: ms } })
})

it.each(['', '-1', '1.5', 'many', '1e9', '9'.repeat(16), '12, 12', '0x10'])('no count: %j', (text) => {
  expect(read({ 'x-ratelimit-remaining-requests': text })).toBeUndefined()
})

it.each(['', '-1s', 's', '1y', '1s2', '1 s', '1ms'.repeat(30), '2026-11-26T04:30:00Z', '9'.repeat(100_000)])(
  'no time: %#',
  (text) => {
    expect(read({ 'x-ratelimit-reset-requests': text })).toBeUndefined()
  },
)
