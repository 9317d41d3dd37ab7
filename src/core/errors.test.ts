import { expect, it } from 'vitest'
import { retryHeaders } from './errors.ts'

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
