/** D12: who is let in no more is out: at the commit, on open connections, and for work that was on its way. */
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectInTime } from '../in-time.ts'
import { openPeer, type Peer } from '../protocol/peer.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { userOf } from './two-users.ts'
import { type Answer, chat, request, send } from './wire.ts'

/** Revocation is noticed at once; what ends by the clock, within a second. */
const AT_ONCE_MS = 700

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ bad_keys_per_minute: 1_000 })
})
afterAll(() => app?.stop())

const slow = chat('demo: tokens=2000 delay=20 ttft=1')
let tenants = 0
const newKey = (more: object = {}): Promise<{ id: string; key: string }> => app.addKey(`tenant-${++tenants}`, more)
const admin = (method: string, path: string, body?: object): Promise<Answer> =>
  send(
    app.adminPort,
    request(method, path, { authorization: `Bearer ${ADMIN_KEY}` }, body === undefined ? '' : JSON.stringify(body)),
  )
const jobsOf = async (tenant: string): Promise<readonly { id: string }[]> =>
  (JSON.parse((await admin('GET', `/admin/jobs?tenant=${tenant}`)).body) as { data: { id: string }[] }).data

interface Open {
  readonly socket: Socket
  /** All that came so far. */
  text(): string
  closed(): boolean
}
function open(bytes: Buffer): Open {
  const socket = connect({ port: app.port, host: '127.0.0.1' })
  let text = ''
  let isClosed = false
  socket.on('error', () => {})
  socket.on('data', (data) => (text += data.toString('latin1')))
  socket.on('close', () => (isClosed = true))
  socket.write(bytes)
  return { socket, text: () => text, closed: () => isClosed }
}
/** It becomes true, and in time. */
async function soonTrue(what: () => boolean, boundMs: number): Promise<void> {
  const from = performance.now()
  await expect.poll(what, { interval: 10 }).toBe(true)
  expectInTime(performance.now() - from, boundMs)
}
async function closedAtOnce(peer: Peer): Promise<void> {
  const from = performance.now()
  expect((await peer.closed()).code).toBe(4401)
  expectInTime(performance.now() - from, AT_ONCE_MS)
}
const bearer = (credential: string): Record<string, string> => ({ authorization: `Bearer ${credential}` })

describe('a body that ends after its sender was let out', () => {
  const routes: ReadonlyArray<readonly [string, string, object]> = [
    ['POST', '/v1/jobs', { request: slow }],
    ['POST', '/v1/jobs', { jobs: [{ request: slow }, { request: slow }] }],
    ['POST', '/v1/chat/completions', { ...slow, stream: true }],
    ['POST', '/v1/embeddings', { model: 'demo', input: 'x' }],
    ['POST', '/v1/tickets', { user: 'ann' }],
    ['PATCH', '/v1/conversations/c', { name: 'n' }],
  ]
  for (const [how, letOut] of [
    ['revoked', (key: { id: string }) => admin('DELETE', `/admin/keys/${key.id}`)],
    ['erased', () => admin('DELETE', `/admin/tenants/tenant-${tenants}`)],
  ] as const)
    it.each(routes)(`${how}: %s %s`, async (method, path, body) => {
      const key = await newKey()
      const bytes = request(method, path, bearer(key.key), JSON.stringify(body))
      const { socket, text } = open(bytes.subarray(0, bytes.length - 5))
      await new Promise((done) => setTimeout(done, 50))
      expect((await letOut(key)).status).toBe(204)
      socket.write(bytes.subarray(bytes.length - 5))
      await expect.poll(text).toContain('HTTP/1.1 401')
      expect(text()).toContain('"invalid_api_key"')
      expect(await jobsOf(`tenant-${tenants}`)).toEqual([])
      socket.destroy()
    })
})

