/**
 * Races and leaks of limits that users of other gateways have reported, as cases over HTTP; the numbers are LiteLLM's
 * issues and pull requests unless a project is named. The upstream's own ledger is the judge.
 */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

let mock: MockServer
let app: TestApp
beforeEach(async () => {
  mock = await startMock({ port: 0 })
})
afterEach(async () => {
  await app?.stop()
  await mock.close()
})

/** Limits of the tenant `default`. */
async function start(limits: object): Promise<void> {
  const price = { input: 1_000, output: 1_000 }
  app = await startTestApp(
    { max_connections: 4_000 },
    {
      models: [{ name: '*', provider: 'openai-compatible', base_url: `${mock.url}/v1`, price }],
      tenants: [{ name: 'default', limits }],
    },
  )
}
/** No lighter than what the upstream counts for any prompt: what is held is then no less than what is spent. */
const PROMPT =
  'Please tell me, in five tokens or fewer, what became of the nineteen that you always count for a prompt.'
const body = (more: object = {}): string =>
  JSON.stringify({ model: 'mock-n5', messages: [{ role: 'user', content: PROMPT }], ...more })
const post = (more: object = {}): Promise<Answer> =>
  send(app.port, request('POST', '/v1/chat/completions', { authorization: `Bearer ${app.key}` }, body(more)))
const statuses = (answers: readonly Answer[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}
const many = (count: number, more: object = {}): Promise<Answer[]> =>
  Promise.all(Array.from({ length: count }, () => post(more)))
const left = ({ headers }: Answer): number => Number(headers['x-ratelimit-remaining-requests'])

it('#18730: of 1,000 parallel calls on a bucket for 33 exactly 33 get through, and nobody else notices', async () => {
  await start({ each_user: { requests_per_minute: 1, burst: 33 } })
  const [answers, others] = await Promise.all([many(1_000, { user: 'ann' }), many(10, { user: 'bob' })])
  expect(statuses(answers)).toEqual({ 200: 33, 429: 967 })
  expect(statuses(others)).toEqual({ 200: 10 })
  expect(mock.stats.requests).toBe(43)
})

it('#29191: a small key’s first call is not refused for what an answer might be', async () => {
  await start({ each_key: { tokens_per_minute: 60 } })
  expect((await post()).status).toBe(200)
})

it('#20256, #27955: an agent that aborts each of its streams keeps its place among those that run', async () => {
  await start({ concurrent: 1 })
  for (let turn = 0; turn < 5; turn++) {
    const aborting = new AbortController()
    const response = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: body({ model: 'mock-n2000-d10', stream: true }),
      signal: aborting.signal,
    })
    expect(response.status).toBe(200)
    await response.body!.getReader().read()
    const job = response.headers.get('sluice-job')!
    aborting.abort()
    await send(app.port, request('POST', `/v1/jobs/${job}/cancel`, { authorization: `Bearer ${app.key}` }))
  }
  expect((await post()).status).toBe(200)
  expect(mock.stats.requests).toBe(6)
})

it('#39309: who finds no place among those that run waits, and is counted once', async () => {
  await start({ concurrent: 2, requests_per_minute: 1, burst: 20 })
  const answers = await many(20, { model: 'mock-n3-d5' })
  expect(statuses(answers)).toEqual({ 200: 20 })
  expect(mock.stats.peak).toBe(2)
  expect((await post()).status).toBe(429)
})

it('#39309: a refused call costs nothing at any level', async () => {
  await start({ requests_per_minute: 1, burst: 100, each_user: { requests_per_minute: 1, burst: 1 } })
  expect(statuses(await many(50, { user: 'ann' }))).toEqual({ 200: 1, 429: 49 })
  const before = await post({ user: 'bob' })
  expect(left(await post({ user: 'carl' }))).toBe(0) // its own
  await app.reload({ tenants: [{ name: 'default', limits: { requests_per_minute: 1, burst: 100 } }] })
  expect(before.status).toBe(200)
  expect(left(await post({ user: 'dora' }))).toBe(96)
})

it('#30522, #40050: a budget holds nothing of what was canceled, or refused upstream', async () => {
  await start({ dollars_per_month: 0.6 })
  for (let i = 0; i < 10; i++) expect((await post({ model: 'mock-e400' })).status).toBe(400)
  // 24 tokens at a tenth of a cent each, 25 times
  const answers: Answer[] = []
  for (let i = 0; i < 26; i++) answers.push(await post({ max_tokens: 5 }))
  expect(answers.slice(0, 23).every(({ status }) => status === 200)).toBe(true)
  expect(answers.at(-1)!.code).toBe('insufficient_quota')
  expect(mock.stats.requests).toBeLessThanOrEqual(10 + 25)
})

it('#26672, #34732: parallel calls do not get past a budget, of a tenant or of an agent’s run', async () => {
  await start({ each_run: { dollars_per_day: 0.24 } })
  const answers = await many(200, { max_tokens: 5, sluice: { run: 'r' } })
  const through = statuses(answers)[200]
  expect(answers.filter(({ status }) => status !== 200).every(({ code }) => code === 'insufficient_quota')).toBe(true)
  expect(mock.stats.requests).toBe(through)
  expect(through).toBeGreaterThan(0)
  // Each is 19 tokens in and 5 out, at a tenth of a cent
  expect(through * 0.024).toBeLessThanOrEqual(0.24)
})

it('a prompt that no bucket can hold costs the provider nothing, however often it is sent', async () => {
  await start({ each_user: { tokens_per_minute: 5_000 } })
  const bomb = { user: 'free', messages: [{ role: 'user', content: 'All work and no play. '.repeat(16_000) }] }
  for (const answer of await many(20, bomb)) {
    expect([answer.status, answer.headers['x-should-retry']]).toEqual([429, 'false'])
    expect(JSON.parse(answer.body).error).toMatchObject({ limit: { level: 'user', limit: 5_000, reset_ms: null } })
  }
  expect(mock.stats.requests).toBe(0)
})
