/** OpenAI's older completions, as its own SDK asks for them: over a chat model, and over engines that complete text. */
import OpenAI, { APIError } from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { toBytes } from '../../src/core/record.ts'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { readSse } from '../conformance/read.ts'
import { startTestApp, type TestApp } from '../front/app.ts'

let app: TestApp
let mock: MockServer
let openai: OpenAI

beforeAll(async () => {
  mock = await startMock({ port: 0, keepBodies: true })
  const base = { provider: 'openai-compatible', base_url: `${mock.url}/v1` }
  const models = [
    { name: 'demo', provider: 'demo' },
    { name: 'mock-n5', ...base },
    { name: 'code', model: 'mock-n5', ...base, completions: true },
    { name: 'broken', model: 'mock-e500', ...base, completions: true },
    { name: 'cut', model: 'mock-n9-k4', ...base, completions: true },
  ]
  app = await startTestApp({}, { models, queue: { max_attempts: 1 } })
  openai = new OpenAI({ baseURL: `http://127.0.0.1:${app.port}/v1`, apiKey: app.key, maxRetries: 0 })
})
afterAll(async () => {
  await app?.stop()
  await mock?.close()
})

const sent = async (): Promise<string> => (await mock.bodies()).at(-1)!
const post = (body: object): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.port}/v1/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
async function failure(body: object): Promise<APIError> {
  const error = await openai.completions.create(body as never).then(
    () => expect.fail('an answer'),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(APIError)
  return error as APIError
}

async function streamed(
  body: object,
): Promise<{ text: string; finish: unknown; usage: unknown; objects: Set<string> }> {
  const told = { text: '', finish: null as unknown, usage: null as unknown, objects: new Set<string>() }
  const stream = await openai.completions.create({ ...body, stream: true } as OpenAI.CompletionCreateParamsStreaming)
  for await (const { object, choices, usage } of stream) {
    told.objects.add(object)
    told.text += choices[0]?.text ?? ''
    told.finish = choices[0]?.finish_reason ?? told.finish
    told.usage = usage ?? told.usage
  }
  return told
}

it.each(['demo', 'mock-n5'])('completes over a chat model: %s', async (model) => {
  const body = { model, prompt: 'Once upon a time demo: tokens=5', max_tokens: 50, stream_options: undefined }
  const whole = await openai.completions.create(body)
  expect(whole).toMatchObject({ object: 'text_completion', choices: [{ index: 0, finish_reason: 'stop' }] })
  expect(whole.choices[0].text).not.toBe('')
  expect(whole.usage?.completion_tokens).toBe(5)
  const told = await streamed({ ...body, stream_options: { include_usage: true } })
  expect(told).toMatchObject({ finish: 'stop', usage: { completion_tokens: 5 } })
  expect(told.text).not.toBe('')
  expect([...told.objects]).toEqual(['text_completion'])
})

it('asks a chat model with the prompt as a message', async () => {
  await openai.completions.create({ model: 'mock-n5', prompt: ['a'], max_tokens: 7, stop: ['x'], user: 'u' })
  expect(JSON.parse(await sent())).toEqual({
    ...{ model: 'mock-n5', max_completion_tokens: 7, stop: ['x'], user: 'u' },
    messages: [{ role: 'user', content: 'a' }],
  })
})

it.each<[string, object]>([
  ['suffix', { suffix: '}' }],
  ['echo', { echo: true }],
  ['logprobs', { logprobs: 2 }],
  ['best_of', { best_of: 3 }],
  ['prompt', { prompt: [1, 2, 3] }],
])('says which models have what a chat model has not: %s', async (param, more) => {
  const error = await failure({ model: 'demo', prompt: 'x', ...more })
  expect(error).toMatchObject({ status: 400, param })
  expect(error.message).toContain('completions: true')
})

it.each<[string, object]>([
  ['prompt', { prompt: undefined }],
  ['prompt', { prompt: '' }],
  ['prompt', { prompt: ['a', 'b'] }],
  ['prompt', { prompt: [{}] }],
  ['prompt', { prompt: Array.from({ length: 100_000 }, () => 'x') }],
  ['messages', { messages: [] }],
  ['stream', { stream: 'yes' }],
])('refuses %s: %o', async (param, more) => {
  for (const model of ['demo', 'code'])
    expect(await failure({ model, prompt: 'x', ...more })).toMatchObject({ status: 400, param })
})

it.each([undefined, { include_usage: true }])('is resumed after any event, with %o', async (options) => {
  const first = await post({ model: 'demo', prompt: 'demo: tokens=6', stream: true, stream_options: options })
  const all = readSse(toBytes(await first.text()))
  expect(all.at(-1)?.text).toBe('data: [DONE]')
  const location = `http://127.0.0.1:${app.port}${first.headers.get('location')}`
  expect(all.filter(({ text }) => text.includes('"usage":{'))).toHaveLength(options === undefined ? 0 : 1)
  for (const [i, { n }] of all.entries()) {
    // The usage comes with the end
    if (n === null) continue
    const headers = { authorization: `Bearer ${app.key}`, 'last-event-id': `1-${n}` }
    const rest = await fetch(location, { headers })
    if (i === all.length - 1) expect(rest.status).toBe(204)
    else expect(readSse(toBytes(await rest.text()))).toEqual(all.slice(i + 1))
  }
})

// ---------------------------------------------------------------- engines that complete text

const FILL = { model: 'code', prompt: 'def f(x):\n  é', suffix: '\n  return y', max_tokens: 9, temperature: 0.2 }

it('is passed on byte for byte, but for the model and how it is asked', async () => {
  const json = '{"prompt":"a\\u00e9","suffix":"}","model":"code","logprobs":2,"echo":true,"x_top_k":1.0}'
  const answer = await fetch(`http://127.0.0.1:${app.port}/v1/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    body: json,
  })
  expect(answer.status).toBe(200)
  expect(await sent()).toBe(json.replace('"code"', '"mock-n5"'))
})

it('is answered whole and as a stream, with what the engine counted', async () => {
  const whole = await openai.completions.create(FILL)
  expect(whole).toMatchObject({
    ...{ id: expect.stringMatching(/^cmpl-mock/), object: 'text_completion', model: 'mock-n5' },
    choices: [{ index: 0, text: expect.stringMatching(/^( tok\d{6}\.\d{13}){5}$/), finish_reason: 'stop' }],
    usage: { prompt_tokens: 19, completion_tokens: 5 },
  })
  const told = await streamed({ ...FILL, stream_options: { include_usage: true } })
  expect(told).toMatchObject({ finish: 'stop', usage: { prompt_tokens: 19, completion_tokens: 5 } })
  expect(told.text).toMatch(/^( tok\d{6}\.\d{13}){5}$/)
  expect(JSON.parse(await sent())).toMatchObject({ prompt: FILL.prompt, suffix: FILL.suffix, stream: true })
})

it('takes tokens', async () => {
  await openai.completions.create({ model: 'code', prompt: [1, 2, 3] })
  expect(JSON.parse(await sent())).toEqual({ model: 'mock-n5', prompt: [1, 2, 3] })
})

it('is weighed before it is sent, with all that it lets its model try', async () => {
  const estimate = async (more: object): Promise<Record<string, unknown>> => {
    const answer = await fetch(`http://127.0.0.1:${app.port}/v1/estimate?endpoint=/v1/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...FILL, ...more }),
    })
    return (await answer.json()) as Record<string, unknown>
  }
  const tokens = Array.from({ length: 1_000 }, (_, i) => i)
  const { input_tokens: input, max_output_tokens: most } = await estimate({ prompt: tokens })
  expect(most).toBe(9)
  expect(Math.abs(Number(input) - 1_000)).toBeLessThan(100)
  expect(await estimate({ n: 2, best_of: 5 })).toMatchObject({ max_output_tokens: 45 })
})

it('tells failures as they are: of a status, and of a stream that broke off', async () => {
  expect(await failure({ model: 'broken', prompt: 'x' })).toMatchObject({ status: 502 })
  await expect(streamed({ model: 'cut', prompt: 'x' })).rejects.toBeInstanceOf(APIError)
})

it('can still chat, over the same model', async () => {
  const chat = await openai.chat.completions.create({ model: 'code', messages: [{ role: 'user', content: 'x' }] })
  expect(chat.choices[0].message.content).toMatch(/^ tok/)
  expect(JSON.parse(await sent())).toHaveProperty('messages')
})

it('is no part of a conversation', async () => {
  const error = await failure({ model: 'code', prompt: 'x', sluice: { conversation: 'c' } })
  expect(error).toMatchObject({ status: 400, param: 'sluice.conversation' })
})
