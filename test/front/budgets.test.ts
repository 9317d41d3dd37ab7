/**
 * D14, D21: what one page, one key or nobody may hold: memory of what is not whole, jobs in line, requests,
 * connections.
 */
import { connect, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CLOSE, encode, openPeer, type Peer } from '../protocol/peer.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { type User, userOf } from './two-users.ts'
import { type Answer, chat, request, send } from './wire.ts'

const MIB = 1024 * 1024
setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
let app: TestApp
let ann: User
let bob: User
const sockets: Socket[] = []
const peers: Peer[] = []

async function start(sessions: object = {}, http: object = {}): Promise<void> {
  app = await startTestApp({ bad_keys_per_minute: 10_000, ...http }, { sessions })
  ann = await userOf(app.port, app.key, 'ann')
  bob = await userOf(app.port, app.key, 'bob')
}
beforeEach(() => {
  sockets.length = peers.length = 0
})
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  for (const peer of peers) peer.drop()
  await app?.stop()
})

const quick = chat('demo: tokens=1 delay=1 ttft=1')
const later = { request: quick, delay_ms: 60_000 }
const codeOf = (text: string): string | undefined => /"code":"(\w+)"/.exec(text)?.[1]

/** A POST of which all but the last byte is sent. */
function unfinished(credential: string, body: Buffer): () => string {
  const socket = connect({ port: app.port, host: '127.0.0.1' })
  sockets.push(socket)
  let text = ''
  socket.on('error', () => {})
  socket.on('data', (data) => (text += data.toString('latin1')))
  const bytes = request('POST', '/v1/jobs', { authorization: `Bearer ${credential}` }, body)
  socket.write(bytes.subarray(0, bytes.length - 1))
  return () => text
}
async function open(credential: string | null): Promise<Peer> {
  const headers = { authorization: credential === null ? null : `Bearer ${credential}` }
  const peer = await openPeer(`http://127.0.0.1:${app.port}`, { headers })
  peers.push(peer)
  return peer
}
/** The beginning of a message of 250 KiB. */
const begun = (bytes: number): Buffer =>
  encode(Buffer.alloc(250 * 1024, 0x20), { mask: new Uint8Array(4) }).subarray(0, bytes)

/** What the server holds of requests and messages that are not whole, as it tells its operator. */
async function heldBytes(): Promise<number> {
  const stats = await send(app.adminPort, request('GET', '/admin/stats', { authorization: `Bearer ${ADMIN_KEY}` }))
  return (JSON.parse(stats.body) as { unfinished_bytes: number }).unfinished_bytes
}

