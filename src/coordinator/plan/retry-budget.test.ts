import { expect, it } from 'vitest'
import { RetryBudget } from './retry-budget.ts'

it('lets a fifth of the calls be tried again at once, and two a second whatever they are', () => {
  const budget = new RetryBudget()
  for (let i = 0; i < 10_000; i++) budget.called()
  const atOnce = Array.from({ length: 300 }, () => budget.takes(0)).filter((ms) => ms === 0).length
  expect(atOnce).toBe(200)
  for (let i = 0; i < 1_000; i++) budget.called()
  expect(Array.from({ length: 300 }, () => budget.takes(0)).filter((ms) => ms === 0).length).toBe(140)
})

it('what is beyond that waits in turn, and no longer than half a minute', () => {
  const budget = new RetryBudget()
  const waits = Array.from({ length: 200 }, () => budget.takes(0))
  expect(waits.slice(19, 23)).toEqual([0, 500, 1_000, 1_500])
  expect(Math.max(...waits)).toBe(30_000)
  expect(budget.takes(60_000)).toBe(0)
})
