/** What the door does besides refusing: pages of other origins, limits, leaving readers, retries, the stop. */
import { connect, type Socket } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { startServer } from '../e2e/server.ts'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, type SendOptions, send } from './wire.ts'

let app: TestApp
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await app?.stop()
})

const ask = (
  method: string,
  target: string,
  body?: unknown,
  headers: Record<string, string> = {},
  options: SendOptions = {},
): Promise<Answer> =>
  send(
    app.port,
    request(
      method,
      target,
      { authorization: `Bearer ${app.key}`, ...headers },
      body === undefined ? '' : JSON.stringify(body),
    ),
    options,
  )
const chat = (content: string, more: object = {}): object => ({
  model: 'demo',
  messages: [{ role: 'user', content }],
  ...more,
})
const job = async (id: string): Promise<Record<string, unknown>> =>
  JSON.parse((await ask('GET', `/v1/jobs/${id}`)).body) as Record<string, unknown>

/** Opens a request and hands over the connection, once the first bytes have come. */
async function open(
  method: string,
  target: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect(app.port, '127.0.0.1')
  sockets.push(socket)
  let text = ''
  socket.on('data', (d) => (text += d.toString()))
  socket.on('error', () => {})
  socket.write(
    request(
      method,
      target,
      { authorization: `Bearer ${app.key}`, ...headers },
      body === undefined ? '' : JSON.stringify(body),
    ),
  )
  await expect.poll(() => text.length).toBeGreaterThan(0)
  return { socket, text: () => text }
}
const idIn = (text: string): string => /sluice-job: (job_\w+)/.exec(text)![1]

it('lets pages of listed origins call, and no others', async () => {
  app = await startTestApp({ cors_origins: ['https://app.example.com'] })
  const preflight = (origin: string): Promise<Answer> =>
    ask('OPTIONS', '/v1/jobs', undefined, {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, sluice-lane',
      authorization: '',
    })
  const good = await preflight('https://app.example.com')
  expect(good.status).toBe(204)
  expect(good.headers).toMatchObject({
    'access-control-allow-origin': 'https://app.example.com',
    'access-control-allow-headers': 'authorization, sluice-lane',
    vary: 'origin',
  })
  const bad = await preflight('https://evil.example.com')
  expect([bad.status, bad.code, bad.headers['access-control-allow-origin']]).toEqual([
    403,
    'origin_forbidden',
    undefined,
  ])
  const answer = await ask('GET', '/v1/models', undefined, { origin: 'https://app.example.com' })
  expect(answer.headers['access-control-expose-headers']).toContain('sluice-job')
  // Refusals too must be readable by the page
  const refusal = await ask('GET', '/v1/jobs/job_x', undefined, { origin: 'https://app.example.com' })
  expect([refusal.status, refusal.headers['access-control-allow-origin']]).toEqual([404, 'https://app.example.com'])
  expect(
    (await ask('GET', '/v1/models', undefined, { origin: 'https://evil.example.com' })).headers[
      'access-control-allow-origin'
    ],
  ).toBe(undefined)
})

it('tells who guesses keys to wait, and goes on for who has one', async () => {
  app = await startTestApp({ bad_keys_per_minute: 5 })
  const guess = (): Promise<Answer> => ask('GET', '/v1/models', undefined, { authorization: 'Bearer sk-sluice-guess' })
  const got: number[] = []
  for (let i = 0; i < 8; i++) got.push((await guess()).status)
  expect(got).toEqual([401, 401, 401, 401, 401, 429, 429, 429])
  const refused = await guess()
  expect(Number(refused.headers['retry-after'])).toBe(Math.ceil(Number(refused.headers['retry-after-ms']) / 1000))
  expect((await ask('GET', '/v1/models')).status).toBe(200)
})

it('caps the requests that one key has under way', async () => {
  app = await startTestApp({ max_requests_per_key: 2 })
  const slow = chat('demo: tokens=400 delay=20 ttft=1', { stream: true })
  const readers = [
    await open('POST', '/v1/chat/completions', slow),
    await open('POST', '/v1/chat/completions', { ...slow, n: 2 }),
  ]
  const got = await ask('GET', '/v1/models')
  expect([got.status, got.code]).toEqual([429, 'too_many_connections'])
  readers[0].socket.destroy()
  await expect.poll(async () => (await ask('GET', '/v1/models')).status).toBe(200)
})

