/** OpenAI's Responses API, as its SDK and the AI SDK use it, unmodified, over an upstream of OpenAI's older dialect. */
import { createOpenAI } from '@ai-sdk/openai'
import { generateText, isStepCount, streamText, tool } from 'ai'
import OpenAI from 'openai'
import type { Response, ResponseCreateParams } from 'openai/resources/responses/responses'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'
import { WEATHER } from '../sdk-clients.ts'
import { SayingUpstream } from './upstream.ts'

const upstream = new SayingUpstream()
const answers: SayingUpstream['answers'] = (...said) => upstream.answers(...said)
let app: TestApp
let openai: OpenAI
const baseURL = (): string => `http://127.0.0.1:${app.port}/v1`

beforeAll(async () => {
  const models = [
    { name: 'up', provider: 'openai-compatible', base_url: await upstream.listen() },
    { name: 'demo', provider: 'demo' },
  ]
  app = await startTestApp({}, { models, queue: { max_attempts: 1 } })
  openai = new OpenAI({ baseURL: baseURL(), apiKey: app.key, maxRetries: 0 })
})
beforeEach(() => upstream.forget())
afterAll(async () => {
  await app?.stop()
  upstream.close()
})

const CALL = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } }

/** The same answer by both ways of the SDK, which gathers events to a response of its own. */
const answer = (stream: boolean, request: object): Promise<Response> =>
  stream
    ? openai.responses.stream({ model: 'up', ...request } as never).finalResponse()
    : openai.responses.create({ model: 'up', ...request } as ResponseCreateParams & { stream: false })

it('refuses more alternatives than there may be', async () => {
  const ask = { input: 'Hello', include: ['message.output_text.logprobs'] as const }
  await expect(answer(false, { ...ask, top_logprobs: 21 })).rejects.toMatchObject({
    status: 400,
    param: 'top_logprobs',
  })
})

it('a request and its idempotency key join their job, though what it referred to is gone', async () => {
  answers(false, { content: 'One.' })
  answers(false, { content: 'Two.' })
  const { id } = await answer(false, { input: 'Hello' })
  const next = { model: 'up', input: 'And?', previous_response_id: id }
  const ask = (more: object = {}, headers: Record<string, string> = { 'idempotency-key': 'ik' }) =>
    openai.responses.create({ ...next, ...more } as ResponseCreateParams & { stream: false }, { headers })
  const first = await ask()
  await openai.responses.delete(id)
  expect(await ask()).toEqual(first)
  const own = { headers: { 'sluice-idempotency-key': 'ik' } }
  expect((await ask({}, own.headers)).id).toBe(first.id)
  expect(upstream.asked).toHaveLength(2)
  await expect(ask({ input: 'Else' })).rejects.toMatchObject({ status: 422, code: 'idempotency_conflict' })
  await expect(ask({ safety_identifier: 'jane' })).rejects.toMatchObject({ code: 'idempotency_conflict' })
  for (const headers of [{}, { 'idempotency-key': 'another' }] as Array<Record<string, string>>)
    await expect(ask({}, headers)).rejects.toMatchObject({ status: 400, param: 'previous_response_id' })
})

describe.each([
  ['whole', false],
  ['streamed', true],
])('%s', (_how, stream) => {
  const text = 'demo: tokens=5 delay=0 ttft=0'

  it('tells how likely tokens were, as chat completions do', async () => {
    const include = ['message.output_text.logprobs']
    const { output, output_text, top_logprobs } = await answer(stream, {
      model: 'demo',
      input: text,
      include,
      top_logprobs: 2,
    })
    const [part] = (output[0] as unknown as { content: Array<{ logprobs: Array<Record<string, any>> }> }).content
    expect(part!.logprobs.map(({ token }) => token).join('')).toBe(output_text)
    expect(part!.logprobs[0]).toEqual({
      ...{ token: expect.any(String), logprob: expect.any(Number), bytes: expect.any(Array) },
      top_logprobs: [
        { token: part!.logprobs[0]!['token'], logprob: part!.logprobs[0]!['logprob'], bytes: expect.any(Array) },
        expect.anything(),
      ],
    })
    expect(top_logprobs).toBe(2)
    const asked = {
      model: 'demo',
      messages: [{ role: 'user' as const, content: text }],
      logprobs: true,
      top_logprobs: 2,
    }
    const chat = stream
      ? await openai.chat.completions.stream(asked).finalChatCompletion()
      : await openai.chat.completions.create(asked)
    const [{ logprobs, message }] = chat.choices as [OpenAI.ChatCompletion.Choice]
    expect(logprobs!.content!.map(({ token }) => token).join('')).toBe(message.content)
    expect(logprobs!.content![0]!.top_logprobs).toHaveLength(2)
  })

  it('tells none where they are not asked for', async () => {
    const { output } = await answer(stream, { model: 'demo', input: text, top_logprobs: 2 })
    expect(output).toMatchObject([{ content: [{ logprobs: [] }] }])
  })
})

describe.each([
  ['whole', false],
  ['streamed', true],
])('%s, with store: false', (_how, stream) => {
  it('the openai SDK gives thought and signatures back as they were', async () => {
    const signed = { ...CALL, extra_content: { google: { thought_signature: 'TSIG' } } }
    answers(stream, { reasoning_content: 'Hm.', tool_calls: [signed] }, 'tool_calls')
    answers(stream, { content: 'Sunny.' })
    const request = { input: 'Hello', store: false, include: ['reasoning.encrypted_content'] }
    const { output, usage } = await answer(stream, request)
    expect(usage!.input_tokens_details).toEqual({ cached_tokens: 4, cache_write_tokens: 0 })
    expect(output.map(({ type }) => type)).toEqual(['reasoning', 'function_call', 'reasoning'])
    expect(JSON.stringify(output)).not.toContain('TSIG')
    const result = { type: 'function_call_output', call_id: 'call_1', output: 'sun' }
    const hidden = output.map((item) => (item.type === 'reasoning' ? { ...item, summary: [] } : item))
    await answer(stream, { ...request, input: [{ role: 'user', content: 'Hello' }, ...hidden, result] })
    expect(upstream.asked[1]?.['messages']).toEqual([
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: null, reasoning_content: 'Hm.', tool_calls: [signed] },
      { role: 'tool', tool_call_id: 'call_1', content: 'sun' },
    ])
  })

  it("the AI SDK's loop keeps the thought", async () => {
    answers(stream, { reasoning_content: 'Hm.', content: '', tool_calls: [CALL] }, 'tool_calls')
    answers(stream, { content: 'Sunny.' })
    const weather = tool({ ...WEATHER, execute: async ({ city }) => `sun in ${city}` })
    const options = {
      model: createOpenAI({ baseURL: baseURL(), apiKey: app.key })('up'),
      ...{ prompt: 'Hello', tools: { weather }, stopWhen: isStepCount(3), maxRetries: 0 },
      providerOptions: { openai: { store: false, include: ['reasoning.encrypted_content'] } },
    } as const
    const result = stream ? streamText(options as never) : await generateText(options as never)
    expect(await result.text).toBe('Sunny.')
    expect((await result.steps).flatMap(({ warnings }) => warnings ?? [])).toEqual([])
    expect(upstream.asked[1]?.['messages'].slice(-2)).toEqual([
      { role: 'assistant', content: null, reasoning_content: 'Hm.', tool_calls: [CALL] },
      { role: 'tool', tool_call_id: 'call_1', content: 'sun in Bern' },
    ])
  })
})
