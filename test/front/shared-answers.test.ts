/** Answers that requests share: the cache of a tenant, and generations that are joined (0051). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { openPeer } from '../protocol/peer.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { userOf } from './two-users.ts'
import { type Answer, request, send } from './wire.ts'

const TTL = { ttl: '1h' }
let upstream: MockServer
let app: TestApp
beforeEach(async () => {
  upstream = await startMock({ port: 0, keepBodies: true })
})
afterEach(async () => {
  await app?.stop()
  await upstream.close()
})

async function start(cache: object, more: object = {}, settings: object = {}): Promise<void> {
  app = await startTestApp(
    { disconnect_grace_ms: 100 },
    {
      models: [{ name: '*', provider: 'openai-compatible', base_url: `${upstream.url}/v1`, kinds: ['chat'] }],
      tenants: [
        { name: 'default', cache, ...more },
        { name: 'other', cache },
      ],
      ...settings,
    },
  )
}

const question = (model: string, more: object = {}): Record<string, unknown> => ({
  model,
  messages: [{ role: 'user', content: 'Hello' }],
  ...more,
})
const post = (body: unknown, headers: Record<string, string> = {}, key = app.key): Promise<Answer> =>
  send(
    app.port,
    request(
      'POST',
      '/v1/chat/completions',
      { authorization: `Bearer ${key}`, ...headers },
      typeof body === 'string' ? body : JSON.stringify(body),
    ),
  )
/** All of them wait in line before the first is asked. */
async function together(count: number, asked: Record<string, unknown>): Promise<readonly Answer[]> {
  const { model } = asked
  await app.admin('/admin/pause', { model })
  const answers = Array.from({ length: count }, () => post(asked))
  const stats = request('GET', '/admin/stats', { authorization: `Bearer ${ADMIN_KEY}` })
  const inLine = async (): Promise<number> => {
    const { queued, waiting } = JSON.parse((await send(app.adminPort, stats)).body)
    return queued + waiting
  }
  while ((await inLine()) < count) await new Promise((next) => setTimeout(next, 5))
  await app.admin('/admin/resume', { model })
  return Promise.all(answers)
}
const cacheOf = (answer: Answer): string | undefined => answer.headers['x-sluice-cache']
const calls = (): number => upstream.stats.requests
const view = async (id: string): Promise<Record<string, unknown>> =>
  JSON.parse(
    (await send(app.port, request('GET', `/v1/jobs/${id}?wait_ms=50000`, { authorization: `Bearer ${app.key}` }))).body,
  ) as Record<string, unknown>

