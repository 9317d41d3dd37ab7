/**
 * A provider's answer on its whole way to the client: raw bytes at one end, official SDK, HTTP and WebSocket at the
 * other.
 */
import OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import {
  chunk,
  frame,
  HEAD,
  LAST,
  RawUpstream,
  response,
  sse,
  stream,
} from '../../src/routing/providers/testing/upstream.ts'
import { startTestApp, type TestApp } from './app.ts'

const OPENING = chunk('{"role":"assistant","content":""}')
const TEXT = chunk('{"content":"Hi"}')
const STOP = chunk('{}', '"stop"')
const DONE = '[DONE]'
const USAGE = '{"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
const DOCUMENT =
  '{\n  "id": "c1", "object":"chat.completion", "x_vendor": {"n": 1.50},\n' +
  '  "choices":[{"index":0,"message":{"role":"assistant","content":"Gr\\u00fc\\u00dfe","x":1},' +
  '"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n'
const GOOD = stream(OPENING, TEXT, STOP, USAGE, DONE)

let app: TestApp
let upstream: RawUpstream
let second: RawUpstream
let openai: OpenAI

beforeAll(async () => {
  upstream = new RawUpstream()
  second = new RawUpstream()
  await upstream.start()
  await second.start()
  const at = (name: string, where: RawUpstream, more: object = {}) => ({
    name,
    provider: 'openai-compatible',
    base_url: `${where.url}/v1`,
    ...more,
  })
  app = await startTestApp(
    {},
    {
      models: [
        at('one', upstream),
        at('two', upstream),
        at('two', second, { order: 1 }),
        at('always', upstream, { stream: 'always', stream_usage: false }),
        at('never', upstream, { stream: 'never' }),
        at('quick', upstream, { timeouts: { ttft_ms: 300 } }),
        at('busy', upstream),
        at('later', upstream),
        { name: 'demo', provider: 'demo' },
      ],
      queue: { retry_base_ms: 5, retry_cap_ms: 10 },
    },
  )
  openai = new OpenAI({ baseURL: `http://127.0.0.1:${app.port}/v1`, apiKey: app.key, maxRetries: 0 })
})
afterAll(async () => {
  await app?.stop()
  await upstream?.stop()
  await second?.stop()
})
afterEach(() => {
  for (const each of [upstream, second]) each.asked.length = 0
})

const hello = (model: string, more: object = {}) => ({
  model,
  messages: [{ role: 'user' as const, content: 'hello' }],
  ...more,
})
const http = (path: string, body?: object, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
const chat = (body: object, headers: Record<string, string> = {}) => http('/v1/chat/completions', body, headers)
const job = async (id: string): Promise<Record<string, any>> =>
  (await (await http(`/v1/jobs/${id}?wait_ms=50000`)).json()) as never
const submit = async (request: object): Promise<Record<string, any>> =>
  job(((await (await http('/v1/jobs', { request })).json()) as { id: string }).id)
const dataOf = (text: string): string[] => [...text.matchAll(/^data: (.*)$/gm)].map((m) => m[1])

describe('ask as you were asked', () => {
  it('a plain answer is the upstream’s, byte for byte, also to the SDK', async () => {
    upstream.says(response('200 OK', DOCUMENT))
    const answer = await chat(hello('one'))
    expect(Buffer.from(await answer.arrayBuffer()).toString()).toBe(DOCUMENT)
    expect(upstream.bodies).toEqual([hello('one')])
    expect(await openai.chat.completions.create(hello('one'))).toEqual(JSON.parse(DOCUMENT))
    const { usage, timing, attempts } = await job(answer.headers.get('sluice-job')!)
    expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 2, estimated: false })
    expect(timing.ttft_ms).toBeNull()
    expect(timing.ttft.upstream_ms).toBeGreaterThan(0)
    expect(attempts).toBe(1)
  })

  it('a stream stays a stream', async () => {
    upstream.says(GOOD)
    let text = ''
    for await (const part of await openai.chat.completions.create({ ...hello('one'), stream: true }))
      text += part.choices[0]?.delta.content ?? ''
    expect(text).toBe('Hi')
    expect(upstream.bodies[0]).toMatchObject({ stream: true, stream_options: { include_usage: true } })
  })

  it('a job streams, unless its request says otherwise', async () => {
    upstream.says(GOOD)
    expect((await submit(hello('one'))).state).toBe('done')
    upstream.says(response('200 OK', DOCUMENT))
    const made = await submit(hello('one', { stream: false }))
    expect(made.state).toBe('done')
    expect(upstream.bodies.map((b) => b['stream'])).toEqual([true, false])
    expect(await (await http(`/v1/jobs/${made.id}/result`)).text()).toBe(DOCUMENT)
    const events = await (await http(`/v1/jobs/${made.id}/events`)).text()
    expect(events).toContain('event: chunk')
    const folded = JSON.parse(dataOf(events).find((d) => d.includes('"choices"'))!)
    expect(folded.choices[0]).toMatchObject({ delta: { content: 'Grüße', x: 1 }, finish_reason: 'stop' })
  })

  it('by the settings of the model', async () => {
    upstream.says(stream(OPENING, TEXT, STOP, DONE))
    const always = (await (await chat(hello('always'))).json()) as Record<string, any>
    expect(upstream.bodies[0]).toEqual({ ...hello('always'), stream: true })
    // No usage came: a reply that we had to build carries our count
    expect(always).toMatchObject({ choices: [{ message: { content: 'Hi' } }], usage: { estimated: true } })
    upstream.says(response('200 OK', DOCUMENT))
    const never = await (await chat(hello('never', { stream: true }))).text()
    expect(upstream.bodies[1]).toEqual(hello('never'))
    expect(dataOf(never).at(-1)).toBe(DONE)
    expect(JSON.parse(dataOf(never)[0])).toMatchObject({
      object: 'chat.completion.chunk',
      choices: [{ delta: { content: 'Grüße' }, finish_reason: 'stop' }],
    })
    expect(dataOf(never).join()).not.toContain('"usage"')
  })

  it('tries once without, where a refusal blames the stream', async () => {
    const refusal = response('400 Bad Request', '{"error":{"message":"must be verified to stream","param":"stream"}}')
    upstream.says(refusal, response('200 OK', DOCUMENT))
    const text = await (await chat(hello('one', { stream: true }))).text()
    expect(dataOf(text).at(-1)).toBe(DONE)
    expect(upstream.asked).toHaveLength(2)
  })

  it('embeddings of the largest batch that LangChain sends', async () => {
    const vector = Buffer.alloc(1_536 * 4, 7).toString('base64')
    const data = Array.from({ length: 2_048 }, (_, index) => ({ object: 'embedding', index, embedding: vector }))
    const body = JSON.stringify({ object: 'list', data, model: 'e', usage: { prompt_tokens: 9, total_tokens: 9 } })
    upstream.says(response('200 OK', body))
    const answer = await http('/v1/embeddings', { model: 'one', input: data.map(() => 'x') })
    expect((await answer.text()) === body).toBe(true)
    expect(upstream.asked).toHaveLength(1)
  })
})

