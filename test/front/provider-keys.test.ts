/**
 * Tenants' own provider keys: used for that tenant's jobs alone, at one origin, and found nowhere else: in no answer,
 * log, audit, number or backup.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

const ANSWER = JSON.stringify({
  ...{ id: 'c1', object: 'chat.completion', created: 1, model: 'm' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3_000, completion_tokens: 1_000, total_tokens: 4_000 },
})
const HOUSE = 'sk-house-key-0123456789'
const OWN = 'sk-canary-of-acme-4711-tail'

/** What it was called with, newest last. */
const seen: Array<{ readonly at: string; readonly key: string; readonly header: string | undefined }> = []
let status = 200
function upstream(at: string): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume()
    const key = (request.headers.authorization ?? '').replace('Bearer ', '')
    seen.push({ at, key, header: request.headers['x-house'] as string | undefined })
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(status === 200 ? ANSWER : JSON.stringify({ error: { message: `wrong key ${key}` } }))
  })
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server)))
}

let servers: Server[]
let urls: string[]
let app: TestApp
const keys: Record<string, string> = {}
const TENANTS = ['acme', 'bob', 'poor', 'must']

beforeAll(async () => {
  servers = [await upstream('one'), await upstream('two')]
  urls = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const model = {
    provider: 'openai-compatible',
    model: 'm',
    api_key: { env: 'HOUSE' },
    price: { input: 1_000, output: 1_000 },
    headers: { 'x-house': { env: 'HEADER' } },
  }
  app = await startTestApp(
    {},
    {
      models: [
        { ...model, name: 'one', deployment: 'one', base_url: `${urls[0]}/v1` },
        { ...model, name: 'two', deployment: 'two', base_url: `${urls[1]}/v1` },
        { ...model, name: 'both', deployment: 'both-1', base_url: `${urls[0]}/v1` },
        { ...model, name: 'both', deployment: 'both-2', base_url: `${urls[1]}/v1`, order: 1 },
        { name: 'demo', provider: 'demo' },
      ],
      tenants: [
        { name: 'poor', limits: { dollars_per_day: 4 } },
        { name: 'must', own_keys: 'require' },
      ],
      queue: { max_attempts: 1 },
    },
    { HOUSE, HEADER: 'a-secret-of-the-house' },
  )
  for (const tenant of TENANTS) keys[tenant] = (await app.addKey(tenant)).key
})
afterAll(async () => {
  await app?.stop()
  for (const server of servers) server.close()
})
beforeEach(async () => {
  status = 200
  seen.length = 0
  for (const tenant of TENANTS) await admin('DELETE', `/admin/tenants/${tenant}/provider-keys/openai-compatible`)
})