describe('the cache of a tenant', () => {
  it('is off by default', async () => {
    await start({})
    const answers = [await post(question('mock-n3')), await post(question('mock-n3'))]
    expect([calls(), ...answers.map(cacheOf)]).toEqual([2, undefined, undefined])
  })

  it('repeats a JSON answer byte for byte: another job, no call, the same usage told, none counted', async () => {
    await start(TTL)
    const [first, again] = [await post(question('mock-n3')), await post(question('mock-n3'))]
    expect([first, again].map(cacheOf)).toEqual(['miss', 'hit'])
    expect([again.status, again.body]).toEqual([200, first.body])
    expect(calls()).toBe(1)
    expect(again.headers['sluice-job']).not.toBe(first.headers['sluice-job'])
    const usage = await send(app.port, request('GET', '/v1/usage', { authorization: `Bearer ${app.key}` }))
    expect(JSON.parse(usage.body).total).toMatchObject({ attempts: 2, repeats: 1, completion_tokens: 3 })
    expect(await view(again.headers['sluice-job'])).toMatchObject({ state: 'done', cache: 'hit', attempts: 1 })
  })

  it('repeats a stream event for event', async () => {
    await start(TTL)
    const [first, again] = [
      await post(question('mock-n40-d1', { stream: true })),
      await post(question('mock-n40-d1', { stream: true })),
    ]
    expect([calls(), cacheOf(again)]).toEqual([1, 'hit'])
    const events = ({ body }: Answer): readonly string[] => body.split('\n').filter((line) => line.startsWith('data:'))
    expect(events(again)).toEqual(events(first))
    expect(events(again).length).toBeGreaterThan(40)
  })

  it('answers a stream from a document, and a document from a stream', async () => {
    await start(TTL)
    const text = async (asked: object): Promise<string> => {
      const { body } = await post(asked)
      if (body.startsWith('{')) return JSON.parse(body).choices[0].message.content
      const chunks = body.split('\n').filter((line) => line.startsWith('data: {'))
      return chunks.map((line) => JSON.parse(line.slice(6)).choices[0]?.delta.content ?? '').join('')
    }
    const whole = await text(question('mock-n4'))
    expect(await text(question('mock-n4', { stream: true }))).toBe(whole)
    const streamed = await text(question('mock-n5', { stream: true }))
    expect(await text(question('mock-n5'))).toBe(streamed)
    expect(calls()).toBe(2)
  })

  it('opts out by member and by header; "no-cache" makes a new answer for those that follow', async () => {
    await start(TTL)
    const asked = question('mock-n3')
    const first = await post(asked)
    for (const [body, headers] of [
      [{ ...asked, sluice: { cache: false } }, {}],
      [asked, { 'sluice-cache': 'no-store' }],
      [asked, { 'cache-control': 'max-age=0, no-store' }],
    ] as const)
      expect(cacheOf(await post(body, headers))).toBeUndefined()
    expect(calls()).toBe(4)
    expect((await post(asked)).body).toBe(first.body)
    const fresh = await post(asked, { 'cache-control': 'no-cache' })
    expect([cacheOf(fresh), fresh.body === first.body]).toEqual(['miss', false])
    expect((await post(asked)).body).toBe(fresh.body)
    expect(calls()).toBe(5)
    expect((await post({ ...asked, sluice: { cache: 'maybe' } })).code).toBe('invalid_request')
  })

  it('takes the same question for the same, however it is written, and no other', async () => {
    await start(TTL)
    const same = [
      '{"model":"mock-n2","messages":[{"role":"user","content":"Gr\u00fc\u00dfe/"}],"seed":1}',
      '{"seed":1,"messages":[{"content":"Gr\\u00fc\\u00DFe\\/","role":"user"}],"model":"mock-n2"}',
      ' { "model" : "mock-n2", "seed":1, "metadata":{"a":"b"},"messages" :[ {"role":"user","content":"Grüße/"} ] } ',
    ]
    for (const body of same) await post(body)
    expect(calls()).toBe(1)
    const others = [
      '{"model":"mock-n2","messages":[{"role":"user","content":"Gr\u00fc\u00dfe/"}],"seed":1.0}',
      '{"model":"mock-n2","messages":[{"role":"user","content":"Gr\u00fc\u00dfe/"}],"seed":12345678901234567890}',
      '{"model":"mock-n2","messages":[{"role":"user","content":"Gr\u00fc\u00dfe/"}],"seed":12345678901234567891}',
      '{"model":"mock-n2","messages":[{"role":"user","content":"Gr\u00fc\u00dfe/"}],"seed":1,"__proto__":{"a":1}}',
      '{"model":"mock-n2","messages":[{"role":"user","content":"gr\u00fc\u00dfe/"}],"seed":1}',
    ]
    for (const body of others) await post(body)
    expect(calls()).toBe(1 + others.length)
  })

  it('shares no request that is too large to be put in order', async () => {
    await start(TTL)
    const large = { ...question('mock-n2'), x: 'x'.repeat(256 << 10) }
    const answers = [await post(large), await post(large)]
    expect([calls(), ...answers.map(cacheOf)]).toEqual([2, undefined, undefined])
  })

  it('keeps users and tenants apart; those of one tenant share only if it says so', async () => {
    await start(TTL)
    const foreign = await app.addKey('other')
    const asked = question('mock-n3')
    const [ann, bob] = [await userOf(app.port, app.key, 'ann'), await userOf(app.port, app.key, 'bob')]
    const unnamed = [await userOf(app.port, app.key, null), await userOf(app.port, app.key, null)]
    const path = '/v1/chat/completions'
    await ann.ask('POST', path, asked)
    await bob.ask('POST', path, asked)
    for (const page of unnamed) await page.ask('POST', path, asked)
    await post(asked, {}, foreign.key)
    await post(asked)
    await post({ ...asked, user: 'carl' })
    expect(calls()).toBe(7)
    expect(cacheOf(await post({ ...asked, user: 'ann' }))).toBe('hit')
    await app.reload({ tenants: [{ name: 'default', cache: { ...TTL, share: 'tenant' } }] })
    await ann.ask('POST', path, asked)
    expect(cacheOf(await bob.ask('POST', path, asked))).toBe('hit')
    expect(calls()).toBe(8)
  })

  it('keeps no failure, no conversation, and with `temperature_zero_only` nothing that is drawn', async () => {
    await start({ ...TTL, temperature_zero_only: true })
    const drawn = question('mock-n3')
    await post(drawn)
    await post(drawn)
    expect(calls()).toBe(2)
    const zero = { ...drawn, temperature: 0 }
    await post(zero)
    expect(cacheOf(await post(zero))).toBe('hit')
    const failing = question('mock-n3-e400', { temperature: 0 })
    const before = calls()
    for (const _ of [1, 2]) expect(cacheOf(await post(failing))).not.toBe('hit')
    expect(calls()).toBe(before + 2)
    for (const _ of [1, 2]) expect(cacheOf(await post({ ...zero, sluice: { conversation: 'c' } }))).toBeUndefined()
  })

  it('makes a new answer where the one that it knows of is not kept any more (retention 0)', async () => {
    await start(TTL, { retention: { logs: '0s' } })
    const asked = question('mock-n3')
    const [first, again] = [await post(asked), await post(asked)]
    expect([first.status, again.status]).toEqual([200, 200])
    expect(JSON.parse(again.body).choices[0].finish_reason).toBe('stop')
  })
})

