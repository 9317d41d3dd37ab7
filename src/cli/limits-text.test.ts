import { expect, it } from 'vitest'
import { limitChanges, limitsText } from './limits-text.ts'

it('tells limits in one line, short', () => {
  expect(limitsText(null)).toBe('-')
  expect(limitsText({})).toBe('-')
  expect(
    limitsText({
      tokens_per_minute: 600_000,
      dollars_per_day: 12.5,
      each_user: { requests_per_minute: 1_234, concurrent: 0 },
      models: [{ name: 'gpt-*', tokens_per_minute: 1_500_000 }],
      velocity: { trip: true, five_minutes: 14, hour: 8 },
      burst: 1,
    }),
  ).toBe(
    '600k tokens a minute, $12.5 a day, each user: 1234 requests a minute, each user: 0 at once, ' +
      'model gpt-*: 1.5M tokens a minute, velocity: on, velocity: 8 hour',
  )
})

it('tells what has changed, and nothing else', () => {
  const before = { tokens_per_minute: 400_000, concurrent: 4, each_user: { requests_per_minute: 60 } }
  const after = { tokens_per_minute: 600_000, concurrent: 4, dollars_per_month: 20 }
  expect(limitChanges(before, after)).toEqual([
    '400k -> 600k tokens a minute',
    'each user: 60 requests a minute -> no limit',
    'no limit -> $20 a month',
  ])
  expect(limitChanges(null, { concurrent: 1 })).toEqual(['no limit -> 1 at once'])
  expect(limitChanges({ concurrent: 1 }, null)).toEqual(['1 at once -> no limit'])
  expect(limitChanges({ burst: 2 }, { burst: 1 })).toEqual(["2 -> 1 minutes' worth at once"])
  expect(limitChanges(after, after)).toEqual([])
})