it('S2: cancels a plain POST that nobody reads, after the grace; not before', async () => {
  app = await startTestApp({ disconnect_grace_ms: 2_000 })
  const { socket, text } = await open(
    'POST',
    '/v1/chat/completions',
    chat('demo: tokens=2000 delay=20 ttft=1', { stream: true }),
  )
  await expect.poll(text).toContain('sluice-job')
  const id = idIn(text())
  socket.destroy()
  await new Promise((done) => setTimeout(done, 150))
  expect((await job(id))['state']).toBe('leased')
  await expect.poll(async () => (await job(id))['state']).toBe('canceled')
})

it('S2: a reader that comes back in time keeps the job going, by its cursor or by the POST again', async () => {
  app = await startTestApp({ disconnect_grace_ms: 1_500 })
  const body = chat('demo: tokens=2000 delay=20 ttft=1', { stream: true })
  const first = await open('POST', '/v1/chat/completions', body)
  await expect.poll(first.text).toContain('sluice-job')
  const id = idIn(first.text())
  first.socket.destroy()
  const back = await open('GET', `/v1/jobs/${id}/events`)
  await new Promise((done) => setTimeout(done, 1_800))
  expect((await job(id))['state']).toBe('leased')
  back.socket.destroy()
  const again = await open('POST', '/v1/chat/completions', body, { 'x-stainless-retry-count': '1' })
  await expect.poll(again.text).toContain('sluice-job')
  expect(idIn(again.text())).toBe(id)
  await new Promise((done) => setTimeout(done, 1_800))
  expect((await job(id))['state']).toBe('leased')
  again.socket.destroy()
  await expect.poll(async () => (await job(id))['state']).toBe('canceled')
})

it('S2: a JSON answer nobody waits for is canceled; one with a key, of a conversation, or a job goes on', async () => {
  app = await startTestApp({ disconnect_grace_ms: 100 })
  const ids: Record<string, string> = {}
  const post = async (name: string, headers: Record<string, string>, more: object = {}): Promise<void> => {
    const socket = connect(app.port, '127.0.0.1')
    sockets.push(socket)
    socket.write(
      request(
        'POST',
        '/v1/chat/completions',
        { authorization: `Bearer ${app.key}`, ...headers },
        JSON.stringify(chat(`${name}. demo: tokens=2000 delay=20 ttft=1`, more)),
      ),
    )
    await expect
      .poll(
        async () =>
          (JSON.parse((await ask('GET', '/v1/jobs')).body) as { data: Array<{ id: string }> }).data.find(
            (j) => !Object.values(ids).includes(j.id),
          )?.id,
      )
      .toBeTruthy()
    ids[name] = (JSON.parse((await ask('GET', '/v1/jobs')).body) as { data: Array<{ id: string }> }).data[0].id
    socket.destroy()
  }
  await post('plain', {})
  await post('keyed', { 'idempotency-key': 'k' })
  await post('conversation', {}, { sluice: { conversation: 'c' } })
  await post('told to', { 'sluice-on-disconnect': 'continue' })
  await expect.poll(async () => (await job(ids['plain']))['state']).toBe('canceled')
  for (const name of ['keyed', 'conversation', 'told to']) expect((await job(ids[name]))['state'], name).toBe('leased')
})

