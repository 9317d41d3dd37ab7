/** `api_keys`: each key of a provider is a deployment of its own, with limits of its own. */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eventually } from '../conformance/harness.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

const ANSWER = JSON.stringify({
  ...{ id: 'c1', object: 'chat.completion', created: 1, model: 'm' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
})
const KEYS = { FIRST: 'sk-first-0123456789', SECOND: 'sk-second-0123456789', THIRD: 'sk-third-0123456789' }

let upstream: Server
let url: string
let app: TestApp
/** The keys that the provider was shown. */
let seen: string[]
let held: ServerResponse[] | null
let refused: string | null

beforeEach(async () => {
  seen = []
  ;[held, refused] = [null, null]
  upstream = createServer((request, response) => {
    request.resume()
    const key = String(request.headers.authorization).replace('Bearer ', '')
    seen.push(key)
    if (key === refused) return void response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":{}}')
    response.writeHead(200, { 'content-type': 'application/json' })
    if (held === null) response.end(ANSWER)
    else held.push(response)
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
})
afterEach(async () => {
  await app?.stop()
  upstream.closeAllConnections()
  upstream.close()
})

const start = async (limits: object, more: readonly object[] = []): Promise<void> => {
  const model = { name: 'chat', provider: 'openai-compatible', model: 'm', base_url: url, deployment: 'main', limits }
  const keys = { api_key: { env: 'FIRST' }, api_keys: [{ env: 'SECOND' }, { env: 'THIRD' }] }
  app = await startTestApp({}, { models: [{ ...model, ...keys }, ...more] }, KEYS)
}
const call = async (path: string, body?: object, port = app.port, key = app.key) => {
  const text = body === undefined ? undefined : JSON.stringify(body)
  const headers = { authorization: `Bearer ${key}` }
  const answer = await send(port, request(body === undefined ? 'GET' : 'POST', path, headers, text))
  return { status: answer.status, json: JSON.parse(answer.body) as Record<string, any> }
}
const submit = async (n: number, more: object = {}): Promise<string> => {
  const chat = { model: 'chat', messages: [{ role: 'user', content: `hello ${n}` }] }
  const { status, json } = await call('/v1/jobs', { request: chat, ...more })
  expect(status).toBe(202)
  return json['id']
}
const job = async (id: string): Promise<Record<string, any>> => (await call(`/v1/jobs/${id}`)).json
const counts = (): readonly number[] => Object.values(KEYS).map((key) => seen.filter((each) => each === key).length)
const deployments = async (): Promise<readonly any[]> =>
  (await call('/admin/models', undefined, app.adminPort, ADMIN_KEY)).json['data'].flatMap(
    ({ deployments }: any) => deployments,
  )

it('each is NAME, NAME#2, NAME#3, with the limits of its entry; no key is shown', async () => {
  await start({ requests_per_minute: 7, concurrent: 4 }, [{ name: 'chat', provider: 'demo', deployment: 'other' }])
  expect((await deployments()).map(({ name }) => name)).toEqual(['main', 'main#2', 'main#3', 'other'])
  const told = (await call('/admin/deployments', undefined, app.adminPort, ADMIN_KEY)).json['data']
  expect(told.map(({ deployment, concurrent, used }: any) => [deployment, concurrent, used?.requests])).toEqual([
    ['main', 4, 0],
    ['main#2', 4, 0],
    ['main#3', 4, 0],
    ['other', null, undefined],
  ])
  expect(JSON.stringify(await deployments())).not.toMatch(/sk-(first|second|third)/)
})

it('requests a minute are counted for each key: all are used up, none is exceeded, the rest waits', async () => {
  await start({ requests_per_minute: 3 })
  const jobs = await Promise.all(Array.from({ length: 9 }, (_, n) => submit(n)))
  await eventually(async () =>
    expect((await Promise.all(jobs.map(job))).map(({ state }) => state)).toEqual(Array(9).fill('done')),
  )
  expect(counts()).toEqual([3, 3, 3])
  const late = await submit(9, { deadline_ms: 500 })
  await eventually(async () => expect((await job(late))['state']).toBe('expired'))
  expect(counts()).toEqual([3, 3, 3])
})

it('so are tokens a minute, and calls at once', async () => {
  held = []
  await start({ concurrent: 2, tokens_per_minute: 100_000 })
  const jobs = await Promise.all(Array.from({ length: 8 }, (_, n) => submit(n)))
  await eventually(() => expect(seen).toHaveLength(6))
  expect(counts()).toEqual([2, 2, 2])
  const states = async (): Promise<readonly string[]> => (await Promise.all(jobs.map(job))).map(({ state }) => state)
  expect((await states()).filter((state) => state === 'leased')).toHaveLength(6)
  for (const response of held.splice(0)) response.end(ANSWER)
  held = null
  await eventually(async () => expect(await states()).toEqual(Array(8).fill('done')))
})

it('a key that the provider refuses is left out, and the others serve unseen', async () => {
  await start({})
  refused = KEYS.SECOND
  for (let n = 0; n < 12; n++) {
    const { status } = await call('/v1/chat/completions', {
      model: 'chat',
      messages: [{ role: 'user', content: `hello ${n}` }],
    })
    expect(status).toBe(200)
  }
  const unwell = (await call('/admin/deployments', undefined, app.adminPort, ADMIN_KEY)).json['data'].filter(
    (each: any) => each.unwell.length > 0,
  )
  expect(unwell.map(({ deployment }: any) => deployment)).toEqual(['main#2'])
})
