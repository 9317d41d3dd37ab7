import { expect, it } from 'vitest'
import { endedOf, isIn, shareOf } from './rows.ts'

const NONE = { tokens: null, usd: null, steps: null, depth: null }
const USED = { total_tokens: 50, usd: 0.9, steps: 2, depth: 1 }

it('tells what of a budget is used up the furthest', () => {
  expect(shareOf({ budget: NONE, totals: USED })).toBeNull()
  expect(shareOf({ budget: { ...NONE, tokens: 100 }, totals: USED })).toEqual({ name: 'tokens', share: 0.5 })
  expect(shareOf({ budget: { tokens: 100, usd: 1, steps: 40, depth: 5 }, totals: USED })?.name).toBe('dollars')
  expect(shareOf({ budget: { ...NONE, steps: 5 }, totals: { ...USED, steps: 0 } })).toEqual({ name: 'steps', share: 0 })
})

it('counts what has ended, however', () => {
  expect(endedOf({ states: { done: 2, failed: 1, canceled: 3, expired: 4, leased: 7, queued: 9 } })).toBe(10)
})

it('knows a run by its tenant and its name', () => {
  expect(isIn([{ tenant: 'a', id: 'r' }], { tenant: 'a', id: 'r' })).toBe(true)
  expect(isIn([{ tenant: 'a', id: 'r' }], { tenant: 'b', id: 'r' })).toBe(false)
})
