/** What Prometheus scrapes: who may, and what labels can be. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

const MODELS = [
  { name: 'demo', provider: 'demo', goals: { ttft_ms: 1 } },
  { name: 'easy', provider: 'demo', goals: { ttft_ms: 60_000, tpot_ms: 60_000 } },
  { name: 'any-*', provider: 'demo' },
]
let app: TestApp
beforeAll(async () => {
  app = await startTestApp({}, { models: MODELS, telemetry: { tenant_label: true } })
})
afterAll(() => app?.stop())

const scrape = async (headers: Record<string, string> = { authorization: `Bearer ${ADMIN_KEY}` }) =>
  send(app.adminPort, request('GET', '/metrics?name[]=x', headers))
const ask = (model: string, stream = false): Promise<{ status: number }> =>
  send(
    app.port,
    request(
      'POST',
      '/v1/chat/completions',
      { authorization: `Bearer ${app.key}` },
      JSON.stringify({ model, stream, messages: [{ role: 'user', content: '!tokens 3' }] }),
    ),
  )

it('needs the admin key', async () => {
  const nobody = await scrape({})
  expect([nobody.status, nobody.body]).toEqual([401, expect.stringContaining('No admin key')])
  expect((await scrape({ authorization: `Bearer ${app.key}` })).status).toBe(403)
  const { status, headers } = await scrape()
  expect(status).toBe(200)
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
})

it('tells models apart by their configured names alone, and tenants where that is wanted', async () => {
  await Promise.all([ask('demo', true), ask('easy'), ask('any-canary-1'), ask('any-canary-2'), ask('no-such-canary')])
  const { body } = await scrape()
  expect(body).not.toContain('canary')
  const submits = 'sluice_submits_total{model="any-*",outcome="accepted",code="none",tenant="default"}'
  expect(body).toContain(`${submits} 2\n`)
  expect(body).toContain('sluice_judged_jobs_total{model="demo",tenant="default"} 1\n')
  expect(body).toContain('sluice_good_jobs_total{model="demo",tenant="default"} 0\n')
  expect(body).toContain('sluice_good_jobs_total{model="easy",tenant="default"} 1\n')
  expect(body).toContain('sluice_ttft_part_seconds_count{model="demo",part="delivery"} 1\n')
  expect(body).toContain('sluice_http_requests_total{route="/v1/chat/completions",status="200"} 4\n')
  expect(body).toContain('sluice_http_refusals_total{code="model_not_found"} 1\n')
  expect(body).toContain('sluice_tokens_total{model="easy",kind="completion",source="reported",tenant="default"} ')
  expect(body).toMatch(/sluice_deployment_calls\{deployment="any-\*@demo"\} 0\n/)
})

it('counts what can be no job as refused: by a fact, and by what was asked of the tenant', async () => {
  const before = await scrape()
  const count = (body: string, code: string): number =>
    Number(
      new RegExp(`sluice_submits_total{model="unknown",outcome="refused",code="${code}".* (\\d+)\n`).exec(body)?.[1] ??
        0,
    )
  const post = (path: string, body: object): Promise<{ status: number }> =>
    send(app.port, request('POST', path, { authorization: `Bearer ${app.key}` }, JSON.stringify(body)))
  const messages = [{ role: 'user', content: 'Hi' }]
  const statuses = await Promise.all([
    ask('no-such-canary'),
    post('/v1/jobs', { request: { model: 'no-such-canary', messages } }),
    post('/v1/jobs', { jobs: [{ request: { model: 'no-such-canary', messages } }, { request: 7 }] }),
    post('/v1/chat/completions', { model: 'demo', messages: 7 }),
  ])
  expect(statuses.map(({ status }) => status)).toEqual([404, 404, 202, 400])
  const { body } = await scrape()
  expect(count(body, 'model_not_found') - count(before.body, 'model_not_found')).toBe(3)
  expect(count(body, 'invalid_request') - count(before.body, 'invalid_request')).toBe(2)
  const { body: told } = await send(
    app.adminPort,
    request('GET', '/admin/tenants/default/refusals', { authorization: `Bearer ${ADMIN_KEY}` }),
  )
  expect(told).toContain('model_not_found')
  expect(told).not.toContain('canary')
})

it('is open where the operator opens it', async () => {
  const open = await startTestApp({}, { telemetry: { open_metrics: true } })
  try {
    const { status, body } = await send(
      open.adminPort,
      request('GET', '/metrics', { accept: 'application/openmetrics-text' }),
    )
    expect(status).toBe(200)
    expect(body).toContain('# EOF')
    expect((await send(open.adminPort, request('GET', '/admin/stats'))).status).toBe(401)
    expect((await send(open.port, request('GET', '/metrics'))).status).toBe(404)
  } finally {
    await open.stop()
  }
})