describe('ends are told truly', () => {
  const BOOM = 'event: error\ndata: {"message":"boom","code":500}\n\n'
  const failedStream = `${HEAD}${frame(sse([OPENING, TEXT]))}${frame(BOOM)}${frame(sse([DONE]))}${LAST}`
  it.each<[string, string]>([
    ['an error event, then [DONE]', failedStream],
    ['[DONE] without a reason', stream(OPENING, TEXT, DONE)],
    ['an empty reason', stream(OPENING, TEXT, chunk('{}', '""'), DONE)],
  ])('%s is no good end', async (_name, bytes) => {
    upstream.says(bytes)
    const text = await (await chat(hello('one', { stream: true }))).text()
    expect(text).not.toContain(DONE)
    expect(dataOf(text).at(-1)).toContain('"error"')
    expect((await chat(hello('always'))).status).toBe(502)
  })

  it('a complete answer without [DONE], and then silence, is done, and asked for once', async () => {
    upstream.says(HEAD + frame(sse([OPENING, TEXT, STOP])))
    const text = await (await chat(hello('one', { stream: true }))).text()
    expect(dataOf(text)).toEqual([OPENING, TEXT, STOP, DONE])
    expect(upstream.asked).toHaveLength(1)
  })

  it('an upstream that dies after its opening chunk is tried again, and nothing doubles', async () => {
    const azure = '{"id":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}'
    upstream.saysAndEnds(HEAD + frame(sse([azure, OPENING])))
    second.says(GOOD)
    const text = await (await chat(hello('two', { stream: true }))).text()
    expect(dataOf(text)).toEqual([azure, OPENING, TEXT, STOP, DONE])
    expect([upstream.asked.length, second.asked.length]).toEqual([1, 1])
  })

  it('text of the second of two choices in one chunk counts as shown', async () => {
    const both =
      '{"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":""}},{"index":1,' +
      '"delta":{"content":"shown"}}]}'
    upstream.saysAndEnds(HEAD + frame(sse([both])))
    second.says(GOOD)
    const text = await (await chat(hello('two', { stream: true, n: 2 }))).text()
    expect(dataOf(text).at(-1)).toContain('provider_cut')
    expect(second.asked).toHaveLength(0)
  })

  it('usage without choices is hidden from who did not ask', async () => {
    upstream.says(stream(OPENING, TEXT, STOP, USAGE.replace('"choices":[]', '"choices":null'), DONE))
    expect(await (await chat(hello('one', { stream: true }))).text()).not.toContain('"usage"')
    const asked = hello('one', { stream: true, stream_options: { include_usage: true } })
    expect(await (await chat(asked)).text()).toContain('"usage"')
  })
})

