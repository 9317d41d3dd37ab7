import { expect, it } from 'vitest'
import type { Fact } from '../core/facts.ts'
import { createRecorder } from './recorder.ts'
import { createRegistry, statsOf } from './registry.ts'

const about = { atMs: 0, tenant: 't', keyId: 'k', model: 'm', job: 'job_1', requestId: null, trace: null }
const attempt = { ...about, attempt: 1, deployment: 'd' }
const timing = { queuedMs: 1, ttftMs: 64, tpotMs: 16, totalMs: 512, attempts: 2 }
const FACTS: readonly Fact[] = [
  { type: 'job-submitted', ...about, kind: 'chat', joined: false },
  { type: 'job-submitted', ...about, kind: 'chat', joined: true },
  { type: 'job-refused', ...about, code: 'queue_full' },
  { type: 'limit-refused', ...about, code: 'rate_limit_exceeded', limitLevel: 'tenant_model', unit: 'tokens' },
  { type: 'velocity-tripped', atMs: 0, level: 'key', tenant: 't', name: 'k', ms: 600_000 },
  { type: 'job-leased', ...attempt, queuedMs: 8 },
  { type: 'job-returned', ...about, attempt: 1, delayMs: 100 },
  { type: 'job-leased', ...attempt, attempt: 2, queuedMs: 12 },
  { type: 'attempt-started', ...attempt, mode: 'first', isFallback: false },
  { type: 'attempt-ended', ...attempt, code: 'provider_cut' },
  {
    type: 'attempt-ended',
    ...attempt,
    code: null,
    usage: { promptTokens: 10, completionTokens: 20, estimated: false },
  },
  { type: 'job-ended', ...about, state: 'done', deployment: 'd', code: null, timing },
  { type: 'job-ended', ...about, state: 'expired', deployment: null, code: 'deadline_exceeded' },
  { type: 'first-token-shown', ...about, ttftMs: 100 },
  { type: 'request-ended', ...about, method: 'GET', route: '/', status: 200, code: null, complete: true, tookMs: 1 },
  {
    type: 'request-ended',
    ...about,
    method: 'GET',
    route: null,
    status: 404,
    code: 'route_not_found',
    complete: true,
    tookMs: 1,
  },
  { type: 'store-recovered', atMs: 0 },
]

it('counts what facts tell, each by itself', async () => {
  const recorder = createRecorder({ modelOf: (asked) => (asked === 'm' ? 'm' : null), tenantLabel: false })
  for (const fact of FACTS) for (const observe of recorder.observers) observe(fact)
  expect(statsOf(await createRegistry([recorder]).read())).toMatchObject({
    requests: 2,
    requests_refused: 1,
    jobs_submitted: 1,
    jobs_joined: 1,
    jobs_refused: 1,
    limit_refusals_tenant_model: 1,
    limit_refusals_of_tokens: 1,
    limit_refusals_user: 0,
    velocity_trips: 1,
    jobs_done: 1,
    jobs_failed: 0,
    jobs_canceled: 0,
    jobs_expired: 1,
    attempts: 2,
    attempts_failed: 1,
    prompt_tokens: 10,
    completion_tokens: 20,
    job_queued_ms: { count: 1, max: 1, sum: 1 },
    job_ttft_ms: { count: 1, max: 64 },
    job_tpot_ms: { count: 1, max: 16 },
    job_total_ms: { count: 1, max: 512 },
    first_token_shown_ms: { count: 1, max: 100 },
  })
})
