import { describe, expect, it } from 'vitest'
import { retryHeaders, SluiceError } from './errors.ts'

const after = (retryAfterMs: number): readonly string[] => {
  const headers = retryHeaders({ code: 'provider_rate_limited', status: 429, retryAfterMs })
  return [headers['retry-after'], headers['retry-after-ms']]
}

it('a wait is told in whole seconds and milliseconds, never too short, and not a second longer for dust', () => {
  expect(after(240_000)).toEqual(['240', '240000'])
  expect(after(240_000.2)).toEqual(['241', '240001'])
  expect(after(0)).toEqual(['1', '1'])
  // As the difference of two readings of the monotonic clock has it
  const now = 808_800.877_276_301_7
  expect(now + 240_000 - now).toBeGreaterThan(240_000)
  expect(after(now + 240_000 - now)).toEqual(['240', '240000'])
})

describe('an error that a limit is to blame for', () => {
  const limit = { level: 'user', name: 'ann', unit: 'tokens', limit: 9, weight: 4, left: 1, waitMs: 20 } as const

  it('has its type only where the limit refused it', () => {
    expect(new SluiceError('rate_limit_exceeded', { limit }).wire).toMatchObject({
      type: 'tokens',
      limit: { limit: 9 },
    })
    // It waited for the limit until its deadline
    expect(new SluiceError('deadline_exceeded', { limit }).wire).toMatchObject({
      type: 'server_error',
      code: 'deadline_exceeded',
      limit: { unit: 'tokens', requested: 4, reset_ms: 20 },
    })
  })

  it('keeps it with another time to come back', () => {
    expect(new SluiceError('rate_limit_exceeded', { limit }).with({ retryAfterMs: 5 }).limit).toBe(limit)
  })
})
