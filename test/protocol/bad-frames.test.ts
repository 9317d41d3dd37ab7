/**
 * What a hostile or careless client may do with a WebSocket: upgrades that are none, frames against RFC 6455, messages
 * that are no frames of ours, floods, silence. Nothing crashes, nothing hangs, the loop is never held, and no secret
 * comes back or is logged.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from '../front/app.ts'
import { HeldLoop, watchLoop } from '../front/loop.ts'
import { type Answer, send } from '../front/wire.ts'
import { expectInTime } from '../in-time.ts'
import {
  BINARY,
  CLOSE,
  closing,
  encode,
  handshake,
  type OpenOptions,
  openPeer,
  type Peer,
  PING,
  PONG,
  TEXT,
} from './peer.ts'

const SECRET_TEXT = 'canary-prompt-9a1d'
const MAX_MESSAGE = 256 * 1024
/** As in front/sweep.test.ts (D6): a busy machine hands the loop more at once. */
const HELD_MS = 200

/** With the limits that it has by default, and with such as a test can reach. */
let app: TestApp
let strict: TestApp
let stranger: { id: string; key: string }
const peers = new Set<Peer>()
const refusals: string[] = []
let loop: ReturnType<typeof watchLoop>

beforeAll(async () => {
  app = await startTestApp({ bad_keys_per_minute: 1_000, max_keys: 10_000 })
  strict = await startTestApp(
    {},
    {
      websocket: {
        heartbeat_ms: 500,
        hello_timeout_ms: 1_500,
        max_per_key: 3,
        max_messages_per_second: 100,
        max_jobs: 5,
      },
    },
  )
  stranger = await app.addKey('stranger')
})
beforeEach(() => {
  loop = watchLoop()
  loop.start()
})
afterEach(() => {
  const heldMs = loop.stop()
  for (const peer of peers) {
    for (const frame of peer.heard.slice(0, 1_000)) if (frame.t === 'error') refusals.push(JSON.stringify(frame))
    for (const { opcode, payload } of peer.frames) if (opcode === CLOSE) refusals.push(payload.toString('latin1'))
    peer.drop()
  }
  peers.clear()
  if (heldMs >= HELD_MS) throw new HeldLoop(heldMs)
})
afterAll(async () => {
  await Promise.all([app?.stop(), strict?.stop()])
})

const at = ({ port }: TestApp): string => `http://127.0.0.1:${port}`
const auth = (key = app.key): Record<string, string> => ({ authorization: `Bearer ${key}` })
async function open(options: OpenOptions = {}, where = app): Promise<Peer> {
  const peer = await openPeer(at(where), { ...options, headers: { ...auth(where.key), ...options.headers } })
  peers.add(peer)
  return peer
}
async function lives(peer: Peer): Promise<void> {
  peer.say({ t: 'ping' })
  await peer.next('pong')
}
const stats = async (of = app): Promise<Record<string, number>> =>
  (await (await fetch(`http://127.0.0.1:${of.adminPort}/admin/stats`, { headers: auth(ADMIN_KEY) })).json()) as any

