/**
 * What a hostile or careless client may send before there is a request: broken HTTP, no or a wrong key, no real body.
 * Nothing crashes, nothing hangs, the loop is never held, and no secret comes back or is logged.
 */
import { connect } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { ErrorCode } from '../../src/core/errors.ts'
import { systemIds } from '../../src/core/ids.ts'
import { mintKey } from '../../src/gateway/caller/api-key.ts'
import { expectInTime } from '../in-time.ts'
import { ADMIN_KEY } from './app.ts'
import { afterAllThat, app, ask, auth, beforeAllThat, refused, SECRET_TEXT } from './suite.ts'
import { type Answer, chat, request, send } from './wire.ts'

beforeAllThat()

const MAX_BODY = 4 * 1024 * 1024
/** Made before the loop is watched: making them holds it too. */
const MANY_KEYS = JSON.stringify(Object.fromEntries(Array.from({ length: 50_001 }, (_, i) => [`k${i}`, 0])))
const CHUNKS = Buffer.from(`10000\r\n${' '.repeat(65_536)}\r\n`.repeat(MAX_BODY / 65_536 + 1), 'latin1')
const BOMBS = { gzip: gzipSync(Buffer.alloc(50_000_000)), br: brotliCompressSync(Buffer.alloc(1_000_000)) }

