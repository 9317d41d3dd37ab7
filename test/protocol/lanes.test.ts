/** What a hostile or careless client may do with the WebSocket of the Responses API; and how it ends. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { startTestApp, type TestApp } from '../front/app.ts'
import { userOf } from '../front/two-users.ts'

const MAX_BODY = 64 * 1024
let app: TestApp
const open = new Set<WebSocket>()

const settings = [
  { max_body_bytes: '64KiB', max_reader_buffer_bytes: '64KiB', cors_origins: ['https://app.example'] },
  { websocket: { heartbeat_ms: 60_000, max_messages_per_second: 20 } },
] as const
beforeAll(async () => {
  app = await startTestApp(...settings)
})
afterEach(() => {
  for (const socket of open) socket.terminate()
  open.clear()
})
afterAll(() => app?.stop())

type Event = Record<string, any>

async function until<T>(find: () => T | undefined | null | false): Promise<T> {
  for (const late = AbortSignal.timeout(30_000); ; await sleep(10)) {
    const found = find()
    if (found) return found
    if (late.aborted) throw new Error(`It did not come: ${find}`)
  }
}

/** Refused, with the status and the code. */
const refusal = (headers: Record<string, string>, query = '', of = app): Promise<[number, string]> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${of.port}/v1/responses${query}`, { headers })
    open.add(socket)
    socket.on('error', () => {})
    socket.on('open', () => reject(new Error('It was let in.')))
    socket.on('unexpected-response', (_request, response) => {
      let body = ''
      response.on('data', (bytes: Buffer) => (body += bytes.toString()))
      response.on('end', () => resolve([response.statusCode!, JSON.parse(body).error.code]))
    })
  })

async function connect(headers: Record<string, string> = { authorization: `Bearer ${app.key}` }, of = app) {
  const socket = new WebSocket(`ws://127.0.0.1:${of.port}/v1/responses`, { headers })
  open.add(socket)
  const events: Event[] = []
  let closed: { readonly code: number; readonly reason: string } | null = null
  socket.on('message', (data) => events.push(JSON.parse(data.toString()) as Event))
  socket.on('close', (code, reason) => (closed = { code, reason: reason.toString() }))
  socket.on('error', () => {})
  await new Promise((next) => socket.once('open', next))
  const create = (more: object = {}): void =>
    socket.send(JSON.stringify({ type: 'response.create', model: 'demo', input: 'demo: tokens=4 delay=1', ...more }))
  const errors = (): Event[] => events.filter(({ type }) => type === 'error')
  const done = (): Event[] => events.filter(({ type }) => type === 'response.completed')
  return { socket, events, errors, done, create, closed: () => until(() => closed) }
}

describe('who is let in', () => {
  it.each<[string, Record<string, string>, string, number, string]>([
    ['nobody without a key', {}, '', 401, 'missing_api_key'],
    ['no unknown key', { authorization: 'Bearer sk-sluice-wrong' }, '', 401, 'invalid_api_key'],
    ['no key in the address', { authorization: 'KEY' }, '?api_key=KEY', 401, 'invalid_api_key'],
    ['no page of another site', { authorization: 'KEY', origin: 'https://evil.example' }, '', 403, 'origin_forbidden'],
  ])('%s', async (_name, headers, query, status, code) => {
    const told = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, v === 'KEY' ? `Bearer ${app.key}` : v]))
    expect(await refusal(told, query.replace('KEY', app.key))).toEqual([status, code])
  })

  it('a session, and a page that is listed', async () => {
    const { token } = await userOf(app.port, app.key, 'ann')
    const peer = await connect({ authorization: `Bearer ${token}`, origin: 'https://app.example' })
    peer.create()
    await until(() => peer.done()[0])
  })

  it('nobody to whom a key without the scope belongs asks for anything', async () => {
    const { key } = await app.addKey('reader', { scopes: ['read'] })
    const peer = await connect({ authorization: `Bearer ${key}` })
    peer.create()
    expect((await until(() => peer.errors()[0])).code).toBe('forbidden')
  })
})

