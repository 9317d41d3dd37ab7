import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { RefusedOfLate } from './refused.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** So that hours are told apart by whole steps. */
const NOW = 1_000 * HOUR_MS

function told(of: RefusedOfLate) {
  const about = { model: 'm', requestId: null, trace: null }
  return {
    refused: (atMs: number, code: string, tenant: string | null = 'acme', keyId = 'key_1') =>
      of.observe({ type: 'job-refused', ...about, tenant, keyId, code, atMs } as Fact),
    limited: (atMs: number, unit: string, keyId = 'key_1', tenant = 'acme') => {
      const code = 'rate_limit_exceeded'
      of.observe({ type: 'job-refused', ...about, tenant, keyId, code, atMs } as Fact)
      of.observe({ type: 'limit-refused', ...about, tenant, keyId, code, limitLevel: 'key', unit, atMs } as Fact)
    },
  }
}

it('counts by code and limit, each refusal once, in the last hour and day, and whose the last one was', () => {
  const of = new RefusedOfLate(0)
  const { refused, limited } = told(of)
  limited(NOW - 25 * HOUR_MS, 'tokens')
  for (let i = 0; i < 3; i++) limited(NOW - 2 * HOUR_MS, 'tokens')
  limited(NOW - MINUTE_MS, 'tokens', 'key_2')
  limited(NOW - MINUTE_MS, 'requests')
  refused(NOW - 2 * MINUTE_MS, 'model_not_found')
  refused(NOW, 'invalid_request', null)
  refused(NOW, 'invalid_request', 'globex')
  const code = 'rate_limit_exceeded'
  expect(of.of('acme', NOW)).toEqual({
    sinceMs: NOW - 25 * HOUR_MS + 5 * MINUTE_MS,
    kinds: [
      {
        ...{ code, limit: { level: 'key', unit: 'tokens' }, lastHour: 1, lastDay: 4 },
        ...{ lastAtMs: NOW - MINUTE_MS, lastKeyId: 'key_2' },
      },
      {
        ...{ code, limit: { level: 'key', unit: 'requests' }, lastHour: 1, lastDay: 1 },
        ...{ lastAtMs: NOW - MINUTE_MS, lastKeyId: 'key_1' },
      },
      {
        ...{ code: 'model_not_found', limit: null, lastHour: 1, lastDay: 1 },
        ...{ lastAtMs: NOW - 2 * MINUTE_MS, lastKeyId: 'key_1' },
      },
    ],
  })
  expect(of.of('nobody', NOW).kinds).toEqual([])
  expect([...of.sums(NOW)]).toEqual([
    ['acme', 6],
    ['globex', 1],
  ])
})

it('forgets the oldest where tenants are too many, and tells since when it counts', () => {
  const of = new RefusedOfLate(0)
  const { refused } = told(of)
  for (let step = 0; step < 10; step++)
    for (let tenant = 0; tenant < 5_000; tenant++) refused(NOW + step * 5 * MINUTE_MS, 'queue_full', `t${tenant}`)
  const { sinceMs, kinds } = of.of('t7', NOW + 50 * MINUTE_MS)
  expect(kinds).toMatchObject([{ code: 'queue_full' }])
  expect(kinds[0].lastDay).toBeLessThanOrEqual(6)
  expect(kinds[0].lastDay).toBeGreaterThanOrEqual(4)
  expect(sinceMs).toBe(NOW + (10 - kinds[0].lastDay) * 5 * MINUTE_MS)
})

it('counts on where the wall clock was set back', () => {
  const of = new RefusedOfLate(0)
  const { refused } = told(of)
  refused(NOW, 'queue_full')
  refused(NOW - 3 * HOUR_MS, 'queue_full')
  expect(of.of('acme', NOW).kinds).toMatchObject([{ lastHour: 2, lastDay: 2 }])
})
