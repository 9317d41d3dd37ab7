/**
 * Everything a hostile or careless client may send, and what it is told. Each answer is an error of the table, in JSON; nothing
 * crashes, nothing hangs, the loop is never held, and no secret comes back or is logged.
 */
import { connect } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts'
import { systemIds } from '../../src/core/ids.ts'
import { mintKey } from '../../src/gateway/api-key.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { watchLoop } from './loop.ts'
import { type Answer, request, type SendOptions, send } from './wire.ts'

const SECRET_TEXT = 'canary-prompt-5f2c'
const MAX_BODY = 4 * 1024 * 1024

let app: TestApp
let foreign: { id: string; key: string }
let jobId: string
const refusals: Answer[] = []
/** Made before the loop is watched: packing holds it too. */
const BOMBS = { gzip: gzipSync(Buffer.alloc(50_000_000)), br: brotliCompressSync(Buffer.alloc(1_000_000)) }
const loop = watchLoop()

beforeAll(async () => {
  app = await startTestApp({ headers_timeout_ms: 500, request_timeout_ms: 1_000, bad_keys_per_minute: 1_000, max_readers_per_job: 3 })
  foreign = await app.addKey('stranger')
  const made = await ask('POST', '/v1/jobs', JSON.stringify({ request: chat('demo: tokens=40 delay=2 ttft=2'), idempotency_key: 'once' }))
  jobId = (JSON.parse(made.body) as { id: string }).id
  await ask('GET', `/v1/jobs/${jobId}/result?wait_ms=5000`)
  loop.start()
})
afterAll(() => app?.stop())

const auth = (key = app.key): Record<string, string> => ({ authorization: `Bearer ${key}` })
const chat = (content: unknown, more: object = {}): Record<string, unknown> => ({ model: 'demo', messages: [{ role: 'user', content }], ...more })
const ask = (method: string, target: string, body: string | Buffer = '', headers: Record<string, string> = {}, options: SendOptions = {}): Promise<Answer> =>
  send(app.port, request(method, target, { ...auth(), ...headers }, body), options)

async function refused(answer: Promise<Answer>, status: number, code: ErrorCode): Promise<Answer> {
  const got = await answer
  refusals.push(got)
  expect([got.status, got.code], got.body).toEqual([status, code])
  expect(JSON.parse(got.body)).toEqual({ error: { message: expect.any(String), type: ERRORS[code].type, param: JSON.parse(got.body).error.param, code } })
  return got
}

