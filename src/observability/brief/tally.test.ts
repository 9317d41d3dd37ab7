import { expect, it } from 'vitest'
import { Tally } from './tally.ts'

it('has whoever is frequent, however many names there are, and the sum is exact', () => {
  const tally = new Tally(60_000, 66)
  for (let i = 0; i < 200; i++) tally.add(1_000, `t${i}`)
  for (let i = 0; i < 5_000; i++) tally.add(2_000, 'rogue')
  const found = tally.since(3_000, 0)
  expect(found[0][0]).toBe('rogue')
  expect(found[0][1]).toBeGreaterThanOrEqual(5_000)
  expect(found[0][1]).toBeLessThanOrEqual(5_000 + 200 / 64 + 1)
  expect(found.length).toBe(64)
  expect(found.reduce((sum, [, count]) => sum + count, 0)).toBe(5_200)
})