describe('what a repeat costs', () => {
  it('a request, and no tokens; the ledger names its source', async () => {
    await start(TTL, { limits: { requests_per_minute: 100, tokens_per_minute: 10_000 } })
    const asked = question('mock-n50', { max_tokens: 50 })
    const left = (answer: Answer, unit: string): number => Number(answer.headers[`x-ratelimit-remaining-${unit}`])
    const first = await post(asked)
    const hits = [await post(asked), await post(asked)]
    expect(hits.map(cacheOf)).toEqual(['hit', 'hit'])
    expect(left(hits[1], 'tokens')).toBeGreaterThanOrEqual(left(hits[0], 'tokens'))
    expect(left(hits[1], 'requests')).toBeLessThan(left(hits[0], 'requests'))
    const records = await send(
      app.adminPort,
      request('GET', '/admin/usage/records', { authorization: `Bearer ${ADMIN_KEY}` }),
    )
    const found = (JSON.parse(records.body) as { data: ReadonlyArray<Record<string, unknown>> }).data
    const of = (answer: Answer) => found.find(({ job }) => job === answer.headers['sluice-job'])
    expect(of(hits[0])).toMatchObject({ deployment: null, nano_dollars: 0, source: first.headers['sluice-job'] })
    expect(of(first)).toMatchObject({ source: null, completion_tokens: 50 })
  })

  it('nothing of a budget that has run out of tokens: what is there is still answered', async () => {
    await start(TTL, { limits: { tokens_per_minute: 80 } })
    const asked = question('mock-n50', { max_tokens: 90 })
    await post(asked)
    expect((await post(question('mock-n51', { max_tokens: 90 }))).code).toBe('rate_limit_exceeded')
    expect(cacheOf(await post(asked))).toBe('hit')
  })
})

it('a WebSocket is told in `accepted`', async () => {
  await start(TTL)
  const asked = question('mock-n3')
  await post({ ...asked, stream: true })
  const peer = await openPeer(`http://127.0.0.1:${app.port}`)
  peer.say({ t: 'hello', auth: { key: app.key } })
  await peer.next('welcome')
  peer.say({ t: 'submit', id: '1', request: asked })
  expect(await peer.next('accepted')).toMatchObject({ cache: 'hit', joined: false })
  expect(await peer.next('end')).toMatchObject({ state: 'done' })
  peer.drop()
  expect(calls()).toBe(1)
})

