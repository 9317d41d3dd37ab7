/** The first requests of somebody new: another base URL, another header, another name, somebody else's API. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({
    bad_keys_per_minute: 3,
    cors_origins: ['HTTPS://App.example.com:443/', 'https://other.example'],
    max_wait_ms: '300ms',
  })
})
afterAll(() => app?.stop())

const ask = (
  method: string,
  target: string,
  body: unknown = undefined,
  headers: Record<string, string> = { authorization: `Bearer ${app.key}` },
  port = app.port,
): Promise<Answer> => send(port, request(method, target, headers, body === undefined ? '' : JSON.stringify(body)))
const message = ({ body }: Answer): string => (JSON.parse(body) as { error: { message: string } }).error.message
const hello = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=2 delay=1 ttft=1' }] }

describe('the base URL', () => {
  it.each(['/v1/chat/completions', '/chat/completions', '/v1/v1/chat/completions', '/v1/chat/completions/'])(
    'POST %s is answered',
    async (path) => {
      expect((await ask('POST', path, hello)).status).toBe(200)
    },
  )
  it.each(['/models', '/v1/models/', '/v1/v1/models', '/models/demo', '/v1/models/demo/', '/v1/models?api-version=1'])(
    'GET %s is answered',
    async (path) => {
      expect((await ask('GET', path)).status).toBe(200)
    },
  )
  it('POST /embeddings is answered', async () => {
    expect((await ask('POST', '/embeddings', { model: 'demo', input: 'x' })).status).toBe(200)
  })
  it('two slashes are refused, and where they come from is told', async () => {
    const got = await ask('POST', '/v1//chat/completions', hello)
    expect([got.status, message(got)]).toEqual([400, expect.stringContaining('base URL')])
  })
  it.each(['/openai/v1/chat/completions', '/openai/v1/responses', '/api/v1/jobs', '/proxy/chat/completions'])(
    '%s has a prefix too many: nothing is assumed of the client',
    async (path) => {
      const got = await ask('POST', path, hello)
      expect([got.status, message(got)]).toEqual([404, expect.stringMatching(/base URL.*\/v1/)])
      expect(message(got)).not.toContain('Azure')
    },
  )
  it("Azure's own paths are named as such", async () => {
    const got = await ask('POST', '/openai/deployments/m/chat/completions?api-version=1', hello)
    expect(message(got)).toMatch(/Azure/)
  })
  it.each(['/v1/chat/completions', '/v1/models', '/chat/completions', '/v1', '/v1/nothing', '/v1/jobs/job_1'])(
    '%s at the admin listener: the 404 names the right port',
    async (path) => {
      const got = await ask('GET', path, undefined, {}, app.adminPort)
      expect([got.status, message(got)]).toEqual([404, `This is the admin listener; the API is at port ${app.port}.`])
    },
  )
  it('what neither listener has is told as such', async () => {
    const got = await ask('GET', '/admin/kyes', undefined, {}, app.adminPort)
    expect(message(got)).toBe('There is no such route: GET /admin/kyes. Did you mean "/admin/keys"?')
  })
  it('another model than there is: the 404 tells of "*"', async () => {
    const near = await ask('POST', '/v1/chat/completions', { ...hello, model: 'dmeo' })
    expect(message(near)).toContain('Did you mean "demo"?')
    for (const got of [
      await ask('POST', '/v1/chat/completions', { ...hello, model: 'gpt-9' }),
      await ask('GET', '/v1/models/gpt-9'),
    ])
      expect([got.status, got.code, message(got)]).toEqual([404, 'model_not_found', expect.stringContaining('"*"')])
  })
})

describe('the key', () => {
  it.each(['x-api-key', 'api-key', 'X-Api-Key'])('in %s is as good', async (name) => {
    expect((await ask('GET', '/v1/models', undefined, { [name]: app.key })).status).toBe(200)
  })
  it('twice the same is one; two that differ are none', async () => {
    const bearer = { authorization: `Bearer ${app.key}` }
    expect((await ask('GET', '/v1/models', undefined, { ...bearer, 'x-api-key': app.key })).status).toBe(200)
    const got = await ask('GET', '/v1/models', undefined, { ...bearer, 'api-key': `${app.key}x` })
    expect([got.status, got.code]).toEqual([400, 'invalid_request'])
    expect(got.body).not.toContain(app.key)
  })
  it('beside the basic authorization that a proxy checks', async () => {
    const got = await ask('GET', '/v1/models', undefined, { authorization: 'Basic eDp5', 'x-api-key': app.key })
    expect(got.status).toBe(200)
  })
  it.each<[string, Record<string, string>, string, string]>([
    [
      'in a header of another API',
      { 'x-goog-api-key': 'abc' },
      '/v1/models',
      'The header "x-goog-api-key" is not read',
    ],
    ['without "Bearer"', { authorization: 'abc' }, '/v1/models', 'The authorization header has no "Bearer " prefix.'],
    ['in the URL', {}, '/v1/models?key=abc', 'in the URL is never read'],
    ['in the URL, by another name', {}, '/v1/models?api-key=abc', 'in the URL is never read'],
    ['nowhere', {}, '/v1/models', 'No API key'],
  ])('%s: 401 names what was seen', async (_name, headers, target, text) => {
    const got = await ask('GET', target, undefined, headers)
    expect([got.status, got.code, message(got)]).toEqual([401, 'missing_api_key', expect.stringContaining(text)])
    expect(got.body).not.toContain('abc')
  })
  it('opens a WebSocket too', async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${app.port}/v1/ws`, 'sluice.v1', { headers: { 'x-api-key': app.key } })
    await new Promise((done, failed) => ws.on('open', done).on('error', failed))
    ws.send(JSON.stringify({ t: 'ping' }))
    const [first] = await new Promise<[Buffer]>((done) => ws.on('message', (...m) => done(m as unknown as [Buffer])))
    expect(JSON.parse(first.toString())).toEqual({ t: 'pong' })
    ws.close()
  })
})

describe('a query parameter nobody knows', () => {
  it.each([
    ['GET', '/v1/models'],
    ['GET', '/v1/jobs'],
    ['GET', '/v1/conversations'],
    ['GET', '/v1/jobs/job_x'],
    ['GET', '/v1/jobs/job_x/events'],
    ['POST', '/v1/chat/completions'],
    ['POST', '/v1/tickets'],
    ['POST', '/v1/sessions'],
  ])('%s %s?foo=1: 400', async (method, path) => {
    const got = await ask(method, `${path}?foo=1`, method === 'POST' ? {} : undefined)
    expect([got.status, got.code, JSON.parse(got.body).error.param]).toEqual([400, 'invalid_request', 'foo'])
  })
  it('on the admin listener, with the nearest name', async () => {
    const admin = { authorization: `Bearer ${ADMIN_KEY}` }
    const got = await ask('GET', '/admin/jobs?tenat=x', undefined, admin, app.adminPort)
    expect([got.status, message(got)]).toEqual([400, expect.stringContaining('Did you mean "tenant"?')])
    expect((await ask('GET', '/admin/keys?foo=1', undefined, admin, app.adminPort)).status).toBe(400)
  })
  it('probes take any', async () => {
    expect((await ask('GET', '/livez?ts=1', undefined, {})).status).toBe(200)
  })
  it('no key comes first', async () => {
    expect((await ask('GET', '/v1/models?foo=1', undefined, {})).status).toBe(401)
  })
})

describe("the operator's list of jobs", () => {
  const admin = async (query: string): Promise<Array<Record<string, unknown>>> => {
    const got = await ask(
      'GET',
      `/admin/jobs${query}`,
      undefined,
      { authorization: `Bearer ${ADMIN_KEY}` },
      app.adminPort,
    )
    expect(got.status, got.body).toBe(200)
    return (JSON.parse(got.body) as { data: Array<Record<string, unknown>> }).data
  }
  it('shows whose they are, and filters by it; cursors are those of the jobs', async () => {
    const other = await app.addKey('other')
    const submit = async (key: string, user: string): Promise<Record<string, unknown>> => {
      const made = await ask('POST', '/v1/jobs', { request: { ...hello, user } }, { authorization: `Bearer ${key}` })
      expect(made.status, made.body).toBe(202)
      return JSON.parse(made.body) as Record<string, unknown>
    }
    const made = [await submit(app.key, 'ann'), await submit(app.key, 'bob'), await submit(other.key, 'ann')]
    const ids = made.map((job) => job['id'])
    await expect.poll(async () => (await admin('?state=done')).filter((j) => ids.includes(j['id'])).length).toBe(3)
    const whose = async (query: string): Promise<unknown[]> =>
      (await admin(query)).filter((j) => ids.includes(j['id'])).map((j) => [j['tenant'], j['user']])
    expect(await whose('')).toEqual([
      ['other', 'ann'],
      ['default', 'bob'],
      ['default', 'ann'],
    ])
    expect(await whose('?tenant=other')).toEqual([['other', 'ann']])
    expect(await whose('?tenant=default&user=ann')).toEqual([['default', 'ann']])
    expect(await whose('?user=nobody')).toEqual([])
    for (const job of await admin('?tenant=default')) {
      const own = JSON.parse((await ask('GET', `/v1/jobs/${job['id']}`)).body) as Record<string, unknown>
      expect([job['cursor'], job['key']]).toEqual([own['cursor'], expect.stringMatching(/^key_/)])
      expect(own['cursor']).not.toBe('1-0')
    }
    const listed = JSON.parse((await ask('GET', '/v1/jobs?user=bob')).body) as { data: Array<Record<string, unknown>> }
    expect(listed.data.map((j) => [j['user'], j['tenant']])).toEqual([['bob', undefined]])
  })
  it('a joined job comes with its cursor', async () => {
    const job = { request: hello, idempotency_key: 'once' }
    const { id } = JSON.parse((await ask('POST', '/v1/jobs', job)).body) as { id: string }
    await expect.poll(async () => JSON.parse((await ask('GET', `/v1/jobs/${id}`)).body).state).toBe('done')
    const again = await ask('POST', '/v1/jobs', job)
    expect([again.status, JSON.parse(again.body).cursor]).toEqual([200, expect.not.stringMatching(/-0$/)])
  })
})

describe('codes name the thing', () => {
  it('a key that is not there', async () => {
    const got = await ask(
      'DELETE',
      '/admin/keys/key_x',
      undefined,
      { authorization: `Bearer ${ADMIN_KEY}` },
      app.adminPort,
    )
    expect([got.status, got.code]).toEqual([404, 'key_not_found'])
  })
  it('a job that is not there, again', async () => {
    const admin = { authorization: `Bearer ${ADMIN_KEY}` }
    for (const [path, headers, port] of [
      ['/v1/jobs/job_x/redrive', { authorization: `Bearer ${app.key}` }, app.port],
      ['/admin/jobs/job_x/redrive', admin, app.adminPort],
      ['/admin/jobs/job_x/cancel', admin, app.adminPort],
    ] as const) {
      const got = await ask('POST', path, {}, headers, port)
      expect([got.status, got.code], path).toEqual([404, 'job_not_found'])
    }
  })
  it('too many wrong keys', async () => {
    let got: Answer
    do got = await ask('GET', '/v1/models', undefined, { authorization: 'Bearer sk-sluice-wrong' })
    while (got.status === 401)
    expect([got.status, got.code]).toEqual([429, 'too_many_auth_failures'])
  })
})

describe('waiting', () => {
  it('wait_ms is answered before proxies give up, whatever was asked', async () => {
    const { id } = JSON.parse(
      (
        await ask('POST', '/v1/jobs', {
          request: { ...hello, messages: [{ role: 'user', content: 'demo: tokens=900 delay=20' }] },
        })
      ).body,
    ) as { id: string }
    await expect.poll(async () => JSON.parse((await ask('GET', `/v1/jobs/${id}`)).body).state).toBe('leased')
    for (const [target, status] of [
      [`/v1/jobs/${id}?wait_ms=60000`, 200],
      [`/v1/jobs/${id}/result?wait_ms=86400000`, 202],
    ] as const) {
      const got = await ask('GET', target)
      expect([got.status, JSON.parse(got.body).state]).toEqual([status, 'leased'])
      expect(got.tookMs).toBeGreaterThan(290)
    }
    await ask('POST', `/v1/jobs/${id}/cancel`)
  })
})

describe('origins', () => {
  const allowed = async (origin: string): Promise<string | undefined> =>
    (await ask('GET', '/v1/models', undefined, { authorization: `Bearer ${app.key}`, origin })).headers[
      'access-control-allow-origin'
    ]
  it.each(['https://app.example.com', 'https://APP.example.com:443', 'https://app.example.com.'])(
    '%s is listed',
    async (origin) => {
      expect(await allowed(origin)).toBe(origin)
    },
  )
  it.each(['http://app.example.com', 'https://app.example.com:8443', 'https://evil.example', 'null'])(
    '%s is not',
    async (origin) => {
      expect(await allowed(origin)).toBe(undefined)
    },
  )
  it('a refused preflight names the origin to add', async () => {
    const got = await ask('OPTIONS', '/v1/jobs', undefined, {
      origin: 'https://new.example',
      'access-control-request-method': 'POST',
    })
    expect([got.code, message(got)]).toEqual(['origin_forbidden', expect.stringContaining('"https://new.example"')])
  })
  it('a page behind a proxy that ends TLS opens a WebSocket on its own host', async () => {
    const upgraded = (host: string, origin: string): Promise<number> =>
      new Promise((done) => {
        const ws = new WebSocket(`ws://127.0.0.1:${app.port}/v1/ws`, 'sluice.v1', { headers: { host, origin } })
        ws.on('open', () => {
          ws.close()
          done(101)
        })
        ws.on('unexpected-response', (_request, response) => done(response.statusCode!))
        ws.on('error', () => {})
      })
    expect(await upgraded('app:443', 'https://app')).toBe(101)
    expect(await upgraded('app', 'https://app')).toBe(101)
    expect(await upgraded('app', 'https://other.example:443')).toBe(101)
    expect(await upgraded('app:443', 'https://evil')).toBe(403)
    expect(await upgraded('app:443', 'null')).toBe(403)
  })
})

describe('headers', () => {
  const big = (bytes: number): Promise<Answer> =>
    ask('GET', '/livez', undefined, { 'x-forwarded-token': 'a'.repeat(bytes) })
  it('takes what auth proxies add, and names the setting beyond', async () => {
    expect((await big(12 * 1024)).status).toBe(200)
    const got = await big(17 * 1024)
    expect([got.status, got.code, message(got)]).toEqual([
      431,
      'headers_too_large',
      expect.stringContaining('http.max_header_bytes'),
    ])
  })
})
