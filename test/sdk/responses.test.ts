/** OpenAI's Responses API, as its SDK and the AI SDK use it, unmodified, over an upstream of OpenAI's older dialect. */
import { createOpenAI } from '@ai-sdk/openai'
import { generateText, isStepCount, streamText, tool } from 'ai'
import OpenAI from 'openai'
import type { Response, ResponseCreateParams } from 'openai/resources/responses/responses'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'
import { userOf } from '../front/two-users.ts'
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

describe('a conversation that was made', () => {
  const turn = (conversation: object | string, input: string, more: object = {}): Promise<Response> =>
    answer(false, { input, conversation, ...more })
  const list = async (id: string, query: OpenAI.Conversations.ItemListParams = {}) => {
    const items = []
    for await (const item of openai.conversations.items.list(id, query)) items.push(item)
    return items
  }
  const textsOf = (items: readonly unknown[]): readonly string[] =>
    (items as ReadonlyArray<{ content: ReadonlyArray<{ text: string }> }>).map(({ content }) => content[0]!.text)

  it('remembers its responses, lists them, and is deleted with them', async () => {
    const made = await openai.conversations.create({ metadata: { topic: 'x' }, items: [] })
    const { id } = made
    expect(made).toEqual({ id, object: 'conversation', created_at: expect.any(Number), metadata: { topic: 'x' } })
    expect(await list(id)).toEqual([])
    answers(false, { content: 'One.' })
    answers(true, { content: '', tool_calls: [CALL] }, 'tool_calls')
    answers(false, { content: 'Three.' })
    expect((await turn(id, 'First')).conversation).toEqual({ id })
    await answer(true, { input: 'Second', conversation: { id }, instructions: 'Be kind.' })
    const output = { type: 'function_call_output', call_id: 'call_1', output: 'sun' }
    await openai.responses.create({ model: 'up', input: [output as never], conversation: id })
    const said = ['First', 'One.', 'Second', undefined, 'sun']
    expect(
      upstream.asked[2]?.['messages']
        .filter(({ role }: any) => role !== 'system')
        .map(({ content }: any) => content ?? undefined),
    ).toEqual(said)
    const items = await list(id, { order: 'asc' })
    expect(items.map(({ type }) => type)).toEqual([
      'message',
      'message',
      'message',
      'function_call',
      'function_call_output',
      'message',
    ])
    expect(items[3]).toMatchObject({ call_id: 'call_1', name: 'weather', arguments: '{"city":"Bern"}' })
    expect(textsOf([items[0], items[1], items[5]])).toEqual(['First', 'One.', 'Three.'])
    expect(new Set(items.map((item) => item.id)).size).toBe(6)
    // In pages of whole turns
    expect((await openai.conversations.items.list(id, { limit: 3 })).data).toHaveLength(2)
    expect((await openai.conversations.items.list(id, { limit: 1 })).data).toHaveLength(2)
    for (const limit of [1, 2, 3]) {
      expect(await list(id, { order: 'asc', limit })).toEqual(items)
      expect(await list(id, { limit })).toEqual(items.toReversed())
    }
    expect(await openai.conversations.update(id, { metadata: { topic: 'y' } })).toEqual({
      ...made,
      metadata: { topic: 'y' },
    })
    expect((await openai.conversations.retrieve(id)).metadata).toEqual({ topic: 'y' })
    expect(await openai.conversations.delete(id)).toEqual({ id, object: 'conversation.deleted', deleted: true })
    const gone = { status: 404, code: 'conversation_not_found' }
    await expect(openai.conversations.retrieve(id)).rejects.toMatchObject(gone)
    await expect(list(id)).rejects.toMatchObject(gone)
    await expect(turn(id, 'Fourth')).rejects.toMatchObject({ ...gone, param: 'conversation' })
  })

  it("is its tenant's and its user's alone", async () => {
    const { id } = await openai.conversations.create()
    const { key } = await app.addKey('stranger')
    const stranger = new OpenAI({ baseURL: baseURL(), apiKey: key, maxRetries: 0 })
    const gone = { status: 404, code: 'conversation_not_found' }
    await expect(stranger.conversations.retrieve(id)).rejects.toMatchObject(gone)
    await expect(stranger.conversations.update(id, { metadata: {} })).rejects.toMatchObject(gone)
    await expect(stranger.conversations.delete(id)).rejects.toMatchObject(gone)
    await expect(stranger.responses.create({ model: 'up', input: 'x', conversation: id })).rejects.toMatchObject(gone)
    expect((await openai.conversations.retrieve(id)).id).toBe(id)
    const clientOf = async (user: string) => {
      const { token } = await userOf(app.port, app.key, user)
      return new OpenAI({ baseURL: baseURL(), apiKey: token, maxRetries: 0 })
    }
    const [ann, bob] = [await clientOf('ann'), await clientOf('bob')]
    const own = await ann.conversations.create()
    answers(false, { content: 'One.' })
    await ann.responses.create({ model: 'up', input: 'x', conversation: own.id })
    expect((await ann.conversations.items.list(own.id)).data).toHaveLength(2)
    for (const other of [bob, openai]) {
      await expect(other.conversations.retrieve(own.id)).rejects.toMatchObject(gone)
      await expect(other.conversations.items.list(own.id)).rejects.toMatchObject(gone)
      await expect(other.responses.create({ model: 'up', input: 'x', conversation: own.id })).rejects.toMatchObject(
        gone,
      )
    }
    await expect(ann.conversations.retrieve(id)).rejects.toMatchObject(gone)
  })

  it('says what does not fit', async () => {
    const { id } = await openai.conversations.create()
    const item = { role: 'user' as const, content: 'x' }
    const { items } = openai.conversations
    const refused = (param: string) => ({ status: 400, code: 'invalid_request', param })
    await expect(openai.conversations.create({ items: [item] })).rejects.toMatchObject(refused('items'))
    await expect(items.create(id, { items: [item] })).rejects.toMatchObject(refused('items'))
    await expect(items.retrieve('msg_x', { conversation_id: id })).rejects.toMatchObject(refused('item'))
    await expect(items.delete('msg_x', { conversation_id: id })).rejects.toMatchObject(refused('item'))
    await expect(list(id, { after: 'msg_x' })).rejects.toMatchObject(refused('after'))
    await expect(turn(id, 'x', { previous_response_id: 'resp_x' })).rejects.toMatchObject(
      refused('previous_response_id'),
    )
    await expect(turn(id, 'x', { sluice: { conversation: 'c' } })).rejects.toMatchObject(refused('conversation'))
    await expect(turn({ name: id }, 'x')).rejects.toMatchObject(refused('conversation'))
    const metadata = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v']))
    await expect(openai.conversations.update(id, { metadata })).rejects.toMatchObject(refused('metadata'))
    const job = { endpoint: '/v1/responses', request: { model: 'up', input: 'x', conversation: id } }
    const headers = { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' }
    const posted = await fetch(`${baseURL()}/jobs`, { method: 'POST', headers, body: JSON.stringify(job) })
    const { error } = (await posted.json()) as { error: { param: string } }
    expect([posted.status, error.param]).toEqual([400, 'conversation'])
  })
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
