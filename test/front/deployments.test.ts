/** An operator sees which deployments are left alone, and why. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { checkDeployments } from '../../src/cli/checks.ts'
import { createClient } from '../../src/cli/client.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

const ANSWER = JSON.stringify({
  ...{ id: 'c1', object: 'chat.completion', created: 1, model: 'm3' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
})
let upstream: Server
let app: TestApp
/** What the upstream answers with. */
let status = 429
const QUOTA = {
  'x-ratelimit-limit-requests': '500',
  'x-ratelimit-remaining-requests': '499',
  'x-ratelimit-reset-requests': '120ms',
  'x-ratelimit-remaining-tokens': '12000',
}

beforeAll(async () => {
  upstream = createServer((request, response) => {
    request.resume()
    const more = status === 429 ? { 'retry-after': '100' } : status === 200 ? QUOTA : {}
    response.writeHead(status, { 'content-type': 'application/json', ...more })
    response.end(status === 200 ? ANSWER : '{"error":{"message":"no"}}')
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const base_url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const model = { provider: 'openai-compatible', base_url }
  app = await startTestApp(
    {},
    {
      models: [
        { ...model, name: 'busy', deployment: 'busy', model: 'm1', limits: { concurrent: 2 } },
        { ...model, name: 'broken', deployment: 'broken', model: 'm2' },
        { name: 'demo', provider: 'demo', deployment: 'demo' },
        { name: 'team/slashed', provider: 'demo' },
        { name: 'twin', provider: 'demo' },
        { name: 'twin', provider: 'demo' },
        { ...model, name: 'told', deployment: 'told', model: 'm3' },
        {
          ...{ ...model, name: 'paced', deployment: 'paced', model: 'm4' },
          limits: { requests_per_minute: 600, tokens_per_minute: 60_000 },
        },
      ],
      queue: { max_attempts: 1 },
    },
  )
})
afterAll(async () => {
  await app?.stop()
  upstream?.close()
})

const ask = (model: string) => {
  const body = { model, messages: [{ role: 'user', content: 'hello' }] }
  return send(
    app.port,
    request('POST', '/v1/chat/completions', { authorization: `Bearer ${app.key}` }, JSON.stringify(body)),
  )
}
async function deployments(): Promise<ReadonlyArray<Record<string, unknown>>> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` }
  const { body } = await send(app.adminPort, request('GET', '/admin/deployments', headers))
  return (JSON.parse(body) as { data: ReadonlyArray<Record<string, unknown>> }).data
}

const WELL = { object: 'deployment', active: 0, drained: false, used: null, unwell: [], check: null }

it('those that are well have their calls and no more; only the operator may ask', async () => {
  expect(await deployments()).toEqual([
    { ...WELL, deployment: 'busy', concurrent: 2 },
    { ...WELL, deployment: 'broken', concurrent: null },
    { ...WELL, deployment: 'demo', concurrent: null },
    { ...WELL, deployment: 'team/slashed@demo', concurrent: null },
    { ...WELL, deployment: 'twin@demo', concurrent: null },
    { ...WELL, deployment: 'twin@demo#2', concurrent: null },
    { ...WELL, deployment: 'told', concurrent: null },
    { ...WELL, deployment: 'paced', concurrent: null, used: { requests: 0, tokens: 0, held_tokens: 0 } },
  ])
  const refused = await send(app.adminPort, request('GET', '/admin/deployments', {}))
  expect(refused.status).toBe(401)
  expect(await checkDeployments(createClient(`http://127.0.0.1:${app.adminPort}`, ADMIN_KEY))).toEqual([])
})

it('one that is too busy says until when it is left alone, one that fails how often it did', async () => {
  status = 429
  expect((await ask('busy')).status).toBe(429)
  status = 500
  for (let i = 0; i < 3; i++) await ask('broken')
  const [busy, broken, demo] = await deployments()
  expect(busy['unwell']).toEqual([
    { model: 'm1', cools_for_ms: expect.any(Number), failures_in_row: 0, broken_for_ms: 0, broken_by: null },
  ])
  const [{ cools_for_ms: ms }] = busy['unwell'] as Array<{ cools_for_ms: number }>
  expect(ms).toBeGreaterThan(50_000)
  expect(ms).toBeLessThanOrEqual(100_000)
  expect(broken['unwell']).toMatchObject([{ model: 'm2', failures_in_row: 3 }])
  expect(demo['unwell']).toEqual([])
  const checks = await checkDeployments(createClient(`http://127.0.0.1:${app.adminPort}`, ADMIN_KEY))
  expect(checks).toEqual([
    { name: 'busy', verdict: 'note', detail: expect.stringMatching(/^left alone for (\d\d|100) s \(m1\)$/) },
    { name: 'broken', verdict: 'note', detail: expect.stringContaining('failed 3 times in a row') },
  ])
})

it('a server that is not there, or does not know the key, is no finding', async () => {
  expect(await checkDeployments(createClient(`http://127.0.0.1:${app.adminPort}`, 'another-key'))).toEqual([])
  expect(await checkDeployments(createClient('http://127.0.0.1:1', ADMIN_KEY))).toEqual([])
})

