import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, type TestContext } from 'vitest'
import { eventually } from '../conformance/harness.ts'
import { depth } from '../depth.ts'
import { type Server, startServer } from '../e2e/server.ts'
import { expectInTime } from '../in-time.ts'
import { recordsOfFrames, recordsOfSse, seqOf, textOf } from './log.ts'
import { encode, openPeer, type Peer, type Said } from './peer.ts'

const DEMO = 'models:\n  - { name: demo, provider: demo }\n'
const peers = new Map<Server, Set<Peer>>()

/** Ends with the test. */
async function start(test: TestContext, config = ''): Promise<Server> {
  const server = await startServer(DEMO + config)
  const opened = new Set<Peer>()
  peers.set(server, opened)
  test.onTestFinished(async () => {
    for (const peer of opened) peer.drop()
    await server.stop()
  })
  return server
}
async function open(server: Server, key: string | null): Promise<Peer> {
  const peer = await openPeer(server.url, key === null ? {} : { headers: { authorization: `Bearer ${key}` } })
  peers.get(server)!.add(peer)
  return peer
}
async function greeted(at: Server, auth: object, hello: object = {}): Promise<Peer> {
  const peer = await open(at, null)
  peer.say({ t: 'hello', auth, ...hello })
  await peer.next('welcome')
  return peer
}
const job = (tokens: number, delayMs: number, more: object = {}): object => ({
  request: {
    model: 'demo',
    messages: [{ role: 'user', content: `Tell me of rivers. demo: tokens=${tokens} delay=${delayMs} ttft=1` }],
  },
  ...more,
})
async function submit(peer: Peer, what: object): Promise<string> {
  peer.say({ t: 'submit', id: 's', ...what })
  return (await peer.next((frame) => frame['id'] === 's' && frame.t === 'accepted'))['job']
}
const past =
  (seq: number) =>
  (frame: Said): boolean =>
    frame.t === 'ev' && frame['seq'] > seq
async function call(url: string, key: string, method = 'GET', body?: object): Promise<any> {
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return text.startsWith('{') ? JSON.parse(text) : text
}
const logOf = async ({ url, key }: Server, id: string): Promise<ReturnType<typeof recordsOfSse>> =>
  recordsOfSse(await call(`${url}/v1/jobs/${id}/events`, key))
const lastCursor = (peer: Peer, id: string): string =>
  peer.heard.findLast((frame) => frame.t === 'ev' && frame['job'] === id)!['cursor']

describe('a stop', { concurrent: true }, () => {
  it('goaway; who follows nothing leaves, running jobs end first, nothing new is taken', async (test) => {
    const at = await start(test, 'workers: { drain_ms: 10s }\n')
    const [idle, busy] = [await open(at, at.key), await open(at, at.key)]
    const id = await submit(busy, job(250, 20))
    await busy.next(past(5))
    process.kill(at.pid, 'SIGTERM')
    const goaway = await busy.next('goaway')
    expect(goaway).toEqual({
      t: 'goaway',
      reason: 'draining',
      by_ms: expect.any(Number),
      reconnect_ms: [expect.any(Number), expect.any(Number)],
    })
    expect(goaway['by_ms']).toBeGreaterThanOrEqual(10_000)
    const [from, to] = goaway['reconnect_ms']
    expect(from).toBeGreaterThanOrEqual(0)
    expect(to).toBeGreaterThan(from)
    busy.say({ t: 'submit', id: 'late', ...job(1, 1) })
    expect(await busy.next((frame) => frame['id'] === 'late')).toMatchObject({
      t: 'error',
      error: { code: 'draining' },
      retryable: true,
    })
    await idle.next('goaway')
    expect(await idle.closed()).toEqual({ code: 1012, reason: expect.stringContaining('draining') })
    expect(busy.heard.some((frame) => frame.t === 'end')).toBe(false)
    expect(await busy.next('end')).toMatchObject({ job: id, state: 'done' })
    expect((await busy.closed()).code).toBe(1012)
    expect(textOf(recordsOfFrames(busy.heard, id))).not.toBe('')
  })

  it('what does not end in time goes on after the start, for a reader that comes back', async (test) => {
    const at = await start(test, 'workers: { drain_ms: 500ms }\n')
    const before = await open(at, at.key)
    const id = await submit(before, job(150, 20))
    await before.next(past(10))
    process.kill(at.pid, 'SIGTERM')
    const { by_ms: byMs } = await before.next('goaway')
    const from = performance.now()
    expect((await before.closed()).code).toBe(1012)
    expectInTime(performance.now() - from, byMs + 1_000)
    await at.crash()
    const cursor = lastCursor(before, id)
    const after = await greeted(at, { key: at.key }, { jobs: [{ job: id, cursor }] })
    await after.next('end')
    expect([...recordsOfFrames(before.heard, id), ...recordsOfFrames(after.heard, id, seqOf(cursor))]).toEqual(
      await logOf(at, id),
    )
  })
})

