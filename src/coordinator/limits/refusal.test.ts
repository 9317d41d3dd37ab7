import { expect, it } from 'vitest'
import { retryHeaders } from '../../core/errors.ts'
import type { Shortfall } from '../../core/limits.ts'
import { refusalOf } from './refusal.ts'

const TOKENS: Shortfall = {
  level: 'user',
  name: 'ann',
  unit: 'tokens',
  windowMs: 60_000,
  limit: 30_000,
  weight: 4_096,
  left: 1_057.4,
  waitMs: 6_078.2,
}
const MONEY: Shortfall = {
  level: 'tenant',
  name: 'acme',
  unit: 'nano_dollars',
  window: 'month',
  limit: 5_000_000_000,
  weight: 120_000_000,
  left: -4,
  waitMs: 86_400_000,
}
const refused = (limit: Shortfall, jitter = 0) => {
  const error = refusalOf(limit, 'gpt-4o', jitter)
  return { ...error.wire, status: error.status, headers: retryHeaders(error) }
}

it('a rate that has no room now is told as OpenAI tells it, with the limit that binds', () => {
  expect(refused(TOKENS)).toEqual({
    status: 429,
    message:
      'Rate limit reached for gpt-4o (user ann) on tokens per min (TPM): Limit 30000, Used 28943, Requested 4096. ' +
      'Please try again in 6.079s.',
    type: 'tokens',
    param: null,
    code: 'rate_limit_exceeded',
    limit: {
      level: 'user',
      name: 'ann',
      unit: 'tokens',
      limit: 30_000,
      remaining: 1_057,
      requested: 4_096,
      reset_ms: 6_079,
    },
    headers: { 'retry-after': '7', 'retry-after-ms': '6079', 'x-should-retry': 'true' },
  })
})

it('a breaker is told with whose it is, and when one request is let in', () => {
  const fast: Shortfall = { ...MONEY, unit: 'spend_velocity', windowMs: 3_600_000, left: 0, waitMs: 570_000 }
  const { window: _none, ...limit } = fast
  expect(refused(limit)).toMatchObject({
    status: 429,
    code: 'spend_velocity',
    type: 'rate_limit_error',
    message:
      'The budget of your account is spent many times too fast, so its breaker has tripped: no request that costs ' +
      'money is let in for another 9m30s, and then one as a probe.',
    limit: { level: 'tenant', unit: 'spend_velocity', limit: 5_000_000_000, remaining: 0, reset_ms: 570_000 },
    headers: { 'retry-after': '570', 'retry-after-ms': '570000', 'x-should-retry': 'false' },
  })
  expect(refused({ ...limit, level: 'model', shared: true }).limit).toEqual({
    ...{ level: 'model', unit: 'spend_velocity', requested: 120_000_000, reset_ms: 570_000 },
  })
  expect(refused({ ...limit, waitMs: 5_000 }).headers['x-should-retry']).toBe('true')
})

it('what is used and what is left add up to the limit, and no room is none', () => {
  for (const [left, used] of [
    [0.1, 5],
    [1.9, 4],
    [-3.2, 9],
  ]) {
    const { message, limit } = refused({ ...TOKENS, unit: 'requests', limit: 5, weight: 1, left })
    expect(message).toContain(`Limit 5, Used ${used}, Requested 1.`)
    expect(limit!.remaining).toBe(Math.max(0, Math.floor(left)))
  }
})

it('where nothing may run it is told so, and not to be repeated', () => {
  const running = { level: 'user', name: 'ann', unit: 'running', limit: 0, weight: 1, left: 0, waitMs: null } as const
  expect(refused(running)).toMatchObject({
    status: 429,
    message: 'No request for gpt-4o (user ann) may run: the limit of concurrent requests is 0.',
    type: 'requests',
    code: 'rate_limit_exceeded',
    sluice_code: 'request_exceeds_limit',
    headers: { 'x-should-retry': 'false' },
  })
})

