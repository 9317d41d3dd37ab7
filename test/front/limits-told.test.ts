/** What limits tell over HTTP, SSE and WebSocket, and what the official SDK makes of it: PROTOCOL.md, sections 2-6. */
import OpenAI, { RateLimitError } from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openPeer, type Peer } from '../protocol/peer.ts'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, chat, request, send } from './wire.ts'

let app: TestApp
const keys: Record<string, { id: string; key: string }> = {}
const peers: Peer[] = []

const TENANTS = {
  many: { requests_per_minute: 1_000_000 },
  /** One request at once; the next one after 0.8 s. */
  quick: { requests_per_minute: 60, burst: 0.02 },
  poor: { dollars_per_month: 0.000001 },
  /** One at a time. */
  narrow: { concurrent: 1 },
  stingy: { output_tokens_per_minute: 12_000, burst: 0.001, when_out: 'cut' },
  brief: { max_request_bytes: 400, each_user: { max_request_bytes: 300 } },
  pages: { requests_per_minute: 400, each_user: { requests_per_minute: 500 } },
  free: {},
}

beforeAll(async () => {
  app = await startTestApp(
    { cors_origins: ['https://app.example.com'] },
    {
      models: [
        { name: 'demo', provider: 'demo' },
        { name: 'shared', provider: 'demo' },
        { name: 'dear', provider: 'demo', price: { input: 10, output: 30 } },
      ],
      limits: {
        models: [{ name: 'shared', requests_per_minute: 4, burst: 0.25 }],
        // Two requests, and 400 tokens
        each_tenant: { requests_per_minute: 4, tokens_per_minute: 800, burst: 0.5 },
      },
      tenants: Object.entries(TENANTS).map(([name, limits]) => ({ name, limits })),
    },
  )
  for (const name of Object.keys(TENANTS)) keys[name] = await app.addKey(name)
})
afterEach(() => {
  for (const peer of peers.splice(0)) peer.drop()
})
afterAll(() => app?.stop())

let tenants = 0
/** One that has used nothing yet. */
async function fresh(): Promise<string> {
  const name = `few-${++tenants}`
  keys[name] = await app.addKey(name)
  return name
}
const post = (tenant: string, body: object, more: Record<string, string> = {}, path = '/v1/chat/completions') =>
  send(app.port, request('POST', path, { authorization: `Bearer ${keys[tenant].key}`, ...more }, JSON.stringify(body)))
const read = async (tenant: string, path: string): Promise<any> => {
  const got = await send(app.port, request('GET', path, { authorization: `Bearer ${keys[tenant].key}` }))
  return JSON.parse(got.body)
}
const ask = (more: object = {}) => chat('Hi. demo: tokens=3 delay=1 ttft=1', more)
const errorOf = ({ body }: Answer): any => JSON.parse(body).error
const rateHeaders = ({ headers }: Answer) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.includes('ratelimit')))
async function greeted(tenant: string): Promise<Peer> {
  const peer = await openPeer(`http://127.0.0.1:${app.port}`, {
    headers: { authorization: `Bearer ${keys[tenant].key}` },
  })
  peers.push(peer)
  return peer
}

