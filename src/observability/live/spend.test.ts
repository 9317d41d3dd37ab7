import { describe, expect, it } from 'vitest'
import type { LevelLimits } from '../../core/limits.ts'
import { History } from '../history/history.ts'
import { figuresOf } from './now.ts'
import { spendForecast, spendGoal } from './spend.ts'

const NOON = Date.parse('2026-11-26T12:00:00Z')
const level = (budgets: Array<readonly ['hour' | 'day' | 'month', number]>): LevelLimits => ({
  ...{ rates: [], concurrent: null },
  budgets: budgets.map(([window, nanoDollars]) => ({ window, nanoDollars, whenOut: 'cut' })),
})

describe('the goal of a day’s spend', () => {
  it('is the server’s own budget for a day, else the day’s share of its month, else none', () => {
    expect(spendGoal(null, NOON)).toBeNull()
    expect(spendGoal(level([['hour', 5]]), NOON)).toBeNull()
    expect(spendGoal(level([['month', 300]]), NOON)).toBe(10)
    expect(spendGoal(level([['month', 280]]), Date.parse('2027-02-28T23:59:59Z'))).toBe(10)
    const both = level([
      ['month', 300],
      ['day', 40],
    ])
    expect(spendGoal(both, NOON)).toBe(40)
  })

  it('is compared with what is spent, and with what the day is heading for', () => {
    expect(spendForecast(7, NOON)).toBe(14)
    expect(spendForecast(7, NOON - 11 * 3_600_000 - 1)).toBeNull()
    expect(spendForecast(null, NOON)).toBeNull()
    const figure = (spentNanoUsd: number | null, spendGoal: number | null) => {
      const history = new History(NOON - 1_000)
      const beside = { waitingJobs: 0, waitingTokens: 0, spentNanoUsd, spendGoal, isSpentEstimated: false }
      const { spentNanoUsd: is, spendForecastNanoUsd } = figuresOf(
        history,
        '15m',
        NOON,
        { ttftMs: 1, tpotMs: 1, good: 0.99 },
        beside,
      )
      return [is.goal, is.isWell, spendForecastNanoUsd]
    }
    expect(figure(4, 10)).toEqual([10, true, 8])
    expect(figure(6, 10)).toEqual([10, false, 12])
    expect(figure(6, null)).toEqual([null, true, 12])
    expect(figure(null, 10)).toEqual([10, true, null])
  })
})