it('money is told to its last digit: what is left is never what it may cost', () => {
  const of = (limit: number, left: number, weight: number) => {
    const { message } = refused({ ...MONEY, limit, left, weight })
    return [...message.matchAll(/\$\d+\.\d+/g)].map(([amount]) => amount)
  }
  expect(of(10_000_000, 9_950_000, 9_950_001)).toEqual(['$0.01', '$0.00995', '$0.009950001'])
  expect(of(5_000_000_000, 0, 1)).toEqual(['$5.00', '$0.00', '$0.000000001'])
  expect(of(1_230_000_000_000, 1_200_000_000, 1_250_000_000)).toEqual(['$1230.00', '$1.20', '$1.25'])
})

it('only a window of a minute is told as one', () => {
  expect(refused({ ...TOKENS, windowMs: 120_000 }).message).toContain('on tokens: Limit 30000')
  expect(refused({ ...TOKENS, unit: 'requests', limit: 60, weight: 1, left: 0 })).toMatchObject({
    type: 'requests',
    message: expect.stringContaining('on requests per min (RPM): Limit 60, Used 60, Requested 1.'),
  })
})

it('one that can never fit is told so, and not to be repeated', () => {
  expect(refused({ ...TOKENS, weight: 35_389, waitMs: null })).toMatchObject({
    message:
      'Request too large for gpt-4o (user ann) on tokens per min (TPM): Limit 30000, Requested 35389. ' +
      'The input or output tokens must be reduced in order to run successfully.',
    type: 'tokens',
    code: 'rate_limit_exceeded',
    sluice_code: 'request_exceeds_limit',
    limit: { requested: 35_389, reset_ms: null },
    headers: { 'x-should-retry': 'false' },
  })
})

it('a budget is a quota: no time to come back for an SDK, the end of its window for people', () => {
  expect(refused(MONEY)).toMatchObject({
    status: 429,
    message: expect.stringMatching(/^You exceeded your current quota: of the budget of your account .*\$5\.00/),
    type: 'insufficient_quota',
    code: 'insufficient_quota',
    limit: { window: 'month', remaining: 0, limit: 5_000_000_000, requested: 120_000_000, reset_ms: 86_400_000 },
    headers: { 'x-should-retry': 'false' },
  })
})

it('of what others use, too, nothing is told that tells of them', () => {
  const { message, limit } = refused({ ...TOKENS, level: 'model', name: 'gpt-4o', shared: true })
  expect(message).toMatch(/\(this model\) on tokens per min \(TPM\): Limit 30000, Requested 4096\./)
  expect(limit).toEqual({ level: 'model', unit: 'tokens', limit: 30_000, requested: 4_096, reset_ms: 6_079 })
  const money = refused({ ...MONEY, shared: true })
  expect(money.message).not.toMatch(/[$]|acme/)
  expect(money.limit).toEqual({
    level: 'tenant',
    unit: 'nano_dollars',
    window: 'month',
    requested: 120_000_000,
    reset_ms: 86_400_000,
  })
  const key = refused({ ...TOKENS, level: 'key', name: 'key_7', shared: true })
  expect(JSON.stringify(key)).not.toContain('key_7')
})

it('those who were refused at one time come back one by one, none before there is room', () => {
  const waits = (waitMs: number) =>
    [0, 0.5, 0.999].map((jitter) => refusalOf({ ...TOKENS, waitMs }, 'm', jitter).retryAfterMs!)
  expect(waits(10)).toEqual([10, 60, 110])
  expect(waits(10_000)).toEqual([10_000, 11_000, 11_998])
  expect(waits(600_000)).toEqual([600_000, 602_500, 604_995])
})

it('an SDK that would not wait so long is told not to come back by itself', () => {
  expect(refused({ ...TOKENS, waitMs: 60_000 }).headers['x-should-retry']).toBe('true')
  expect(refused({ ...TOKENS, waitMs: 60_001 }).headers).toEqual({
    'retry-after': '61',
    'retry-after-ms': '60001',
    'x-should-retry': 'false',
  })
})
