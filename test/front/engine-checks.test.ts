/** Engines of one's own are asked whether they work: what comes of it for calls, for operators, and for the engines. */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

const ANSWER = JSON.stringify({
  ...{ id: 'c1', object: 'chat.completion', created: 1, model: 'm' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
})

class Engine {
  health = 200
  metrics = ''
  asked: Record<string, number> = {}
  keys = new Set<string | undefined>()
  server: Server | null = null
  port = 0

  async start(): Promise<void> {
    this.server = createServer((incoming: IncomingMessage, response) => {
      incoming.resume()
      const path = incoming.url ?? ''
      this.asked[path] = (this.asked[path] ?? 0) + 1
      if (path === '/health') this.keys.add(incoming.headers.authorization)
      if (path === '/v1/chat/completions') response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER)
      else if (path === '/metrics') response.writeHead(this.metrics === '' ? 501 : 200).end(this.metrics)
      else if (path === '/health') response.writeHead(this.health).end()
      else response.writeHead(404).end()
    })
    await new Promise<void>((done) => this.server!.listen(this.port, '127.0.0.1', done))
    this.port = (this.server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    this.server?.closeAllConnections()
    await new Promise((done) => (this.server === null ? done(null) : this.server.close(done)))
    this.server = null
  }
}

const [a, b, plain] = [new Engine(), new Engine(), new Engine()]
const ENGINES = [a, b, plain]
let app: TestApp

const models = () => {
  const health = { interval_ms: 500, timeout_ms: 30_000 }
  const at = ({ port }: Engine) => ({ base_url: `http://127.0.0.1:${port}/v1`, model: 'm' })
  return [
    { name: 'chat', deployment: 'a', provider: 'vllm', ...at(a), api_key: { env: 'ENGINE_KEY' }, health },
    { name: 'chat', deployment: 'b', provider: 'llamacpp', ...at(b), health },
    { name: 'other', deployment: 'b2', provider: 'llamacpp', ...at(b), health },
    { name: 'plain', deployment: 'plain', provider: 'openai-compatible', ...at(plain) },
  ]
}
beforeAll(async () => {
  for (const engine of ENGINES) await engine.start()
  app = await startTestApp({}, { models: models() }, { ENGINE_KEY: 'secret-of-the-engine' })
})
afterAll(async () => {
  await app?.stop()
  for (const engine of ENGINES) await engine.stop()
})
beforeEach(() => {
  for (const engine of ENGINES) {
    engine.health = 200
    engine.asked = {}
  }
})

const PATIENCE = { timeout: 30_000, interval: 50 }
const operator = async (path: string): Promise<any> => {
  const { body } = await send(app.adminPort, request('GET', path, { authorization: `Bearer ${ADMIN_KEY}` }))
  return JSON.parse(body)
}
const shown = async (name: string): Promise<Record<string, any>> => {
  const { data } = (await operator('/admin/models')) as { data: ReadonlyArray<{ deployments: Record<string, any>[] }> }
  return data.flatMap(({ deployments }) => deployments).find((one) => one['name'] === name)!
}
const ask = async (): Promise<number> => {
  const body = JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: `hello ${Math.random()}` }] })
  const headers = { authorization: `Bearer ${app.key}` }
  return (await send(app.port, request('POST', '/v1/chat/completions', headers, body))).status
}
const calls = (engine: Engine): number => engine.asked['/v1/chat/completions'] ?? 0

describe('one that says that it can’t', () => {
  afterEach(async () => {
    a.health = 200
    await expect.poll(async () => (await shown('a'))['check'].down, PATIENCE).toBe(false)
  })

  it('gets no calls before it can again, though calls would have succeeded; operators see why', async () => {
    a.health = 503
    await expect.poll(async () => (await shown('a'))['check'], PATIENCE).toMatchObject({ down: true, why: 'HTTP 503' })
    expect(await shown('a')).toMatchObject({ state: 'failing', check: { ok: false } })
    expect(await shown('b')).toMatchObject({ state: 'up', check: { ok: true, down: false } })
    a.asked = {}
    for (let i = 0; i < 20; i++) expect(await ask()).toBe(200)
    expect([calls(a), calls(b)]).toEqual([0, 20])
    const { steps } = (await (await app.admin('/admin/route/explain', { model: 'chat' })).json()) as any
    expect(steps[0].deployments).toMatchObject([
      { deployment: 'a', out: 'broken' },
      { deployment: 'b', out: null },
    ])
    expect(app.log.some((line) => line.startsWith('a deployment is left alone, as its checks fail'))).toBe(true)
    a.health = 200
    await expect.poll(async () => (await shown('a'))['state'], PATIENCE).toBe('up')
    for (let i = 0; i < 40 && calls(a) === 0; i++) await ask()
    expect(calls(a)).toBeGreaterThan(0)
    expect(app.log.some((line) => line.startsWith('a deployment works again, as its checks tell'))).toBe(true)
  })
})

it('one that is gone is known before a call is lost there, and known to be back', async () => {
  await a.stop()
  await expect.poll(async () => (await shown('a'))['check'].down, PATIENCE).toBe(true)
  expect((await shown('a'))['check'].why).toMatch(/^unreachable \(/)
  for (let i = 0; i < 10; i++) expect(await ask()).toBe(200)
  expect((await shown('a'))['failures_in_row']).toBe(0)
  await a.start()
  await expect.poll(async () => (await shown('a'))['state'], PATIENCE).toBe('up')
})

it('its load is told, and what it has of others keeps calls from it', async () => {
  b.metrics = 'llamacpp:requests_processing 40\nllamacpp:requests_deferred 2\n'
  await expect
    .poll(async () => (await shown('b'))['check'], { timeout: 60_000, interval: 50 })
    .toMatchObject({
      ...{ running: 40, waiting: 2 },
    })
  // Two counts in a row
  await expect.poll(() => b.asked['/metrics'] ?? 0, PATIENCE).toBeGreaterThan(3)
  a.asked = {}
  b.asked = {}
  for (let i = 0; i < 20; i++) await ask()
  expect(calls(a)).toBeGreaterThan(calls(b))
  const headers = { authorization: `Bearer ${ADMIN_KEY}` }
  const { body } = await send(app.adminPort, request('GET', '/metrics', headers))
  expect(body).toContain('sluice_engine_running{deployment="b"} 40')
  expect(body).toContain('sluice_engine_waiting{deployment="b"} 2')
  expect(body).toContain('sluice_deployment_up{deployment="a"} 1')
})

it('who is asked: engines of one’s own, as one, with their own key; nobody else', async () => {
  await expect.poll(() => b.asked['/health'] ?? 0, PATIENCE).toBeGreaterThan(2)
  expect(plain.asked).toEqual({})
  expect((await shown('plain'))['check']).toBeNull()
  expect([...a.keys]).toEqual(['Bearer secret-of-the-engine'])
  expect([...b.keys]).toEqual([undefined])
  // Of one engine with two deployments both are told
  expect((await shown('b2'))['check']).toMatchObject({ ok: true })
  expect(app.log.join('\n')).not.toContain('secret-of-the-engine')
})

it('a reload changes who is asked', async () => {
  const [first, ...rest] = models()
  await app.reload({ models: [{ ...first, health: { enabled: false } }, ...rest] })
  await expect.poll(async () => (await shown('a'))['check'], PATIENCE).toBeNull()
  a.asked = {}
  await expect.poll(() => b.asked['/health'] ?? 0, PATIENCE).toBeGreaterThan(3)
  expect(a.asked).toEqual({})
})
