import { expect, it } from 'vitest'
import { expectInTime } from '../../test/in-time.ts'
import { manualClock } from '../../test/manual-clock.ts'
import { createReporter, discreet, type Log } from './report.ts'

const about = { job: 'job_1', tenant: 't', keyId: 'key_1', model: 'chat', requestId: 'req_1', trace: null, atMs: 0 }
const told: Array<[string, string | undefined, Record<string, unknown>]> = []
let lowest: 'debug' | 'info' | 'warn' = 'debug'
const levels = Object.fromEntries(
  (['debug', 'info', 'warn', 'error'] as const).map((level) => [
    level,
    (fact: object, message?: string) => {
      // The log has these itself, and a second one hides the first
      for (const own of ['level', 'time', 'process', 'msg']) expect(fact).not.toHaveProperty(own)
      told.push([level, message, fact as Record<string, unknown>])
    },
  ]),
) as unknown as Log
const log: Log = { ...levels, writes: (level) => lowest === 'debug' || lowest === level }

it('puts no line together that the log leaves out', () => {
  const report = createReporter(log, manualClock())
  const read = (): never => {
    throw new Error('it was put together')
  }
  lowest = 'warn'
  try {
    report({
      ...about,
      type: 'job-ended',
      state: 'done',
      deployment: null,
      code: null,
      get requestId(): never {
        return read()
      },
    })
    report({
      ...about,
      type: 'attempt-ended',
      attempt: 1,
      deployment: 'd',
      code: null,
      get requestId(): never {
        return read()
      },
    })
    expect(told.splice(0)).toEqual([])
    report({ ...about, type: 'job-ended', state: 'expired', deployment: null, code: 'deadline_exceeded' })
    expect(told.splice(0)).toMatchObject([['warn', 'job expired', { job: 'job_1' }]])
  } finally {
    lowest = 'debug'
  }
})

it('a line a job, with whose it was, where it ran, and what it took', () => {
  const report = createReporter(log, manualClock())
  report({
    type: 'job-ended',
    ...about,
    deployment: 'chat@demo',
    state: 'done',
    code: null,
    usage: { promptTokens: 3, completionTokens: 5, estimated: false },
    timing: { queuedMs: 1.4, ttftMs: 20.6, totalMs: 100, attempts: 2 },
  })
  const line = {
    job: 'job_1',
    tenant: 't',
    key: 'key_1',
    model: 'chat',
    request_id: 'req_1',
    deployment: 'chat@demo',
    state: 'done',
    attempts: 2,
    prompt_tokens: 3,
    completion_tokens: 5,
    estimated: false,
    queued_ms: 1,
    ttft_ms: 21,
    total_ms: 100,
  }
  expect(told.splice(0)).toEqual([['info', 'job done', line]])
})

it('a line for what a limit refused, with whose key it was and what ran out; a flood of them is told once', () => {
  const report = createReporter(log, manualClock())
  const { job: _none, ...asker } = about
  for (let i = 0; i < 1_000; i++)
    report({ type: 'limit-refused', ...asker, code: 'rate_limit_exceeded', limitLevel: 'user', unit: 'tokens' })
  expect(told.length).toBeLessThan(100)
  expect(told.splice(0)[0]).toEqual([
    'info',
    'refused by a limit',
    {
      tenant: 't',
      key: 'key_1',
      model: 'chat',
      request_id: 'req_1',
      code: 'rate_limit_exceeded',
      limit_level: 'user',
      unit: 'tokens',
    },
  ])
})

it('whose limit cut an answer, or tripped, is told beside the level of the line', () => {
  const report = createReporter(log, manualClock())
  const cut = { type: 'answer-cut', ...about, attempt: 1, deployment: 'd', window: null } as const
  report({ ...cut, limitLevel: 'user', unit: 'tokens' })
  report({ type: 'velocity-tripped', atMs: 0, level: 'key', tenant: 't', name: 'k', ms: 1 })
  expect(told.splice(0).map(([level]) => level)).toEqual(['debug', 'warn'])
})

it('a warning for a model without a price, with what the operator can do about it', () => {
  const report = createReporter(log, manualClock())
  const { job: _none, ...asker } = about
  for (let i = 0; i < 1_000; i++) report({ type: 'price-missing', ...asker, detail: 'give it a price' })
  expect(told.length).toBeLessThan(100)
  const line = { tenant: 't', key: 'key_1', model: 'chat', request_id: 'req_1', detail: 'give it a price' }
  expect(told.splice(0)[0]).toEqual(['warn', 'refused, as nobody knows the price of the model', line])
})

it('a warning for each failure, with its status and reason', () => {
  const report = createReporter(log, manualClock())
  const failure = {
    code: 'provider_error',
    status: 502,
    message: 'The model provider failed (HTTP 500): overloaded',
  } as const
  report({ type: 'attempt-ended', ...about, deployment: 'chat@demo', attempt: 1, ...failure })
  report({ type: 'job-ended', ...about, deployment: 'chat@demo', state: 'failed', ...failure })
  report({ type: 'job-ended', ...about, deployment: null, state: 'expired', code: 'deadline_exceeded', status: 504 })
  report({ type: 'job-ended', ...about, deployment: null, state: 'canceled', code: 'job_canceled' })
  expect(told.map(([level, message]) => [level, message])).toEqual([
    ['warn', 'attempt failed'],
    ['debug', 'attempt failed'],
    ['warn', 'job failed'],
    ['warn', 'job expired'],
    ['info', 'job canceled'],
  ])
  const message = 'The model provider failed (HTTP 500)'
  expect(told.splice(0)[0][2]).toMatchObject({ ...failure, message, model: 'chat', request_id: 'req_1' })
})

