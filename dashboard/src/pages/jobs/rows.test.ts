import { expect, it } from 'vitest'
import { type JobView, rowOf } from './rows.ts'

const VIEW: Omit<JobView, 'timing'> = {
  ...{ id: 'job_1', state: 'done', tenant: 't', model: 'm', created_at: 1, attempts: 1 },
  ...{ queue: null, usage: null, error: null },
}

it('of an old job, too, a first token is counted from its own turn on', () => {
  const row = (timing: JobView['timing']) => {
    const { ttft, ttftMs } = rowOf({ ...VIEW, timing })
    return { ttft, ttftMs }
  }
  const timing = { queued_ms: 4_100, ttft_ms: 4_300, total_ms: 5_000 }
  expect(row(timing)).toEqual({ ttft: { queue: 4_100, upstream: 200 }, ttftMs: 4_300 })
  expect(row({ ...timing, turn_ms: 4_000 })).toEqual({ ttft: { queue: 100, upstream: 200 }, ttftMs: 300 })
  expect(row({ ...timing, ttft_ms: null })).toEqual({ ttft: null, ttftMs: null })
  expect(row(null)).toEqual({ ttft: null, ttftMs: null })
})