describe('upgrades', () => {
  const upgrade = (
    headers: Record<string, string | null>,
    options: { readonly path?: string; readonly method?: string; readonly body?: string } = {},
  ): Promise<Answer> => {
    const { bytes } = handshake(at(app), {
      headers: { ...auth(), ...headers },
      ...(options.path === undefined ? {} : { path: options.path }),
    })
    return send(
      app.port,
      Buffer.from(bytes.toString('latin1').replace(/^GET/, options.method ?? 'GET') + (options.body ?? ''), 'latin1'),
    )
  }
  async function refused(answer: Promise<Answer>, status: number, code: ErrorCode): Promise<Answer> {
    const got = await answer
    refusals.push(JSON.stringify(got))
    expect([got.status, got.code], got.body).toEqual([status, code])
    expect(JSON.parse(got.body)).toEqual({
      error: { message: expect.any(String), type: ERRORS[code].type, param: JSON.parse(got.body).error.param, code },
    })
    return got
  }
  const manyHeaders = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`x-${i}`, '1']))

  it.each<[string, Record<string, string | null>, number, ErrorCode]>([
    ['73 no sec-websocket-key', { 'sec-websocket-key': null }, 400, 'invalid_request'],
    ['73 a key that is too short', { 'sec-websocket-key': 'c2hvcnQ=' }, 400, 'invalid_request'],
    ['73 a key that is no base64', { 'sec-websocket-key': '!!!!!!!!!!!!!!!!!!!!!!==' }, 400, 'invalid_request'],
    ['73 version 12', { 'sec-websocket-version': '12' }, 426, 'upgrade_required'],
    ['73 no version', { 'sec-websocket-version': null }, 426, 'upgrade_required'],
    ['73 two versions', { 'sec-websocket-version': '13, 8' }, 426, 'upgrade_required'],
    ['no subprotocol', { 'sec-websocket-protocol': null }, 400, 'invalid_request'],
    ['another subprotocol', { 'sec-websocket-protocol': 'sluice.v2, chat' }, 400, 'invalid_request'],
    ['70 foreign origin', { origin: 'https://evil.example' }, 403, 'origin_forbidden'],
    ['70 an origin that begins like ours', { origin: 'http://127.0.0.1:1' }, 403, 'origin_forbidden'],
    ['70 an origin that is none', { origin: 'null' }, 403, 'origin_forbidden'],
    ['70 an origin full of quotes', { origin: `"'<script>${'x'.repeat(2_000)}` }, 403, 'origin_forbidden'],
    ['84 a body', { 'content-length': '5' }, 400, 'invalid_request'],
    ['84 a body in chunks', { 'transfer-encoding': 'chunked' }, 400, 'invalid_request'],
    ['84 200 headers', manyHeaders, 431, 'headers_too_large'],
    ['84 17 KiB of headers', { 'x-a': 'a'.repeat(17_000) }, 431, 'headers_too_large'],
    ['no upgrade at all', { connection: 'keep-alive', upgrade: null }, 426, 'upgrade_required'],
    ['upgrade, but connection says nothing of it', { connection: 'keep-alive' }, 426, 'upgrade_required'],
    ['upgrade to something else', { upgrade: 'h2c' }, 426, 'upgrade_required'],
    ['a wrong key', { authorization: 'Bearer sk-sluice-wrong' }, 401, 'invalid_api_key'],
    ['another scheme', { authorization: 'Basic YTpi' }, 401, 'missing_api_key'],
    ['a token that is none', { authorization: 'Bearer sluice-token-e30.e30' }, 401, 'invalid_token'],
  ])('%s', async (_name, headers, status, code) => {
    const got = await refused(
      upgrade(headers, { body: headers['content-length'] ? 'hello' : headers['transfer-encoding'] ? '0\r\n\r\n' : '' }),
      status,
      code,
    )
    if (status === 426) expect(got.headers['sec-websocket-version']).toBe('13')
  })

  it('other methods', async () => {
    await refused(upgrade({}, { method: 'POST' }), 405, 'method_not_allowed')
    await refused(upgrade({}, { method: 'PUT' }), 405, 'method_not_allowed')
    const { bytes } = handshake(at(app), {
      headers: { ...auth(), connection: 'close', upgrade: null, 'content-length': '0' },
    })
    await refused(send(app.port, bytes.toString('latin1').replace(/^GET/, 'POST')), 405, 'method_not_allowed')
  })
  it('a key in the URL is refused, even beside a good one', async () => {
    await refused(upgrade({}, { path: `/v1/ws?key=${app.key}` }), 401, 'invalid_api_key')
    await refused(upgrade({ authorization: null }, { path: `/v1/ws?ticket=sluice-ticket-abc` }), 401, 'invalid_api_key')
  })
  it('two of what there must be one of', async () => {
    const twice = (name: string): Buffer => {
      const text = handshake(at(app), { headers: auth() }).bytes.toString('latin1')
      const line = new RegExp(`^${name}: .*\r\n`, 'm').exec(text)![0]
      return Buffer.from(text.replace(line, line + line), 'latin1')
    }
    await refused(send(app.port, twice('sec-websocket-key')), 400, 'invalid_request')
    await refused(send(app.port, twice('authorization')), 400, 'invalid_request')
    await refused(send(app.port, twice('host')), 400, 'invalid_request')
  })
  it('there are no others to upgrade to', async () => {
    await refused(upgrade({ authorization: null }, { path: '/v1/models' }), 401, 'missing_api_key')
    await refused(upgrade({}, { path: '/v1/ws/' }), 426, 'upgrade_required')
    const { bytes } = handshake(at(app), { headers: auth() })
    await refused(send(app.adminPort, bytes), 404, 'route_not_found')
  })
  it('77 deflate is not negotiated', async () => {
    const peer = await open({ headers: { 'sec-websocket-extensions': 'permessage-deflate, x-webkit-deflate-frame' } })
    expect(peer.headers).not.toHaveProperty('sec-websocket-extensions')
  })
  it('frames in the same write as the upgrade are not lost', async () => {
    const peer = await open({ at_once: Buffer.concat([encode('{"t":"ping"}'), encode('{"t":"ping"}')]) })
    await peer.next('pong')
    await peer.next('pong')
  })
  it('frames in the same write as the hello are answered after it, in their order', async () => {
    const hello = JSON.stringify({ t: 'hello', auth: { key: app.key } })
    const frames = [hello, '{"t":"ping"}', '{"t":"attach","id":"a","job":"job_none"}', '{"t":"ping"}']
    const peer = await open({
      headers: { authorization: null },
      at_once: Buffer.concat(frames.map((frame) => encode(frame))),
    })
    await peer.next('pong')
    await peer.next('pong')
    await peer.next('error')
    expect(peer.heard.map(({ t }) => t)).toEqual(['welcome', 'pong', 'pong', 'error'])
  })
  it('broken frames in the same write as the upgrade', async () => {
    const peer = await open({ at_once: encode('{"t":"ping"}', { mask: null }) })
    expect((await peer.closed()).code).toBe(1002)
  })
})

