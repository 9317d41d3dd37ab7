/** Spans of a server, as a strict collector gets them. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { spanIdOf } from '../../src/core/trace.ts'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from '../front/app.ts'
import { request, send } from '../front/wire.ts'
import { type ReceivedPoint, type ReceivedSpan, type Receiver, startReceiver } from './receiver.ts'

const ANSWER = JSON.stringify({
  id: 'c',
  object: 'chat.completion',
  created: 1,
  model: 'x',
  choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
})

let receiver: Receiver
let mock: MockServer
let app: TestApp
/** Keys of a tenant with a limit, and of one with a cache. */
let small: string
let cached: string
/** An upstream that tells which `traceparent` it got. */
let upstream: Server
const upstreamGot: Array<string | undefined> = []

beforeAll(async () => {
  receiver = await startReceiver()
  mock = await startMock({ port: 0 })
  upstream = createServer((request, response) => {
    upstreamGot.push(request.headers['traceparent'] as string | undefined)
    request.resume()
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER))
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const seen = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const provider = { provider: 'openai-compatible', base_url: `${mock.url}/v1` }
  app = await startTestApp(
    {},
    {
      models: [
        { name: 'dead', provider: 'openai-compatible', base_url: 'http://127.0.0.1:1/v1', order: 1 },
        { name: 'dead', ...provider, model: 'mock-n3', order: 2 },
        { name: 'seen', provider: 'openai-compatible', base_url: seen },
        { name: '*', ...provider },
      ],
      tenants: [
        { name: 'small', limits: { requests_per_minute: 1 } },
        { name: 'cached', cache: { ttl: '1h' } },
      ],
      telemetry: { otlp: { endpoint: receiver.url, interval: '100ms' } },
    },
  )
  small = (await app.addKey('small')).key
  cached = (await app.addKey('cached')).key
})
afterAll(async () => {
  await app?.stop()
  await mock?.close()
  upstream?.close()
  await receiver?.close()
})

let n = 0
/** A new trace, as its caller sends it. */
const newTrace = (flags = '01'): string => `00-${(++n).toString(16).padStart(32, 'c')}-00f067aa0ba902b7-${flags}`
const post = (body: object, headers: Record<string, string> = {}, path = '/v1/chat/completions') =>
  send(app.port, request('POST', path, { authorization: `Bearer ${app.key}`, ...headers }, JSON.stringify(body)))
const get = async (path: string): Promise<Record<string, unknown>> =>
  JSON.parse((await send(app.port, request('GET', path, { authorization: `Bearer ${app.key}` }))).body)
const chat = (model: string, more: object = {}) => ({ model, messages: [{ role: 'user', content: 'hi' }], ...more })
const latest = (name: string): ReceivedPoint[] => receiver.points.filter((point) => point.name === name)
const ofTrace = (trace: string): ReceivedSpan[] => receiver.spans.filter((span) => span.traceId === trace.slice(3, 35))
const named = (trace: string): string[] =>
  ofTrace(trace)
    .map(({ name }) => name)
    .sort()