describe('what it is sent', () => {
  it.each<[string, string | Buffer, string]>([
    ['bytes', Buffer.from('{"type":"response.create"}'), 'invalid_request'],
    ['no JSON', '{"type":', 'invalid_json'],
    ['a list', '[1]', 'invalid_request'],
    ['a member twice', '{"type":"response.create","type":"response.create"}', 'invalid_request'],
    ['a type that is none', '{"type":{"a":1}}', 'invalid_request'],
    ['a lane that is none', '{"type":"response.create","model":"demo","input":"x","stream_id":{}}', 'invalid_request'],
    ['an input that is none', '{"type":"response.create","model":"demo","input":7}', 'invalid_request'],
    ['options that are none', '{"type":"response.create","model":"demo","input":"x","sluice":7}', 'invalid_request'],
    ['a preparation of nothing', '{"type":"response.create","generate":false}', 'model_not_found'],
    ['a steer of nothing', '{"type":"response.steer"}', 'steering_not_supported'],
  ])('%s: it is told so, and goes on', async (_name, sent, code) => {
    const peer = await connect()
    peer.socket.send(sent)
    const told = await until(() => peer.events[0])
    expect(told['error'].code).toBe(code)
    peer.create()
    await until(() => peer.done()[0])
  })

  it('more than a request may have: it is closed', async () => {
    const peer = await connect()
    peer.create({ input: 'x'.repeat(MAX_BODY + 1) })
    expect((await peer.closed()).code).toBe(1009)
  })

  it('a flood: it is closed', async () => {
    const peer = await connect()
    for (let i = 0; i < 200; i++) peer.socket.send('{}')
    expect((await peer.closed()).reason).toContain('message_flood')
  })

  it('requests behind one that runs: they hold no more than a client may hold', async () => {
    const small = await startTestApp({ max_body_bytes: '64KiB', max_unfinished_bytes_per_key: '64KiB' })
    try {
      const peer = await connect({ authorization: `Bearer ${small.key}` }, small)
      peer.create({ input: 'demo: tokens=20 delay=20' })
      const long = `demo: tokens=2 delay=1 ${'x'.repeat(40_000)}`
      for (let i = 0; i < 3; i++) peer.create({ input: long })
      await until(() => peer.errors().length === 2)
      expect(peer.errors().map(({ code }) => code)).toEqual(['too_many_unfinished', 'too_many_unfinished'])
      await until(() => peer.done().length === 2)
      // What ran is no longer held
      peer.create({ input: 'demo: tokens=20 delay=20' })
      peer.create({ input: long })
      await until(() => peer.done().length === 4)
    } finally {
      await small.stop()
    }
  })

  it('preparations that go on from one another: together they are no more than one request', async () => {
    const peer = await connect()
    const input = 'x'.repeat(40_000)
    peer.create({ generate: false, input })
    const { response } = await until(() => peer.done()[0])
    peer.create({ generate: false, input, previous_response_id: response.id })
    expect((await until(() => peer.errors()[0])).code).toBe('body_too_large')
  })

  it('what was prepared is held until another takes its place', async () => {
    const small = await startTestApp({ max_body_bytes: '64KiB', max_unfinished_bytes_per_key: '64KiB' })
    try {
      const peer = await connect({ authorization: `Bearer ${small.key}` }, small)
      const long = `demo: tokens=2 delay=1 ${'x'.repeat(40_000)}`
      const prepare = async (input: string): Promise<void> => {
        const count = peer.done().length
        peer.create({ generate: false, input })
        await until(() => peer.done().length > count)
      }
      await prepare(long)
      peer.create({ input: 'demo: tokens=20 delay=20' })
      peer.create({ input: long })
      expect((await until(() => peer.errors()[0])).code).toBe('too_many_unfinished')
      await until(() => peer.done().length === 2)
      await prepare('short')
      peer.create({ input: 'demo: tokens=20 delay=20' })
      peer.create({ input: long })
      await until(() => peer.done().length === 5)
      expect(peer.errors()).toHaveLength(1)
    } finally {
      await small.stop()
    }
  })

  it('a response that is not kept can be gone on from among the last 256 of its connection', async () => {
    const quick = await startTestApp({}, { models: [{ name: 'demo', provider: 'demo' }], websocket: { max_jobs: 64 } })
    try {
      const peer = await connect({ authorization: `Bearer ${quick.key}` }, quick)
      const ask = async (count: number, more: object = {}): Promise<void> => {
        const before = peer.done().length
        for (let i = 0; i < count; i++)
          peer.create({ store: false, input: 'demo: tokens=1 delay=0 ttft=0', stream_id: `l${i}`, ...more })
        await until(() => peer.done().length === before + count)
      }
      await ask(1)
      const [first] = peer.done()
      const next = { previous_response_id: first!['response'].id }
      for (const count of [64, 64, 64, 63]) await ask(count)
      await ask(1, next)
      peer.create({ ...next, store: false })
      expect((await until(() => peer.errors()[0])).code).toBe('previous_response_not_found')
    } finally {
      await quick.stop()
    }
  })

  it('the same idempotency key in two lanes: the second is told, and each event comes once', async () => {
    const peer = await connect()
    const sluice = { idempotency_key: 'twice' }
    const input = 'demo: tokens=20 delay=20'
    peer.create({ stream_id: 'a', sluice, input })
    peer.create({ stream_id: 'b', sluice, input })
    expect(await until(() => peer.errors()[0])).toMatchObject({ stream_id: 'b', param: 'sluice.idempotency_key' })
    await until(() => peer.done()[0])
    const numbers = peer.events.flatMap(({ stream_id: lane, sequence_number: n }) => (lane === 'a' ? [n] : []))
    expect(numbers).toEqual(numbers.map((_, i) => i))
  })
})

it('a reader that stops for a while gets all of each lane, in order', async () => {
  const peer = await connect()
  const input = 'demo: tokens=4000 delay=0 ttft=1'
  for (const lane of ['a', 'b', 'c']) peer.create({ stream_id: lane, input })
  await until(() => peer.events.length > 0)
  peer.socket.pause()
  await sleep(500)
  const before = peer.events.length
  peer.socket.resume()
  await until(() => peer.done().length === 3)
  expect(peer.events.length).toBeGreaterThan(before)
  for (const lane of ['a', 'b', 'c']) {
    const events = peer.events.filter(({ stream_id: of }) => of === lane)
    expect(events.map(({ sequence_number: n }) => n)).toEqual(events.map((_, i) => i))
    const text = events.map(({ type, delta }) => (type === 'response.output_text.delta' ? delta : '')).join('')
    expect(text).toBe(events.at(-1)!['response'].output[0].content[0].text)
  }
})

it('a server that stops: what runs is told to its end, what waits is refused, the close says come back', async () => {
  const stopping = await startTestApp()
  const headers = { authorization: `Bearer ${stopping.key}` }
  const idle = await connect(headers, stopping)
  const peer = await connect(headers, stopping)
  peer.create({ input: 'demo: tokens=30 delay=20 ttft=5' })
  peer.create()
  await until(() => peer.events.length > 3)
  const stopped = stopping.stop()
  expect((await peer.closed()).code).toBe(1012)
  expect((await idle.closed()).code).toBe(1012)
  await stopped
  expect(peer.done()).toHaveLength(1)
  expect(peer.errors()).toMatchObject([{ status: 503, code: 'draining' }])
})