describe('bodies that do not end', () => {
  const body = Buffer.alloc(4 * MIB, 0x20)
  const refusedOf = (texts: ReadonlyArray<() => string>): readonly string[] =>
    texts
      .map((text) => text())
      .filter((text) => text !== '')
      .map((text) => `${text.slice(9, 12)} ${codeOf(text)}`)

  it('60 of one token: four are held, the others refused, and others go on', async () => {
    await start()
    const memory = (): number => {
      collectGarbage()
      return process.memoryUsage().arrayBuffers
    }
    const before = memory()
    const texts = Array.from({ length: 60 }, () => unfinished(ann.token, body))
    await expect.poll(() => refusedOf(texts).length).toBeGreaterThanOrEqual(56)
    expect(new Set(refusedOf(texts))).toEqual(new Set(['429 too_many_unfinished']))
    // Four bodies and no piece of another one
    expect(await heldBytes()).toBeLessThanOrEqual(4 * body.length)
    // What these tests themselves have still to write is all of the same buffer
    // and the refused ones' last pieces are let go with their connections
    await expect.poll(() => memory() - before).toBeLessThan(100 * MIB)
    expect((await bob.ask('POST', '/v1/jobs', { request: quick })).status).toBe(202)
    expect((await ann.ask('POST', '/v1/jobs', { request: quick })).status).toBe(202)
  })

  it('of one key, over all its sessions', async () => {
    await start({}, { max_unfinished_bytes_per_key: '6MiB' })
    const texts = [ann, bob, ann].map(({ token }) => unfinished(token, body))
    await expect.poll(() => refusedOf(texts)).toEqual(['429 too_many_unfinished', '429 too_many_unfinished'])
    const other = await app.addKey('other')
    expect(
      (
        await send(
          app.port,
          request('POST', '/v1/jobs', { authorization: `Bearer ${other.key}` }, JSON.stringify({ request: quick })),
        )
      ).status,
    ).toBe(202)
  })

  it('of all keys together: 503', async () => {
    await start({}, { max_unfinished_bytes: '6MiB' })
    const texts = [app.key, (await app.addKey('other')).key].map((key) => unfinished(key, body))
    await expect.poll(() => refusedOf(texts)).toEqual(['503 overloaded'])
  })

  it('a body in chunks of one byte costs what it holds', async () => {
    await start()
    const socket = connect({ port: app.port, host: '127.0.0.1' })
    socket.on('error', () => {}) // it may be refused and closed while it still writes
    sockets.push(socket)
    socket.write(
      `POST /v1/jobs HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${app.key}\r\n` +
        'content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
    )
    const before = process.memoryUsage()
    const piece = Buffer.from('1\r\n \r\n'.repeat(100_000))
    for (let i = 0; i < 10; i++) await new Promise((done) => socket.write(piece, done))
    await new Promise((done) => setTimeout(done, 300))
    const after = process.memoryUsage()
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(30 * MIB)
  })
  it('what was held is given back, whatever became of it', async () => {
    await start({ max_unfinished_bytes: '1MiB' }, { max_body_bytes: '1MiB', request_timeout_ms: '10s' })
    const body = Buffer.alloc(900 * 1024, 0x20)
    for (let i = 0; i < 8; i++) {
      const text = unfinished(ann.token, body)
      await expect.poll(heldBytes).toBe(body.length - 1)
      expect(text()).toBe('')
      const socket = sockets.at(-1)!
      if (i % 2 === 0) socket.destroy()
      else {
        socket.write('}')
        await expect.poll(text).not.toBe('')
      }
      await expect.poll(heldBytes).toBe(0)
    }
  })
})

describe('messages that do not end', () => {
  it('of nobody: 128 KiB by one, and 16 MiB by all; then who comes with a hello is let in all the same', async () => {
    await start()
    const big = await open(null)
    big.write(begun(200 * 1024))
    expect((await big.nextFrame(CLOSE)).payload.readUInt16BE()).toBe(1009)
    const strangers = await Promise.all(Array.from({ length: 180 }, () => open(null)))
    for (const peer of strangers) peer.write(begun(100 * 1024))
    const closed = (): readonly number[] =>
      strangers.flatMap((peer) =>
        peer.frames.filter(({ opcode }) => opcode === CLOSE).map(({ payload }) => payload.readUInt16BE()),
      )
    await expect.poll(() => closed().length).toBeGreaterThan(10)
    expect(new Set(closed())).toEqual(new Set([1013]))
    const late = await open(null)
    late.say({ t: 'hello', auth: { key: app.key } })
    await late.next('welcome')
    for (const peer of strangers) peer.drop()
    await expect.poll(heldBytes).toBe(0)
  })

  it('of one session: as its bodies', async () => {
    await start({ max_unfinished_bytes: '1MiB' }, { max_body_bytes: '1MiB' })
    const mine = await Promise.all(Array.from({ length: 6 }, () => open(ann.token)))
    const other = await open(bob.token)
    const last = mine.pop()!
    for (const peer of [...mine, other]) peer.write(begun(200 * 1024))
    await expect.poll(heldBytes).toBeGreaterThan(6 * 199 * 1024)
    last.write(begun(200 * 1024))
    expect((await last.nextFrame(CLOSE)).payload.readUInt16BE()).toBe(4429)
    for (const peer of mine) expect(peer.frames.some(({ opcode }) => opcode === CLOSE)).toBe(false)
    expect(other.frames.some(({ opcode }) => opcode === CLOSE)).toBe(false)
  })

  it('in pieces of one byte: cut before it costs', async () => {
    await start()
    const peer = await open(ann.token)
    peer.socket.setNoDelay(true)
    peer.write(begun(20))
    const feeding = setInterval(() => {
      for (let i = 0; i < 50; i++) peer.write(Buffer.from(' '))
    }, 1)
    try {
      expect((await peer.closed(50_000)).code).toBe(1008)
    } finally {
      clearInterval(feeding)
    }
  })
  it('20 messages before hello are a flood', async () => {
    await start()
    const peer = await open(null)
    for (let i = 0; i < 20; i++) peer.write(encode('{'))
    expect((await peer.closed()).code).toBe(1008)
  })
})

