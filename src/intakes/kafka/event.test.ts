import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { eventOf } from './event.ts'

it('an end tells how long its job waited for its own turn, if it did', () => {
  const about = { atMs: 0, tenant: 't', keyId: 'k', model: 'm', job: 'job_1', requestId: null, trace: null }
  const timing = { queuedMs: 900, totalMs: 1_000, attempts: 1 }
  const told = (more: object): unknown => {
    const fact = { ...about, type: 'job-ended', state: 'done', deployment: 'd', code: null }
    return eventOf({ ...fact, timing: { ...timing, ...more } } as Fact)?.['timing']
  }
  expect(told({})).toEqual({ queued_ms: 900, total_ms: 1_000, attempts: 1 })
  expect(told({ turnMs: 700 })).toEqual({ queued_ms: 900, turn_ms: 700, total_ms: 1_000, attempts: 1 })
})
