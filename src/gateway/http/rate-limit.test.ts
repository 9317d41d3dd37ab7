import { expect, it } from 'vitest'
import type { Room, Shortfall } from '../../core/limits.ts'
import { RATE_LIMIT_HEADERS, refusalHeaders, standingHeaders } from './rate-limit.ts'

const MINUTE_MS = 60_000
const room = (more: Partial<Room>): Room => ({
  level: 'user',
  unit: 'requests',
  limit: 60,
  left: 58.9,
  resetMs: 1_100,
  windowMs: MINUTE_MS,
  ...more,
})

it('nothing where nothing is limited', () => {
  expect([standingHeaders(undefined), standingHeaders([])]).toEqual([{}, {}])
})

it("are OpenAI's, for requests and tokens, and the IETF draft's for each unit", () => {
  const headers = standingHeaders([
    room({}),
    room({ level: 'tenant', unit: 'tokens', limit: 100_000, left: 64_000.5, resetMs: 360_000, windowMs: 1_000_000 }),
    room({
      level: 'tenant',
      unit: 'nano_dollars',
      limit: 9_000_000_000_000_000,
      left: 1_234_567_890,
      resetMs: 0,
      windowMs: 3_599_001,
    }),
  ])
  expect(headers).toEqual({
    'x-ratelimit-limit-requests': '60',
    'x-ratelimit-remaining-requests': '58',
    'x-ratelimit-reset-requests': '1.1s',
    'x-ratelimit-limit-tokens': '100000',
    'x-ratelimit-remaining-tokens': '64000',
    'x-ratelimit-reset-tokens': '6m0s',
    'ratelimit-policy':
      '"user-requests";q=60;w=60, "tenant-tokens";q=100000;qu="sluice-tokens";w=1000, ' +
      '"tenant-money";q=9000000000000;qu="sluice-micro-usd"',
    ratelimit: '"user-requests";r=58;t=2, "tenant-tokens";r=64000;t=360, "tenant-money";r=1234567;t=3600',
  })
  // Else a page can't read them
  expect(RATE_LIMIT_HEADERS.split(', ')).toEqual(expect.arrayContaining(Object.keys(headers)))
})

it('tokens are those with the smallest share left, and debt is nothing left', () => {
  const headers = standingHeaders([
    room({ unit: 'input_tokens', limit: 1_000, left: 500 }),
    room({ unit: 'output_tokens', limit: 100, left: -20, resetMs: 72_000 }),
    room({ unit: 'tokens', limit: 10_000, left: 9_000 }),
  ])
  expect(headers).toMatchObject({
    'x-ratelimit-limit-tokens': '100',
    'x-ratelimit-remaining-tokens': '0',
    'x-ratelimit-reset-tokens': '1m12s',
  })
  expect(headers['ratelimit']).toContain('"user-output_tokens";r=0;t=72')
  expect(headers).not.toHaveProperty('x-ratelimit-limit-requests')
})

const SHORT: Shortfall = {
  level: 'key',
  name: 'key_1',
  unit: 'tokens',
  windowMs: MINUTE_MS,
  limit: 1_000,
  weight: 400,
  left: 100,
  waitMs: 18_000,
}

it('a number of more digits than the draft has is cut', () => {
  const headers = standingHeaders([room({ unit: 'tokens', limit: 4e16, left: 4e16, windowMs: 2.7e9 })])
  expect(headers['ratelimit-policy']).toContain(';q=999999999999999;')
})

it('of a refusal: what has no room, and when all of it is back', () => {
  expect(refusalHeaders(SHORT)).toEqual({
    'x-ratelimit-limit-tokens': '1000',
    'x-ratelimit-remaining-tokens': '100',
    'x-ratelimit-reset-tokens': '54s',
    'ratelimit-policy': '"key-tokens";q=1000;qu="sluice-tokens";w=60',
    ratelimit: '"key-tokens";r=100;t=54',
  })
  const budget = { ...SHORT, unit: 'nano_dollars', window: 'day', limit: 5e9, left: 1e9, waitMs: 90_000 } as const
  expect(refusalHeaders(budget)).toEqual({
    'ratelimit-policy': '"key-money";q=5000000;qu="sluice-micro-usd"',
    ratelimit: '"key-money";r=1000000;t=90',
  })
})

it('nothing of what others use, too', () => {
  expect(refusalHeaders({ ...SHORT, level: 'global', shared: true })).toEqual({})
})