describe('requests at the same time', () => {
  it('a hundred of them are one call, and each gets the whole answer', async () => {
    await start({ coalesce: true })
    const asked = question('mock-n30-d5', { stream: true })
    const answers = await together(100, asked)
    expect(calls()).toBe(1)
    expect(answers.filter((answer) => cacheOf(answer) === 'joined')).toHaveLength(99)
    const text = ({ body }: Answer): string => body.match(/ tok\d+\.\d+/g)?.join('') ?? ''
    expect(new Set(answers.map(text)).size).toBe(1)
    expect(text(answers[0]).match(/tok/g)).toHaveLength(30)
    expect(answers.every(({ body }) => body.endsWith('data: [DONE]\n\n'))).toBe(true)
    // Nothing is kept
    await post(asked)
    expect(calls()).toBe(2)
  })

  it('the same for documents, with one worker slot', async () => {
    await start({ coalesce: true }, {}, { workers: { concurrency: 1, drain_ms: 2_000 } })
    const answers = await together(20, question('mock-n3'))
    expect([calls(), new Set(answers.map(({ body }) => body)).size]).toEqual([1, 1])
  })

  it('go on when the client of the one that is asked leaves', async () => {
    await start({ coalesce: true })
    const asked = JSON.stringify(question('mock-n60-d20', { stream: true }))
    const first = send(
      app.port,
      request('POST', '/v1/chat/completions', { authorization: `Bearer ${app.key}` }, asked),
      { withinMs: 400 },
    )
    await until(() => upstream.stats.active === 1)
    const second = post(asked)
    expect((await first).body).not.toContain('[DONE]')
    const answer = await second
    expect(cacheOf(answer)).toBe('joined')
    expect(answer.body.match(/ tok\d/g)).toHaveLength(60)
    expect(answer.body).toContain('[DONE]')
    expect(calls()).toBe(1)
  })

  it('end the call when all of their clients have left', async () => {
    await start({ coalesce: true })
    const asked = question('mock-n400-d20', { stream: true })
    const leaving = Array.from({ length: 3 }, () =>
      send(
        app.port,
        request('POST', '/v1/chat/completions', { authorization: `Bearer ${app.key}` }, JSON.stringify(asked)),
        { withinMs: 300 },
      ),
    )
    await Promise.all(leaving)
    expect(calls()).toBe(1)
    await until(() => upstream.stats.active === 0)
    expect(upstream.stats.aborted).toBe(1)
  })

  it('the one that is asked is canceled: another makes the answer', async () => {
    await start({ coalesce: true })
    const asked = question('mock-n3-f600')
    const headers = { authorization: `Bearer ${app.key}` }
    const submit = async (): Promise<string> =>
      JSON.parse((await send(app.port, request('POST', '/v1/jobs', headers, JSON.stringify({ request: asked })))).body)
        .id
    const first = await submit()
    await until(() => upstream.stats.active === 1)
    const others = [await submit(), await submit(), await submit()]
    await send(app.port, request('POST', `/v1/jobs/${first}/cancel`, headers))
    const views = await Promise.all(others.map(view))
    expect(views.map(({ state, cache }) => [state, cache])).toEqual(others.map(() => ['done', 'joined']))
    expect((await view(first))['state']).toBe('canceled')
    expect(calls()).toBe(2)
  })

  it('what the provider refuses is refused to all of them, with one call', async () => {
    await start({ coalesce: true })
    const answers = await together(20, question('mock-n3-e400'))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 400))
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1)
    expect(calls()).toBe(1)
  })
})

async function until(holds: () => boolean): Promise<void> {
  const endMs = Date.now() + 10_000
  while (!holds()) {
    if (Date.now() > endMs) throw new Error('it never came')
    await new Promise((next) => setTimeout(next, 5))
  }
}
