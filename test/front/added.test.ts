/** Deployments that come and go, and weights, while the server runs. */
import { writeFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { registerHooks } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { run } from '../../src/cli/run.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

/** As where it is not installed. */
registerHooks({
  resolve(name, context, next) {
    if (name === '@ai-sdk/cohere') throw Object.assign(new Error('none'), { code: 'ERR_MODULE_NOT_FOUND' })
    return next(name, context)
  },
})

const ANSWER = JSON.stringify({
  ...{ id: 'c1', object: 'chat.completion', created: 1, model: 'm' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
})
const HOUSE = 'sk-house-key-0123456789'
let upstream: Server
let url: string
let app: TestApp
let held: ServerResponse[] | null
let seen: Array<string | undefined>

beforeEach(async () => {
  held = null
  seen = []
  upstream = createServer((request, response) => {
    request.resume()
    seen.push(request.headers.authorization)
    response.writeHead(200, { 'content-type': 'application/json' })
    if (held === null) response.end(ANSWER)
    else held.push(response)
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  app = await startTestApp({}, { models: MODELS() }, { HOUSE })
})
afterEach(async () => {
  await app?.stop()
  upstream.close()
})
const MODELS = () => [
  { name: 'chat', provider: 'openai-compatible', base_url: url, api_key: { env: 'HOUSE' }, deployment: 'filed' },
  { name: 'chat', provider: 'demo', deployment: 'fixed', weight: 7 },
]
const ENTRY = () => ({
  ...{ name: 'new', provider: 'openai-compatible', base_url: url, api_key: { env: 'HOUSE' } },
  deployment: 'own-gpu',
})

async function admin(method: string, path: string, body?: object) {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` }
  const text = body === undefined ? undefined : JSON.stringify(body)
  const answer = await send(app.adminPort, request(method, path, headers, text))
  return { status: answer.status, json: (answer.body === '' ? {} : JSON.parse(answer.body)) as Record<string, any> }
}
const ask = (model: string) => {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }] })
  return send(app.port, request('POST', '/v1/chat/completions', { authorization: `Bearer ${app.key}` }, body))
}
const find = async (name: string): Promise<Record<string, unknown> | undefined> =>
  ((await admin('GET', '/admin/models')).json['data'] as any[])
    .flatMap(({ deployments }) => deployments)
    .find((one) => one.name === name)

it('one that is added serves at once, with the key of the file, and after a reload; removed it is gone', async () => {
  expect((await ask('new')).status).toBe(404)
  const added = await admin('POST', '/admin/deployments', ENTRY())
  expect([added.status, added.json]).toEqual([
    201,
    { object: 'deployment', deployment: 'own-gpu', source: 'api', added: ENTRY() },
  ])
  expect((await ask('new')).status).toBe(200)
  expect(seen).toEqual([`Bearer ${HOUSE}`])
  await app.reload({ models: [...MODELS(), { name: 'more', provider: 'demo' }] })
  expect((await ask('new')).status).toBe(200)
  expect((await ask('more')).status).toBe(200)
  expect(await find('own-gpu')).toMatchObject({ source: 'api', weight: 1 })
  expect((await admin('DELETE', '/admin/deployments/own-gpu')).status).toBe(204)
  expect((await ask('new')).status).toBe(404)
  const { json } = await admin('GET', '/admin/audit')
  expect(json['data'].map((one: any) => `${one.action} ${one.target}`)).toEqual([
    'deployment-removed deployment own-gpu',
    'config-reloaded configuration',
    'deployment-added deployment own-gpu',
  ])
})

it('what runs on one that is removed ends there', async () => {
  await admin('POST', '/admin/deployments', ENTRY())
  held = []
  const answer = ask('new')
  await expect.poll(() => held?.length).toBe(1)
  expect((await admin('DELETE', '/admin/deployments/own-gpu')).status).toBe(204)
  expect((await ask('new')).status).toBe(404)
  // Longer than until a provider without calls is closed
  await new Promise((done) => setTimeout(done, 1_500))
  held[0].end(ANSWER)
  expect((await answer).status).toBe(200)
})

it('a key goes where the file sends it, and nowhere else; no file is read', async () => {
  for (const [more, message] of [
    [{ base_url: 'http://127.0.0.1:9/v1' }, 'a key is sent only where the configuration sends it'],
    [{ api_key: { env: 'PATH' } }, 'a key is sent only where the configuration sends it'],
    [{ api_key: { file: '/etc/hostname' } }, 'a key is sent only where the configuration sends it'],
    [{ headers: { 'x-token': { env: 'PATH' } } }, 'a key is sent only where the configuration sends it'],
    [{ api_key: 'sk-literal-canary' }, 'a secret must be a reference'],
    [{ ca_file: '/etc/hostname' }, 'in the configuration alone'],
    [{ ...VERTEX, credentials_file: '/etc/hostname' }, 'in the configuration alone'],
    [{ deployment: undefined }, 'is required'],
    [{ deployment: 'filed' }, 'There is a deployment \\"filed\\" already'],
    [{ provider: 'opnai' }, 'openai'],
    [{ wieght: 3 }, 'Did you mean \\"weight\\"?'],
    [{ name: 'chat', pool: 'other' }, 'a group has one pool'],
  ] as const) {
    const { status, json } = await admin('POST', '/admin/deployments', { ...ENTRY(), ...more })
    const text = JSON.stringify(json)
    expect([status, more], text).toEqual([400, more])
    expect(text).toContain(message)
    expect(text).not.toContain('canary')
  }
  expect(seen).toEqual([])
})

it('what the file says can only be changed there, and the answer says so', async () => {
  const weight = await admin('PATCH', '/admin/deployments/fixed', { weight: 2 })
  expect([weight.status, weight.json['error'].code]).toEqual([409, 'managed_by_config'])
  const gone = await admin('DELETE', '/admin/deployments/filed')
  expect([gone.status, gone.json['error'].code]).toEqual([409, 'managed_by_config'])
  expect((await admin('DELETE', '/admin/deployments/fild')).json['error'].message).toContain('Did you mean "filed"?')
  for (const weight of [-1, 1.5, '3', undefined])
    expect((await admin('PATCH', '/admin/deployments/filed', { weight })).status).toBe(400)
})

it('a weight that the file leaves open is set, and let go', async () => {
  expect(await find('filed')).toMatchObject({ weight: 1, source: 'config' })
  expect((await admin('PATCH', '/admin/deployments/filed', { weight: 30 })).status).toBe(200)
  expect(await find('filed')).toMatchObject({ weight: 30 })
  await app.reload({})
  expect(await find('filed')).toMatchObject({ weight: 30 })
  expect((await admin('PATCH', '/admin/deployments/filed', { weight: null })).status).toBe(200)
  expect(await find('filed')).toMatchObject({ weight: 1 })
})

it('one whose name the file takes is not in force; drained, it stays so when its weight is set', async () => {
  await admin('POST', '/admin/deployments', ENTRY())
  await admin('POST', '/admin/deployments/own-gpu/drain')
  await admin('PATCH', '/admin/deployments/own-gpu', { weight: 3 })
  expect(await find('own-gpu')).toMatchObject({ state: 'draining', weight: 3 })
  await app.reload({ models: [...MODELS(), { name: 'other', provider: 'demo', deployment: 'own-gpu' }] })
  expect(await find('own-gpu')).toMatchObject({ source: 'config', provider: 'demo' })
  expect((await ask('new')).status).toBe(404)
})

it('the command adds, lists and removes', async () => {
  const file = join(tmpdir(), `sluice-added-${process.pid}.yaml`)
  writeFileSync(file, JSON.stringify({ ...ENTRY(), limits: { requests_per_minute: 600 } }))
  const before = process.env
  process.env = { ...before, SLUICE_ADMIN_URL: `http://127.0.0.1:${app.adminPort}`, SLUICE_ADMIN_KEY: ADMIN_KEY }
  const out: string[] = []
  const print = (line: string): void => void out.push(line)
  try {
    for (const args of [
      ['add', file],
      ['set', 'own-gpu', '--weight', '4'],
      ['list'],
      ['drain', 'own-gpu'],
      ['resume', 'own-gpu'],
      ['remove', 'own-gpu'],
    ])
      expect(await run(['deployments', ...args], { print, write: print, note: print }), out.join('\n')).toBe(0)
  } finally {
    process.env = before
  }
  expect(out.join('\n')).toMatch(/own-gpu +new +openai-compatible +up +0 +0 +4 +0\/600 requests +api/)
  expect(await find('own-gpu')).toBeUndefined()
})

const VERTEX = { provider: 'vertex', model: 'g', project: 'p', region: 'r', api_key: undefined }
const COHERE = () => ({ ...ENTRY(), name: 'c', deployment: 'c', provider: 'cohere', model: 'command' })

it('one that can not be made here is refused, with what to install, and holds up nothing', async () => {
  const { status, json } = await admin('POST', '/admin/deployments', COHERE())
  expect([status, json['error'].message]).toEqual([400, expect.stringContaining('@ai-sdk/cohere')])
  expect((await admin('POST', '/admin/deployments', ENTRY())).status).toBe(201)
  expect((await ask('new')).status).toBe(200)
})

it('its fallbacks are models that are there; added again, it is not another one', async () => {
  const nope = await admin('POST', '/admin/deployments', { ...ENTRY(), fallbacks: { general: ['chatt'] } })
  expect([nope.status, nope.json['error'].message]).toEqual([400, expect.stringContaining('Did you mean "chat"?')])
  const itself = await admin('POST', '/admin/deployments', { ...ENTRY(), fallbacks: { context_window: ['new'] } })
  expect([itself.status, itself.json['error'].message]).toEqual([400, expect.stringContaining('the model itself')])
  const added = [ENTRY(), { ...ENTRY(), name: 'new2' }].map((entry) => admin('POST', '/admin/deployments', entry))
  const statuses = (await Promise.all(added)).map(({ status }) => status)
  expect(statuses.sort()).toEqual([201, 400])
})
