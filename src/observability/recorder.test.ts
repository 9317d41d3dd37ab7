import { expect, it } from 'vitest'
import type { Fact } from '../core/facts.ts'
import { FROM_CACHE } from '../core/ports/work.ts'
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

const parts = { admission: 2, queue: 30, retries: 8, routing: 1, connect: 4, upstream: 200, delivery: 0 }
const usage = { promptTokens: 10, completionTokens: 20, cachedTokens: 4, reasoningTokens: 5, estimated: false }
const failed = { code: 'provider_rate_limited', status: 429 } as const
const LABELLED: readonly Fact[] = [
  { type: 'job-submitted', ...about, kind: 'chat', joined: false, cached: 'miss' },
  { type: 'job-submitted', ...about, model: 'a-clients-own', kind: 'chat', joined: true, cached: 'joined' },
  { type: 'job-refused', ...about, model: null, code: 'queue_full' },
  { type: 'job-leased', ...attempt, queuedMs: 40, turnMs: 32 },
  { type: 'job-leased', ...attempt, attempt: 2, queuedMs: 64, turnMs: 32 },
  { type: 'job-leased', ...attempt, queuedMs: 0, turnMs: 0 },
  { type: 'attempt-started', ...attempt, mode: 'first', isFallback: false },
  { type: 'attempt-ended', ...attempt, ...failed, calledMs: 5, overheadMs: 1, chunks: 0 },
  { type: 'attempt-started', ...attempt, attempt: 2, mode: 'first', isFallback: false },
  { type: 'attempt-started', ...attempt, attempt: 3, deployment: 'e', mode: 'first', isFallback: true },
  { type: 'first-token-received', ...attempt, ttftMs: 5_243, parts: { ...parts, turn: 5_000 } },
  { type: 'first-token-delivered', ...about, dialect: 'chat', ttftMs: 250, parts: { ...parts, delivery: 5 } },
  { type: 'answer-stalled', ...attempt, ms: 1_500 },
  { type: 'attempt-progressed', ...attempt, tokens: 7 },
  {
    type: 'attempt-ended',
    ...attempt,
    deployment: 'e',
    code: null,
    usage,
    cost: { nanoDollars: 700, priceVersion: 'p' },
    calledMs: 900,
    overheadMs: 3,
    chunks: 5,
  },
  {
    type: 'attempt-ended',
    ...attempt,
    code: null,
    usage: { ...usage, estimated: true },
    cost: { nanoDollars: null, priceVersion: null },
  },
  { type: 'job-ended', ...about, state: 'done', deployment: 'e', code: null, timing: { ...timing, parts }, good: true },
  { type: 'job-ended', ...about, state: 'failed', deployment: 'e', code: 'provider_error', good: false },
  { type: 'job-ended', ...about, state: 'canceled', deployment: null, code: 'job_canceled', good: null },
  { type: 'first-token-shown', ...about, ttftMs: 300 },
  {
    type: 'request-ended',
    ...about,
    method: 'POST',
    route: '/v1/chat/completions',
    status: 200,
    code: null,
    complete: false,
    tookMs: 1,
  },
]

it.each([false, true])('tells them apart by what is configured (tenants: %s)', async (tenantLabel) => {
  const recorder = createRecorder({ modelOf: (asked) => (asked === 'm' ? 'm' : null), tenantLabel })
  for (const fact of LABELLED) for (const observe of recorder.observers) observe(fact)
  const who = tenantLabel ? ',tenant="t"' : ''
  const stats = statsOf(await createRegistry([recorder]).read())
  expect(stats).toMatchObject({
    [`submits{model="m",outcome="accepted",code="none"${who}}`]: 1,
    [`submits{model="unknown",outcome="joined",code="none"${who}}`]: 1,
    [`submits{model="unknown",outcome="refused",code="queue_full"${who}}`]: 1,
    'shared_answers{model="m",how="miss"}': 1,
    'turn_ms{model="m"}': { count: 1, sum: 32 },
    'queue_ms{model="m"}': { count: 2, sum: 8 },
    'attempts_started{model="m",deployment="d",as="first"}': 1,
    'attempts_started{model="m",deployment="d",as="retry"}': 1,
    'attempts_started{model="m",deployment="e",as="fallback"}': 1,
    'attempts_ended{model="m",deployment="d",code="provider_rate_limited"}': 1,
    'attempts_ended{model="m",deployment="e",code="none"}': 1,
    'stalls{model="m",deployment="d"}': 1,
    'overhead_ms{model="m"}': { count: 2, sum: 4 },
    'tokens_per_chunk{model="m"}': { count: 1, sum: 4 },
    [`tokens{model="m",kind="completion",source="reported"${who}}`]: 20,
    [`tokens{model="m",kind="completion",source="estimated"${who}}`]: 20,
    [`tokens{model="m",kind="prompt_cached",source="reported"${who}}`]: 4,
    [`tokens{model="m",kind="completion_reasoning",source="reported"${who}}`]: 5,
    [`cost_nano_dollars{model="m",source="reported"${who}}`]: 700,
    'unpriced_attempts{model="m"}': 1,
    'ttft_ms{model="m",deployment="d"}': { count: 1, sum: 245 },
    'ttft_part_ms{model="m",part="retries"}': { count: 1, sum: 8 },
    'ttft_part_ms{model="m",part="delivery"}': { count: 1, sum: 5 },
    'tpot_ms{model="m",deployment="e"}': { count: 1, sum: 16 },
    'e2e_ms{model="m",state="done"}': { count: 1, sum: 514 },
    [`ended_jobs{model="m",state="failed",code="provider_error"${who}}`]: 1,
    [`judged_jobs{model="m"${who}}`]: 2,
    [`good_jobs{model="m"${who}}`]: 1,
    'client_ttft_ms{model="m"}': { count: 1, sum: 300 },
    'http_aborts{route="/v1/chat/completions"}': 1,
  })
  expect(JSON.stringify(stats)).not.toContain('a-clients-own')
})

it('an answer that is repeated from the cache has no tokens: no provider made them', () => {
  const { families, observers, metrics } = createRecorder({ modelOf: (asked) => asked, tenantLabel: false })
  const hit: Fact = { type: 'attempt-ended', ...attempt, deployment: FROM_CACHE, code: null, usage, chunks: 5 }
  for (const observe of observers) observe(hit)
  const counted = [...metrics, ...families!.flatMap(({ members }) => members)].filter(
    (metric) => metric.kind === 'counter' && metric.name.includes('tokens') && metric.value > 0,
  )
  expect(counted).toEqual([])
})

it('good answers are told from the first judged one on, even if there is none', () => {
  const { families, observers } = createRecorder({ modelOf: (asked) => asked, tenantLabel: false })
  const bad: Fact = {
    type: 'job-ended',
    ...about,
    state: 'failed',
    deployment: 'd',
    code: 'provider_error',
    good: false,
  }
  for (const observe of observers) observe(bad)
  const of = (name: string) => families!.find((family) => family.name === name)!.members.map((each) => each)
  expect(of('judged_jobs')).toMatchObject([{ value: 1 }])
  expect(of('good_jobs')).toMatchObject([{ value: 0 }])
})