describe('a death', { concurrent: true }, () => {
  it('after a kill -9 every job goes on where its reader was; the page comes back with its token', async (test) => {
    const at = await start(test)
    const { ticket } = await call(`${at.url}/v1/tickets`, at.key, 'POST', { user: 'ann' })
    const before = await open(at, null)
    before.say({ t: 'hello', auth: { ticket } })
    const { token } = await before.next('token')
    const ids = [
      await submit(before, job(150, 30)),
      await submit(before, job(150, 30)),
      await submit(before, job(150, 30)),
    ]
    for (const id of ids) await before.next((frame) => frame['job'] === id && past(10)(frame))
    await at.crash()
    expect((await before.closed()).code).toBe(1006)
    const jobs = ids.map((id) => ({ job: id, cursor: lastCursor(before, id) }))
    const after = await greeted(at, { token }, { jobs })
    for (const id of ids) await after.next((frame) => frame.t === 'end' && frame['job'] === id)
    expect(after.heard.some((frame) => frame.t === 'gap')).toBe(false)
    for (const { job: id, cursor } of jobs) {
      const records = [...recordsOfFrames(before.heard, id), ...recordsOfFrames(after.heard, id, seqOf(cursor))]
      expect(records).toEqual(await logOf(at, id))
      expect(records.at(-1)!.data).toMatchObject({ state: 'done' })
      expect(
        records.filter((record) => record.kind === 'attempt').map((record) => (record.data as { mode: string }).mode),
      ).toEqual(['first', 'continue'])
    }
  })

  it('a submit that got no accepted is sent again, and is the same job', async (test) => {
    const at = await start(test)
    const wanted = job(20, 10, { idempotency_key: 'sent-again' })
    const before = await open(at, at.key)
    before.write(encode(JSON.stringify({ t: 'submit', id: 's', ...wanted })))
    // Its frame arrives, or not; it is stored, or not: whichever, there is one job in the end
    await sleep(5)
    await at.crash()
    const after = await open(at, at.key)
    const id = await submit(after, wanted)
    await after.next('end')
    const { data } = await call(`${at.url}/v1/jobs`, at.key)
    expect(data.map((each: { id: string }) => each.id)).toEqual([id])
  })

  it('after a backup was restored a cursor of the original gets gap, and everything from the start', async (test) => {
    const at = await start(test)
    const [data, backup] = [join(at.dir, 'data'), join(at.dir, 'backup')]
    const before = await open(at, at.key)
    const id = await submit(before, job(150, 15))
    await before.next(past(3))
    cpSync(data, backup, { recursive: true })
    await before.next(past(40))
    const cursor = lastCursor(before, id)
    await at.crash(() => {
      rmSync(data, { recursive: true })
      cpSync(backup, data, { recursive: true })
    })
    const after = await greeted(at, { key: at.key }, { jobs: [{ job: id, cursor }] })
    await after.next('end')
    const about = after.heard.filter((frame) => frame['job'] === id && frame.t !== 'queue')
    expect(about.slice(0, 2)).toEqual([
      expect.objectContaining({ t: 'attached', job: id }),
      { t: 'gap', job: id, reason: 'epoch_changed' },
    ])
    expect(about.filter((frame) => frame.t === 'gap')).toHaveLength(1)
    const records = recordsOfFrames(after.heard, id)
    expect(records).toEqual(await logOf(at, id))
    // What both have in common keeps its cursors; what is new has others
    expect(records[0].cursor).toBe('1-1')
    expect(records.map((record) => record.cursor)).not.toContain(cursor)
  })
})

describe('who is let in', { concurrent: true }, () => {
  it('a token is sent again before it expires, and the session is over when its time is', async (test) => {
    const at = await start(test, 'sessions: { token_ms: 4s }\n')
    const from = performance.now()
    const { ticket } = await call(`${at.url}/v1/tickets`, at.key, 'POST', { session_ms: 9_000 })
    const peer = await open(at, null)
    peer.say({ t: 'hello', auth: { ticket } })
    const first = await peer.next('token')
    expect(first['expires_in_ms']).toBeLessThanOrEqual(4_000)
    const second = await peer.next('token')
    expect(second['token']).not.toBe(first['token'])
    await greeted(at, { token: second['token'] })
    // Looked after every few seconds
    expect(await peer.closed()).toEqual({ code: 4401, reason: expect.stringContaining('invalid_token') })
    expect(performance.now() - from).toBeGreaterThan(8_900)
  })

  it('a revoked key: its connections and those of its tickets are closed, and no others', async (test) => {
    const at = await start(test)
    const made = await call(`${at.adminUrl}/admin/keys`, at.adminKey, 'POST', { tenant: 'default' })
    const { ticket } = await call(`${at.url}/v1/tickets`, made.key, 'POST', {})
    const [byKey, byTicket, other] = [await open(at, made.key), await greeted(at, { ticket }), await open(at, at.key)]
    await call(`${at.adminUrl}/admin/keys/${made.id}`, at.adminKey, 'DELETE')
    expect((await byKey.closed()).code).toBe(4401)
    expect((await byTicket.closed()).code).toBe(4401)
    await other.settled()
  })
})

