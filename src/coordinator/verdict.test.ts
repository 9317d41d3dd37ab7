import { expect, it } from 'vitest'
import { type ErrorCode, SluiceError } from '../core/errors.ts'
import { type Chances, verdictOn } from './verdict.ts'

const on = (
  code: ErrorCode,
  more: { retry?: boolean | 'elsewhere'; retryAfterMs?: number; textShown?: boolean },
  chances: Partial<Chances> = {},
) => {
  const { retry = true, retryAfterMs, textShown = false } = more
  const error = new SluiceError(code, retryAfterMs === undefined ? {} : { retryAfterMs })
  const verdict = verdictOn(
    { kind: 'failed', error, retry, textShown },
    { hereInMs: 0, elsewhereInMs: null, alone: 0, roomMs: 60_000, ...chances },
  )
  return verdict.kind === 'released'
    ? (verdict.inMs ?? 'released')
    : { retry: verdict.retry, ...(verdict.error.retryAfterMs !== undefined && { in: verdict.error.retryAfterMs }) }
}

it.each([
  ['busy: back in line, no attempt used', on('provider_rate_limited', {}, { hereInMs: 1_000 }), 'released'],
  ['so does a local fault', on('overloaded', { retryAfterMs: 1_000 }, { hereInMs: 1_000 }), 'released'],
  [
    'busy beyond the deadline: told now, with the time',
    on('provider_rate_limited', { retryAfterMs: 5 }, { hereInMs: 90_000 }),
    { retry: false, in: 90_000 },
  ],
  ['so is one until the deadline itself', on('overloaded', {}, { hereInMs: 60_000 }), { retry: false, in: 60_000 }],
  ['busy here, free elsewhere', on('provider_rate_limited', {}, { hereInMs: 90_000, elsewhereInMs: 0 }), 'released'],
  ['busy for this job alone: later', on('provider_rate_limited', {}, { alone: 3 }), 8_000],
  ['again and again: attempts', on('provider_rate_limited', {}, { alone: 4 }), { retry: true, in: 16_000 }],
  [
    'and not beyond its deadline',
    on('provider_rate_limited', {}, { alone: 3, roomMs: 8_000 }),
    { retry: false, in: 8_000 },
  ],
  ['busy after text was shown: an attempt', on('provider_rate_limited', { textShown: true }), { retry: true }],
  ['busy, and no use', on('provider_rate_limited', { retry: false }), { retry: false }],
  ['a failure is tried again', on('provider_cut', {}), { retry: true }],
  ['a failure of the request is not', on('provider_rejected', { retry: false }), { retry: false }],
  [
    'elsewhere, where there is one',
    on('provider_timeout', { retry: 'elsewhere' }, { elsewhereInMs: 0 }),
    { retry: true },
  ],
  ['elsewhere, where there is none', on('provider_timeout', { retry: 'elsewhere' }), { retry: false }],
  [
    'another deployment does not wait until the first is free',
    on('provider_error', { retryAfterMs: 9_000 }, { hereInMs: 9_000, elsewhereInMs: 0 }),
    { retry: true },
  ],
  [
    'a wait counts though there is another deployment, where that must be waited for too',
    on('provider_error', { retryAfterMs: 120_000 }, { hereInMs: 120_000, elsewhereInMs: 70_000 }),
    { retry: false, in: 70_000 },
  ],
  [
    'a wait that ends after the deadline is told at once',
    on('provider_error', { retryAfterMs: 40_000 }, { hereInMs: 40_000, roomMs: 19_999 }),
    { retry: false, in: 40_000 },
  ],
  [
    'after the deadline, what need not wait may still be tried',
    on('provider_cut', {}, { roomMs: -1 }),
    { retry: true },
  ],
])('%s', (_what, verdict, expected) => {
  expect(verdict).toEqual(expected)
})
