/** On the way to a collector: one that is away, is slow, refuses, or takes only some; secrets; and a stop. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { freePort } from '../free-port.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from '../front/app.ts'
import { request, send } from '../front/wire.ts'
import { expectInTime } from '../in-time.ts'
import { type Receiver, startReceiver, TraceResponse, take } from './receiver.ts'

let app: TestApp | undefined
const closing: Array<() => unknown> = []
afterEach(async () => {
  await app?.stop()
  app = undefined
  for (const close of closing.splice(0)) await close()
})

async function receiverOf(...options: Parameters<typeof startReceiver>): Promise<Receiver> {
  const receiver = await startReceiver(...options)
  closing.push(() => receiver.close())
  return receiver
}
async function mockOf(): Promise<MockServer> {
  const mock = await startMock({ port: 0 })
  closing.push(() => mock.close())
  return mock
}
const start = async (otlp: object, env: Record<string, string> = {}, more: object = {}): Promise<TestApp> =>
  (app = await startTestApp({}, { telemetry: { otlp: { interval: '100ms', ...otlp } }, ...more }, env))
async function ask(
  model = 'demo',
  headers: Record<string, string> = {},
  content = 'Hi. demo: tokens=3',
): Promise<string> {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content }] })
  const answer = await send(
    app!.port,
    request('POST', '/v1/chat/completions', { authorization: `Bearer ${app!.key}`, ...headers }, body),
  )
  expect(answer.status).toBe(200)
  return String(answer.headers['traceparent'])
}
const spansOf = (receiver: Receiver, trace: string): number =>
  receiver.spans.filter(({ traceId }) => traceId === trace.slice(3, 35)).length
/** Of one answer that nobody streams: request, admission, queue, call. */
const SPANS = 4
const numbers = async (): Promise<Record<string, number>> =>
  JSON.parse(
    (await send(app!.adminPort, request('GET', '/admin/stats', { authorization: `Bearer ${ADMIN_KEY}` }))).body,
  )
const lines = (about: string): string[] => app!.log.filter((line) => line.includes(about))

it('one that is away costs no request anything, and a line; what waited comes when it is back', async () => {
  const port = await freePort()
  await start({ endpoint: `http://127.0.0.1:${port}/`, metrics: false })
  const trace = await ask()
  await expect.poll(() => lines('collector')).toHaveLength(1)
  await ask()
  expect(lines('collector')[0]).toContain('ECONNREFUSED')
  const receiver = await receiverOf(null, port)
  await expect.poll(() => spansOf(receiver, trace)).toBe(SPANS)
  await expect.poll(() => lines('collector')).toHaveLength(2)
  expect(receiver.faults).toEqual([])
  expect((await numbers())['otlp_dropped_spans']).toBe(0)
})

it('is asked again when it wants to be, and spans come once', async () => {
  const receiver = await receiverOf()
  let refused = 0
  const at: number[] = []
  receiver.answer = (incoming, response, body) => {
    if (incoming.url !== '/v1/traces') return void response.writeHead(200).end()
    at.push(performance.now())
    if (refused++ === 0) return void response.writeHead(503, { 'retry-after': '1' }).end('busy')
    take(receiver, incoming, body)
    response.writeHead(200).end()
  }
  await start({ endpoint: receiver.url })
  const trace = await ask()
  await expect.poll(() => spansOf(receiver, trace)).toBe(SPANS)
  expect(at[1] - at[0]).toBeGreaterThanOrEqual(990)
  await expect.poll(async () => (await numbers())['otlp_spans']).toBe(SPANS)
})

it('what it rejects is counted, and told without our secrets', async () => {
  const receiver = await receiverOf()
  receiver.answer = (incoming, response) => {
    const partialSuccess = { rejected_spans: 1, error_message: `limit reached for ${incoming.headers['x-api-key']}` }
    const body = TraceResponse.encode(TraceResponse.create({ partial_success: partialSuccess })).finish()
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end(body)
  }
  await start(
    { endpoint: receiver.url, headers: { 'x-api-key': { env: 'OTLP_KEY' } }, metrics: false },
    { OTLP_KEY: 'canary-otlp-5d1c' },
  )
  await ask()
  // One of each batch
  const counted = async (): Promise<number[]> => {
    const { otlp_spans: taken, otlp_dropped_spans: dropped } = await numbers()
    return [taken + dropped, dropped - receiver.headers.length]
  }
  await expect.poll(counted).toEqual([SPANS, 0])
  expect(lines('limit reached')).toHaveLength(1)
  expect(app!.log.join('\n')).not.toContain('canary-otlp-5d1c')
})

it('a refusal for good is no retry', async () => {
  const receiver = await receiverOf()
  const bodies: string[] = []
  receiver.answer = (_incoming, response, body) => {
    bodies.push(body.toString('hex'))
    response.writeHead(401).end('who are you?')
  }
  await start({ endpoint: receiver.url, metrics: false })
  await ask()
  await expect.poll(async () => (await numbers())['otlp_dropped_spans']).toBe(SPANS)
  expect(new Set(bodies).size).toBe(bodies.length)
  expect(lines('HTTP 401')).toHaveLength(1)
})

it('an answer that never comes, or never ends, holds nothing up', async () => {
  const receiver = await receiverOf()
  let endless = 0
  receiver.answer = (incoming, response) => {
    if (incoming.url === '/v1/metrics') return
    response.writeHead(200, { 'content-type': 'application/x-protobuf' })
    const more = (): void => {
      endless += 65_536
      if (!response.destroyed && endless < 1 << 28) response.write(Buffer.alloc(65_536), more)
    }
    more()
  }
  await start({ endpoint: receiver.url })
  await ask()
  // Taken, by its status; the connection is given up
  await expect.poll(async () => (await numbers())['otlp_spans']).toBe(SPANS)
  expect(endless).toBeLessThan(1 << 26)
  const began = performance.now()
  await app!.stop()
  app = undefined
  expectInTime(performance.now() - began, 8_000)
})