it.each([
  "Invalid value: 'CANARY'",
  'CANARY is too long',
  '"CANARY": no such file',
  '`CANARY`',
  'CANARY',
  'Prompt: CANARY\nis refused',
  '«CANARY»',
  '\\u201cCANARY\\u201d',
])('a provider that quotes the prompt: %s', (text) => {
  const report = createReporter(log, manualClock())
  const failures = [
    { code: 'provider_rejected', status: 400, message: text, param: text, upstreamCode: text },
    { code: 'provider_error', status: 502, message: `The model provider failed (HTTP 500): ${text}` },
    { code: 'provider_rate_limited', status: 429, message: `The model provider is rate limiting: ${text}` },
  ] as const
  for (const failure of failures) {
    report({ type: 'attempt-ended', ...about, deployment: 'chat@demo', attempt: 1, ...failure })
    report({ type: 'job-ended', ...about, deployment: 'chat@demo', state: 'failed', ...failure })
  }
  const lines = told.splice(0)
  expect(lines.filter(([level]) => level === 'warn')).toHaveLength(6)
  expect(JSON.stringify(lines.filter(([level]) => level !== 'debug'))).not.toContain('CANARY')
  expect(lines.filter(([level]) => level === 'debug')).toHaveLength(3)
})

it('what a provider names is told: its code, and the member to blame', () => {
  const report = createReporter(log, manualClock())
  const names = { param: 'messages[0].content', upstreamCode: 'context_length_exceeded' }
  const failure = { code: 'provider_rejected', status: 400, message: 'Too long.', ...names } as const
  report({ type: 'job-ended', ...about, deployment: 'chat@demo', state: 'failed', ...failure })
  expect(told.splice(0)[0][2]).toMatchObject({
    code: 'provider_rejected',
    status: 400,
    message: null,
    param: 'messages[0].content',
    upstream_code: 'context_length_exceeded',
  })
})

it('leads from a line to its trace, and is silent about requests that went well', () => {
  const report = createReporter(log, manualClock())
  const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const request = { ...about, method: 'POST', route: '/v1/jobs', complete: true, tookMs: 1, trace } as const
  report({ type: 'request-ended', ...request, code: null, status: 200 })
  report({ type: 'request-ended', ...request, code: 'invalid_request', status: 400 })
  report({ type: 'job-ended', ...about, trace, deployment: null, state: 'canceled', code: 'job_canceled' })
  const seen = told.splice(0).map(([level, message, line]) => [level, message, line['trace_id'] ?? null])
  expect(seen).toEqual([
    ['debug', undefined, null],
    ['info', 'request refused', '4bf92f3577b34da6a3ce929d0e0e4736'],
    ['info', 'job canceled', '4bf92f3577b34da6a3ce929d0e0e4736'],
  ])
})

it('a line for what an operator did to the queue', () => {
  const report = createReporter(log, manualClock())
  const selected = { tenant: 't', lane: null, model: 'chat', requestId: 'req_1', atMs: 0 }
  report({ type: 'queue-paused', ...selected })
  report({ type: 'queue-purged', ...selected, jobs: 3 })
  const line = { tenant: 't', lane: null, model: 'chat', request_id: 'req_1' }
  expect(told.splice(0)).toEqual([
    ['info', 'queue paused', line],
    ['info', 'queue purged', { ...line, jobs: 3 }],
  ])
})

it('a flood of failures or refusals leaves some lines, and how many were left out', () => {
  const clock = manualClock()
  const report = createReporter(log, clock)
  const refuse = (): void =>
    report({
      type: 'request-ended',
      requestId: 'req_1',
      tenant: null,
      keyId: null,
      model: null,
      trace: null,
      atMs: 0,
      complete: true,
      tookMs: 1,
      method: 'POST',
      route: '/v1/jobs',
      code: 'invalid_api_key',
      status: 401,
    })
  for (let i = 0; i < 10_000; i++) refuse()
  expect(told.splice(0)).toHaveLength(50)
  clock.advance(1_000)
  refuse()
  expect(told.splice(0)).toEqual([
    ['info', 'request refused', expect.objectContaining({ left_out: 9_950, status: 401 })],
  ])
})

it('says what a provider said, without what it quotes', () => {
  expect(discreet('Incorrect API key provided: sk-proj-abcdef123456')).toBe('Incorrect API key provided: sk-…')
  expect(discreet("Invalid 'messages[0].role'")).toBe("Invalid 'messages[0].role'")
  const own = "The job's deadline passed before it could start: it waited for room on the users' tokens."
  expect(discreet(own)).toBe(own)
  expect(discreet("Bad content: 'it's my secret diary, dear reader, of that year'")).not.toContain('diary')
  expect(discreet('Bad content: "my secret diary, dear reader, of that year"')).toBe('Bad content: "…"')
  expect(discreet('Bad content: "my secret diary, cut off in the mid')).toBe('Bad content: "…"')
  expect(discreet(`x${' y'.repeat(5_000)}`).length).toBeLessThan(250)
  const began = performance.now()
  for (const hostile of ['"', "'", 'sk-', 'a', ' ', '`"\'']) discreet(hostile.repeat(1e6))
  expectInTime(performance.now() - began, 500)
})
