import { expect, it } from 'vitest'
import { jobOrder, systemIds } from './ids.ts'

const ids = systemIds()

it('job ids sort by their order, tell it, and are all different', () => {
  const orders = [0, 1, 31, 32, 1_023, 1_024, 2 ** 40, Number.MAX_SAFE_INTEGER]
  const made = orders.map((order) => ids.job(order))
  for (const id of made) expect(id).toMatch(/^job_[0-9a-hjkmnp-tv-z]{26}$/)
  expect(made.map(jobOrder)).toEqual(orders)
  expect(made.toSorted()).toEqual(made)
  expect(new Set(Array.from({ length: 10_000 }, () => ids.job(7))).size).toBe(10_000)
})

it('each random character of an id takes all its values, evenly', () => {
  const count = 32 * 500
  const made = Array.from({ length: count }, () => ids.job(0).slice(-15))
  for (let at = 0; at < 15; at++) {
    const seen = Map.groupBy(made, (id) => id[at])
    expect(seen.size).toBe(32)
    for (const each of seen.values()) expect(Math.abs(each.length - 500)).toBeLessThan(200)
  }
})

it('names are their prefix and so many bytes in hex, all different', () => {
  const names = Array.from({ length: 10_000 }, () => ids.name('req', 12))
  for (const name of names) expect(name).toMatch(/^req_[0-9a-f]{24}$/)
  expect(new Set(names).size).toBe(names.length)
})

it('random bytes are never the same, across what is drawn at once', () => {
  const drawn = Array.from({ length: 2_000 }, (_, i) =>
    Buffer.from(ids.random(8 + (i % 300)))
      .toString('hex')
      .slice(0, 16),
  )
  expect(new Set(drawn).size).toBe(drawn.length)
})