describe('what is left', () => {
  it('is told by each answer, JSON and stream, and by a submit', async () => {
    const before = rateHeaders(await post('many', ask()))
    expect(before).toEqual({
      'x-ratelimit-limit-requests': '1000000',
      'x-ratelimit-remaining-requests': '999999',
      'x-ratelimit-reset-requests': '1ms',
      'ratelimit-policy': '"tenant-requests";q=1000000;w=60',
      ratelimit: '"tenant-requests";r=999999;t=1',
    })
    const stream = await post('many', ask({ stream: true }))
    expect(stream.headers['content-type']).toMatch('text/event-stream')
    expect(rateHeaders(stream)).toMatchObject({ 'x-ratelimit-limit-requests': '1000000' })
    const later = await post('many', ask(), { prefer: 'respond-async' })
    const job = await post('many', { request: ask() }, {}, '/v1/jobs')
    for (const taken of [later, job]) {
      expect([taken.status, rateHeaders(taken)]).toMatchObject([202, { ratelimit: expect.any(String) }])
      expect(JSON.parse(taken.body).limits).toMatchObject([{ level: 'tenant', unit: 'requests', limit: 1_000_000 }])
    }
  })

  it('is told of a join, too', async () => {
    const retried = { 'x-stainless-retry-count': '1' }
    const body = ask({ metadata: { n: 'join' } })
    const first = await post('many', body)
    const again = await post('many', body, retried)
    expect(again.headers['sluice-job']).toBe(first.headers['sluice-job'])
    expect(rateHeaders(again)).toMatchObject({ 'x-ratelimit-limit-requests': '1000000' })
  })

  it('may be read by pages of origins that may call', async () => {
    const got = await post('many', ask(), { origin: 'https://app.example.com' })
    expect(got.headers['access-control-expose-headers']).toContain('x-ratelimit-remaining-requests')
  })

  it('is not told where nothing is limited, nor of a limit that other tenants use', async () => {
    for (const model of ['demo', 'shared']) {
      const got = await post('free', ask({ model }))
      expect([got.status, rateHeaders(got)]).toEqual([200, {}])
    }
  })

  it("a page's session is told of its own user's limit, and of no other user's use (T1)", async () => {
    const made = await post('pages', { user: 'ann' }, {}, '/v1/tickets')
    const { ticket } = JSON.parse(made.body)
    const session = await send(app.port, request('POST', '/v1/sessions', {}, JSON.stringify({ ticket })))
    const { token } = JSON.parse(session.body)
    const got = await post('pages', ask(), { authorization: `Bearer ${token}` })
    expect(rateHeaders(got)).toMatchObject({ ratelimit: expect.stringMatching(/^"user-requests";r=499;t=\d$/) })
    expect(JSON.stringify(got.headers)).not.toContain('tenant')
    // The key itself sees all of its tenant
    expect(rateHeaders(await post('pages', ask()))).toMatchObject({ ratelimit: expect.stringContaining('"tenant-') })
  })
})

