/**
 * Jobs that Redis lost with its last moments, before they ended: what each of their readers is told. What is lost is
 * taken out by hand, in a whole server.
 */
import { Redis } from 'ioredis'
import OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/core/ids.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { writeRequests } from '../../src/engines/redis/protocol/commands.ts'
import { type LiveRow, readLive } from '../../src/engines/redis/protocol/rows.ts'
import { eventually } from '../conformance/harness.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { expectInTime } from '../in-time.ts'
import { openPeer } from '../protocol/peer.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const ids = systemIds()
/** Of what is retried, only the first is slow. */
const SLOW = 'demo: tokens=3 ttft=60000'
const SLOWLY = 'demo: tokens=3000 delay=20 ttft=1'
const LOST = { code: 'job_lost', type: 'server_error' }
/** Before what would end anyhow: `wait_ms`, the patience of a client. */
const SOON_MS = 20_000

describe.skipIf(NO_REDIS)('Redis: jobs that were lost', () => {
  let redis: RedisServer
  let admin: Redis
  let names: Names
  let app: TestApp
  let url: string
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
    admin = new Redis(redis.url)
  })
  afterAll(async () => {
    admin?.disconnect()
    await redis?.remove()
  })
  beforeEach(async () => {
    const prefix = `${ids.name('lost', 4)}:`
    names = new Names(prefix)
    app = await startTestApp({}, { engine: { redis: { url: redis.url, prefix } } })
    url = `http://127.0.0.1:${app.port}`
  })
  afterEach(() => app.stop())

  const headers = () => ({ authorization: `Bearer ${app.key}`, 'content-type': 'application/json' })
  const post = (path: string, body: object): Promise<Response> =>
    fetch(`${url}${path}`, { method: 'POST', headers: headers(), body: JSON.stringify(body) })
  const get = (path: string): Promise<Response> => fetch(`${url}${path}`, { headers: headers() })
  const chat = (content: string, stream = false) => ({ model: 'demo', stream, messages: [{ role: 'user', content }] })
  const errorOf = async (answer: Response): Promise<object> => ((await answer.json()) as { error: object }).error

  /** The only job, once it runs. */
  async function running(): Promise<LiveRow> {
    let found: LiveRow | null = null
    await eventually(async () => {
      const [[id, text]] = Object.entries(await admin.hgetall(names.live()))
      expect(await admin.hget(names.run(), id)).toMatch(/^1 /)
      found = readLive(text)
    })
    return found!
  }

  /** It was accepted in Redis's last moments, which it lost; `submitted`: not so its submit. */
  async function lose({ id, facts, bodyBytes }: LiveRow, submitted = false): Promise<void> {
    const [epoch] = (await admin.lindex(names.epochs(), 0))!.split(' ')
    const lost = admin.multi()
    for (const hash of [names.live(), names.run(), names.followers()]) lost.hdel(hash, id)
    lost.del(names.log(id), names.row(id))
    lost.lset(names.epochs(), 0, `${epoch} ${'0'.repeat(40)}`)
    if (submitted) {
      const item = { id, facts, bodyBytes, isRetry: false }
      const submit = { type: 'submit', from: '1-gone', n: 1, untilMs: Date.now() + 10_000, items: [item] } as const
      lost.xadd(names.inbox(), '*', 'c', writeRequests([submit]))
    } else lost.del(names.body(id))
    await lost.exec()
    // All processes connect to the server that is there now
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal')
  }

  it('a plain call is refused with 503, and told to send it again', async () => {
    const asked = post('/v1/chat/completions', chat(SLOW))
    await lose(await running())
    const lostMono = performance.now()
    const answer = await asked
    expectInTime(performance.now() - lostMono, SOON_MS)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('x-should-retry')).toBe('true')
    expect(answer.headers.get('retry-after')).toBe('1')
    expect(await errorOf(answer)).toMatchObject(LOST)
  })

  it('so is one that streams, and has shown nothing', async () => {
    const asked = post('/v1/chat/completions', chat(SLOW, true))
    await lose(await running())
    const answer = await asked
    expect([answer.status, answer.headers.get('x-should-retry')]).toEqual([503, 'true'])
    expect(await errorOf(answer)).toMatchObject(LOST)
  })

  it('a chat stream that has shown text ends with that error', async () => {
    const answer = await post('/v1/chat/completions', chat(SLOWLY, true))
    expect(answer.status).toBe(200)
    await lose(await running())
    const events = (await answer.text()).trim().split('\n\n')
    expect(events.at(-1)).toContain('"code":"job_lost"')
    expect(events.join('')).not.toContain('[DONE]')
  })

  it("OpenAI's client sends its call again, and gets its answer", async () => {
    const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: app.key })
    const asked = openai.chat.completions.create({
      model: 'demo',
      messages: [{ role: 'user', content: 'demo: tokens=12 delay=1 ttft=3000' }],
    })
    await lose(await running())
    expect((await asked).choices[0].finish_reason).toBe('stop')
  })

  it('native readers are told that all is void, and find no job then', async () => {
    const { id } = (await (await post('/v1/jobs', { request: chat(SLOWLY) })).json()) as { id: string }
    const events = await get(`/v1/jobs/${id}/events`)
    const waiting = get(`/v1/jobs/${id}?wait_ms=30000`)
    const result = get(`/v1/jobs/${id}/result?wait_ms=30000`)
    await lose(await running())
    const lostMono = performance.now()
    const text = events.text().catch((error: Error) => error.message)
    expect((await waiting).status).toBe(404)
    expect((await result).status).toBe(503)
    expect(await errorOf(await result)).toMatchObject(LOST)
    await text
    expectInTime(performance.now() - lostMono, SOON_MS)
    expect((await get(`/v1/jobs/${id}/events`)).status).toBe(404)
  })

  it('a WebSocket is told of the gap, and that the job is lost', async () => {
    const peer = await openPeer(url)
    peer.say({ t: 'hello', auth: { key: app.key } })
    await peer.next('welcome')
    peer.say({ t: 'submit', id: '1', request: chat(SLOWLY) })
    const { job } = await peer.next('accepted')
    await peer.next('ev')
    await lose(await running())
    expect(await peer.next('gap')).toMatchObject({ job })
    expect(await peer.next('error')).toMatchObject({ job, error: LOST, retryable: true })
    peer.say({ t: 'attach', id: '2', job })
    expect(await peer.next('error')).toMatchObject({ id: '2', error: { code: 'job_not_found' } })
    peer.drop()
  })

  it('a job of which only what came of its submit was lost is taken again, and its readers go on', async () => {
    const asked = post('/v1/chat/completions', chat('demo: tokens=12 delay=1 ttft=3000'))
    const row = await running()
    await lose(row, true)
    const answer = await asked
    expect(answer.status).toBe(200)
    expect(answer.headers.get('sluice-job')).toBe(row.id)
  })
})
