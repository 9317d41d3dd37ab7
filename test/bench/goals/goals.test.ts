import { expect, it } from 'vitest'
import { GOALS, type Goal, goalsTable, outcomeOf } from './goals.ts'

const goalOf = (figure: Goal['figure']): Goal => GOALS.find((each) => each.figure === figure)!

it('is met by every round, by the median, or not', () => {
  const wait = goalOf('accept p50 ms')
  expect(outcomeOf(wait, [2.9, 3])).toBe('met')
  expect(outcomeOf(wait, [2.5, 2.9, 3.1])).toBe('mostly')
  expect(outcomeOf(wait, [2.9, 3.1, 3.2])).toBe('missed')
  expect(outcomeOf(goalOf('jobs/s'), [4_999, 5_100])).toBe('mostly')
  expect(outcomeOf(goalOf('jobs/s'), [4_999])).toBe('missed')
  expect(outcomeOf(wait, [])).toBeNull()
  expect(outcomeOf(wait, [Number.NaN])).toBeNull()
  expect(outcomeOf(wait, JSON.parse('[null]') as number[])).toBeNull()
})

it('never rounds a miss into the goal', () => {
  const table = goalsTable(
    new Map([
      ['accept p50 ms', [3.04]],
      ['jobs/s', [4_999.9]],
      ['wal MB', [206.2]],
    ] as const),
  )
  expect(table).toContain('| ≤ 3 ms | 3.1 ms | **missed** |')
  expect(table).toContain('| ≥ 5,000/s | 4999/s | **missed** |')
  expect(table).toContain('| ≤ 256 MB | 207 MB | met |')
  expect(table).toContain('| resume 2,000 records late: first byte | ≤ 5 ms | not measured | |')
  expect(table.split('\n')).toHaveLength(GOALS.length + 2)
})
