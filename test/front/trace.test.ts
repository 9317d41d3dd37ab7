/** A trace leads from the client's request through the job and its facts to the upstream, and back. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

const ANSWER = JSON.stringify({
  id: 'c',
  object: 'chat.completion',
  created: 1,
  model: 'x',
  choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
})
const STREAM =
  'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,' +
  '"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

let upstream: Server
/** The `traceparent` of each call that came to the provider. */
const got: Array<string | undefined> = []
let app: TestApp

beforeAll(async () => {
  upstream = createServer((request, response) => {
    got.push(request.headers['traceparent'] as string | undefined)
    let body = ''
    request.on('data', (part) => (body += part))
    request.on('end', () => {
      const streams = (JSON.parse(body) as { stream?: boolean }).stream === true
      response.writeHead(200, { 'content-type': streams ? 'text/event-stream' : 'application/json' })
      response.end(streams ? STREAM : ANSWER)
    })
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const { port } = upstream.address() as AddressInfo
  app = await startTestApp(
    {},
    { models: [{ name: 'm', provider: 'openai-compatible', base_url: `http://127.0.0.1:${port}/v1` }] },
  )
})
afterAll(async () => {
  await app?.stop()
  upstream?.close()
})

const traceOf = (n: number): string => `00-${String(n).padStart(32, 'a')}-00f067aa0ba902b7-01`
const traceOnly = (trace: string | undefined): string | undefined => trace?.slice(0, 35)
const post = (path: string, body: object, headers: Record<string, string>) =>
  send(app.port, request('POST', path, { authorization: `Bearer ${app.key}`, ...headers }, JSON.stringify(body)))
const CHAT = { model: 'm', messages: [{ role: 'user', content: 'hello' }] }
/** Facts of this trace, by type; a log line has the trace's id, a fact the whole `traceparent`. */
const toldOf = (trace: string): string[] =>
  app.log.filter((line) => line.includes(trace.slice(3, 35))).map((line) => /"type":"([^"]+)"/.exec(line)?.[1] ?? line)

it.each<[string, string, object]>([
  ['a JSON answer', '/v1/chat/completions', CHAT],
  ['a stream', '/v1/chat/completions', { ...CHAT, stream: true }],
  ['a job', '/v1/jobs', { request: CHAT }],
])('of %s reaches the upstream, the answer and every fact', async (_what, path, body) => {
  const trace = traceOf(path.length + Object.keys(body).length)
  got.length = 0
  const answer = await post(path, body, { traceparent: trace })
  expect(answer.status).toBeLessThan(300)
  expect(answer.headers['traceparent']).toBe(trace)
  await expect.poll(() => got.map(traceOnly)).toEqual([traceOnly(trace)])
  // Of the same trace, as a child of this attempt
  expect(got[0]?.slice(36, 52)).not.toBe(trace.slice(36, 52))
  expect(got[0]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
  await expect
    .poll(() => toldOf(trace))
    .toEqual(
      expect.arrayContaining([
        'job-submitted',
        'attempt-started',
        'first-token-received',
        expect.stringContaining('attempt ended'),
        expect.stringContaining('job done'),
        'request-ended',
      ]),
    )
})

it('of each job in a list, or of a submit over a WebSocket, may be its own', async () => {
  const [header, own, submitted] = [traceOf(71), traceOf(72), traceOf(73)]
  got.length = 0
  const jobs = [{ request: CHAT, traceparent: own }, { request: CHAT }, { request: CHAT, traceparent: 'malformed' }]
  await post('/v1/jobs', { jobs }, { traceparent: header })
  await expect.poll(() => got.map(traceOnly).sort()).toEqual([header, header, own].map(traceOnly))
  const socket = new WebSocket(`ws://127.0.0.1:${app.port}/v1/ws`, 'sluice.v1')
  await new Promise((done) => socket.addEventListener('open', done))
  socket.send(JSON.stringify({ t: 'hello', auth: { key: app.key } }))
  socket.send(JSON.stringify({ t: 'submit', id: '1', request: CHAT, traceparent: submitted }))
  await expect.poll(() => traceOnly(got.at(-1))).toBe(traceOnly(submitted))
  socket.close()
})

it('of a refused request is in its line', async () => {
  const trace = traceOf(7)
  const answer = await post('/v1/chat/completions', { ...CHAT, model: 'none' }, { traceparent: trace })
  expect(answer.status).toBe(404)
  expect(answer.headers['traceparent']).toBe(trace)
  await expect.poll(() => toldOf(trace)).toEqual(['job-refused', expect.stringContaining('request refused')])
})

it.each([
  ['malformed', '00-no-trace-01'],
  ['forbidden', `ff-${'a'.repeat(32)}-00f067aa0ba902b7-01`],
  ['given twice', `${traceOf(1)}, ${traceOf(2)}`],
  ['enormous', `cc-${'a'.repeat(32)}-00f067aa0ba902b7-01-${'x'.repeat(4_000)}`],
])('that is %s is ignored', async (_what, traceparent) => {
  got.length = 0
  const answer = await post('/v1/chat/completions', CHAT, { traceparent })
  expect(answer.status).toBe(200)
  expect(answer.headers['traceparent']).toBeUndefined()
  expect(got).toEqual([undefined])
})

it('every request is told once it ended, with its route, status and time', async () => {
  const id = 'req-told-once'
  await post('/v1/chat/completions', { ...CHAT, stream: true }, { 'x-request-id': id })
  const told = (): object[] =>
    app.log
      .filter((line) => line.includes('"request-ended"') && line.includes(id))
      .map((line) => JSON.parse(line.slice(line.indexOf('{'))) as object)
  await expect.poll(() => told().length).toBe(1)
  expect(told()[0]).toMatchObject({
    tenant: 'default',
    method: 'POST',
    route: '/v1/chat/completions',
    status: 200,
    code: null,
    atMs: expect.any(Number),
    tookMs: expect.any(Number),
  })
})