describe('RFC 6455', () => {
  const utf8 = (...bytes: number[]): Buffer => Buffer.from([0x22, ...bytes, 0x22])
  const fragments = (count: number, bytes: Buffer): Buffer =>
    Buffer.concat([
      encode(bytes, { fin: false }),
      ...Array.from({ length: count - 2 }, () => encode(bytes, { opcode: 0, fin: false })),
      encode(bytes, { opcode: 0 }),
    ])
  const zero = { mask: new Uint8Array(4) }

  it.each<[string, () => Buffer, number]>([
    ['74 unmasked', () => encode('{"t":"ping"}', { mask: null }), 1002],
    ['74 unmasked ping', () => encode('', { opcode: PING, mask: null }), 1002],
    ['74 first reserved bit', () => encode('{"t":"ping"}', { rsv: 4 }), 1002],
    ['74 second reserved bit', () => encode('{"t":"ping"}', { rsv: 2 }), 1002],
    ['74 third reserved bit', () => encode('{"t":"ping"}', { rsv: 1 }), 1002],
    ['74 a reserved bit of a ping', () => encode('', { opcode: PING, rsv: 4 }), 1002],
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): [string, () => Buffer, number] => [
      `74 reserved opcode ${opcode}`,
      () => encode('x', { opcode }),
      1002,
    ]),
    ['74 a ping in fragments', () => encode('x', { opcode: PING, fin: false }), 1002],
    ['74 a close in fragments', () => encode(closing(1000), { opcode: CLOSE, fin: false }), 1002],
    ['74 a ping of 126 bytes', () => encode(Buffer.alloc(126), { opcode: PING }), 1002],
    ['74 a close of 126 bytes', () => encode(closing(1000, 'x'.repeat(124)), { opcode: CLOSE }), 1002],
    ['74 a ping that claims 2^63 bytes', () => encode('', { opcode: PING, claim: 2n ** 63n }), 1002],
    ['74 a close of one byte', () => encode(Buffer.from([3]), { opcode: CLOSE }), 1002],
    ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535].map((code): [string, () => Buffer, number] => [
      `74 close code ${code}`,
      () => encode(closing(code), { opcode: CLOSE }),
      1002,
    ]),
    [
      '75 a close reason that is not UTF-8',
      () => encode(closing(1000, Buffer.from([0xc3, 0x28])), { opcode: CLOSE }),
      1007,
    ],
    ['74 a continuation of nothing', () => encode('x', { opcode: 0 }), 1002],
    [
      '74 a text amid the fragments of another',
      () => Buffer.concat([encode('{"t":', { fin: false }), encode('{"t":"ping"}')]),
      1002,
    ],
    ['75 half a character', () => encode(utf8(0xc3)), 1007],
    ['75 a byte that is none', () => encode(utf8(0xff)), 1007],
    ['75 a wrong continuation', () => encode(utf8(0xc3, 0x28)), 1007],
    ['75 overlong', () => encode(utf8(0xc0, 0xaf)), 1007],
    ['75 a surrogate', () => encode(utf8(0xed, 0xa0, 0x80)), 1007],
    ['75 beyond U+10FFFF', () => encode(utf8(0xf4, 0x90, 0x80, 0x80)), 1007],
    [
      '75 wrong in the second fragment',
      () =>
        Buffer.concat([
          encode(Buffer.from([0x22, 0xe2]), { fin: false }),
          encode(Buffer.from([0x28, 0xa1, 0x22]), { opcode: 0 }),
        ]),
      1007,
    ],
    [
      '75 cut off by the end of the last fragment',
      () => Buffer.concat([encode('"a', { fin: false }), encode(Buffer.from([0xe2, 0x82]), { opcode: 0 })]),
      1007,
    ],
    ['76 a claim of 2^63', () => encode('', { claim: 2n ** 63n }), 1009],
    ['76 a claim of 2^64 - 1', () => encode('', { claim: 2n ** 64n - 1n }), 1009],
    ['76 a claim of 2^53', () => encode('', { claim: 2n ** 53n }), 1009],
    ['76 a claim of 2^32', () => encode('', { claim: 2n ** 32n }), 1009],
    ['76 a claim of 1 MiB', () => encode('', { claim: 2n ** 20n }), 1009],
    ['76 one byte too many', () => encode(Buffer.alloc(MAX_MESSAGE + 1, 0x20), zero), 1009],
    ['76 too many in fragments', () => fragments(20, Buffer.alloc(64 * 1024, 0x20)), 1009],
    ['76 too many in binary', () => encode(Buffer.alloc(MAX_MESSAGE + 1), { ...zero, opcode: BINARY }), 1009],
    ['76 10,000 fragments', () => fragments(10_000, Buffer.from(' ')), 1008],
    ['76 10,000 empty fragments', () => fragments(10_000, Buffer.alloc(0)), 1008],
  ])('%s', async (_name, bytes, code) => {
    const peer = await open()
    peer.write(bytes())
    expect((await peer.closed()).code).toBe(code)
    // The others on this server do not notice
    await lives(await open())
  })

  it('76 a message as large as may be is read', async () => {
    const peer = await open()
    peer.write(encode('{"t":"ping"}'.padEnd(MAX_MESSAGE), zero))
    await peer.next('pong')
  })
  it('byte by byte', async () => {
    const peer = await open()
    const text = `{"t":"attach","id":"ü🌊","job":"job_none"}`
    for (const byte of Buffer.concat([
      encode(text.slice(0, 5), { fin: false }),
      encode('x', { opcode: PING }),
      encode(text.slice(5), { opcode: 0 }),
    ])) {
      peer.write(Buffer.of(byte))
      await sleep(1)
    }
    expect((await peer.nextFrame(PONG)).payload.toString()).toBe('x')
    expect(await peer.next('error')).toMatchObject({ id: 'ü🌊', error: { code: 'job_not_found' } })
  })
  it('the upgrade byte by byte', async () => {
    const { port } = app
    const { bytes } = handshake(at(app), { headers: auth() })
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    for (const byte of bytes) {
      socket.write(Buffer.of(byte))
      await sleep(0)
    }
    const head = await new Promise<Buffer>((done) => socket.once('data', done))
    socket.destroy()
    expect(head.toString('latin1')).toMatch(/^HTTP\/1\.1 101 /)
  })
  it('a character split over fragments', async () => {
    const peer = await open()
    const bytes = Buffer.from('{"t":"detach","id":"🌊","job":"job_none"}')
    const middle = bytes.indexOf(0xf0) + 2
    peer.write(
      Buffer.concat([encode(bytes.subarray(0, middle), { fin: false }), encode(bytes.subarray(middle), { opcode: 0 })]),
    )
    expect(await peer.next('ok')).toEqual({ t: 'ok', id: '🌊', job: 'job_none' })
  })
  it('a ping comes back with what it brought, up to 125 bytes; a pong is no harm', async () => {
    const peer = await open()
    for (const payload of [Buffer.alloc(0), Buffer.from([0, 255, 128]), Buffer.alloc(125, 7)]) {
      peer.write(encode(payload, { opcode: PING }))
      expect((await peer.nextFrame(PONG)).payload.equals(payload)).toBe(true)
    }
    peer.write(encode('never asked', { opcode: PONG }))
    await lives(peer)
  })
  it.each([1000, 1001, 1003, 1011, 3000, 4000, 4999])('a close with %d is answered with the same', async (code) => {
    expect((await (await open()).close(code)).code).toBe(code)
  })
  it('a close without a code is answered', async () => {
    const peer = await open()
    peer.write(encode('', { opcode: CLOSE }))
    expect([1000, 1005]).toContain((await peer.closed()).code)
  })
  it('what comes behind a close is not read', async () => {
    const peer = await open()
    peer.write(
      Buffer.concat([encode(closing(1000), { opcode: CLOSE }), encode('{"t":"detach","id":"late","job":"job_none"}')]),
    )
    await peer.closed()
    expect(peer.heard).toEqual([])
  })
  it('binary is refused; frames are text', async () => {
    const peer = await open()
    peer.write(encode('{"t":"ping"}', { opcode: BINARY }))
    expect(await peer.next('error')).toMatchObject({ error: { code: 'invalid_request' } })
    await lives(peer)
  })
  it('the server sends whole, unmasked frames without reserved bits', async () => {
    const peer = await open()
    // A busy server sends few frames a job: several jobs make enough of them
    for (const id of ['1', '2', '3', '4']) {
      const content = `${SECRET_TEXT} demo: tokens=50 delay=1 ttft=1`
      peer.say({ t: 'submit', id, request: { model: 'demo', messages: [{ role: 'user', content }] } })
      await peer.next('end')
    }
    expect(peer.frames.length).toBeGreaterThan(10)
    expect(peer.frames.filter((frame) => frame.opcode !== TEXT || !frame.fin || frame.rsv !== 0)).toEqual([])
  })
})