it('2,000 idle connections of nobody, half of them in the middle of something, cost little', async () => {
  await start()
  const before = process.memoryUsage().rss
  for (let i = 0; i < 1_000; i++) {
    const socket = connect({ port: app.port, host: '127.0.0.1' })
    socket.on('error', () => {}) // it may be refused and closed while it still writes
    sockets.push(socket)
    await new Promise((done) => socket.once('connect', done))
    if (i % 2 === 0) socket.write('GET /v1/jobs HTTP/1.1\r\nhost: a\r\nx-a: ')
  }
  expect((await ann.ask('GET', '/v1/jobs')).status).toBe(200)
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * MIB)
})

describe('a session has a share of its own', () => {
  const refused = ({ status, code }: Answer): readonly unknown[] => [status, code]

  it("of jobs in line: of all sessions of its user together, and no other user's", async () => {
    await start({ max_queued_jobs: 3 })
    const tab = await userOf(app.port, app.key, 'ann')
    for (const user of [ann, tab, ann]) expect((await user.ask('POST', '/v1/jobs', later)).status).toBe(202)
    for (const user of [ann, tab])
      expect(refused(await user.ask('POST', '/v1/jobs', later))).toEqual([429, 'queue_full'])
    expect((await bob.ask('POST', '/v1/jobs', later)).status).toBe(202)
    const key = await send(
      app.port,
      request('POST', '/v1/jobs', { authorization: `Bearer ${app.key}` }, JSON.stringify(later)),
    )
    expect(key.status).toBe(202)
    const peer = await open(ann.token)
    peer.say({ t: 'submit', id: 's', ...later })
    expect((await peer.next('error'))['error'].code).toBe('queue_full')
    const list = JSON.parse((await ann.ask('GET', '/v1/jobs')).body) as { data: { id: string }[] }
    expect((await ann.ask('POST', `/v1/jobs/${list.data[0].id}/cancel`)).status).toBe(202)
    expect((await ann.ask('POST', '/v1/jobs', later)).status).toBe(202)
  })

  it('of bytes in line', async () => {
    await start({ max_queued_bytes: '4KiB' })
    const large = { ...later, request: chat('x'.repeat(3_000)) }
    expect((await ann.ask('POST', '/v1/jobs', large)).status).toBe(202)
    expect(refused(await ann.ask('POST', '/v1/jobs', large))).toEqual([429, 'queue_full'])
    expect((await bob.ask('POST', '/v1/jobs', large)).status).toBe(202)
  })

  it('a session without a user counts for itself', async () => {
    await start({ max_queued_jobs: 1 })
    const [one, two] = [await userOf(app.port, app.key, null), await userOf(app.port, app.key, null)]
    for (const page of [one, two]) {
      expect((await page.ask('POST', '/v1/jobs', later)).status).toBe(202)
      expect(refused(await page.ask('POST', '/v1/jobs', later))).toEqual([429, 'queue_full'])
    }
  })

  it('of time: no delay of weeks, by whatever way', async () => {
    await start({ max_delay_ms: '1h' })
    for (const [more, param] of [
      [{ delay_ms: 3_600_001 }, 'delay_ms'],
      [{ deadline_ms: 30 * 86_400_000 }, 'deadline_ms'],
    ] as const) {
      const got = await ann.ask('POST', '/v1/jobs', { request: quick, ...more })
      expect([...refused(got), JSON.parse(got.body).error.param]).toEqual([400, 'invalid_request', param])
      const nested = await ann.ask('POST', '/v1/chat/completions', { ...quick, sluice: more })
      expect(JSON.parse(nested.body).error.param).toBe(`sluice.${param}`)
      const header = `sluice-${param.replace('_', '-')}`
      expect(
        refused(await ann.ask('POST', '/v1/chat/completions', quick, { [header]: String(Object.values(more)[0]) })),
      ).toEqual([400, 'invalid_request'])
    }
    expect((await ann.ask('POST', '/v1/jobs', { request: quick, delay_ms: 3_600_000 })).status).toBe(202)
  })

  it('of requests under way, and of connections', async () => {
    await start({ max_requests: 2, max_sockets: 2 })
    const made = await ann.ask('POST', '/v1/jobs', { request: chat('demo: tokens=2000 delay=20 ttft=1') })
    const id = (JSON.parse(made.body) as { id: string }).id
    for (let i = 0; i < 2; i++) {
      const socket = connect({ port: app.port, host: '127.0.0.1' })
      socket.on('error', () => {}) // it may be refused and closed while it still writes
      sockets.push(socket)
      let text = ''
      socket.on('data', (data) => (text += data.toString('latin1')))
      socket.write(
        request('GET', `/v1/jobs/${id}/events`, { authorization: `Bearer ${ann.token}`, accept: 'text/event-stream' }),
      )
      await expect.poll(() => text).toContain('event: chunk')
    }
    expect(refused(await ann.ask('GET', '/v1/models'))).toEqual([429, 'too_many_connections'])
    expect((await bob.ask('GET', '/v1/models')).status).toBe(200)
    await open(ann.token)
    await open(ann.token)
    await expect(open(ann.token)).rejects.toMatchObject({ status: 429 })
    await open(bob.token)
  })
})