const span = (trace: string, name: string): ReceivedSpan => {
  const found = ofTrace(trace).filter((each) => each.name === name)
  expect(found, `spans named ${name}`).toHaveLength(1)
  return found[0]
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** All of them are one tree under the caller's span, in one process, in order. */
function expectTree(trace: string, root: string): void {
  const all = ofTrace(trace)
  const server = span(trace, root)
  expect(server).toMatchObject({ kind: 'SERVER', parent: trace.slice(36, 52) })
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
  for (const each of all.filter((other) => other !== server)) {
    expect(each.parent, each.name).toBe(server.id)
    expect(each.endMs, each.name).toBeGreaterThanOrEqual(each.startMs)
    expect(each.startMs, each.name).toBeGreaterThanOrEqual(server.startMs - CLOCK_MS)
  }
}
/** A span's times are counted back from the moment at which it is told, after other observers. */
const CLOCK_MS = 20

it('a stream is one trace: request, admission, queue, call and delivery', async () => {
  const trace = newTrace()
  const answer = await post(chat('mock-n3', { stream: true }), { traceparent: trace, 'x-request-id': 'mine' })
  const all = ['POST /v1/chat/completions', 'admission', 'chat mock-n3', 'delivery', 'queue']
  await expect.poll(() => named(trace)).toEqual(all)
  expectTree(trace, 'POST /v1/chat/completions')
  const server = span(trace, 'POST /v1/chat/completions')
  // The answer names the span that its request has here
  expect(answer.headers['traceparent']).toBe(`${trace.slice(0, 36)}${server.id}-01`)
  expect(server.attributes).toMatchObject({
    'http.request.method': 'POST',
    'http.route': '/v1/chat/completions',
    'http.response.status_code': 200,
    'sluice.tenant': 'default',
    'sluice.request.id': 'mine',
    'gen_ai.request.model': 'mock-n3',
  })
  const call = span(trace, 'chat mock-n3')
  const job = String(server.attributes['sluice.job.id'])
  expect(call).toMatchObject({ kind: 'CLIENT', id: spanIdOf(`${job}.1`), isError: false })
  expect(call.attributes).toMatchObject({
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai-compatible',
    'gen_ai.request.model': 'mock-n3',
    'gen_ai.response.model': 'mock-n3',
    'gen_ai.request.stream': true,
    'gen_ai.response.finish_reasons': ['stop'],
    'gen_ai.usage.output_tokens': 3,
    'server.address': '127.0.0.1',
    'server.port': Number(new URL(mock.url).port),
    'sluice.job.id': job,
    'sluice.attempt': 1,
  })
  const events = call.events.map(({ name }) => name)
  expect(events).toEqual(['first_byte', 'first_token', 'first_output', 'last_token'])
  for (const { atMs } of call.events) {
    expect(atMs).toBeGreaterThanOrEqual(call.startMs)
    expect(atMs).toBeLessThanOrEqual(call.endMs + CLOCK_MS)
  }
  expect(span(trace, 'delivery').attributes).toMatchObject({ 'sluice.dialect': 'chat', 'sluice.complete': true })
})

it('the call has the id that its upstream got', async () => {
  const trace = newTrace()
  upstreamGot.length = 0
  await post(chat('seen'), { traceparent: trace })
  await expect.poll(() => named(trace)).toContain('chat seen')
  expect(upstreamGot).toEqual([`${trace.slice(0, 36)}${span(trace, 'chat seen').id}-01`])
})

it('a retry, and a fail-over, is a call of its own, with what the one before failed for', async () => {
  const trace = newTrace()
  await post(chat('dead'), { traceparent: trace })
  await expect.poll(() => named(trace)).toContain('POST /v1/chat/completions')
  const calls = ofTrace(trace).filter(({ kind }) => kind === 'CLIENT')
  expect(
    calls.map(({ attributes, isError }) => [attributes['sluice.attempt'], attributes['error.type'], isError]),
  ).toEqual([
    [1, 'provider_unreachable', true],
    [2, undefined, false],
  ])
  expect(ofTrace(trace).filter(({ name }) => name === 'queue')).toHaveLength(2)
  expectTree(trace, 'POST /v1/chat/completions')
})

it('an answer that breaks off amid its text is a call that failed', async () => {
  const trace = newTrace()
  await post(chat('mock-n9-k3', { stream: true }), { traceparent: trace })
  await expect.poll(() => named(trace)).toContain('POST /v1/chat/completions')
  const [call] = ofTrace(trace).filter(({ kind }) => kind === 'CLIENT')
  expect(call).toMatchObject({ isError: true, attributes: { 'error.type': 'provider_cut' } })
  expect(call.events.map(({ name }) => name)).toContain('last_token')
})

it('a job that failed makes its request an error, also in a stream whose status was sent before', async () => {
  for (const [model, stream, status, code] of [
    ['mock-n9-k3', true, 200, 'provider_cut'],
    ['mock-e500', true, 502, 'provider_error'],
    ['mock-e500', false, 502, 'provider_error'],
  ] as const) {
    const trace = newTrace()
    await post(chat(model, { stream }), { traceparent: trace })
    await expect.poll(() => named(trace)).toContain('POST /v1/chat/completions')
    expect(span(trace, 'POST /v1/chat/completions')).toMatchObject({
      isError: true,
      attributes: { 'error.type': code, 'http.response.status_code': status },
    })
  }
})

it('a job that its client has canceled makes its stream no error of the server', async () => {
  const trace = newTrace()
  const made = await post({ request: chat('mock-n500-d20') }, {}, '/v1/jobs')
  const { id } = JSON.parse(made.body) as { id: string }
  const stream = send(
    app.port,
    request('GET', `/v1/jobs/${id}/events`, { authorization: `Bearer ${app.key}`, traceparent: trace }),
  )
  await expect.poll(async () => (await get(`/v1/jobs/${id}`))['state']).toBe('leased')
  await post({}, {}, `/v1/jobs/${id}/cancel`)
  await stream
  await expect.poll(() => named(trace)).toContain('GET /v1/jobs/:id/events')
  expect(span(trace, 'GET /v1/jobs/:id/events').isError).toBe(false)
})

it('a job that is canceled while it runs says so, and is no error of its provider', async () => {
  const trace = newTrace()
  const made = await post({ request: chat('mock-n500-d20') }, { traceparent: trace }, '/v1/jobs')
  const { id } = JSON.parse(made.body) as { id: string }
  await expect.poll(async () => (await get(`/v1/jobs/${id}`))['state']).toBe('leased')
  await post({}, {}, `/v1/jobs/${id}/cancel`)
  await expect.poll(() => named(trace)).toContain('chat mock-n500-d20')
  const call = span(trace, 'chat mock-n500-d20')
  expect(call).toMatchObject({ isError: false, attributes: { 'sluice.stopped': 'canceled' } })
  expect(call.attributes['error.type']).toBeUndefined()
})

it('one that is canceled in line has waited, and called nobody', async () => {
  const trace = newTrace()
  const made = await post({ request: chat('mock-n3'), delay_ms: 60_000 }, { traceparent: trace }, '/v1/jobs')
  const { id } = JSON.parse(made.body) as { id: string }
  await post({}, {}, `/v1/jobs/${id}/cancel`)
  await expect.poll(() => named(trace)).toEqual(['POST /v1/jobs', 'admission', 'queue'])
  expect(span(trace, 'queue').attributes).toMatchObject({ 'sluice.job.state': 'canceled' })
})

it('a refusal is the span of its request, and of its admission, with why', async () => {
  const unknown = newTrace()
  await send(
    app.port,
    request('POST', '/v1/chat/completions', { authorization: 'Bearer sk-nobody', traceparent: unknown }, '{}'),
  )
  await expect.poll(() => named(unknown)).toEqual(['POST /v1/chat/completions'])
  expect(span(unknown, 'POST /v1/chat/completions')).toMatchObject({
    isError: false,
    attributes: { 'http.response.status_code': 401, 'error.type': 'invalid_api_key' },
  })
  const limited = newTrace()
  await Promise.all(
    [1, 2, 3].map(() =>
      send(
        app.port,
        request(
          'POST',
          '/v1/chat/completions',
          { authorization: `Bearer ${small}`, traceparent: limited },
          JSON.stringify(chat('mock-n3')),
        ),
      ),
    ),
  )
  await expect.poll(() => ofTrace(limited).filter(({ kind }) => kind === 'SERVER')).toHaveLength(3)
  const refused = ofTrace(limited).filter(({ attributes }) => attributes['error.type'] === 'rate_limit_exceeded')
  expect(new Set(refused.map(({ name }) => name))).toEqual(new Set(['POST /v1/chat/completions', 'admission']))
})

it('a message of a WebSocket, and a job with a trace of its own, has a span of its own', async () => {
  const [header, own, submitted] = [newTrace(), newTrace(), newTrace()]
  const jobs = [{ request: chat('mock-n3'), traceparent: own }, { request: chat('mock-n3') }]
  await post({ jobs }, { traceparent: header }, '/v1/jobs')
  await expect.poll(() => named(own)).toEqual(['admission', 'chat mock-n3', 'queue', 'submit'])
  expectTree(own, 'submit')
  await expect.poll(() => named(header)).toEqual(['POST /v1/jobs', 'admission', 'chat mock-n3', 'queue'])
  expectTree(header, 'POST /v1/jobs')
  const socket = new WebSocket(`ws://127.0.0.1:${app.port}/v1/ws`, 'sluice.v1')
  await new Promise((done) => socket.addEventListener('open', done))
  socket.send(JSON.stringify({ t: 'hello', auth: { key: app.key } }))
  socket.send(JSON.stringify({ t: 'submit', id: '1', request: chat('mock-n3'), traceparent: submitted }))
  await expect.poll(() => named(submitted)).toEqual(['admission', 'chat mock-n3', 'delivery', 'queue', 'submit'])
  expectTree(submitted, 'submit')
  socket.close()
})

it('callers decide whether their traces are recorded', async () => {
  const [unsampled, sampled] = [newTrace('00'), newTrace()]
  upstreamGot.length = 0
  const answer = await post(chat('seen'), { traceparent: unsampled })
  expect(answer.headers['traceparent']).toMatch(/-00$/)
  // It is passed on as it is
  expect(upstreamGot).toEqual([expect.stringMatching(new RegExp(`^${unsampled.slice(0, 36)}[0-9a-f]{16}-00$`))])
  await post(chat('seen'), { traceparent: sampled })
  await expect.poll(() => named(sampled)).toContain('POST /v1/chat/completions')
  expect(ofTrace(unsampled)).toEqual([])
})

it('a request without a trace begins one where it submits, and its answer names it', async () => {
  const before = receiver.spans.length
  await get('/v1/models')
  const answer = await post(chat('mock-n3'))
  const trace = String(answer.headers['traceparent'])
  expect(trace).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
  await expect.poll(() => named(trace)).toContain('POST /v1/chat/completions')
  expect(span(trace, 'POST /v1/chat/completions')).toMatchObject({ parent: '', id: trace.slice(36, 52) })
  const others = receiver.spans.slice(before).filter(({ traceId }) => traceId !== trace.slice(3, 35))
  expect(others.map(({ name }) => name)).not.toContain('GET /v1/models')
})

it('an answer from the cache is a replay, and no call', async () => {
  const [first, second] = [newTrace(), newTrace()]
  const ask = (trace: string) =>
    send(
      app.port,
      request(
        'POST',
        '/v1/chat/completions',
        { authorization: `Bearer ${cached}`, traceparent: trace },
        JSON.stringify(chat('mock-n4')),
      ),
    )
  await ask(first)
  await ask(second)
  await expect.poll(() => named(second)).toContain('POST /v1/chat/completions')
  expect(span(second, 'admission').attributes).toMatchObject({ 'sluice.cache': 'hit' })
  expect(ofTrace(second).filter(({ kind }) => kind === 'CLIENT')).toEqual([])
  expect(named(second)).toContain('replay')
})

it('metrics are those of /metrics, with OpenTelemetry’s names where it has some', async () => {
  await post(chat('mock-n3', { stream: true }))
  await expect.poll(() => latest('gen_ai.client.operation.duration').length).toBeGreaterThan(0)
  const scraped = await send(app.adminPort, request('GET', '/metrics', { authorization: `Bearer ${ADMIN_KEY}` }))
  const names = new Set(receiver.points.map(({ name }) => name))
  for (const name of ['time_to_first_token', 'time_per_output_token', 'request.duration'])
    expect(names).toContain(`gen_ai.server.${name}`)
  // Prometheus makes its names of ours as /metrics does
  const asPrometheus = (name: string, unit: string, kind: string): string => {
    const ofUnit = unit === 's' ? '_seconds' : unit === 'By' ? '_bytes' : ''
    return `${name.replaceAll('.', '_')}${ofUnit}${kind === 'sum' ? '_total' : ''}`
  }
  const unknown = receiver.points
    .filter(({ name }) => name.startsWith('sluice.'))
    .filter(({ name, unit, kind }) => !scraped.body.includes(`# TYPE ${asPrometheus(name, unit, kind)} `))
  expect([...new Set(unknown.map(({ name }) => name))]).toEqual([])
  const families = [...scraped.body.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name)
  const told = new Set(receiver.points.map(({ name, unit, kind }) => asPrometheus(name, unit, kind)))
  const missing = families.filter((name) => !told.has(name))
  expect(missing.sort()).toEqual(['sluice_e2e_seconds', 'sluice_tpot_seconds', 'sluice_ttft_seconds'])
  // Cumulative, of one process, all buckets of a histogram together as many as were counted
  for (const { name, buckets, bounds, count, kind, startMs, atMs, resource } of receiver.points) {
    expect(resource).toMatchObject({ 'service.name': 'sluice', 'service.version': expect.any(String) })
    expect(resource['service.instance.id']).toMatch(UUID)
    if (kind !== 'gauge') expect(startMs, name).toBeLessThanOrEqual(atMs)
    if (kind !== 'histogram') continue
    expect(buckets, name).toHaveLength(bounds.length + 1)
    expect(
      buckets.reduce((sum, n) => sum + n, 0),
      name,
    ).toBe(count)
  }
  const [took] = latest('gen_ai.client.operation.duration').filter(
    ({ attributes }) => attributes['error.type'] === undefined,
  )
  expect(took.attributes).toMatchObject({
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai-compatible',
    'gen_ai.request.model': expect.any(String),
    'server.address': '127.0.0.1',
  })
})

it('nothing that came was in bad form', () => expect(receiver.faults).toEqual([]))