it('tells what was measured of late, and what is left of the quota as its provider told', async () => {
  const figures = async (query = ''): Promise<Record<string, any>> => {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` }
    const { data } = JSON.parse((await send(app.adminPort, request('GET', `/admin/models${query}`, headers))).body)
    return data.find((one: { readonly id: string }) => one.id === 'told').deployments[0]
  }
  expect((await figures())['measured']).toEqual({
    ...{ over_ms: 300_000, attempts: 0, failed: 0, nano_dollars: 0, last_error: null },
    ...{ ttft_p50_ms: null, ttft_p95_ms: null, tpot_p50_ms: null, tpot_p95_ms: null },
  })
  expect((await figures())['quota']).toBeNull()
  status = 500
  expect((await ask('told')).status).toBe(502)
  status = 200
  expect((await ask('told')).status).toBe(200)
  const { measured, quota } = await figures('?recent=true')
  expect(measured).toMatchObject({ attempts: 2, failed: 1, last_error: 'provider_error' })
  expect(measured.recent.ttft_p95_ms).toHaveLength(60)
  expect(quota).toEqual({
    age_ms: expect.any(Number),
    requests: { limit: 500, remaining: 499, reset_ms: 120 },
    tokens: { limit: null, remaining: 12_000, reset_ms: null },
  })
  expect(quota.age_ms).toBeLessThan(10_000)
  status = 500
})

it('a breaker that opened tells why, and until when; what is used of a limit is counted', async () => {
  const of = async (name: string): Promise<Record<string, any>> => {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` }
    const { data } = JSON.parse((await send(app.adminPort, request('GET', '/admin/models', headers))).body)
    return data.find((one: { readonly id: string }) => one.id === name).deployments[0]
  }
  expect(await of('demo')).toMatchObject({ state: 'up', broken_for_ms: 0, broken_by: null, used: null })
  status = 200
  expect((await ask('paced')).status).toBe(200)
  expect(await of('paced')).toMatchObject({ used: { requests: 1, tokens: 4, held_tokens: 0 } })
  status = 500
  for (let i = 0; i < 5; i++) await ask('paced')
  const { broken_for_ms: ms, ...broken } = await of('paced')
  expect(broken).toMatchObject({ state: 'failing', broken_by: 'provider_error', failures_in_row: 5 })
  expect(ms).toBeGreaterThan(0)
  expect(ms).toBeLessThanOrEqual(5_000)
  const told = (await deployments()).find(({ deployment }) => deployment === 'paced')!
  expect(told['unwell']).toMatchObject([{ model: 'm4', broken_by: 'provider_error' }])
})

describe('taking one out', () => {
  const SLASHED = 'team/slashed@demo'
  const get = async (path: string): Promise<{ readonly data: ReadonlyArray<Record<string, unknown>> }> => {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` }
    return JSON.parse((await send(app.adminPort, request('GET', path, headers))).body)
  }
  const at = (verb: string, name = SLASHED): Promise<Response> =>
    app.admin(`/admin/deployments/${encodeURIComponent(name)}/${verb}`, {})
  const modelOf = async (id: string): Promise<Record<string, unknown>> => {
    const { data } = await get('/admin/models')
    const model = data.find((one) => one['id'] === id)!
    return (model['deployments'] as Array<Record<string, unknown>>)[0]
  }

  it('lets what runs there finish, starts nothing new, keeps it in the store, and tells the audit', async () => {
    const running = ask('team/slashed')
    await vi.waitFor(async () => expect(await modelOf('team/slashed')).toMatchObject({ active: 1, state: 'up' }))
    const drained = await at('drain')
    expect([drained.status, await drained.json()]).toEqual([200, expect.objectContaining({ drained: true, active: 1 })])
    expect(await modelOf('team/slashed')).toMatchObject({ name: SLASHED, state: 'draining', active: 1 })
    const waiting = ask('team/slashed')
    expect((await running).status).toBe(200)
    await vi.waitFor(async () => expect(await modelOf('team/slashed')).toMatchObject({ state: 'draining', active: 0 }))
    const { data: backlog } = await get('/admin/backlog')
    expect(backlog.map(({ jobs }) => jobs)).toEqual([1])
    expect((await at('resume')).status).toBe(200)
    expect((await waiting).status).toBe(200)
    const { data } = await get('/admin/audit')
    expect(data.slice(0, 2)).toMatchObject([
      { action: 'deployment-put-back', target: `deployment ${SLASHED}`, before: { drained: true } },
      { action: 'deployment-drained', target: `deployment ${SLASHED}`, after: { drained: true } },
    ])
  })

  it('a probe asks the upstream now; a name that is not there is refused with the nearest', async () => {
    expect(await (await at('probe')).json()).toMatchObject({ object: 'probe', deployment: SLASHED, ok: true })
    expect(await (await at('probe', 'twin@demo#2')).json()).toMatchObject({ deployment: 'twin@demo#2', ok: true })
    expect(await (await at('probe', 'busy')).json()).toMatchObject({ ok: false, status })
    const refused = await at('drain', 'brokn')
    expect(refused.status).toBe(404)
    expect(await refused.json()).toMatchObject({ error: { message: expect.stringContaining('broken') } })
  })
})
