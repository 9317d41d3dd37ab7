import { expect, it } from 'vitest'
import type { Fact, Happened } from '../../core/facts.ts'
import { Traces } from './traces.ts'
import { traceOf } from './view.ts'

const ABOUT = { job: 'job_1', tenant: 't', keyId: 'k', model: 'm', requestId: null, trace: null }
const ATTEMPT = { attempt: 1, deployment: 'd' }

it('who was cut has seen what it has got, however much was stored since', () => {
  const traces = new Traces(() => ({ ttftMs: 1_500 }))
  traces.looked(0)
  const tell = (atMs: number, fact: object): void => traces.observe({ ...ABOUT, ...fact, atMs } as Happened & Fact)
  tell(0, { type: 'job-submitted', kind: 'chat', joined: false })
  tell(1, { type: 'reader-opened', dialect: 'frames', reader: 1 })
  tell(2, { type: 'job-leased', ...ATTEMPT, queuedMs: 1 })
  tell(3, { type: 'attempt-started', ...ATTEMPT, mode: 'first', isFallback: false })
  tell(1_000, { type: 'attempt-progressed', ...ATTEMPT, tokens: 30 })
  tell(1_500, { type: 'reader-closed', dialect: 'frames', reader: 1, complete: false, seq: 32, from: 0 })
  tell(5_000, { type: 'attempt-progressed', ...ATTEMPT, tokens: 108 })
  const { counts, shown } = traceOf(traces.get('job_1')!, {
    ...{ nowMs: 5_000, place: null, words: null, error: null, stored: null },
  })
  expect([counts.stored, counts.shown]).toEqual([108, 32])
  expect(shown.at(-1)).toEqual([1_500, 32])
})