describe('a refusal', () => {
  it('names what has no room, when there is, and costs nothing', async () => {
    const few = await fresh()
    for (let i = 0; i < 2; i++) expect((await post(few, ask())).status).toBe(200)
    const got = await post(few, ask())
    expect(got.status).toBe(429)
    const error = errorOf(got)
    expect(error).toMatchObject({
      type: 'requests',
      code: 'rate_limit_exceeded',
      param: null,
      limit: { level: 'tenant', name: few, unit: 'requests', limit: 2, remaining: 0, requested: 1 },
    })
    expect(error.message).toMatch(/^Rate limit reached for demo \(your account\) on requests: Limit 2, Used \d, /)
    const { headers } = got
    const ms = Number(headers['retry-after-ms'])
    expect(headers['x-should-retry']).toBe('true')
    expect(Number(headers['retry-after'])).toBe(Math.ceil(ms / 1_000))
    // Two requests are back in 30 s, one in 15; later by up to a fifth
    expect(error.limit.reset_ms).toBeLessThanOrEqual(15_000)
    expect(ms).toBeGreaterThanOrEqual(error.limit.reset_ms)
    expect(ms).toBeLessThanOrEqual(error.limit.reset_ms * 1.2 + 1)
    expect(rateHeaders(got)).toMatchObject({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '0',
    })
    // Nor has the refused one used any tokens
    expect(headers).not.toHaveProperty('x-ratelimit-limit-tokens')
  })

  it('of what can never fit is final', async () => {
    const got = await post(await fresh(), chat(`${'A long story of rivers. '.repeat(200)} demo: tokens=3`))
    expect(got.status).toBe(429)
    expect(errorOf(got)).toMatchObject({
      type: 'tokens',
      code: 'rate_limit_exceeded',
      sluice_code: 'request_exceeds_limit',
      message: expect.stringMatching(/^Request too large for demo .*: Limit 400, Requested \d+\. The input or output/),
      limit: { unit: 'tokens', limit: 400, reset_ms: null },
    })
    expect(got.headers).toMatchObject({ 'x-should-retry': 'false', 'x-ratelimit-limit-tokens': '400' })
    expect(got.headers['retry-after']).toBeUndefined()
  })

  it('for lack of money is a quota', async () => {
    const got = await post('poor', ask({ model: 'dear', max_tokens: 5 }))
    expect(got.status).toBe(429)
    expect(errorOf(got)).toMatchObject({
      type: 'insufficient_quota',
      code: 'insufficient_quota',
      limit: { level: 'tenant', unit: 'nano_dollars', window: 'month', limit: 1_000, remaining: 1_000 },
    })
    expect([got.headers['x-should-retry'], got.headers['retry-after']]).toEqual(['false', undefined])
    expect(got.headers['ratelimit']).toMatch(/^"tenant-money";r=1/)
  })

  it('by what all tenants share tells nothing of them', async () => {
    let got = await post('free', ask({ model: 'shared' }))
    for (let i = 0; i < 3 && got.status === 200; i++) got = await post('free', ask({ model: 'shared' }))
    expect(got.status).toBe(429)
    const { limit, message } = errorOf(got)
    expect(limit).toEqual({ level: 'model', unit: 'requests', limit: 1, requested: 1, reset_ms: expect.any(Number) })
    expect(message).not.toContain('Used')
    expect(rateHeaders(got)).toEqual({})
  })

  it('is in a list of jobs in its place, over a WebSocket a frame, a line in the log, and counted', async () => {
    const large = chat(`${'A long story of rivers. '.repeat(200)} demo: tokens=3`)
    const few = await fresh()
    const list = await post(few, { jobs: [{ request: large }] }, {}, '/v1/jobs')
    expect(JSON.parse(list.body).data).toMatchObject([
      { object: 'error', error: { sluice_code: 'request_exceeds_limit', limit: { unit: 'tokens' } } },
    ])
    const peer = await greeted(few)
    peer.say({ t: 'submit', id: 's', request: large })
    expect(await peer.next('error')).toMatchObject({
      id: 's',
      error: { type: 'tokens', code: 'rate_limit_exceeded', limit: { level: 'tenant', unit: 'tokens', limit: 400 } },
      retryable: false,
    })
    const lines = app.log.filter((line) => line.includes('refused by a limit'))
    expect(lines.at(-1)).toMatch(/"tenant":"few-\d+".*"limit_level":"tenant","unit":"tokens"/)
    expect(lines.join()).not.toContain('rivers')
  })

  it('of a body that its length alone proves too large comes before the body', async () => {
    const head = request('POST', '/v1/chat/completions', {
      authorization: `Bearer ${keys['brief'].key}`,
      'content-length': '401',
    })
    const got = await send(app.port, head, { withinMs: 5_000 })
    expect([got.status, got.code, got.headers['x-should-retry']]).toEqual([413, 'body_too_large', 'false'])
    expect(errorOf(got).message).toContain('one of this account may have 400 bytes')
    // Its user is known once it is read
    const users = await post('brief', { ...ask(), user: 'ann', metadata: { pad: 'x'.repeat(200) } })
    expect([users.status, errorOf(users).message]).toEqual([413, expect.stringContaining('300 bytes')])
    expect((await post('brief', ask())).status).toBe(200)
  })
})