describe("the provider's error", () => {
  const body =
    '{"error":{"message":"too long","type":"invalid_request_error","param":"messages",' +
    '"code":"context_length_exceeded"}}'
  const error = {
    message: 'too long',
    type: 'invalid_request_error',
    param: 'messages',
    code: 'context_length_exceeded',
    sluice_code: 'provider_rejected',
  }

  it('is the same in JSON, SSE, jobs and WebSocket frames, and where SDKs look', async () => {
    upstream.says(response('400 Bad Request', body))
    const plain = await chat(hello('one'))
    expect([plain.status, await plain.json()]).toEqual([400, { error }])
    const caught = await openai.chat.completions.create(hello('one')).catch((thrown: unknown) => thrown)
    expect(caught).toBeInstanceOf(OpenAI.BadRequestError)
    expect(caught).toMatchObject({ code: 'context_length_exceeded', param: 'messages' })
    const failed = await submit(hello('one'))
    expect(failed.error).toEqual(error)
    const events = await (await http(`/v1/jobs/${failed.id}/events`)).text()
    expect(JSON.parse(dataOf(events).at(-1)!).error).toEqual(error)
    const end = await new Promise<Record<string, unknown>>((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${app.port}/v1/ws`, 'sluice.v1', {
        headers: { authorization: `Bearer ${app.key}` },
      })
      socket.on('open', () => socket.send(JSON.stringify({ t: 'submit', id: '1', request: hello('one') })))
      socket.on('message', (data) => {
        const read = JSON.parse(String(data)) as Record<string, unknown>
        if (read['t'] === 'end') {
          socket.close()
          resolve(read)
        }
      })
    })
    expect(end['error']).toEqual(error)
  })

  it('within a stream that has begun', async () => {
    upstream.says(stream(OPENING, TEXT, '{"error":{"message":"filtered","code":"content_filter"}}', DONE))
    const text = await (await chat(hello('one', { stream: true }))).text()
    expect(JSON.parse(dataOf(text).at(-1)!).error).toMatchObject({
      code: 'content_filter',
      sluice_code: 'provider_rejected',
    })
  })
})

describe('how often it is called', () => {
  it('once, where it asks for a wait beyond the deadline, and the client is told how long', async () => {
    upstream.says(response('503 Busy', '{"error":{"message":"full"}}', 'retry-after: 240\r\n'))
    const answer = await chat(hello('later'))
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([502, '240'])
    expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(upstream.asked).toHaveLength(1)
  })

  it('never at once after a 429, whatever it says of retrying', async () => {
    upstream.says(response('429 Too Many Requests', '{}', 'retry-after-ms: 0\r\n'))
    const answer = await chat(hello('busy', { sluice: { deadline_ms: 2_900 } }))
    expect(answer.status).toBe(429)
    // At 0, 1 and (had the deadline been later) 3 s
    expect(upstream.asked.length).toBeLessThanOrEqual(3)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  })

  it('once, where it was silent until its time was over', async () => {
    upstream.answer = () => {}
    const answer = await chat(hello('quick', { stream: true }))
    expect([answer.status, upstream.asked.length]).toEqual([504, 1])
  })
})

it('counts the tokens of all attempts of a continued answer, and keeps its times', async () => {
  const request = {
    model: 'demo',
    messages: [{ role: 'user', content: 'demo: tokens=100 delay=2 ttft=20 cut=30 faults=1' }],
  }
  const { state, usage, timing, attempts } = await submit(request)
  expect({ state, attempts }).toEqual({ state: 'done', attempts: 2 })
  expect(usage).toMatchObject({ completion_tokens: 100, estimated: true })
  expect(timing.ttft_ms).toBeGreaterThanOrEqual(20)
  expect(timing.tpot_ms).toBeGreaterThan(0)
  // Both attempts took their time (78 and 158 ms at least), and none of it was in line
  expect(timing.total_ms - timing.queued_ms).toBeGreaterThanOrEqual(230)
})

it('an absurd usage harms nobody', async () => {
  upstream.says(
    stream(OPENING, TEXT, STOP, USAGE.replace('"completion_tokens":2', '"completion_tokens":9007199254740991'), DONE),
  )
  const { usage } = await submit(hello('one'))
  // One chunk of text; the one that has only its reason is none
  expect(usage).toMatchObject({ completion_tokens: 1, estimated: true })
  upstream.says(GOOD)
  expect((await submit(hello('one'))).state).toBe('done')
})

describe('what is nested 2,000 deep', () => {
  const deep = `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`
  it.each<[string, string, boolean]>([
    ['a delta', stream(OPENING, chunk(`{"content":"x","y":${deep}}`), STOP, DONE), true],
    ['a usage', stream(OPENING, TEXT, STOP.replace('"model"', `"usage":${deep},"model"`), DONE), true],
    ['a whole answer', response('200 OK', DOCUMENT.replace('{"n": 1.50}', deep)), false],
    ['an error', response('400 Bad Request', `{"error":{"message":"no","detail":${deep}}}`), false],
  ])('%s fails its job, and nothing else', async (_name, bytes, isStream) => {
    upstream.says(bytes)
    const answer = await chat(hello('one', { stream: isStream, sluice: { conversation: 'deep' } }))
    expect(await answer.text()).toContain('"error"')
    upstream.says(GOOD)
    // The lane goes on
    const next = await submit(hello('one'))
    expect(next.state).toBe('done')
    expect((await http('/v1/models')).status).toBe(200)
  })
})