async function admin(method: string, path: string, body?: object) {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` }
  const { status, body: text } = await send(
    app.adminPort,
    request(method, path, headers, body === undefined ? undefined : JSON.stringify(body)),
  )
  return { status, text, json: (text.startsWith('{') ? JSON.parse(text) : {}) as Record<string, any> }
}
const set = (tenant: string, key = OWN, origin = urls[0]) =>
  admin('POST', `/admin/tenants/${tenant}/provider-keys/openai-compatible`, { key, origin })
async function ask(tenant: string, model = 'one') {
  const text = JSON.stringify({ model, messages: [{ role: 'user', content: `hello ${Math.random()}` }] })
  const headers = { authorization: `Bearer ${keys[tenant]}` }
  return send(app.port, request('POST', '/v1/chat/completions', headers, text))
}

it("is used for its tenant's jobs, at its own origin, for nobody else's, and without the house's secrets", async () => {
  expect((await set('acme')).json).toEqual({
    object: 'provider_key',
    provider: 'openai-compatible',
    origin: urls[0],
    last4: 'tail',
    set_at: expect.any(Number),
  })
  for (const [tenant, model] of [
    ['acme', 'one'],
    ['acme', 'two'],
    ['bob', 'one'],
  ] as const)
    expect((await ask(tenant, model)).status).toBe(200)
  expect(seen).toEqual([
    { at: 'one', key: OWN, header: undefined },
    { at: 'two', key: HOUSE, header: 'a-secret-of-the-house' },
    { at: 'one', key: HOUSE, header: 'a-secret-of-the-house' },
  ])
})

it('set again replaces it, and removed the house pays again, at once', async () => {
  await set('acme')
  await ask('acme')
  expect((await set('acme', 'sk-another-key-0815')).json['last4']).toBe('0815')
  await ask('acme')
  expect((await admin('DELETE', '/admin/tenants/acme/provider-keys/openai-compatible')).status).toBe(204)
  await ask('acme')
  expect(seen.map(({ key }) => key)).toEqual([OWN, 'sk-another-key-0815', HOUSE])
})

it("costs nothing of the operator's money: a budget that is spent holds back only what it pays for", async () => {
  expect((await ask('poor')).status).toBe(200)
  expect((await ask('poor')).status).toBe(429)
  await set('poor')
  expect((await ask('poor')).status).toBe(200)
  expect((await ask('poor', 'two')).status).toBe(429)
  const { json } = await admin('GET', '/admin/usage/records?tenant=poor')
  const records = (json['data'] as Array<Record<string, unknown>>).filter(({ price_version: by }) => by === 'own-key')
  expect(records, JSON.stringify(json)).toMatchObject([{ nano_dollars: 0, deployment: 'one' }])
})

it('own_keys: require refuses where there is none, and calls nobody', async () => {
  const refused = await ask('must')
  expect([refused.status, JSON.parse(refused.body).error.code]).toEqual([403, 'own_key_required'])
  expect((await ask('must', 'demo')).status).toBe(200)
  expect(seen).toEqual([])
  await set('must')
  expect((await ask('must')).status).toBe(200)
  expect((await ask('must', 'two')).status).toBe(403)
  expect(seen.map(({ key }) => key)).toEqual([OWN])
})

it('own_keys: require tells of the key that did not work, where another provider of the model has none', async () => {
  await set('must')
  status = 401
  const refused = await ask('must', 'both')
  expect([refused.status, JSON.parse(refused.body).error.code]).toEqual([502, 'own_key_failed'])
  expect(seen.map(({ key }) => key)).toEqual([OWN])
})

it("one that the provider refuses is told as the tenant's, without the key", async () => {
  await set('acme')
  status = 401
  const refused = await ask('acme')
  expect(refused.body).toContain("rejected this tenant's own key")
  expect(refused.body).not.toContain('canary')
})

it('one that is refused, or limited, leaves the deployment to everybody else', async () => {
  await set('acme')
  for (const code of [401, 429]) {
    status = code
    for (let n = 0; n < 6; n++) expect((await ask('acme')).status).toBeGreaterThanOrEqual(400)
    status = 200
    const began = seen.length
    expect((await ask('bob')).status).toBe(200)
    expect(seen.slice(began).map(({ key }) => key)).toEqual([HOUSE])
    const { json } = await admin('GET', '/admin/deployments')
    const one = (json['data'] as Array<Record<string, unknown>>).find(({ deployment }) => deployment === 'one')
    expect(one).toMatchObject({ unwell: [] })
  }
})

it('what can be no key, or is for nowhere, is refused, and names what there is', async () => {
  for (const [path, body, message] of [
    ['acme/provider-keys/openai-compatibel', { key: OWN }, 'Did you mean "openai-compatible"?'],
    ['acme/provider-keys/demo', { key: OWN }, 'There are openai-compatible'],
    ['acme/provider-keys/openai-compatible', { key: OWN }, `must be one of ${urls[0]}, ${urls[1]}`],
    ['acme/provider-keys/openai-compatible', { key: OWN, origin: 'https://evil.example' }, 'must be one of'],
    ['acme/provider-keys/openai-compatible', { key: `${OWN}\r\nx: y`, origin: urls[0] }, 'visible ASCII'],
    ['acme/provider-keys/openai-compatible', { key: [OWN], origin: urls[0] }, 'must be the provider'],
    ['acme/provider-keys/openai-compatible', { keey: OWN }, 'Did you mean "key"?'],
    ['a b/provider-keys/openai-compatible', { key: OWN }, ''],
  ] as const) {
    const { status, text } = await admin('POST', `/admin/tenants/${encodeURI(path)}`, body)
    expect([status, path], text).toEqual([400, path])
    expect(text).toContain(message.replaceAll('"', '\\"'))
    expect(text).not.toContain('canary')
  }
  const gone = await admin('DELETE', '/admin/tenants/acme/provider-keys/openai-compatible')
  expect(gone.status).toBe(404)
})

it('is told nowhere: not in logs, lists, the audit, numbers, jobs or usage', async () => {
  await set('acme')
  await ask('acme')
  status = 500
  await ask('acme')
  const paths = [
    'tenants',
    'tenants/acme',
    'tenants/acme/provider-keys',
    'audit',
    'stats',
    'jobs',
    'deployments',
    'models',
  ]
  const told = await Promise.all(paths.map(async (path) => (await admin('GET', `/admin/${path}`)).text))
  for (const text of [...told, ...app.log]) {
    expect(text).not.toContain('canary')
    expect(text).not.toContain('a-secret-of-the-house')
  }
  const audit = JSON.parse(told[3])['data'] as Array<Record<string, unknown>>
  // Viewers read it, too
  expect(told[3]).not.toContain('last4')
  expect(audit[0]).toMatchObject({
    action: 'tenant-provider-key-set',
    target: 'tenant acme, provider openai-compatible',
    after: { origin: urls[0] },
  })
})

it('is in a backup, and in the store, sealed alone', async () => {
  const model = { provider: 'openai-compatible', model: 'm', name: 'one', base_url: `${urls[0]}/v1` }
  const kept = await startTestApp({}, { durability: 'process', models: [model] })
  try {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` }
    const path = '/admin/tenants/acme/provider-keys/openai-compatible'
    const set = await send(kept.adminPort, request('POST', path, headers, JSON.stringify({ key: OWN })))
    expect(set.status, set.body).toBe(200)
    const backup = await send(kept.adminPort, request('GET', '/admin/backup', headers))
    expect(backup.body).toContain('"sealed":"v1.')
    expect(backup.body).not.toContain('canary')
  } finally {
    await kept.stop()
  }
})

it('all are sealed anew by one request, which tells of how many, and is in the audit', async () => {
  await set('acme')
  const { status, json } = await admin('POST', '/admin/provider-keys/reseal', {})
  expect([status, json]).toEqual([200, { object: 'provider_keys_resealed', resealed: 0, unchanged: 1, unreadable: [] }])
  const audit = (await admin('GET', '/admin/audit')).json['data'] as Array<Record<string, unknown>>
  expect(audit[0]).toMatchObject({ action: 'tenant-provider-keys-resealed', after: { resealed: 0 } })
  await ask('acme')
  expect(seen.map(({ key }) => key)).toEqual([OWN])
})

it('goes with its tenant', async () => {
  await set('bob')
  expect((await admin('DELETE', '/admin/tenants/bob')).status).toBe(204)
  expect((await admin('GET', '/admin/tenants/bob/provider-keys')).json['data']).toEqual([])
})