describe('HTTP', () => {
  const head = 'POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n'
  it.each<[string, string, number, ErrorCode]>([
    [
      '1 content-length and transfer-encoding',
      `${head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      'invalid_request',
    ],
    ['2 two content-lengths', `${head}content-length: 4\r\ncontent-length: 5\r\n\r\nabcde`, 400, 'invalid_request'],
    ['3 obscured transfer-encoding', `${head}transfer-encoding: chunked, identity\r\n\r\n`, 400, 'invalid_request'],
    ['4 space before the colon', `${head}content-length : 4\r\n\r\nabcd`, 400, 'invalid_request'],
    ['5 bare line feed', 'GET /livez HTTP/1.1\nhost: a\n\n', 400, 'invalid_request'],
    ['6 folded header', 'GET /livez HTTP/1.1\r\nhost: a\r\nx-a: b\r\n c\r\n\r\n', 400, 'invalid_request'],
    ['7 NUL in a value', 'GET /livez HTTP/1.1\r\nhost: a\r\nx-a: b\0c\r\n\r\n', 400, 'invalid_request'],
    ['7 CR in a value', 'GET /livez HTTP/1.1\r\nhost: a\r\nx-a: b\rc\r\n\r\n', 400, 'invalid_request'],
    ['8 two hosts', 'GET /livez HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n', 400, 'invalid_request'],
    ['9 absolute target', 'GET http://evil.test/livez HTTP/1.1\r\nhost: a\r\n\r\n', 400, 'invalid_request'],
    ['10 no host', 'GET /livez HTTP/1.1\r\n\r\n', 400, 'invalid_request'],
    [
      '11 17 KiB of headers',
      `GET /livez HTTP/1.1\r\nhost: a\r\nx-a: ${'b'.repeat(17_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    ['12 101 headers', `GET /livez HTTP/1.1\r\nhost: a\r\n${'x: y\r\n'.repeat(100)}\r\n`, 431, 'headers_too_large'],
    ['16 dots', 'GET /v1/../admin/keys HTTP/1.1\r\nhost: a\r\n\r\n', 400, 'invalid_request'],
    ['16 escaped dots', 'GET /v1/%2e%2E/livez HTTP/1.1\r\nhost: a\r\n\r\n', 400, 'invalid_request'],
    ['16 two slashes', 'GET //livez HTTP/1.1\r\nhost: a\r\n\r\n', 400, 'invalid_request'],
    ['16 escaped NUL', 'GET /v1/jobs/a%00b HTTP/1.1\r\nhost: a\r\n\r\n', 400, 'invalid_request'],
    ['16 half an escape', 'GET /v1/jobs/%zz HTTP/1.1\r\nhost: a\r\n\r\n', 400, 'invalid_request'],
    ['16 8 KiB target', `GET /${'a'.repeat(8_192)} HTTP/1.1\r\nhost: a\r\n\r\n`, 414, 'uri_too_long'],
    ['16 5 KiB target', `GET /${'a'.repeat(5_000)} HTTP/1.1\r\nhost: a\r\n\r\n`, 414, 'uri_too_long'],
    ['17 method of another protocol', 'BREW /livez HTTP/1.1\r\nhost: a\r\n\r\n', 405, 'method_not_allowed'],
    ['18 odd expectation', 'GET /livez HTTP/1.1\r\nhost: a\r\nexpect: a miracle\r\n\r\n', 417, 'expectation_failed'],
    ['TLS on the plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'invalid_request'],
    ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid_request'],
    ['negative content-length', `${head}content-length: -1\r\n\r\n`, 400, 'invalid_request'],
    ['no route', 'GET /v2/models HTTP/1.1\r\nhost: a\r\n\r\n', 404, 'route_not_found'],
    ['admin route on the public port', 'GET /admin/keys HTTP/1.1\r\nhost: a\r\n\r\n', 404, 'route_not_found'],
  ])('%s', async (_name, bytes, status, code) => {
    await refused(send(app.port, bytes), status, code)
  })

  it('7 line breaks cannot get into an answer', async () => {
    const answer = await send(app.port, 'GET /livez HTTP/1.1\r\nhost: a\r\nx-request-id: a<b>\r\n\r\n')
    expect(answer.headers['x-request-id']).toMatch(/^req_[0-9a-f]{24}$/)
  })

  it('a sane request id comes back, on refusals too', async () => {
    const answer = await send(app.port, 'GET /v1/models HTTP/1.1\r\nhost: a\r\nx-request-id: trace-7.a\r\n\r\n')
    expect([answer.status, answer.headers['x-request-id']]).toEqual([401, 'trace-7.a'])
  })

  it("that of a batch's line is nobody's to give: goals don't judge it as others", async () => {
    const answer = await send(app.port, 'GET /livez HTTP/1.1\r\nhost: a\r\nx-request-id: line_00ff\r\n\r\n')
    expect(answer.headers['x-request-id']).toMatch(/^req_/)
  })

  it('13 a flood of chunk extensions', async () => {
    await refused(
      send(
        app.port,
        `${head}authorization: Bearer ${app.key}\r\ntransfer-encoding: chunked\r\n\r\n` +
          `1;${'a'.repeat(20_000)}\r\nx\r\n0\r\n\r\n`,
      ),
      413,
      'body_too_large',
    )
  })

  it('14 slow headers are cut', async () => {
    const got = await refused(
      send(app.port, 'GET /livez HTTP/1.1\r\nhost: a\r\n', {
        drip: { bytes: 'x: y\r\n', everyMs: 100 },
        untilClosed: true,
      }),
      408,
      'request_timeout',
    )
    expect(got.closed).toBe(true)
    expectInTime(got.tookMs, 4_000)
  })

  it('15 a slow body is cut', async () => {
    const start = request('POST', '/v1/chat/completions', { ...auth(), 'content-length': '1000' })
    const got = await refused(
      send(app.port, start, { drip: { bytes: ' ', everyMs: 100 }, untilClosed: true }),
      408,
      'request_timeout',
    )
    expect(got.closed).toBe(true)
  })

  it('17 a method that a route lacks names those it has', async () => {
    const got = await refused(ask('PUT', '/v1/models'), 405, 'method_not_allowed')
    expect(got.headers['allow']).toBe('HEAD, GET')
    expect((await refused(ask('DELETE', '/v1/chat/completions'), 405, 'method_not_allowed')).headers['allow']).toBe(
      'POST',
    )
    await refused(ask('TRACE', '/v1/models'), 405, 'method_not_allowed')
    await refused(ask('PROPFIND', '/v1/models'), 405, 'method_not_allowed')
    await refused(ask('OPTIONS', '/v1/models'), 405, 'method_not_allowed')
  })

  it('19 an upgrade to h2c is ignored', async () => {
    const got = await send(
      app.port,
      request('GET', '/livez', {
        upgrade: 'h2c',
        connection: 'upgrade, http2-settings',
        'http2-settings': 'AAMAAABkAAQAoAAAAAIAAAAA',
      }),
    )
    expect([got.status, JSON.parse(got.body)]).toEqual([200, { status: 'ok' }])
  })

  it('expect: 100-continue is answered only for a body that is wanted', async () => {
    const body = JSON.stringify(chat('demo: tokens=2 delay=1 ttft=1'))
    const head = (key: string): Buffer =>
      request('POST', '/v1/chat/completions', {
        ...auth(key),
        expect: '100-continue',
        'content-length': String(Buffer.byteLength(body)),
      })
    expect((await send(app.port, Buffer.concat([head(app.key), Buffer.from(body)]))).status).toBe(200)
    const socket = connect(app.port, '127.0.0.1')
    socket.write(head('sk-sluice-wrong'))
    const first = await new Promise<string>((done) => socket.once('data', (d) => done(d.toString())))
    socket.destroy()
    expect(first).toMatch(/^HTTP\/1\.1 401 /)
  })
})

describe('who asks', () => {
  const models = (headers: Record<string, string>, target = '/v1/models'): Promise<Answer> =>
    send(app.port, request('GET', target, headers))
  it.each<[string, () => Record<string, string>, ErrorCode]>([
    ['21 no key', () => ({}), 'missing_api_key'],
    [
      '22 another scheme',
      () => ({ authorization: `Basic ${Buffer.from(app.key).toString('base64')}` }),
      'missing_api_key',
    ],
    ['23 an empty key', () => ({ authorization: 'Bearer ' }), 'missing_api_key'],
    ['24 a key of 5 KB', () => auth(`sk-sluice-${'a'.repeat(5_000)}`), 'invalid_api_key'],
    ['25 a key with quotes', () => auth(`' OR 1=1 --"`), 'invalid_api_key'],
    ['25 a key of odd bytes', () => auth('sk-sluice-\xe4\xf6\xfc\xff'), 'invalid_api_key'],
    ['26 a wrong checksum', () => auth(app.key.slice(0, -1) + (app.key.endsWith('a') ? 'b' : 'a')), 'invalid_api_key'],
    ['26 a right checksum of no key', () => auth(mintKey(systemIds()).key), 'invalid_api_key'],
    ['the admin key', () => auth(ADMIN_KEY), 'invalid_api_key'],
  ])('%s', async (_name, headers, code) => {
    await refused(models(headers()), 401, code)
  })

  it('27 a revoked key, and one that expired', async () => {
    const { id, key } = await app.addKey('gone')
    expect((await models(auth(key))).status).toBe(200)
    await send(app.adminPort, request('DELETE', `/admin/keys/${id}`, auth(ADMIN_KEY)))
    const got = await refused(models(auth(key)), 401, 'invalid_api_key')
    expect(got.body).not.toContain(key.slice(10, 20))
    const brief = await app.addKey('gone', { expires_in_ms: 1 })
    await new Promise((done) => setTimeout(done, 5))
    await refused(models(auth(brief.key)), 401, 'invalid_api_key')
  })

  it('28 two authorization headers', async () => {
    await refused(
      send(
        app.port,
        `GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${app.key}\r\nAuthorization: Bearer x\r\n\r\n`,
      ),
      400,
      'invalid_request',
    )
  })

  it('29 a key in the URL, even beside a good one', async () => {
    await refused(models({}, `/v1/models?api_key=${app.key}`), 401, 'invalid_api_key')
    await refused(models(auth(), `/v1/models?key=${app.key}`), 401, 'invalid_api_key')
    await refused(models({}, '/v1/models?api_key=abc'), 401, 'missing_api_key')
  })

  it("31 a tenant's key at the admin door", async () => {
    await refused(send(app.adminPort, request('GET', '/admin/keys', auth())), 403, 'forbidden')
  })
})

describe('bodies', () => {
  const post = (body: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> =>
    ask('POST', '/v1/chat/completions', body, headers)
  const good = JSON.stringify(chat(`${SECRET_TEXT} demo: tokens=2 delay=1 ttft=1`))
  it.each<[string, () => string | Buffer, number, ErrorCode]>([
    ['33 empty', () => '', 400, 'invalid_json'],
    ['34 not JSON', () => `{"model": ${SECRET_TEXT}`, 400, 'invalid_json'],
    ['34 JSON, but no object', () => '[1]', 400, 'invalid_request'],
    ['34 null', () => 'null', 400, 'invalid_request'],
    ['34 two values', () => '{"a":1}{"b":2}', 400, 'invalid_json'],
    ['37 65 deep', () => `{"a":${'['.repeat(64)}1${']'.repeat(64)}}`, 400, 'invalid_request'],
    ['37 a million deep', () => `{"a":${'['.repeat(1_000_000)}`, 400, 'invalid_request'],
    ['38 50,001 keys', () => MANY_KEYS, 400, 'invalid_request'],
    [
      '41 invalid UTF-8',
      () => Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
      400,
      'invalid_json',
    ],
    [
      '41 a surrogate as bytes',
      () => Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
      400,
      'invalid_json',
    ],
    ['41 half a pair', () => JSON.stringify(chat('x')).replace('"x"', '"\\ud83d"'), 400, 'invalid_json'],
    ['41 the other half', () => JSON.stringify(chat('x')).replace('"x"', '"\\uDE00a"'), 400, 'invalid_json'],
    [
      '43 NaN',
      () => '{"model":"demo","messages":[{"role":"user","content":"x"}],"temperature":NaN}',
      400,
      'invalid_json',
    ],
  ])('%s', async (_name, body, status, code) => {
    await refused(post(body()), status, code)
  })

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    'json',
    'application/json; charset=utf-16',
    'application/json;charset="iso-8859-1"',
  ])('35, 47 content-type %s', async (type) => {
    await refused(post(good, { 'content-type': type }), 415, 'unsupported_media_type')
  })

  it('36 a body over the cap, refused by its length alone', async () => {
    const got = await refused(
      send(app.port, request('POST', '/v1/chat/completions', { ...auth(), 'content-length': String(MAX_BODY + 1) })),
      413,
      'body_too_large',
    )
    expectInTime(got.tookMs, 500)
    expect(got.headers['connection']).toBe('close')
  })

  it('36 a sender of 8 MiB that reads only afterwards gets its answer', async () => {
    await refused(post(Buffer.alloc(2 * MAX_BODY, 0x20)), 413, 'body_too_large')
  })

  it('36 chunks over the cap', async () => {
    const head = request('POST', '/v1/chat/completions', { ...auth(), 'transfer-encoding': 'chunked' })
      .toString('latin1')
      .replace('content-length: 0\r\n', '')
    await refused(send(app.port, Buffer.concat([Buffer.from(head, 'latin1'), CHUNKS])), 413, 'body_too_large')
  })

  it('a body in chunks of a byte is refused before it costs much; one of small chunks is read', async () => {
    const head = request('POST', '/v1/chat/completions', { ...auth(), 'transfer-encoding': 'chunked' })
      .toString('latin1')
      .replace('content-length: 0\r\n', '')
    const inChunks = (size: number): string =>
      good.padEnd(60_000).replace(new RegExp(`[^]{${size}}`, 'g'), (c) => `${size.toString(16)}\r\n${c}\r\n`)
    const got = await refused(send(app.port, `${head}${inChunks(1)}0\r\n\r\n`), 400, 'invalid_request')
    expect(got.body).toContain('larger ones')
    expect((await send(app.port, `${head}${inChunks(20)}0\r\n\r\n`)).status).toBe(200)
  })

  it('40 a key that is there twice', async () => {
    await refused(post(good.replace('{', '{"model":"nope",')), 400, 'invalid_request')
  })
  it('41 whole pairs, and text that only looks like an escape, pass', async () => {
    expect((await post(good.replace(SECRET_TEXT, '\\ud83d\\ude00 \\\\ud83d'))).status).toBe(200)
  })
  it('42 a BOM is no harm', async () => {
    expect((await post(`\ufeff${good}`)).status).toBe(200)
  })
  it('44, 45 nothing is unpacked', async () => {
    await refused(post(BOMBS.gzip, { 'content-encoding': 'gzip' }), 415, 'unsupported_media_type')
    await refused(post(BOMBS.br, { 'content-encoding': 'br' }), 415, 'unsupported_media_type')
    await refused(post(gzipSync(good), { 'content-encoding': 'gzip, gzip, identity' }), 415, 'unsupported_media_type')
  })
  it('46 a body that breaks off', async () => {
    await refused(
      send(app.port, request('POST', '/v1/chat/completions', { ...auth(), 'content-length': '500' }, '{"model"'), {
        end: true,
      }),
      400,
      'invalid_request',
    )
  })
})

it('noise: whatever the bytes, there is an answer of ours or a close', async () => {
  const good = request(
    'POST',
    '/v1/chat/completions?x=1',
    auth(),
    JSON.stringify(chat('demo: tokens=1 delay=1 ttft=1')),
  )
  const random = (n: number): number => Math.floor(Math.random() * n)
  const noise = (): Buffer => {
    const bytes = Buffer.from(good)
    for (let i = 0; i < 1 + random(4); i++) bytes[random(bytes.length)] = random(256)
    const from = random(bytes.length)
    return random(3) === 0 ? Buffer.concat([bytes.subarray(0, from), bytes.subarray(random(bytes.length))]) : bytes
  }
  for (let i = 0; i < 40; i++) {
    const tries = Array.from({ length: 10 }, noise)
    const got = await Promise.all(tries.map((bytes) => send(app.port, bytes, { end: true, withinMs: 20_000 })))
    for (const [t, { status, closed }] of got.entries())
      expect(status === 0 ? closed : status < 500, JSON.stringify(tries[t].toString('latin1'))).toBe(true)
  }
})

afterAllThat(75)