describe('messages', () => {
  const submit = (request: unknown, more = ''): string =>
    `{"t":"submit","id":"x","request":${JSON.stringify(request)}${more}}`
  const chat = { model: 'demo', messages: [{ role: 'user', content: SECRET_TEXT }] }
  it.each<[string, string, ErrorCode]>([
    ['empty', '', 'invalid_json'],
    ['not JSON', `{"t": ${SECRET_TEXT}`, 'invalid_json'],
    ['two values', '{"t":"ping"}{"t":"ping"}', 'invalid_json'],
    ['a comment', '{"t":"ping"} // hello', 'invalid_json'],
    ['an array', '[{"t":"ping"}]', 'invalid_request'],
    ['a number', '1', 'invalid_request'],
    ['a text', '"ping"', 'invalid_request'],
    ['null', 'null', 'invalid_request'],
    ['10,000 deep', `{"t":"ping","x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, 'invalid_request'],
    ['100,000 deep and never closed', `{"t":${'['.repeat(100_000)}`, 'invalid_request'],
    [
      '10,001 keys',
      submit({ ...chat, many: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, 0])) }),
      'invalid_request',
    ],
    ['__proto__', '{"t":"ping","__proto__":{"isAdmin":true}}', 'invalid_request'],
    ['__proto__, escaped', '{"t":"ping","\\u005f_proto__":{"isAdmin":true}}', 'invalid_request'],
    ['constructor.prototype', '{"t":"ping","constructor":{"prototype":{"isAdmin":true}}}', 'invalid_request'],
    ['half a pair', submit(chat).replace(SECRET_TEXT, '\\ud83d'), 'invalid_json'],
    ['a number beyond all', submit(chat, ',"delay_ms":1e999'), 'invalid_request'],
    ['81 no type', '{"id":"x"}', 'invalid_request'],
    ['81 a type that is a number', '{"t":1}', 'invalid_request'],
    ['81 a type that is a list', '{"t":["ping"]}', 'invalid_request'],
    ['81 a type that objects have', '{"t":"constructor"}', 'invalid_request'],
    ['81 a type that objects have', '{"t":"toString"}', 'invalid_request'],
    ['81 a type of 100 KB', `{"t":"${'x'.repeat(100_000)}"}`, 'invalid_request'],
    ['81 a type of the other side', '{"t":"welcome","conn":"c"}', 'invalid_request'],
    ['81 an id that is a number', '{"t":"attach","id":1,"job":"job_1"}', 'invalid_request'],
    ['81 an empty id', `{"t":"attach","id":"","job":"job_1"}`, 'invalid_request'],
    ['81 an id of 129 characters', `{"t":"attach","id":"${'x'.repeat(129)}","job":"job_1"}`, 'invalid_request'],
    ['a job that is a list', '{"t":"attach","job":["job_1"]}', 'invalid_request'],
    ['no job', '{"t":"attach"}', 'invalid_request'],
    ['a job of 100 KB', `{"t":"cancel","job":"${'x'.repeat(100_000)}"}`, 'invalid_request'],
    ['a job with a path in it', '{"t":"attach","job":"../../etc/passwd"}', 'job_not_found'],
    ['a job with NUL', '{"t":"attach","job":"job_\\u0000"}', 'job_not_found'],
    ['a cursor that is a number', '{"t":"attach","job":"job_1","cursor":1}', 'invalid_request'],
    ['credit of 0', '{"t":"credit","job":"job_1","bytes":0}', 'invalid_request'],
    ['credit of a half', '{"t":"credit","job":"job_1","bytes":0.5}', 'invalid_request'],
    ['credit of 1e300', '{"t":"credit","job":"job_1","bytes":1e300}', 'invalid_request'],
    ['credit in letters', '{"t":"credit","job":"job_1","bytes":"many"}', 'invalid_request'],
    ['a report of the future', '{"t":"report","job":"job_1","ttft_ms":1e15}', 'invalid_request'],
    ['a window of 0', '{"t":"hello","window":0}', 'invalid_request'],
    ['a window of -1', '{"t":"hello","window":-1}', 'invalid_request'],
    ['two credentials', '{"t":"hello","auth":{"key":"a","ticket":"b"}}', 'invalid_request'],
    ['no credential', '{"t":"hello","auth":{}}', 'invalid_request'],
    ['a credential that is a list', '{"t":"hello","auth":["key"]}', 'invalid_request'],
    ['a credential of 100 KB', `{"t":"hello","auth":{"token":"${'x'.repeat(100_000)}"}}`, 'invalid_request'],
    ['jobs that are no list', '{"t":"hello","jobs":{"job":"job_1"}}', 'invalid_request'],
    ['jobs that are texts', '{"t":"hello","jobs":["job_1"]}', 'invalid_request'],
    ['follow: "no"', submit(chat, ',"follow":"no"'), 'invalid_request'],
    ['a request that is a text', submit('hello'), 'invalid_request'],
    ['a request with options inside', submit({ ...chat, sluice: { lane: 'a' } }), 'invalid_request'],
    ['an endpoint that is none', submit(chat, ',"endpoint":"/v1/../admin/keys"'), 'invalid_request'],
    ['a lane of 10 KB', submit(chat, `,"lane":"${'x'.repeat(10_000)}"`), 'invalid_request'],
    ['an idempotency key of 10 KB', submit(chat, `,"idempotency_key":"${'x'.repeat(10_000)}"`), 'invalid_request'],
    ['a delay into the past', submit(chat, ',"delay_ms":-1'), 'invalid_request'],
    ['metadata that is a list', submit(chat, ',"metadata":["a"]'), 'invalid_request'],
  ])('%s', async (_name, text, code) => {
    const peer = await open()
    peer.write(encode(text))
    const error = await peer.next('error')
    expect(error['error']).toEqual({
      message: expect.any(String),
      type: ERRORS[code].type,
      param: error['error'].param,
      code,
    })
    expect(error['retryable']).toBe(ERRORS[code].retryable)
    expect(JSON.stringify(error).length).toBeLessThan(2_000)
    await lives(peer)
    expect(peer.heard.filter((frame) => frame.t !== 'error' && frame.t !== 'pong')).toEqual([])
  })

  it('nothing was put into the prototypes', () => {
    expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined()
  })
  it('a second hello is refused, and changes nothing', async () => {
    const peer = await open()
    peer.say({ t: 'hello' })
    await peer.next('welcome')
    peer.say({ t: 'hello', auth: { key: stranger.key } })
    expect(await peer.next('error')).toMatchObject({ error: { code: 'invalid_request' } })
    await lives(peer)
  })
  it('a member that is there twice', async () => {
    const peer = await open()
    peer.write(encode('{"t":"submit","id":"a","t":"ping"}'))
    expect(await peer.next('error')).toMatchObject({ id: 'a', error: { code: 'invalid_request', param: 't' } })
    await lives(peer)
  })
  it('noise: whatever the bytes, the connection goes on or is closed, and in good order', async () => {
    const random = (n: number): number => Math.floor(Math.random() * n)
    const good = Buffer.concat([
      encode('{"t":"ping"}'),
      encode('abc', { opcode: PING }),
      encode(submit(chat, ',"follow":false')),
      encode('{"t":"detach","job":"job_1","id":"d"}'),
    ])
    const noise = (): Buffer => {
      const bytes = Buffer.from(good)
      for (let i = 0; i < 1 + random(4); i++) bytes[random(bytes.length)] = random(256)
      return random(3) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes
    }
    let untold = 0
    for (let i = 0; i < 30; i++) {
      const witness = await open()
      const tries = await Promise.all(
        Array.from({ length: 10 }, async () => {
          const bytes = noise()
          const peer = await open()
          peer.write(bytes)
          // Once the witness is answered, the noise has been read, however busy the machine is
          const read = sleep(100).then(() => lives(witness))
          const early = await Promise.race([peer.closed(), read.then(() => null)])
          // Whatever it still waits for comes to an end: 600 KB of blanks are a message too large, wherever they fall
          if (early === null) peer.write(encode(Buffer.alloc(600_000, 0x20), { mask: new Uint8Array(4) }))
          const closed = early ?? (await peer.closed())
          await read
          return { bytes, closed }
        }),
      )
      for (const { bytes, closed } of tries) {
        expect([1000, 1002, 1005, 1006, 1007, 1008, 1009], bytes.toString('hex')).toContain(closed.code)
        if (closed.code === 1006) untold++
      }
    }
    // Blanks that meet a connection just closed are answered by TCP, which may swallow the close frame; but seldom
    expect(untold).toBeLessThan(30)
  })
})

describe('floods and silence', () => {
  it('80 a flood of messages: 1008', async () => {
    const peer = await open({}, strict)
    peer.write(Buffer.concat(Array.from({ length: 2_000 }, () => encode('{"t":"ping"}'))))
    expect(await peer.closed()).toMatchObject({ code: 1008, reason: expect.stringContaining('message_flood') })
    expect(peer.heard.length).toBeLessThan(700)
    expect(peer.heard.length).toBeGreaterThan(400)
  })
  it('80 a flood of pings: 1008', async () => {
    const peer = await open({}, strict)
    peer.write(Buffer.concat(Array.from({ length: 2_000 }, () => encode('', { opcode: PING }))))
    expect((await peer.closed()).code).toBe(1008)
  })
  it('80 a flood of pongs: 1008', async () => {
    const peer = await open({}, strict)
    peer.write(Buffer.concat(Array.from({ length: 2_000 }, () => encode('', { opcode: PONG }))))
    expect((await peer.closed()).code).toBe(1008)
  })
  it('80 a flood before hello', async () => {
    const peer = await open({ headers: { authorization: null } }, strict)
    peer.write(Buffer.concat(Array.from({ length: 2_000 }, () => encode('{"t":"ping"}'))))
    expect([1008, 4401]).toContain((await peer.closed()).code)
    expect(peer.heard.length).toBe(1)
  })
  it('80 a burst within the limit is no flood', async () => {
    const peer = await open({}, strict)
    for (let i = 0; i < 400; i++) peer.say({ t: 'ping' })
    for (let i = 0; i < 400; i++) await peer.next('pong')
  })

  it('78 half-open: no answer to a ping, closed within one and a half heartbeats', async () => {
    const peer = await open({ alive: false }, strict)
    const from = performance.now()
    expect(await peer.closed()).toMatchObject({ code: 4408 })
    // The server looks once a second
    expectInTime(performance.now() - from, 750 + 2_000)
    expect(peer.frames.filter((frame) => frame.opcode === PING).length).toBe(1)
  })
  it('78 silent, but alive: it is asked, and stays', async () => {
    const peer = await open({}, strict)
    await sleep(3_500)
    expect(peer.frames.filter((frame) => frame.opcode === PING).length).toBeGreaterThanOrEqual(1)
    await lives(peer)
  })
  it('79 no hello in time: 4408', async () => {
    const from = performance.now()
    const peer = await open({ headers: { authorization: null } }, strict)
    expect(await peer.closed()).toMatchObject({ code: 4408, reason: expect.stringContaining('hello') })
    expectInTime(performance.now() - from, 1_500 + 2_000)
  })
  it('79 pings are no hello', async () => {
    const peer = await open({ headers: { authorization: null } }, strict)
    const pinging = setInterval(() => peer.write(encode('', { opcode: PING })), 50)
    expect((await peer.closed()).code).toBe(4408)
    clearInterval(pinging)
  })
  it('79 half a frame is no hello', async () => {
    const peer = await open({ headers: { authorization: null } }, strict)
    peer.write(encode(JSON.stringify({ t: 'hello', auth: { key: strict.key } })).subarray(0, 20))
    expect((await peer.closed()).code).toBe(4408)
  })

  it('83 connections of one key: 429 at the upgrade, 4429 in hello; whoever leaves makes room', async () => {
    const three = await Promise.all([1, 2, 3].map(() => open({}, strict)))
    const refusal = await open({}, strict).catch((error: unknown) => error)
    expect(refusal).toMatchObject({ status: 429, body: expect.stringContaining('"too_many_connections"') })
    const fourth = await open({ headers: { authorization: null } }, strict)
    fourth.say({ t: 'hello', auth: { key: strict.key } })
    expect((await fourth.closed()).code).toBe(4429)
    expect(fourth.heard).toMatchObject([{ t: 'error', error: { code: 'too_many_connections' }, retryable: true }])
    const made = await fetch(`${at(strict)}/v1/tickets`, {
      method: 'POST',
      headers: { ...auth(strict.key), 'content-type': 'application/json' },
      body: '{}',
    })
    const { ticket } = (await made.json()) as { ticket: string }
    const page = await open({ headers: { authorization: null } }, strict)
    page.say({ t: 'hello', auth: { ticket } })
    expect((await page.closed()).code).toBe(4429)
    await three[0].close()
    await lives(await vi.waitFor(() => open({}, strict), { timeout: 60_000, interval: 20 }))
  })
  it('jobs of one connection: no more than max_jobs are followed', async () => {
    const peer = await open({}, strict)
    const slow = {
      request: { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=100 delay=50 ttft=1' }] },
    }
    const jobs: string[] = []
    for (let i = 0; i < 5; i++) {
      peer.say({ t: 'submit', id: `s${i}`, ...slow })
      jobs.push((await peer.next('accepted'))['job'])
    }
    peer.say({ t: 'submit', id: 'more', ...slow })
    expect(await peer.next((frame) => frame['id'] === 'more')).toMatchObject({
      t: 'error',
      error: { code: 'too_many_jobs' },
    })
    peer.say({ t: 'submit', id: 'aside', ...slow, follow: false })
    const aside = await peer.next((frame) => frame['id'] === 'aside')
    expect(aside.t).toBe('accepted')
    for (const job of [...jobs, aside['job']]) peer.say({ t: 'cancel', job })
    const greedy = await open({ headers: { authorization: null } }, strict)
    greedy.say({
      t: 'hello',
      auth: { key: strict.key },
      jobs: Array.from({ length: 6 }, (_, i) => ({ job: `job_${i}` })),
    })
    expect((await greedy.closed()).code).toBe(4429)
  })

  const later = { request: { model: 'demo', messages: [{ role: 'user', content: 'x' }] }, delay_ms: 600_000 }
  it.each([
    ['submits', (i: number) => ({ t: 'submit', id: `f${i}`, ...later })],
    ['attaches', (i: number, jobs: readonly string[]) => ({ t: 'attach', id: `f${i}`, job: jobs[i % jobs.length] })],
  ])('400 %s in one write: max_jobs are followed, the others are refused', async (_name, frame) => {
    const maker = await open({}, strict)
    for (let i = 0; i < 50; i++) maker.say({ t: 'submit', id: `m${i}`, ...later, follow: false })
    await expect.poll(() => maker.heard.filter(({ t }) => t === 'accepted').length).toBe(50)
    const jobs = maker.heard.filter(({ t }) => t === 'accepted').map((accepted) => accepted['job'] as string)
    const peer = await open({}, strict)
    peer.write(Buffer.concat(Array.from({ length: 400 }, (_, i) => encode(JSON.stringify(frame(i, jobs))))))
    const answers = (): readonly string[] =>
      peer.heard.filter((said) => String(said['id']).startsWith('f')).map((said) => said['error']?.code ?? 'followed')
    await expect.poll(() => answers().length).toBe(400)
    expect(answers().filter((answer) => answer === 'followed').length).toBe(5)
    expect(new Set(answers())).toEqual(new Set(['followed', 'too_many_jobs']))
  })

  it('what a connection follows and does not read is not queued for it: 1 MiB, however many jobs', async () => {
    const sockets: Socket[] = []
    const onSocket = (message: unknown): void => void sockets.push((message as { readonly socket: Socket }).socket)
    subscribe('net.server.socket', onSocket)
    const [writer, deaf] = [await open(), await open()]
    unsubscribe('net.server.socket', onSocket)
    const served = sockets.find((socket) => socket.remotePort === deaf.socket.localPort)!
    const jobs: string[] = []
    for (let i = 0; i < 40; i++) {
      writer.say({
        t: 'submit',
        id: `s${i}`,
        follow: false,
        request: { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=1000 delay=1 ttft=1' }] },
      })
      jobs.push((await writer.next('accepted'))['job'])
    }
    for (const job of jobs) await fetch(`${at(app)}/v1/jobs/${job}?wait_ms=20000`, { headers: auth() })
    deaf.socket.pause()
    for (const job of jobs) deaf.say({ t: 'attach', job })
    let most = 0
    for (let i = 0; i < 100; i++) {
      await sleep(5)
      most = Math.max(most, served.writableLength)
    }
    // What fills the last of it may be one page of the log
    expect(most).toBeLessThan(1.5 * 2 ** 20)
    deaf.socket.resume()
    for (const _ of jobs) await deaf.next('end')
    expect(deaf.heard.filter((frame) => frame.t === 'error')).toEqual([])
  })
  it('a reset in the middle of everything', async () => {
    const some = await Promise.all(Array.from({ length: 20 }, () => open()))
    for (const [i, peer] of some.entries()) {
      peer.say({
        t: 'submit',
        id: 's',
        request: {
          model: 'demo',
          messages: [{ role: 'user', content: `${SECRET_TEXT} ${i} demo: tokens=50 delay=5 ttft=1` }],
        },
      })
      if (i % 2 === 0) await peer.next('ev')
      peer.socket.resetAndDestroy()
    }
    await lives(await open())
  })
})

describe('after all that', () => {
  it('the server is well', async () => {
    await lives(await open())
  })
  it('no connection is left behind', async () => {
    for (const each of [app, strict]) await expect.poll(async () => (await stats(each))['sockets']).toBe(0)
    await expect.poll(async () => (await stats())['followed_jobs']).toBe(0)
  })
  it('no refusal and no line of the log holds a secret', () => {
    const said = [...refusals, ...app.log, ...strict.log].join('\n')
    expect(refusals.length).toBeGreaterThanOrEqual(200)
    for (const secret of [app.key, app.key.slice(14), strict.key, stranger.key, ADMIN_KEY, SECRET_TEXT])
      expect(said.includes(secret)).toBe(false)
  })
  it('nothing was unforeseen', () => {
    expect(refusals.filter((text) => text.includes('"internal"'))).toEqual([])
    for (const { log } of [app, strict])
      expect(log.filter((line) => line.startsWith('something unforeseen'))).toEqual([])
  })
})
