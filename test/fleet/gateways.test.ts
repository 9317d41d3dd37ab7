/** Gateways of a fleet that stop, freeze or die, as their clients see it. Real processes. */
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import type { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { connect } from '../../client/src/index.ts'
import { FrontProxy, isHere } from '../deploy/proxy.ts'
import { DEEP } from '../depth.ts'
import { freePort } from '../free-port.ts'
import { expectInTime } from '../in-time.ts'
import { type Logged, recordsOfFrames, recordsOfSse } from '../protocol/log.ts'
import { openPeer, type Peer } from '../protocol/peer.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { ADMIN_KEY, KEY, Member, type Role } from './member.ts'

const MODELS = [{ name: 'demo', provider: 'demo' }]
const HEADERS = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }

describe.skipIf(NO_REDIS)('Redis: gateways that go', () => {
  let redis: RedisServer
  /** Of each test's fleet. */
  let prefix: string
  let fleets = 0
  const members: Member[] = []
  beforeAll(async () => {
    redis = await RedisServer.start()
  })
  beforeEach(() => {
    prefix = `${++fleets}:`
  })
  afterEach(async () => {
    await Promise.all(members.splice(0).map((member) => member.kill()))
  })
  afterAll(() => redis?.remove())

  async function start(role: Role, settings: object = {}): Promise<Member> {
    const member = await Member.start({ role, redis: redis.url, prefix, settings: { models: MODELS, ...settings } })
    members.push(member)
    return member
  }
  const chat = (prompt: string, stream = true) => ({
    model: 'demo',
    stream,
    messages: [{ role: 'user', content: prompt }],
  })
  const call = (url: string, path: string, body?: object, more: object = {}): Promise<Response> =>
    fetch(`${url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', ...more },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  const stateOf = async ({ url }: Member, job: string): Promise<string> =>
    ((await (await call(url, `/v1/jobs/${job}`)).json()) as { state: string }).state
  const records = async ({ url }: Member, job: string): Promise<readonly Logged[]> =>
    recordsOfSse(await (await call(url, `/v1/jobs/${job}/events`)).text())
  async function greeted({ url }: Member, hello: object = {}): Promise<Peer> {
    const peer = await openPeer(url)
    peer.say({ t: 'hello', auth: { key: KEY }, ...hello })
    await peer.next('welcome')
    return peer
  }

  it('one that stops answers its plain POSTs, and what comes on open connections; new ones are refused', async () => {
    const [gateway] = await Promise.all([start('gateway', { workers: { drain_ms: 20_000 } }), start('worker')])
    const stream = await call(gateway.url, '/v1/chat/completions', chat('Hi. demo: tokens=60 delay=50'))
    const json = call(gateway.url, '/v1/chat/completions', chat('Hi. demo: tokens=40 delay=50', false))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const [first] = await kept(agent, gateway, '/v1/models')
    expect(first.statusCode).toBe(200)
    const stopped = gateway.stop()
    await expect.poll(() => fetch(`${gateway.adminUrl}/readyz`).then(({ status }) => status)).toBe(503)
    const asked = (): Promise<string> => fetch(`${gateway.url}/v1/models`).then(String, () => 'refused')
    await expect.poll(asked).toBe('refused')
    const [second, body] = await kept(agent, gateway, '/v1/chat/completions', chat('Hi. demo: tokens=3', false))
    expect([second.statusCode, second.headers.connection]).toEqual([200, 'close'])
    expect(body).toContain('"finish_reason":"stop"')
    expect((await stream.text()).trimEnd().endsWith('data: [DONE]')).toBe(true)
    expect((await json).status).toBe(200)
    expect(await stopped).toBe(0)
  })

  it('one that stops ends no connection that a balancer may have taken for its next request', async () => {
    const [gateway] = await Promise.all([start('gateway', { workers: { drain_ms: 20_000 } }), start('worker')])
    const [idle, streaming, waiting] = Array.from({ length: 3 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
    await kept(idle, gateway, '/v1/models')
    await kept(waiting, gateway, '/v1/models')
    // The head of a stream is sent before the stop, that of a whole answer after it
    const stream = kept(streaming, gateway, '/v1/chat/completions', chat('Hi. demo: tokens=20 delay=50'))
    const whole = kept(waiting, gateway, '/v1/chat/completions', chat('Hi. demo: tokens=20 delay=50', false))
    await new Promise((done) => setTimeout(done, 300))
    const stopped = gateway.stop()
    const [first] = await stream
    expect(first.headers.connection).toBe('keep-alive')
    const [second] = await kept(streaming, gateway, '/v1/chat/completions', chat('Hi. demo: tokens=3', false))
    expect([second.statusCode, second.headers.connection]).toEqual([200, 'close'])
    expect((await whole)[0].headers.connection).toBe('close')
    // By now it owes nobody an answer
    await new Promise((done) => setTimeout(done, 500))
    const [last] = await kept(idle, gateway, '/v1/chat/completions', chat('Hi. demo: tokens=3', false))
    expect([last.statusCode, last.headers.connection]).toEqual([200, 'close'])
    expect(await stopped).toBe(0)
  })

  it('a reader of a job that runs resumes while the coordinator is stopped', async () => {
    // Whoever comes first coordinates
    const frozen = await start('gateway')
    const [other] = await Promise.all([start('gateway'), start('worker')])
    const peer = await greeted(other)
    peer.say({ t: 'submit', id: '1', request: chat('Hi. demo: tokens=300 delay=20') })
    const { job } = await peer.next('accepted')
    const { cursor } = await peer.next('ev')
    peer.drop()
    frozen.freeze()
    const startedMono = performance.now()
    const again = await greeted(other, { jobs: [{ job, cursor }] })
    await again.next('live')
    // Its term outlasts this by a second
    expectInTime(performance.now() - startedMono, 1_000)
    frozen.thaw()
    await again.next('end')
    const [before, rest] = [recordsOfFrames(peer.heard, job), recordsOfFrames(again.heard, job, cursorSeq(cursor))]
    expect([...before.slice(0, cursorSeq(cursor)), ...rest]).toEqual(await records(other, job))
  })

  it.skipIf(!DEEP)(
    'a reader of a plain POST may move to another; a job without readers at any of them is canceled',
    async () => {
      const http = { disconnect_grace_ms: 4_000 }
      const [a, b] = await Promise.all([
        start('gateway', { http }),
        start('gateway', { http }),
        start('worker', { http }),
      ])
      const leaving = new AbortController()
      const post = await fetch(`${a.url}/v1/chat/completions`, {
        method: 'POST',
        headers: HEADERS,
        body: JSON.stringify(chat('Hi. demo: tokens=2000 delay=20')),
        signal: leaving.signal,
      })
      const [location, job] = [post.headers.get('location')!, post.headers.get('sluice-job')!]
      const seen = await someOf(post)
      leaving.abort()
      const moving = new AbortController()
      const whole = seen.slice(0, seen.lastIndexOf('\n\n'))
      const after = { 'last-event-id': [...whole.matchAll(/^id: (.*)$/gm)].at(-1)![1] }
      const again = await fetch(`${b.url}${location}`, { headers: { ...HEADERS, ...after }, signal: moving.signal })
      await someOf(again)
      await new Promise((done) => setTimeout(done, 6_000))
      expect(await stateOf(a, job)).toBe('leased')
      moving.abort()
      await expect.poll(() => stateOf(a, job)).toBe('canceled')
    },
  )

  it.skipIf(!isHere('nginx') || !DEEP).each(['websocket', 'sse'] as const)(
    'a client over %s whose gateway was killed has the next token within 2 s, at another',
    async (transport) => {
      const [a] = await Promise.all([start('gateway'), start('worker')])
      const port = await freePort()
      const front = await FrontProxy.start('nginx', [a.port, port])
      const states: string[] = []
      const client = connect({ url: front.url, key: KEY, transport, onState: (state) => states.push(state) })
      try {
        const job = client.submit({ request: chat('Hi. demo: tokens=600 delay=20') })
        let [text, heardMono, longestMs] = ['', Infinity, 0]
        // There is no other gateway yet, so that it reads at this one
        const killed = job.accepted.then(async () => {
          await start('gateway', { port })
          await new Promise((done) => setTimeout(done, 1_500))
          await a.kill()
          heardMono = performance.now()
        })
        for await (const event of job) {
          if (event.type !== 'chunk') continue
          const now = performance.now()
          longestMs = Math.max(longestMs, now - heardMono)
          if (heardMono < Infinity) heardMono = now
          text += event.text
        }
        await killed
        const { text: whole } = await job.answer()
        expect(text).toBe(whole)
        // The gateway that it read at was the one that died
        expect(states).toContain('waiting')
        expectInTime(longestMs, 2_000)
      } finally {
        client.close()
        await front.close()
      }
    },
  )

  it('what is erased at one ends at the other', async () => {
    const [a, b] = await Promise.all([start('gateway'), start('gateway'), start('worker')])
    const peer = await greeted(a)
    const long = 'Hi. demo: tokens=2000 delay=20'
    peer.say({ t: 'submit', id: '1', conversation: 'c', request: chat(long) })
    await peer.next('ev')
    const deleted = await fetch(`${b.url}/v1/conversations/c`, { method: 'DELETE', headers: HEADERS })
    expect(deleted.status).toBe(204)
    expect(await peer.next('end')).toMatchObject({ state: 'canceled' })

    const operator = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' }
    const made = await fetch(`${b.adminUrl}/admin/keys`, {
      method: 'POST',
      headers: operator,
      body: JSON.stringify({ tenant: 'gone' }),
    })
    const { key } = (await made.json()) as { key: string }
    const theirs = await openPeer(a.url)
    theirs.say({ t: 'hello', auth: { key } })
    theirs.say({ t: 'submit', id: '1', request: chat(long) })
    await theirs.next('ev')
    const startedMono = performance.now()
    const erased = await fetch(`${b.adminUrl}/admin/tenants/gone`, { method: 'DELETE', headers: operator })
    expect(erased.status).toBe(204)
    expect((await theirs.closed()).code).toBe(4401)
    expectInTime(performance.now() - startedMono, 10_000)
    expect((await fetch(`${a.url}/v1/jobs`, { headers: { authorization: `Bearer ${key}` } })).status).toBe(401)
  })

  it.skipIf(!DEEP)('one that was stopped for a while does not blame its WebSockets for the silence', async () => {
    const gateway = await start('gateway', { websocket: { heartbeat_ms: 1_000 } })
    const ws = new WebSocket(`${gateway.url.replace('http', 'ws')}/v1/ws`, 'sluice.v1', { autoPong: false })
    await once(ws, 'open')
    ws.send(JSON.stringify({ t: 'hello', auth: { key: KEY } }))
    let closed = 0
    ws.on('close', (code) => {
      closed = code
    })
    const [data] = (await once(ws, 'ping')) as [Buffer]
    // Right before it looks at who has answered, once a second
    await new Promise((done) => setTimeout(done, 870))
    gateway.freeze()
    await new Promise((done) => setTimeout(done, 3_000))
    gateway.thaw()
    // As where the whole machine was suspended: what peers sent comes later than its timers
    await new Promise((done) => setTimeout(done, 50))
    ws.on('ping', (again: Buffer) => ws.pong(again))
    ws.pong(data)
    const pong = once(ws, 'message')
    ws.send(JSON.stringify({ t: 'ping' }))
    await pong
    await new Promise((done) => setTimeout(done, 1_500))
    expect(closed).toBe(0)
    ws.terminate()
  })
})

/** The first of what comes: a whole event, and more. */
async function someOf(response: Response): Promise<string> {
  let text = ''
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  while (!text.includes('\n\n')) text += (await reader.read()).value ?? ''
  return text
}

const cursorSeq = (cursor: string): number => Number(cursor.split('-')[1])

/** On the one connection that the agent keeps. */
async function kept(
  agent: Agent,
  { url }: Member,
  path: string,
  body?: object,
): Promise<[response: import('node:http').IncomingMessage, body: string]> {
  const asked = request(`${url}${path}`, {
    agent,
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
  })
  asked.end(body === undefined ? undefined : JSON.stringify(body))
  const [response] = (await once(asked, 'response')) as [import('node:http').IncomingMessage & { socket: Socket }]
  let text = ''
  for await (const part of response) text += part
  return [response, text]
}