it('answers at once to who asks for it, and waits no longer than asked', async () => {
  app = await startTestApp()
  const later = await ask('POST', '/v1/chat/completions', chat('demo: tokens=10 delay=5 ttft=1'), {
    prefer: 'respond-async',
  })
  const { id, events } = JSON.parse(later.body) as { id: string; events: string }
  expect([
    later.status,
    later.headers['location'],
    later.headers['sluice-job'],
    later.headers['preference-applied'],
  ]).toEqual([202, events, id, 'respond-async'])
  const done = await ask('GET', `/v1/jobs/${id}/result?wait_ms=50000`)
  expect([done.status, (JSON.parse(done.body) as { object: string }).object]).toEqual([200, 'chat.completion'])
  const slow = JSON.parse(
    (await ask('POST', '/v1/jobs', { request: chat('demo: tokens=500 delay=20 ttft=1') })).body,
  ) as { id: string }
  await expect.poll(async () => (await job(slow.id))['state']).toBe('leased')
  expect((await ask('GET', `/v1/jobs/${slow.id}/result`)).status).toBe(202)
  const waited = await ask('GET', `/v1/jobs/${slow.id}?wait_ms=150`)
  expect(waited.tookMs).toBeGreaterThan(145)
  expect((JSON.parse(waited.body) as { state: string }).state).toBe('leased')
})

it('a JSON answer names its job, and says how long it took', async () => {
  app = await startTestApp()
  const got = await ask('POST', '/v1/chat/completions', chat('demo: tokens=2 delay=1 ttft=1'))
  expect(got.headers['location']).toBe(`/v1/jobs/${got.headers['sluice-job']}/result`)
  expect(got.headers['server-timing']).toMatch(/(^|, )total;dur=\d+(\.\d+)?$/)
  expect(got.headers['x-request-id']).toMatch(/^req_/)
})

it('20: a stop refuses new work and says when to come back; what runs ends first', async () => {
  app = await startTestApp({}, { workers: { drain_ms: 20_000 } })
  const reader = await open('POST', '/v1/chat/completions', chat('demo: tokens=150 delay=20 ttft=1', { stream: true }))
  const stopped = app.stop()
  const got = await ask('POST', '/v1/chat/completions', chat('x'))
  expect([got.status, got.code, got.headers['connection']]).toEqual([503, 'draining', 'close'])
  expect([got.headers['retry-after'], got.headers['retry-after-ms']]).toEqual(['1', '1000'])
  expect((await ask('GET', '/readyz')).status).toBe(503)
  expect((await ask('GET', '/livez')).status).toBe(200)
  await stopped
  await expect.poll(reader.text).toContain('data: [DONE]')
})

it('a stop lets go of who still waits: they are told to come back', async () => {
  app = await startTestApp({}, { workers: { drain_ms: 100 } })
  const long = chat('demo: tokens=2000 delay=20 ttft=1')
  const plain = ask('POST', '/v1/chat/completions', long)
  const { id } = JSON.parse((await ask('POST', '/v1/jobs', { request: long })).body) as { id: string }
  const waiting = ask('GET', `/v1/jobs/${id}/result?wait_ms=20000`)
  await expect.poll(async () => (await job(id))['state']).toBe('leased')
  await app.stop()
  expect([(await plain).status, (await plain).code, (await plain).headers['retry-after']]).toEqual([
    503,
    'draining',
    '1',
  ])
  expect((await waiting).status).toBe(202)
})

it('S2: after a crash, the plain POST of a reader that never comes back is canceled', async () => {
  const server = await startServer('models:\n  - { name: demo, provider: demo }\nhttp: { disconnect_grace_ms: 300 }\n')
  try {
    const call = async (path: string, body?: object): Promise<Response> =>
      fetch(`${server.url}${path}`, {
        headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
        ...(body && { method: 'POST', body: JSON.stringify(body) }),
      })
    const state = async (id: string): Promise<string> =>
      ((await (await call(`/v1/jobs/${id}`)).json()) as { state: string }).state
    const plain = (
      await call('/v1/chat/completions', chat('demo: tokens=2000 delay=20 ttft=1', { stream: true }))
    ).headers.get('sluice-job')!
    const { id } = (await (await call('/v1/jobs', { request: chat('demo: tokens=2000 delay=20 ttft=1') })).json()) as {
      id: string
    }
    await server.crash()
    await expect.poll(() => state(plain)).toBe('canceled')
    expect(['queued', 'delayed', 'leased']).toContain(await state(id))
    await call(`/v1/jobs/${id}/cancel`, {})
  } finally {
    await server.stop()
  }
})
