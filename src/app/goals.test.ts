import { expect, it } from 'vitest'
import type { Fact, Happened } from '../core/facts.ts'
import { judging } from './goals.ts'

const TIMING = { queuedMs: 60_000, ttftMs: 60_500, tpotMs: 1, totalMs: 61_000, attempts: 1 }
const about = { job: 'job_1', tenant: 't', keyId: 'k', model: 'm', trace: null, deployment: null, code: null } as const

it.each([
  ['line_00ff', true],
  ['req_00ff', false],
  [null, false],
] as const)('a late first token, of the request %s: good is %s', (requestId, good) => {
  const told: Happened[] = []
  const emit = judging(
    () => ({ ttftMs: 1_000, tpotMs: 50 }),
    (one) => told.push(one),
  )
  emit({ ...about, requestId, type: 'job-ended', state: 'done', timing: TIMING } satisfies Happened)
  expect((told[0] as Extract<Fact, { type: 'job-ended' }>).good).toBe(good)
})
