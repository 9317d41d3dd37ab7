/**
 * The same bytes again and again, by one caller: what retries join stays right, and costs no time that grows with its
 * square.
 */
import { expect, it } from 'vitest'
import { Joins } from './joins.ts'

it('joins the newest that still runs, whichever ended', () => {
  const joins = new Joins(60_000)
  for (const id of ['1', '2', '3', '4']) joins.add('k', id)
  expect(joins.find('k', 0)).toBe('4')
  joins.remove('k', '4')
  joins.remove('k', '4')
  joins.remove('k', '2')
  expect(joins.find('k', 0)).toBe('3')
  joins.add('k', '5')
  expect(joins.find('k', 0)).toBe('5')
  for (const id of ['5', '3']) joins.remove('k', id)
  expect(joins.find('k', 0)).toBe('1')
  joins.endedWell('k', '1', 0)
  expect([joins.find('k', 59_999), joins.find('k', 60_000), joins.find('other', 0)]).toEqual(['1', null, null])
})

it.each([
  ['the oldest first', (ids: string[]) => ids],
  ['the newest first', (ids: string[]) => ids.toReversed()],
])('60,000 jobs of the same bytes end, %s', (_name, order) => {
  const joins = new Joins(0)
  const ids = Array.from({ length: 60_000 }, (_, i) => `job_${i}`)
  const from = process.cpuUsage()
  for (const id of ids) joins.add('k', id)
  for (const id of order(ids)) {
    joins.remove('k', id)
    joins.find('k', 0)
  }
  expect(joins.find('k', 0)).toBeNull()
  expect(process.cpuUsage(from).user / 1_000).toBeLessThan(1_000)
})