describe('in line', () => {
  const long = { request: chat('Hi. demo: tokens=400 delay=20 ttft=1') }

  it('a job tells which limit it waits for, to who submits it and to who asks', async () => {
    const first = JSON.parse((await post('narrow', long, {}, '/v1/jobs')).body)
    await expect.poll(async () => (await read('narrow', `/v1/jobs/${first.id}`)).state).toBe('leased')
    const peer = await greeted('narrow')
    peer.say({ t: 'submit', id: 's', ...long })
    const { job, queue } = await peer.next('accepted')
    const waiting = { level: 'tenant', unit: 'running', reset_ms: null }
    expect(queue).toMatchObject({ position: 1, waiting_for: waiting })
    const view = await read('narrow', `/v1/jobs/${job}`)
    expect(view).toMatchObject({ state: 'waiting', queue: { position: 1, waiting_for: waiting } })
    for (const id of [job, first.id]) await post('narrow', {}, {}, `/v1/jobs/${id}/cancel`)
  })
})

it('an answer that a limit cut tells so wherever its end is told', async () => {
  const made = await post('stingy', { request: chat('Hi. demo: tokens=4000 delay=4 ttft=1') }, {}, '/v1/jobs')
  const { id } = JSON.parse(made.body)
  const peer = await greeted('stingy')
  peer.say({ t: 'attach', job: id })
  const cut = { level: 'tenant', name: 'stingy', unit: 'output_tokens', limit: 12 }
  expect(await peer.next('end')).toMatchObject({ state: 'done', cut })
  expect(await read('stingy', `/v1/jobs/${id}`)).toMatchObject({ state: 'done', cut })
  const events = await send(
    app.port,
    request('GET', `/v1/jobs/${id}/events`, { authorization: `Bearer ${keys['stingy'].key}` }),
  )
  expect(events.body).toMatch(/event: end\ndata: \{"state":"done","cut":\{"level":"tenant"/)
})

/** When it was answered, and how long it was told to wait; null: it was not. */
interface Asked {
  readonly atMs: number
  readonly toldMs: number | null
}

describe('the official SDK', () => {
  function sdk(tenant: string) {
    const asked: Asked[] = []
    const openai = new OpenAI({
      baseURL: `http://127.0.0.1:${app.port}/v1`,
      apiKey: keys[tenant].key,
      maxRetries: 5,
      fetch: async (url, init) => {
        const response = await fetch(url, init)
        const told = response.headers.get('retry-after-ms')
        asked.push({ atMs: performance.now(), toldMs: told === null ? null : Number(told) })
        return response
      },
    })
    const create = (content: string, more: object = {}) =>
      openai.chat.completions.create({ model: 'demo', messages: [{ role: 'user', content }], ...more })
    return { asked, create }
  }

  it.each([
    ['too large', 'each', {}, 'A long story of rivers. '.repeat(200), 'rate_limit_exceeded', 'tokens'],
    ['no money', 'poor', { model: 'dear', max_tokens: 5 }, 'Hi', 'insufficient_quota', 'insufficient_quota'],
  ])('raises RateLimitError and repeats nothing: %s', async (_what, tenant, more, content, code, type) => {
    const { asked, create } = sdk(tenant === 'each' ? await fresh() : tenant)
    const error = await create(content, more).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(RateLimitError)
    expect(error).toMatchObject({ status: 429, code, type })
    expect((error as RateLimitError).error).toHaveProperty('limit.level', 'tenant')
    expect(asked).toHaveLength(1)
  })

  it('waits as long as it is told, and gets its answer', async () => {
    const { asked, create } = sdk('quick')
    const isRefused = ({ toldMs }: Asked) => toldMs !== null
    while (!asked.some(isRefused)) {
      const answer = await create('Hi. demo: tokens=3 delay=1 ttft=1')
      expect(answer.choices[0].finish_reason).toBe('stop')
    }
    const refused = asked.findIndex(isRefused)
    expect(asked[refused + 1].atMs - asked[refused].atMs).toBeGreaterThanOrEqual(asked[refused].toldMs! - 5)
    expect(asked[refused + 1].toldMs).toBeNull()
  })
})