describe('what a connection leaves behind', { concurrent: true }, () => {
  it('on_disconnect: cancel: after the grace, unless its reader comes back', async (test) => {
    const at = await start(test, 'http: { disconnect_grace_ms: 3s }\n')
    const peer = await open(at, at.key)
    const left = await submit(peer, job(2_000, 20, { on_disconnect: 'cancel' }))
    const kept = await submit(peer, job(100, 20, { on_disconnect: 'cancel' }))
    const plain = await submit(peer, job(100, 20))
    await peer.next((frame) => frame['job'] === kept && past(3)(frame))
    peer.drop()
    const back = await greeted(at, { key: at.key }, { jobs: [{ job: kept }] })
    expect(await back.next('end')).toMatchObject({ job: kept, state: 'done' })
    // Who waits for a job reads it
    const state = async (id: string): Promise<string> => (await call(`${at.url}/v1/jobs/${id}`, at.key)).state
    await eventually(async () => expect(await state(left)).toBe('canceled'))
    await eventually(async () => expect(await state(plain)).toBe('done'))
  })

  it('what users saw is in the operator’s numbers', async (test) => {
    const at = await start(test)
    const peer = await open(at, at.key)
    const id = await submit(peer, job(50, 10))
    await peer.next('ev')
    peer.say({ t: 'report', job: id, ttft_ms: 86_400_000 }) // longer ago than it was accepted
    peer.say({ t: 'report', job: id, ttft_ms: 321 })
    for (let i = 0; i < 20; i++) peer.say({ t: 'report', job: id, ttft_ms: 5_000 })
    await peer.settled()
    expect(await call(`${at.adminUrl}/admin/stats`, at.adminKey)).toMatchObject({
      sockets: 1,
      followed_jobs: 1,
      first_token_shown_ms: { count: 1, p50: 321, p99: 321 },
    })
  })

  it('who sends and never reads is not read from either, and goes on when it reads again', async (test) => {
    const [BLOCKS, BLOCK] = [depth(600, 250), 100]
    const at = await start(
      test,
      'http: { max_reader_buffer_bytes: 64KiB }\nwebsocket: { max_messages_per_second: 10_000_000 }\n',
    )
    const peer = await open(at, at.key)
    const bad = encode(JSON.stringify({ t: 'attahc', id: 'x'.repeat(128) }).padEnd(500), { mask: new Uint8Array(4) })
    const block = Buffer.concat(Array.from({ length: BLOCK }, () => bad))
    peer.socket.pause()
    for (let i = 0; i < BLOCKS; i++) peer.write(block)
    // Until no more of it is taken
    for (let before = Infinity; peer.socket.writableLength !== before; await sleep(500))
      before = peer.socket.writableLength
    expect(peer.socket.writableLength).toBeGreaterThan(0)
    // Its server does not wait for it
    await (await open(at, at.key)).settled()
    peer.socket.resume()
    peer.say({ t: 'ping' })
    await peer.next('pong')
    expect(peer.heard.filter((frame) => frame.t === 'error').length).toBe(BLOCKS * BLOCK)
  })

  it('who follows and never reads holds up nobody, and has all in the end', async (test) => {
    const at = await start(test, 'http: { max_reader_buffer_bytes: 64KiB }\n')
    const writer = await open(at, at.key)
    const ids: string[] = []
    for (let i = 0; i < depth(12, 8); i++) ids.push(await submit(writer, job(4_000, 1, { follow: false })))
    const deaf = await open(at, at.key)
    deaf.socket.pause()
    for (const id of ids) deaf.say({ t: 'attach', job: id })
    // Some MB, while they are written
    for (const id of ids) expect((await call(`${at.url}/v1/jobs/${id}?wait_ms=30000`, at.key)).state).toBe('done')
    const quick = await submit(writer, job(5, 1))
    await writer.next('end')
    expect(recordsOfFrames(writer.heard, quick)).toEqual(await logOf(at, quick))
    deaf.socket.resume()
    for (let i = 0; i < ids.length; i++) await deaf.next('end')
    for (const id of ids) expect(recordsOfFrames(deaf.heard, id)).toEqual(await logOf(at, id))
  })
})