describe('what is open when its key is revoked ends at once', () => {
  async function jobOf(key: string): Promise<string> {
    const made = await send(app.port, request('POST', '/v1/jobs', bearer(key), JSON.stringify({ request: slow })))
    return (JSON.parse(made.body) as { id: string }).id
  }
  const ways: ReadonlyArray<readonly [string, (key: string) => Promise<Buffer>, string]> = [
    [
      'events',
      async (key) =>
        request('GET', `/v1/jobs/${await jobOf(key)}/events`, { ...bearer(key), accept: 'text/event-stream' }),
      'event: chunk',
    ],
    [
      'events of the chat dialect',
      async (key) =>
        request('GET', `/v1/jobs/${await jobOf(key)}/events?dialect=chat`, {
          ...bearer(key),
          accept: 'text/event-stream',
        }),
      'data: {',
    ],
    [
      'a stream',
      async (key) => request('POST', '/v1/chat/completions', bearer(key), JSON.stringify({ ...slow, stream: true })),
      'data: {',
    ],
    [
      'news of a conversation',
      async (key) => request('GET', '/v1/conversations/c/events', bearer(key)),
      'event: watching',
    ],
    [
      'a POST that waits',
      async (key) => request('POST', '/v1/chat/completions', bearer(key), JSON.stringify(slow)),
      '',
    ],
    [
      'a result that is waited for',
      async (key) => request('GET', `/v1/jobs/${await jobOf(key)}/result?wait_ms=20000`, bearer(key)),
      '',
    ],
  ]
  it.each(ways)('%s', async (_name, bytes, begun) => {
    const key = await newKey()
    const { text, closed, socket } = open(await bytes(key.key))
    await expect.poll(text).toContain(begun)
    await new Promise((done) => setTimeout(done, 30))
    await admin('DELETE', `/admin/keys/${key.id}`)
    await soonTrue(() => closed() || text().includes('HTTP/1.1 401'), AT_ONCE_MS)
    expect(text()).not.toContain('[DONE]')
    socket.destroy()
  })

  it('of its sessions too; those of other keys of the tenant go on', async () => {
    const [key, other] = [await newKey(), await app.addKey(`tenant-${tenants}`)]
    const ann = await userOf(app.port, key.key, 'ann')
    const readers = [ann.token, other.key].map((credential) =>
      open(request('POST', '/v1/chat/completions', bearer(credential), JSON.stringify({ ...slow, stream: true }))),
    )
    for (const { text } of readers) await expect.poll(text).toContain('data: {')
    await admin('DELETE', `/admin/keys/${key.id}`)
    await soonTrue(readers[0].closed, AT_ONCE_MS)
    const heard = readers[1].text().length
    await expect.poll(() => readers[1].text().length).toBeGreaterThan(heard)
    readers[1].socket.destroy()
  })
})

describe('a WebSocket', () => {
  const url = (): string => `http://127.0.0.1:${app.port}`
  it('of a tenant that is erased is closed, and adds nothing afterwards', async () => {
    const key = await newKey()
    const peers = await Promise.all(Array.from({ length: 5 }, () => openPeer(url(), { headers: bearer(key.key) })))
    const adding = setInterval(() => {
      for (const peer of peers) peer.say({ t: 'submit', id: 's', request: slow, follow: false })
    }, 1)
    await peers[0].next('accepted')
    expect((await admin('DELETE', `/admin/tenants/tenant-${tenants}`)).status).toBe(204)
    for (const peer of peers) await closedAtOnce(peer)
    clearInterval(adding)
    expect(await jobsOf(`tenant-${tenants}`)).toEqual([])
  })

  it('of a key that is revoked is closed at once', async () => {
    const key = await newKey()
    const peer = await openPeer(url(), { headers: bearer(key.key) })
    await admin('DELETE', `/admin/keys/${key.id}`)
    await closedAtOnce(peer)
  })

  it('takes no frame of a session that is over', async () => {
    const ticket = await send(app.port, request('POST', '/v1/tickets', bearer(app.key), '{"session_ms":1000}'))
    const peer = await openPeer(url())
    peer.say({
      t: 'hello',
      auth: (JSON.parse(ticket.body) as { ticket: string }) && { ticket: JSON.parse(ticket.body).ticket },
    })
    await peer.next('token')
    expect((await peer.closed()).code).toBe(4401)
  })
})

describe('what ends by the clock', () => {
  it.each([
    ['a session', async () => (await userOf(app.port, app.key, 'ann', { session_ms: 2_000 })).token],
    ['a key', async () => (await newKey({ expires_in_ms: 2_000 })).key],
  ])('the stream of %s is cut within a second of its end', async (_name, credential) => {
    const { text, closed } = open(
      request('POST', '/v1/chat/completions', bearer(await credential()), JSON.stringify({ ...slow, stream: true })),
    )
    await expect.poll(text).toContain('data: {')
    await soonTrue(closed, 4_000)
  })
})