describe('HTTP', () => {
  const head = 'POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n'
  it.each<[string, string, number, ErrorCode]>([
    ['1 content-length and transfer-encoding', `${head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`, 400, 'invalid_request'],
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
    ['11 9 KiB of headers', `GET /livez HTTP/1.1\r\nhost: a\r\nx-a: ${'b'.repeat(9_000)}\r\n\r\n`, 431, 'headers_too_large'],
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

  it('13 a flood of chunk extensions', async () => {
    await refused(send(app.port, `${head}authorization: Bearer ${app.key}\r\ntransfer-encoding: chunked\r\n\r\n1;${'a'.repeat(20_000)}\r\nx\r\n0\r\n\r\n`), 413, 'body_too_large')
  })

  it('14 slow headers are cut', async () => {
    const got = await refused(send(app.port, 'GET /livez HTTP/1.1\r\nhost: a\r\n', { drip: { bytes: 'x: y\r\n', everyMs: 100 }, untilClosed: true }), 408, 'request_timeout')
    expect(got.closed).toBe(true)
    expect(got.tookMs).toBeLessThan(4_000)
  })

  it('15 a slow body is cut', async () => {
    const start = request('POST', '/v1/chat/completions', { ...auth(), 'content-length': '1000' })
    const got = await refused(send(app.port, start, { drip: { bytes: ' ', everyMs: 100 }, untilClosed: true }), 408, 'request_timeout')
    expect(got.closed).toBe(true)
  })

  it('17 a method that a route lacks names those it has', async () => {
    const got = await refused(ask('PUT', '/v1/models'), 405, 'method_not_allowed')
    expect(got.headers['allow']).toBe('HEAD, GET')
    expect((await refused(ask('DELETE', '/v1/chat/completions'), 405, 'method_not_allowed')).headers['allow']).toBe('POST')
    await refused(ask('TRACE', '/v1/models'), 405, 'method_not_allowed')
    await refused(ask('PROPFIND', '/v1/models'), 405, 'method_not_allowed')
    await refused(ask('OPTIONS', '/v1/models'), 405, 'method_not_allowed')
  })

  it('19 an upgrade to h2c is ignored', async () => {
    const got = await send(app.port, request('GET', '/livez', { upgrade: 'h2c', connection: 'upgrade, http2-settings', 'http2-settings': 'AAMAAABkAAQAoAAAAAIAAAAA' }))
    expect([got.status, JSON.parse(got.body)]).toEqual([200, { status: 'ok' }])
  })

  it('expect: 100-continue is answered only for a body that is wanted', async () => {
    const body = JSON.stringify(chat('demo: tokens=2 delay=1 ttft=1'))
    const head = (key: string): Buffer => request('POST', '/v1/chat/completions', { ...auth(key), expect: '100-continue', 'content-length': String(Buffer.byteLength(body)) })
    expect((await send(app.port, Buffer.concat([head(app.key), Buffer.from(body)]))).status).toBe(200)
    const socket = connect(app.port, '127.0.0.1')
    socket.write(head('sk-sluice-wrong'))
    const first = await new Promise<string>((done) => socket.once('data', (d) => done(d.toString())))
    socket.destroy()
    expect(first).toMatch(/^HTTP\/1\.1 401 /)
  })
})

describe('who asks', () => {
  const models = (headers: Record<string, string>, target = '/v1/models'): Promise<Answer> => send(app.port, request('GET', target, headers))
  it.each<[string, () => Record<string, string>, ErrorCode]>([
    ['21 no key', () => ({}), 'missing_api_key'],
    ['22 another scheme', () => ({ authorization: `Basic ${Buffer.from(app.key).toString('base64')}` }), 'missing_api_key'],
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
    await refused(send(app.port, `GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${app.key}\r\nAuthorization: Bearer x\r\n\r\n`), 400, 'invalid_request')
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
  const post = (body: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> => ask('POST', '/v1/chat/completions', body, headers)
  const good = JSON.stringify(chat(`${SECRET_TEXT} demo: tokens=2 delay=1 ttft=1`))
  it.each<[string, () => string | Buffer, number, ErrorCode]>([
    ['33 empty', () => '', 400, 'invalid_json'],
    ['34 not JSON', () => `{"model": ${SECRET_TEXT}`, 400, 'invalid_json'],
    ['34 JSON, but no object', () => '[1]', 400, 'invalid_request'],
    ['34 null', () => 'null', 400, 'invalid_request'],
    ['34 two values', () => '{"a":1}{"b":2}', 400, 'invalid_json'],
    ['37 65 deep', () => `{"a":${'['.repeat(64)}1${']'.repeat(64)}}`, 400, 'invalid_request'],
    ['37 a million deep', () => `{"a":${'['.repeat(1_000_000)}`, 400, 'invalid_request'],
    ['38 10,001 keys', () => JSON.stringify(chat('x', { many: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, 0])) })), 400, 'invalid_request'],
    ['39 __proto__', () => '{"model":"demo","messages":[{"role":"user","content":"x","__proto__":{"isAdmin":true}}]}', 400, 'invalid_request'],
    ['39 __proto__, escaped', () => '{"\\u005f_proto__":{"isAdmin":true}}', 400, 'invalid_request'],
    ['39 constructor.prototype', () => '{"constructor":{"prototype":{"isAdmin":true}}}', 400, 'invalid_request'],
    ['41 invalid UTF-8', () => Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]), 400, 'invalid_json'],
    ['41 a surrogate as bytes', () => Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]), 400, 'invalid_json'],
    ['41 half a pair', () => JSON.stringify(chat('x')).replace('"x"', '"\\ud83d"'), 400, 'invalid_json'],
    ['41 the other half', () => JSON.stringify(chat('x')).replace('"x"', '"\\uDE00a"'), 400, 'invalid_json'],
    ['43 1e999', () => '{"model":"demo","messages":[{"role":"user","content":"x"}],"temperature":1e999}', 400, 'invalid_request'],
    ['43 2^53+1', () => '{"model":"demo","messages":[{"role":"user","content":"x"}],"seed":9007199254740993}', 400, 'invalid_request'],
    ['43 -0 of tokens', () => '{"model":"demo","messages":[{"role":"user","content":"x"}],"max_tokens":-0}', 400, 'invalid_request'],
    ['43 NaN', () => '{"model":"demo","messages":[{"role":"user","content":"x"}],"temperature":NaN}', 400, 'invalid_json'],
  ])('%s', async (_name, body, status, code) => {
    await refused(post(body()), status, code)
  })

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonp', 'json'])('35, 47 content-type %s', async (type) => {
    await refused(post(good, { 'content-type': type }), 415, 'unsupported_media_type')
  })

  it('36 a body over the cap, refused by its length alone', async () => {
    const got = await refused(send(app.port, request('POST', '/v1/chat/completions', { ...auth(), 'content-length': String(MAX_BODY + 1) })), 413, 'body_too_large')
    expect(got.tookMs).toBeLessThan(500)
    expect(got.headers['connection']).toBe('close')
  })

  it('36 a sender of 8 MiB that reads only afterwards gets its answer', async () => {
    await refused(post(Buffer.alloc(2 * MAX_BODY, 0x20)), 413, 'body_too_large')
  })

  it('36 chunks over the cap', async () => {
    const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`
    const head = request('POST', '/v1/chat/completions', { ...auth(), 'transfer-encoding': 'chunked' })
      .toString('latin1')
      .replace('content-length: 0\r\n', '')
    await refused(send(app.port, head + chunk.repeat(MAX_BODY / 65_536 + 1)), 413, 'body_too_large')
  })

  it('40 of a repeated key the last one counts', async () => {
    expect((await post(good.replace('{', '{"model":"nope",'))).status).toBe(200)
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
    await refused(send(app.port, request('POST', '/v1/chat/completions', { ...auth(), 'content-length': '500' }, '{"model"'), { end: true }), 400, 'invalid_request')
  })
})

describe('chat requests', () => {
  const with_ = (more: object): Record<string, unknown> => chat(`${SECRET_TEXT} demo: tokens=2 delay=1 ttft=1`, more)
  const schema = (parameters: unknown): object => ({ tools: [{ type: 'function', function: { name: 'f', parameters } }] })
  const many = (n: number): Record<string, number> => Object.fromEntries(Array.from({ length: n }, (_, i) => [i, 1]))
  it.each<[string, () => unknown, number, ErrorCode, string | null]>([
    ['48 no model', () => ({ messages: [{ role: 'user', content: 'x' }] }), 404, 'model_not_found', 'model'],
    ['48 unknown model', () => with_({ model: 'gpt-9' }), 404, 'model_not_found', 'model'],
    ['48 a number', () => with_({ model: 7 }), 400, 'invalid_request', 'model'],
    ['49 messages are text', () => with_({ messages: SECRET_TEXT }), 400, 'invalid_request', 'messages'],
    ['49 none', () => with_({ messages: [] }), 400, 'invalid_request', 'messages'],
    ['49 absent', () => ({ model: 'demo' }), 400, 'invalid_request', 'messages'],
    ['49 100,000', () => with_({ messages: Array.from({ length: 100_000 }, () => 0) }), 400, 'invalid_request', 'messages'],
    ['49 null inside', () => with_({ messages: [null] }), 400, 'invalid_request', 'messages[0]'],
    ['50 unknown role', () => with_({ messages: [{ role: 'root', content: 'x' }] }), 400, 'invalid_request', 'messages[0].role'],
    ['50 role of the prototype', () => with_({ messages: [{ role: 'toString', content: 'x' }] }), 400, 'invalid_request', 'messages[0].role'],
    ['content is a number', () => with_({ messages: [{ role: 'user', content: 5 }] }), 400, 'invalid_request', 'messages[0].content'],
    ['a part without type', () => with_({ messages: [{ role: 'user', content: [{ text: 'x' }] }] }), 400, 'invalid_request', 'messages[0].content[0]'],
    ...[0, -1, 1e12, '10', 1.5].map((v): [string, () => unknown, number, ErrorCode, string] => [
      `51 max_tokens ${JSON.stringify(v)}`,
      () => with_({ max_tokens: v }),
      400,
      'invalid_request',
      'max_tokens',
    ]),
    ['51 max_completion_tokens', () => with_({ max_completion_tokens: 0 }), 400, 'invalid_request', 'max_completion_tokens'],
    ['52 n = 1000', () => with_({ n: 1000 }), 400, 'invalid_request', 'n'],
    ['53 temperature 3', () => with_({ temperature: 3 }), 400, 'invalid_request', 'temperature'],
    ['54 stream "true"', () => with_({ stream: 'true' }), 400, 'invalid_request', 'stream'],
    ['54 include_usage "yes"', () => with_({ stream_options: { include_usage: 'yes' } }), 400, 'invalid_request', 'stream_options'],
    ['55 1,000 stops', () => with_({ stop: Array.from({ length: 1_000 }, () => 'x') }), 400, 'invalid_request', 'stop'],
    ['57 a deep schema', () => schemaOfDepth(10_000), 400, 'invalid_request', null],
    ['57 $ref to itself', () => with_(schema({ $defs: { a: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' })), 400, 'invalid_request', 'tools'],
    [
      '57 $ref in a circle',
      () => with_(schema({ properties: { x: { $ref: '#/$defs/a' } }, $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } })),
      400,
      'invalid_request',
      'tools',
    ],
    ['59 user of 1 MB', () => with_({ user: 'u'.repeat(1_000_000) }), 400, 'invalid_request', 'user'],
    ['59 metadata of 1 MB', () => with_({ metadata: { a: 'm'.repeat(1_000_000) } }), 400, 'invalid_request', 'metadata'],
    ...['api_base', 'base_url', 'api_key', 'headers', 'extra_headers'].map((n): [string, () => unknown, number, ErrorCode, string] => [
      `60 ${n}`,
      () => with_({ [n]: 'http://evil.test' }),
      400,
      'invalid_request',
      n,
    ]),
    ...['../demo', 'a#b', '@evil.test', 'demo\r\nx: y', 'a b', 'a//b', 'é'].map((m): [string, () => unknown, number, ErrorCode, string] => [
      `61 model ${JSON.stringify(m)}`,
      () => with_({ model: m }),
      400,
      'invalid_request',
      'model',
    ]),
    ['63 logit_bias of 9,000', () => with_({ logit_bias: many(9_000) }), 400, 'invalid_request', 'logit_bias'],
    ['63 logit_bias 101', () => with_({ logit_bias: { 50256: 101 } }), 400, 'invalid_request', 'logit_bias'],
    ['sluice is text', () => with_({ sluice: 'x' }), 400, 'invalid_request', 'sluice'],
    ['an unknown wish', () => with_({ sluice: { prioritty: 'high' } }), 400, 'invalid_request', 'sluice.prioritty'],
  ])('%s', async (_name, body, status, code, param) => {
    const value = body()
    const got = await refused(ask('POST', '/v1/chat/completions', typeof value === 'string' ? value : JSON.stringify(value)), status, code)
    expect((JSON.parse(got.body) as { error: { param: string | null } }).error.param).toBe(param)
  })

  it.each<[string, object]>([
    ['53 temperature null', { temperature: null, max_tokens: null, stop: null, user: null }],
    [
      '56 an image that only the provider may fetch',
      {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image_url', image_url: { url: 'http://169.254.169.254/latest/meta-data' } },
              { type: 'text', text: 'demo: tokens=2 delay=1 ttft=1' },
            ],
          },
        ],
      },
    ],
    ['57 a schema that refers to itself further down', schema({ type: 'object', properties: { child: { $ref: '#' } }, $defs: { n: { items: { $ref: '#/$defs/n' } } } })],
    ['58 a pattern that is never compiled', schema({ type: 'string', pattern: '^(a+)+$' })],
    ['members nobody knows', { top_k: 5, provider_extra: { nested: [1, 2, { three: null }] } }],
  ])('passes: %s', async (_name, more) => {
    const got = await ask('POST', '/v1/chat/completions', JSON.stringify(with_(more)))
    expect(got.status, got.body).toBe(200)
  })

  const schemaOfDepth = (n: number): string => JSON.stringify(with_({ tools: [] })).replace('[]', `[${'{"a":'.repeat(n)}1${'}'.repeat(n)}]`)

  it.each<[string, unknown, number]>([
    ['62 no input', undefined, 400],
    ['62 an empty list', [], 400],
    ['62 an empty text', '', 400],
    ['62 10,000 texts', Array.from({ length: 10_000 }, () => 'x'), 400],
    ['62 a list with an empty text', ['a', ''], 400],
    ['62 a negative token', [1, -2], 400],
    ['62 tokens', [1, 2, 3], 200],
    ['62 lists of tokens', [[1, 2], [3]], 200],
  ])('%s', async (_name, input, status) => {
    const got = ask('POST', '/v1/embeddings', JSON.stringify({ model: 'demo', input }))
    if (status === 200) expect((await got).status).toBe(200)
    else await refused(got, status, 'invalid_request')
  })
  it('a model that does not embed', async () => {
    await refused(ask('POST', '/v1/embeddings', JSON.stringify({ model: 'talks', input: 'x' })), 400, 'invalid_request')
  })
})

describe('events', () => {
  const events = (query: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> => ask(method, `/v1/jobs/${jobId}/events${query}`, '', headers)
  it.each<[string, string, Record<string, string>, number, ErrorCode]>([
    ['64 Last-Event-ID: -1', '', { 'last-event-id': '-1' }, 400, 'cursor_invalid'],
    ['64 Last-Event-ID: abc', '', { 'last-event-id': 'abc' }, 400, 'cursor_invalid'],
    ['64 digits without end', '', { 'last-event-id': '9'.repeat(400) }, 400, 'cursor_invalid'],
    ['64 a cursor of the future', '?after=1-99999', {}, 400, 'cursor_ahead'],
    ['64 a future epoch', '?after=99-1', {}, 400, 'cursor_ahead'],
    ['64 8 KiB', '', { 'last-event-id': '1'.repeat(8_192) }, 431, 'headers_too_large'],
    ['after, twice', '?after=1-1&after=1-2', {}, 400, 'invalid_request'],
    ['an unknown dialect', '?dialect=klingon', {}, 400, 'invalid_request'],
    ['68 accept: application/json', '', { accept: 'application/json' }, 406, 'not_acceptable'],
  ])('%s', async (_name, query, headers, status, code) => {
    await refused(events(query, headers), status, code)
  })

  it.each(['*/*', 'text/event-stream', 'application/json, text/*;q=0.5'])('68 accept: %s', async (accept) => {
    expect((await events('', { accept, connection: 'close' }, 'GET')).status).toBe(200)
  })

  it("30, 64 another tenant's job, and none", async () => {
    await refused(events('', auth(foreign.key)), 404, 'job_not_found')
    await refused(ask('GET', '/v1/jobs/job_0000000000000000000000000a/events'), 404, 'job_not_found')
    await refused(ask('GET', `/v1/jobs/${encodeURIComponent("' OR 1=1 --")}/events`), 404, 'job_not_found')
  })

  it('65 an erased job', async () => {
    const made = JSON.parse((await ask('POST', '/v1/jobs', JSON.stringify({ request: chat('x') }))).body) as { id: string }
    expect((await ask('DELETE', `/v1/jobs/${made.id}`)).status).toBe(204)
    await refused(ask('GET', `/v1/jobs/${made.id}/events`), 404, 'job_not_found')
  })

  it('67 HEAD has the headers of the stream, and the connection goes on', async () => {
    const two = Buffer.concat([request('HEAD', `/v1/jobs/${jobId}/events`, auth()), request('GET', '/livez')])
    const socket = connect(app.port, '127.0.0.1')
    let text = ''
    socket.on('data', (d) => (text += d.toString()))
    socket.write(two)
    await expect.poll(() => text).toContain('{"status":"ok"}')
    socket.destroy()
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*?content-type: text\/event-stream[\s\S]*?\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
  })

  it('66 readers up to the cap, then 429', async () => {
    const made = JSON.parse((await ask('POST', '/v1/jobs', JSON.stringify({ request: chat('demo: tokens=500 delay=20 ttft=1') }))).body) as { id: string }
    const target = `/v1/jobs/${made.id}/events`
    const readers = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const socket = connect(app.port, '127.0.0.1')
        socket.write(request('GET', target, auth()))
        await new Promise((done) => socket.once('data', done))
        return socket
      }),
    )
    const got = await refused(ask('GET', target), 429, 'too_many_subscribers')
    expect(Number(got.headers['retry-after'])).toBeGreaterThan(0)
    readers[0].destroy()
    await expect.poll(async () => (await ask('GET', `/v1/jobs/${made.id}`)).status).toBe(200)
    await expect.poll(async () => (await ask('GET', target, '', {}, { withinMs: 100 })).status, { timeout: 3_000 }).toBe(200)
    // 69: a reader that closes its side is gone
    const half = await send(app.port, request('GET', target, auth()), { end: true, untilClosed: true, withinMs: 2_000 })
    expect(half.closed).toBe(true)
    for (const socket of readers) socket.destroy()
    await ask('POST', `/v1/jobs/${made.id}/cancel`)
  })
})

describe('jobs', () => {
  const job = (wishes: object, content = 'x'): Promise<Answer> => ask('POST', '/v1/jobs', JSON.stringify({ request: chat(content), ...wishes }))
  it('85 the same key with another body', async () => {
    await refused(job({ idempotency_key: 'once' }, 'something else'), 422, 'idempotency_conflict')
  })
  it.each<[string, object, string]>([
    ['86 a key of 10 KB', { idempotency_key: 'k'.repeat(10_000) }, 'idempotency_key'],
    ['87 delay -1', { delay_ms: -1 }, 'delay_ms'],
    ['87 delay 1e15', { delay_ms: 1e15 }, 'delay_ms'],
    ['88 priority null in text', { priority: 'NaN' }, 'priority'],
    ['88 priority a number', { priority: 5 }, 'priority'],
    ['a lane with a line break', { lane: 'a\nb' }, 'lane'],
    ['lane and conversation', { lane: 'a', conversation: 'b' }, 'lane'],
    ['metadata of numbers', { metadata: { a: 1 } }, 'metadata'],
    ['an unknown wish', { dead_line_ms: 5 }, 'dead_line_ms'],
    ['another endpoint', { endpoint: '/v1/images' }, 'endpoint'],
    ['no request', { request: null }, 'request'],
    ['wishes inside the request', { request: chat('x', { sluice: { lane: 'a' } }) }, 'request.sluice'],
  ])('%s', async (_name, wishes, param) => {
    const got = await refused(job(wishes), 400, 'invalid_request')
    expect((JSON.parse(got.body) as { error: { param: string } }).error.param).toBe(param)
  })
  it.each<[string, unknown]>([
    ['none', []],
    ['no list', {}],
    ['1,001', Array.from({ length: 1_001 }, () => ({}))],
  ])('a list of jobs: %s', async (_name, jobs) => {
    await refused(ask('POST', '/v1/jobs', JSON.stringify({ jobs })), 400, 'invalid_request')
  })
  it('one bad job of a list does not stop the others', async () => {
    const request = chat('demo: tokens=2 delay=1 ttft=1')
    const got = await ask('POST', '/v1/jobs', JSON.stringify({ jobs: [{ request }, { request, priority: 'urgent' }, 7, { request: { ...request, model: 'nope' } }, { request }] }))
    const { data } = JSON.parse(got.body) as { data: Array<{ object: string; error?: { code: string; param: string } }> }
    expect(got.status).toBe(202)
    expect(data.map((d) => d.object)).toEqual(['job', 'error', 'error', 'error', 'job'])
    expect(data.flatMap((d) => (d.object === 'error' ? [d.error!.param] : []))).toEqual(['jobs[1].priority', 'jobs[2]', 'jobs[3].model'])
  })
  it.each(['limit=0', 'limit=1001', 'limit=ten', 'state=sleeping', 'limit=1&limit=2'])('a list asked for with %s', async (query) => {
    await refused(ask('GET', `/v1/jobs?${query}`), 400, 'invalid_request')
  })
  it('a header that is nearly ours', async () => {
    const got = await refused(ask('POST', '/v1/chat/completions', JSON.stringify(chat('x')), { 'sluice-lanes': 'a' }), 400, 'invalid_request')
    expect(got.body).toContain('sluice-lane')
  })
  it('waits no longer than a minute', async () => {
    await refused(ask('GET', `/v1/jobs/${jobId}?wait_ms=60001`), 400, 'invalid_request')
  })
})

it('noise: whatever the bytes, there is an answer of ours or a close', async () => {
  const good = request('POST', '/v1/chat/completions?x=1', auth(), JSON.stringify(chat('demo: tokens=1 delay=1 ttft=1')))
  const random = (n: number): number => Math.floor(Math.random() * n)
  const noise = (): Buffer => {
    const bytes = Buffer.from(good)
    for (let i = 0; i < 1 + random(4); i++) bytes[random(bytes.length)] = random(256)
    const from = random(bytes.length)
    return random(3) === 0 ? Buffer.concat([bytes.subarray(0, from), bytes.subarray(random(bytes.length))]) : bytes
  }
  for (let i = 0; i < 40; i++) {
    const tries = Array.from({ length: 10 }, noise)
    const got = await Promise.all(tries.map((bytes) => send(app.port, bytes, { end: true, withinMs: 4_000 })))
    for (const [t, { status, closed }] of got.entries()) expect(status === 0 ? closed : status < 500, JSON.stringify(tries[t].toString('latin1'))).toBe(true)
  }
})

describe('after all that', () => {
  it('the server is well, and its loop was never held', async () => {
    const heldMs = loop.stop()
    expect((await ask('GET', '/v1/models')).status).toBe(200)
    expect(heldMs).toBeLessThan(100)
  })
  it('no refusal and no line of the log holds a secret', () => {
    const said = [...refusals.map((r) => JSON.stringify(r)), ...app.log].join('\n')
    expect(refusals.length).toBeGreaterThan(150)
    for (const secret of [app.key, app.key.slice(14), foreign.key, ADMIN_KEY, SECRET_TEXT]) expect(said.includes(secret)).toBe(false)
  })
  it('nothing was unforeseen', () => {
    expect(refusals.filter((r) => r.code === 'internal')).toEqual([])
    expect(app.log.filter((line) => line.startsWith('something unforeseen'))).toEqual([])
  })
})
