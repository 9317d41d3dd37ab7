/** The playground's door: a session on the admin's own origin, and the knife that breaks what runs. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { startTestApp, type TestApp } from './app.ts'

let app: TestApp
let url: string
const DEMO = { name: 'demo', provider: 'demo', demo: { ttft_ms: 10, token_ms: 20 } }
beforeAll(async () => {
  app = await startTestApp({}, { models: [DEMO] })
  url = `http://127.0.0.1:${app.adminPort}`
})
afterAll(() => app?.stop())

const ticketOf = async (body: object = {}): Promise<Record<string, unknown>> =>
  (await (await app.admin('/admin/playground/session', body)).json()) as Record<string, unknown>
async function token(): Promise<string> {
  const { ticket } = await ticketOf()
  const opened = await fetch(`${url}/v1/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ticket }),
  })
  expect(opened.status).toBe(201)
  return ((await opened.json()) as { token: string }).token
}
const call = (path: string, credential: string, body?: object): Promise<Response> =>
  fetch(url + path, {
    headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
  })
const chat = (credential: string): Promise<Response> =>
  call('/v1/chat/completions', credential, { model: 'demo', messages: [{ role: 'user', content: 'Tell me more.' }] })
const running = async (credential: string): Promise<string> =>
  vi.waitFor(async () => {
    const { data } = (await (await call('/v1/jobs?state=leased', credential)).json()) as { data: Array<{ id: string }> }
    expect(data).toHaveLength(1)
    return data[0].id
  })

it('opens a session of a tenant that has a key, and tells what it may ask', async () => {
  expect(await ticketOf()).toMatchObject({ url: '/v1/ws', tenant: 'default', models: ['demo'] })
  const refused = await app.admin('/admin/playground/session', { tenant: 'nobody' })
  expect(refused.status).toBe(400)
  expect(await refused.json()).toMatchObject({ error: { message: expect.stringContaining('"nobody" has no key') } })
})

it("the API answers a page's session on the admin listener, and no key", async () => {
  const own = await token()
  expect(await (await call('/v1/models', own)).json()).toMatchObject({ data: [{ id: 'demo' }] })
  const refused = await call('/v1/models', app.key)
  expect([refused.status, await refused.text()]).toEqual([404, expect.stringContaining('admin listener')])
  const { ticket } = await ticketOf()
  const ws = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`, 'sluice.v1')
  await new Promise((open, failed) => ws.once('open', open).once('error', failed))
  const answer = new Promise<string>((told) => ws.once('message', (data) => told(String(data))))
  ws.send(JSON.stringify({ t: 'hello', auth: { ticket } }))
  expect(JSON.parse(await answer)).toMatchObject({ t: 'welcome' })
  ws.close()
})

it('breaks the call of a job that runs; the job goes on, and its answer is whole', async () => {
  const own = await token()
  const answered = chat(own)
  const id = await running(own)
  await vi.waitFor(async () => {
    const killed = await app.admin('/admin/playground/kill', { job: id })
    expect(await killed.json()).toEqual({ object: 'kill', job: id, attempt: 1, killed: 'call' })
  })
  const answer = await answered
  expect(answer.status).toBe(200)
  expect(await answer.json()).toMatchObject({ choices: [{ finish_reason: 'stop' }] })
  const job = (await (await call(`/v1/jobs/${id}`, own)).json()) as Record<string, unknown>
  expect(job).toMatchObject({ state: 'done', attempts: 2 })
  const late = await app.admin('/admin/playground/kill', { job: id })
  expect([late.status, await late.text()]).toEqual([400, expect.stringContaining('it is done')])
  expect((await app.admin('/admin/playground/kill', { job: 'job_none' })).status).toBe(404)
})

it('kills nothing where the configuration does not let it, and names the setting', async () => {
  await app.reload({ dashboard: { kill: false } })
  const own = await token()
  const answered = chat(own)
  const refused = await app.admin('/admin/playground/kill', { job: await running(own) })
  expect([refused.status, await refused.text()]).toEqual([403, expect.stringContaining('dashboard.kill')])
  expect((await answered).status).toBe(200)
})