it('a stop sends what there is', async () => {
  const receiver = await receiverOf()
  await start({ endpoint: receiver.url, interval: '1h' })
  const trace = await ask()
  expect(receiver.bytes).toEqual([])
  await app!.stop()
  app = undefined
  expect(spansOf(receiver, trace)).toBe(SPANS)
  const [ended] = receiver.points.filter(({ name }) => name === 'sluice.ended_jobs')
  expect(ended).toMatchObject({ value: 1 })
  expect(receiver.faults).toEqual([])
})

it('is spoken to over TLS, by a certificate that the settings name', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-otlp-'))
  closing.push(() => rmSync(dir, { recursive: true }))
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
  const options = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', ...options, ...names, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const receiver = await receiverOf({ key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') })
  await start({ endpoint: receiver.url, metrics: false })
  await ask()
  await expect.poll(() => lines('collector')).toHaveLength(1)
  expect(lines('collector')[0]).toMatch(/SELF_SIGNED/)
  expect(receiver.spans).toEqual([])
  await app!.stop()
  await start({ endpoint: receiver.url, ca_file: cert })
  const trace = await ask()
  await expect.poll(() => spansOf(receiver, trace)).toBe(SPANS)
})

it('the environment of OpenTelemetry’s SDKs is enough; headers are sent as they are meant', async () => {
  const receiver = await receiverOf()
  app = await startTestApp(
    {},
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Basic%20YTpi,x-scope=1' },
  )
  const trace = await ask()
  await app.stop()
  app = undefined
  expect(spansOf(receiver, trace)).toBe(SPANS)
  expect(receiver.headers[0]).toMatchObject({ authorization: 'Basic YTpi', 'x-scope': '1' })
})

it('neither a text, nor a key, nor the secret of another header is in anything that is sent', async () => {
  const [receiver, mock] = [await receiverOf(), await mockOf()]
  const provider = { provider: 'openai-compatible', base_url: `${mock.url}/v1`, api_key: { env: 'CANARY_KEY' } }
  const env = { CANARY_KEY: 'sk-canary-provider-77aa01', OTLP_KEY: 'canary-otlp-5d1c' }
  const more = {
    models: [{ name: '*', ...provider }],
    tenants: [{ name: 'default', guards: [{ guard: 'deny-terms', terms: ['forbidden-canary'] }] }],
  }
  await start({ endpoint: receiver.url, headers: { 'x-api-key': { env: 'OTLP_KEY' } } }, env, more)
  const prompt = 'canary-prompt-8f1d2c'
  const post = (body: object, headers: object = {}): Promise<unknown> =>
    send(
      app!.port,
      request(
        'POST',
        '/v1/chat/completions',
        { authorization: `Bearer ${app!.key}`, ...headers },
        JSON.stringify(body),
      ),
    )
  const chat = (model: string, content = prompt) => ({
    model,
    messages: [{ role: 'user', content }],
    user: 'canary-user',
    metadata: { canary: 'canary-metadata' },
  })
  // Answers, failures before and amid text, refusals, callers that nobody knows
  const models = ['mock-n3', 'mock-e400', 'mock-e401', 'mock-e500', 'mock-n9-k3', 'mock-n9-g3', 'mock-n9-h3']
  await Promise.all(models.flatMap((model) => [false, true].map((stream) => post({ ...chat(model), stream }))))
  await post(chat('mock-n3', 'forbidden-canary'))
  await post(chat('mock-n3'), { authorization: 'Bearer sk-sluice-canary-wrong-5c19' })
  await app!.stop()
  const sent = Buffer.concat(receiver.bytes.filter((_, i) => i % 2 === 1)).toString('latin1')
  expect(sent.length).toBeGreaterThan(10_000)
  expect(receiver.spans.some(({ isError }) => isError)).toBe(true)
  const secrets = [app!.key, ADMIN_KEY, env.CANARY_KEY, env.OTLP_KEY, 'sk-sluice-canary-wrong-5c19']
  for (const canary of [prompt, 'forbidden-canary', 'canary-user', 'canary-metadata', ' tok0', ...secrets])
    expect(sent.includes(canary), canary).toBe(false)
  expect(app!.log.join('\n')).not.toContain(env.OTLP_KEY)
  app = undefined
})

it('a share of requests without a trace is recorded, and all that callers record', async () => {
  const receiver = await receiverOf()
  await start({ endpoint: receiver.url, sample: '0%' })
  const unsampled = await ask()
  expect(unsampled).toMatch(/-00$/)
  const sampled = await ask('demo', { traceparent: `00-${'d'.repeat(32)}-00f067aa0ba902b7-01` })
  await expect.poll(() => spansOf(receiver, sampled)).toBe(SPANS)
  expect(spansOf(receiver, unsampled)).toBe(0)
})

it('names of the repository that follows 1.41', async () => {
  const receiver = await receiverOf()
  await start({ endpoint: receiver.url, names: 'otel-genai-next' })
  await ask()
  const names = (): Set<string> => new Set(receiver.points.map(({ name }) => name))
  await expect.poll(names).toContain('gen_ai.client.inference.usage.output_tokens')
  expect(names()).toContain('gen_ai.client.inference.duration')
  for (const name of names()) expect(name).not.toMatch(/^gen_ai\.client\.(operation|token)/)
})

it('off, it is not there: no trace is begun, and no number of it told', async () => {
  app = await startTestApp()
  expect(await ask()).toBe('undefined')
  expect(Object.keys(await numbers()).filter((name) => name.startsWith('otlp'))).toEqual([])
})