describe('what a peer asks for and does not read', () => {
  const BODY = JSON.stringify({ request: chat('x'.repeat(8 * MIB)), delay_ms: 60_000 })
  const stored = async (token: string): Promise<string> => {
    const made = await send(app.port, request('POST', '/v1/jobs', { authorization: `Bearer ${token}` }, BODY))
    return `/v1/jobs/${(JSON.parse(made.body) as { id: string }).id}/request`
  }
  /** Asks, and takes nothing of the answers. */
  function deaf(credential: string, targets: readonly string[]): Socket {
    const socket = connect({ port: app.port, host: '127.0.0.1' })
    socket.on('error', () => {}) // it may be refused and closed while it still writes
    sockets.push(socket)
    socket.pause()
    const authorization = `Bearer ${credential}`
    socket.write(Buffer.concat(targets.map((target) => request('GET', target, { authorization }))))
    return socket
  }
  const unreadBytes = async (): Promise<number> => {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` }
    const stats = await send(app.adminPort, request('GET', '/admin/stats', headers))
    return (JSON.parse(stats.body) as { unread_bytes: number }).unread_bytes
  }

  it('is one answer a connection, and no more than its session may hold; others get theirs', async () => {
    await start({ max_unfinished_bytes: '10MiB' }, { max_body_bytes: '9MiB' })
    const target = await stored(ann.token)
    const first = deaf(
      ann.token,
      Array.from({ length: 8 }, () => target),
    )
    await expect.poll(unreadBytes).toBeGreaterThan(8 * MIB)
    const got = async (token: string, path: string): Promise<[number, string]> => {
      const headers = { authorization: `Bearer ${token}` }
      const response = await fetch(`http://127.0.0.1:${app.port}${path}`, { headers })
      return [response.status, (await response.text()).slice(0, 200)]
    }
    const [status, text] = await got(ann.token, target)
    expect([status, codeOf(text)]).toEqual([429, 'too_many_unfinished'])
    expect(text).toContain('unread answers (sessions.max_unfinished_bytes)')
    expect(await unreadBytes()).toBeLessThan(9 * MIB)
    expect((await got(bob.token, await stored(bob.token)))[0]).toBe(200)
    first.destroy()
    await expect.poll(unreadBytes).toBe(0)
    expect((await got(ann.token, target))[0]).toBe(200)
  })

  it('a request is begun once the one before it is answered', async () => {
    await start()
    const socket = connect({ port: app.port, host: '127.0.0.1' })
    socket.on('error', () => {}) // it may be refused and closed while it still writes
    sockets.push(socket)
    let text = ''
    socket.on('data', (data) => (text += data.toString('latin1')))
    const headers = { authorization: `Bearer ${app.key}` }
    const slow = JSON.stringify(chat('demo: tokens=3 delay=50 ttft=300'))
    const list = request('GET', '/v1/jobs', headers)
    socket.write(Buffer.concat([list, request('POST', '/v1/chat/completions', headers, slow), list]))
    await expect.poll(() => text.split('"object":"list"').length).toBe(3)
    const [before, after] = text.split('"chat.completion"')
    expect([before.includes('"object":"job"'), after.includes('"state":"done"')]).toEqual([false, true])
  })
})
