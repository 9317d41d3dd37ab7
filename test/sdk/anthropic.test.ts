/**
 * Anthropic's Messages API, as its own SDK and the AI SDK's provider for it use it, both unmodified: over an upstream
 * that speaks OpenAI's dialect, over one that speaks Anthropic's and answers as its documentation does, and the demo.
 */
import { createAnthropic } from '@ai-sdk/anthropic'
import Anthropic, { APIError, AuthenticationError, BadRequestError, NotFoundError } from '@anthropic-ai/sdk'
import { generateText, isStepCount, streamText, tool } from 'ai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { toBytes } from '../../src/core/record.ts'
import { RawUpstream } from '../../src/routing/providers/testing/upstream.ts'
import { readSse } from '../conformance/read.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { anthropic as DOCUMENTED } from '../providers/dialects/anthropic.ts'
import { whole } from '../providers/rig.ts'
import { WEATHER } from '../sdk-clients.ts'
import { AGENT } from './agent-request.ts'
import { SayingUpstream } from './upstream.ts'

const upstream = new SayingUpstream()
const claude = new RawUpstream()
let app: TestApp
let client: Anthropic

beforeAll(async () => {
  const base_url = await upstream.listen()
  await claude.listen()
  const models = [
    { name: 'up', provider: 'openai-compatible', base_url },
    { name: 'claude', provider: 'anthropic', model: 'x', base_url: `${claude.url}/v1`, api_key: { env: 'KEY' } },
    { name: 'demo', provider: 'demo' },
  ]
  app = await startTestApp({ bad_keys_per_minute: 1_000 }, { models, queue: { max_attempts: 1 } }, { KEY: 'sk-none' })
  client = new Anthropic({ baseURL: url(), apiKey: app.key, maxRetries: 0 })
})
beforeEach(() => upstream.forget())
afterAll(async () => {
  await app?.stop()
  upstream.close()
  await claude.stop()
})

const url = (): string => `http://127.0.0.1:${app.port}`
const post = (body: object, headers: Record<string, string> = {}, path = '/v1/messages?beta=true'): Promise<Response> =>
  fetch(`${url()}${path}`, {
    method: 'POST',
    headers: {
      ...{ 'x-api-key': app.key, 'content-type': 'application/json', 'anthropic-version': '2023-06-01' },
      ...{ 'anthropic-beta': 'interleaved-thinking-2025-05-14', ...headers },
    },
    body: JSON.stringify(body),
  })

const answers: SayingUpstream['answers'] = (...said) => upstream.answers(...said)
const CALL = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } }
const TOOL = { name: 'weather', description: 'The weather', input_schema: WEATHER.inputSchema.jsonSchema as never }
const HELLO = { model: 'up', max_tokens: 64, messages: [{ role: 'user' as const, content: 'Hello' }] }

/** The same answer by both ways of the SDK, which gathers events to a message of its own. */
const message = (stream: boolean, request: object = {}): Promise<Anthropic.Message> =>
  stream
    ? client.messages.stream({ ...HELLO, ...request }).finalMessage()
    : client.messages.create({ ...HELLO, ...request } as Anthropic.MessageCreateParamsNonStreaming)

describe.each([
  ['whole', false],
  ['streamed', true],
])("Anthropic's SDK, %s", (_how, stream) => {
  it('reads a text, and what it cost', async () => {
    answers(stream, { content: 'Grüße 世界 🌍', reasoning_content: 'not asked for' })
    const { id, usage, ...answer } = await message(stream)
    expect(id).toMatch(/^msg_[0-9a-z]{26}$/)
    expect(answer).toMatchObject({
      ...{ type: 'message', role: 'assistant', model: 'up', stop_reason: 'end_turn', stop_sequence: null },
      content: [{ type: 'text', text: 'Grüße 世界 🌍' }],
    })
    expect(usage).toMatchObject({
      ...{ input_tokens: 7, cache_read_input_tokens: 4, cache_creation_input_tokens: 0, output_tokens: 7 },
      output_tokens_details: { thinking_tokens: 3 },
    })
    expect(upstream.asked[0]).toMatchObject({
      max_completion_tokens: 64,
      messages: [{ role: 'user', content: 'Hello' }],
    })
  })

  it('reads thought where it asked for it, and gives it back', async () => {
    answers(stream, { content: 'Yes.', reasoning_content: 'Let me see.' })
    const { content } = await message(stream, { thinking: { type: 'enabled', budget_tokens: 1024 } })
    expect(content).toMatchObject([
      { type: 'thinking', thinking: 'Let me see.', signature: 'sluice.unsigned' },
      { type: 'text', text: 'Yes.' },
    ])
    answers(stream, { content: 'No.' })
    const again = [...HELLO.messages, { role: 'assistant', content }, { role: 'user', content: 'Sure?' }]
    await message(stream, { messages: again })
    expect(upstream.asked[0]?.['reasoning_effort']).toBe('low')
    expect(upstream.asked[1]?.['messages'][1]).toEqual({
      ...{ role: 'assistant', content: 'Yes.', reasoning_content: 'Let me see.' },
    })
  })

  it('takes a round trip with tools', async () => {
    answers(stream, { content: 'One moment.', tool_calls: [CALL, { ...CALL, id: 'call_2' }] }, 'tool_calls')
    const request = { tools: [TOOL], tool_choice: { type: 'any', disable_parallel_tool_use: true } }
    const { content, stop_reason } = await message(stream, request)
    expect(stop_reason).toBe('tool_use')
    expect(content).toMatchObject([
      { type: 'text', text: 'One moment.' },
      { type: 'tool_use', id: 'call_1', name: 'weather', input: { city: 'Bern' } },
      { type: 'tool_use', id: 'call_2', name: 'weather', input: { city: 'Bern' } },
    ])
    expect(upstream.asked[0]).toMatchObject({
      ...{ tool_choice: 'required', parallel_tool_calls: false },
      tools: [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }],
    })
    answers(stream, { content: 'Sunny.' })
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'aGk=' } }
    const results = [
      { type: 'tool_result', tool_use_id: 'call_1', content: [{ type: 'text', text: 'sun' }, image] },
      { type: 'tool_result', tool_use_id: 'call_2', is_error: true, content: 'timeout' },
      { type: 'text', text: 'Go on.' },
    ]
    await message(stream, {
      tools: [TOOL],
      messages: [...HELLO.messages, { role: 'assistant', content }, { role: 'user', content: results }],
    })
    expect(upstream.asked[1]?.['messages'].slice(1)).toEqual([
      { role: 'assistant', content: 'One moment.', tool_calls: [CALL, { ...CALL, id: 'call_2' }] },
      { role: 'tool', tool_call_id: 'call_1', content: 'sun' },
      { role: 'tool', tool_call_id: 'call_2', content: 'Error: timeout' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Returned by the tool call call_1:' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,aGk=' } },
          { type: 'text', text: 'Go on.' },
        ],
      },
    ])
  })

  it.each([
    ['length', {}, 'max_tokens', null],
    ['content_filter', {}, 'refusal', null],
    ['stop', { stop_reason: 'END' }, 'stop_sequence', 'END'],
    ['stop', { stop_reason: 107 }, 'end_turn', null],
  ])('knows why an answer ended: %s %o', async (finish, more, reason, sequence) => {
    answers(stream, { content: 'Well' }, finish, more)
    expect(await message(stream, { stop_sequences: ['END'] })).toMatchObject({
      ...{ stop_reason: reason, stop_sequence: sequence },
    })
    expect(upstream.asked[0]?.['stop']).toEqual(['END'])
  })

  it('asks for JSON of a schema', async () => {
    answers(stream, { content: '{"a":1}' })
    const schema = { type: 'object', properties: { a: { type: 'integer' } } }
    await message(stream, { output_config: { effort: 'high', format: { type: 'json_schema', schema } } })
    expect(upstream.asked[0]).toMatchObject({
      ...{ reasoning_effort: 'high', response_format: { type: 'json_schema', json_schema: { schema, strict: true } } },
    })
  })

  it("throws the errors of its own classes, with the server's words", async () => {
    const failure = async (request: object, other = client): Promise<APIError> => {
      const asking = { ...HELLO, ...request }
      const answer = stream
        ? other.messages.stream(asking as never).finalMessage()
        : other.messages.create(asking as never)
      const error = await answer.then(
        () => expect.fail('an answer'),
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(APIError)
      return error as APIError
    }
    const nobody = new Anthropic({ baseURL: url(), apiKey: 'nobody', maxRetries: 0 })
    const unknown = await failure({ model: 'none' })
    expect(unknown).toBeInstanceOf(NotFoundError)
    expect(unknown.error).toMatchObject({ type: 'error', error: { type: 'not_found_error' } })
    expect(await failure({}, nobody)).toBeInstanceOf(AuthenticationError)
    expect(await failure({ messages: [] })).toBeInstanceOf(BadRequestError)
    upstream.says.push([400, { error: { message: 'maximum context', code: 'context_length_exceeded' } }])
    const tooLong = await failure({})
    expect(tooLong).toBeInstanceOf(BadRequestError)
    expect(tooLong.message).toContain('prompt is too long: ')
    upstream.says.push([500, { error: { message: 'broken' } }])
    expect(await failure({})).toMatchObject({ status: 502, error: { error: { type: 'api_error' } } })
  })
})

it('is told of a failure in the middle, as an event', async () => {
  const request = { ...HELLO, model: 'demo', messages: [{ role: 'user' as const, content: 'demo: tokens=9 cut=4' }] }
  const run = client.messages.stream(request)
  let text = ''
  run.on('text', (piece) => {
    text += piece
  })
  const error = await run.finalMessage().catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(APIError)
  expect((error as APIError).error).toMatchObject({ type: 'error', error: { type: 'api_error', code: 'provider_cut' } })
  expect(text).not.toBe('')
})

it('counts tokens, in the thought of an agent too', async () => {
  const count = (request: object) => client.messages.countTokens({ ...HELLO, ...request } as never)
  const { input_tokens: few } = await count({ model: 'demo' })
  const { input_tokens: more } = await count({ model: 'demo', system: 'Be kind. '.repeat(50), tools: [TOOL] })
  expect(few).toBeGreaterThan(0)
  expect(more).toBeGreaterThan(few + 100)
  await expect(count({ model: 'none' })).rejects.toBeInstanceOf(NotFoundError)
  await expect(count({ model: 'demo', messages: 'x' })).rejects.toBeInstanceOf(BadRequestError)
})

it('lists the models', async () => {
  const names: string[] = []
  for await (const { id, display_name } of client.models.list({ limit: 1_000 })) names.push(`${id} ${display_name}`)
  expect(names).toEqual(['up up', 'claude claude', 'demo demo'])
  expect(await client.models.retrieve('demo')).toMatchObject({ id: 'demo', type: 'model' })
})

it('answers a coding agent: cached instructions, fifteen tools, thought, a user of JSON', async () => {
  answers(true, { reasoning_content: 'I read it first.', content: '', tool_calls: [CALL] }, 'tool_calls')
  const answer = await post({ ...AGENT, model: 'up' })
  expect(answer.status).toBe(200)
  const events = readSse(toBytes(await answer.text())).map(({ text }) => /^event: (.*)$/m.exec(text)![1])
  expect(events.filter((event, i) => event !== events[i - 1])).toEqual([
    ...['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop'],
    ...['content_block_start', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop'],
  ])
  const [request] = upstream.asked
  expect(JSON.stringify(request)).not.toMatch(/cache_control|cache_hints|billing/)
  expect(request?.['tools']).toHaveLength(15)
  expect(request?.['messages'].map(({ role }: { role: string }) => role)).toEqual([
    ...['system', 'user', 'assistant', 'tool', 'tool', 'user'],
  ])
  expect(request).toMatchObject({ stream: true, max_completion_tokens: 32_000, reasoning_effort: 'high' })
  const job = await fetch(`${url()}/v1/jobs/${answer.headers.get('sluice-job')}`, {
    headers: { 'x-api-key': app.key },
  })
  expect(await job.json()).toMatchObject({ user: AGENT.metadata.user_id })
})

// ---------------------------------------------------------------- as Anthropic's own documentation has it

/** What Sluice says of itself, or its provider's package leaves out. */
function steady(event: Record<string, any>): readonly object[] {
  const { type, message, delta, usage } = event
  if (type === 'ping' || (type === 'content_block_delta' && delta.partial_json === '')) return []
  if (type === 'message_start') return [{ type, message: { ...message, id: '', model: '', usage: {} } }]
  if (type === 'message_delta') return [{ ...event, usage: { output_tokens: usage.output_tokens } }]
  return [event]
}
const eventsIn = (text: string): readonly object[] =>
  [...text.matchAll(/^data: (.*)$/gm)].flatMap(([, data]) => steady(JSON.parse(data)))

it.each(DOCUMENTED.filter(({ isDocument, name }) => isDocument !== true && name !== 'anthropic-error'))(
  'the documented events, field by field: $name',
  async ({ name, body }) => {
    claude.says(whole('200 X', 'text/event-stream', body))
    const thinking = { type: 'enabled', budget_tokens: 2048 }
    const tools = [{ name: 'get_weather', input_schema: { type: 'object' } }]
    const answer = await post({
      ...{ ...HELLO, model: 'claude', max_tokens: 20_000, stream: true },
      ...(name.endsWith('thinking') && { thinking }),
      ...(name.endsWith('tools') && { tools }),
    })
    const text = await answer.text()
    expect(eventsIn(text)).toEqual(eventsIn(body))
    const named = [...text.matchAll(/^event: (.*)\ndata: (.*)$/gm)]
    for (const [, event, data] of named) expect(event).toBe(JSON.parse(data).type)
  },
)

it('the documented document, field by field', async () => {
  const { body } = DOCUMENTED.find(({ isDocument }) => isDocument)!
  claude.says(whole('200 X', 'application/json', body))
  const { id, model, usage, ...rest } = (await (await post({ ...HELLO, model: 'claude' })).json()) as Anthropic.Message
  const { id: _id, model: _model, usage: documented, ...expected } = JSON.parse(body) as Anthropic.Message
  expect(rest).toEqual(expected)
  expect([id, model]).toEqual([expect.stringMatching(/^msg_/), 'claude'])
  expect(usage).toMatchObject(documented)
})

it("gives Anthropic's models their signed thought back", async () => {
  const { body } = DOCUMENTED.find(({ name }) => name === 'anthropic-thinking')!
  claude.says(whole('200 X', 'text/event-stream', body))
  const request = { ...HELLO, model: 'claude', max_tokens: 20_000 }
  const thinking = { type: 'enabled' as const, budget_tokens: 2048 }
  const { content } = await client.messages.stream({ ...request, thinking }).finalMessage()
  const [thought] = content
  expect(thought).toMatchObject({ type: 'thinking', signature: expect.stringMatching(/^EqQB/) })
  claude.says(whole('200 X', 'text/event-stream', body))
  const hidden = { type: 'redacted_thinking' as const, data: 'abc' }
  const messages = [
    ...HELLO.messages,
    { role: 'assistant' as const, content: [hidden, ...content] },
    { role: 'user' as const, content: 'And?' },
  ]
  await client.messages.stream({ ...request, thinking, messages }).finalMessage()
  const sent = claude.bodies.at(-1) as unknown as { messages: ReadonlyArray<{ content: readonly object[] }> }
  expect(sent.messages[1].content.slice(0, 2)).toMatchObject([hidden, thought])
})

// ---------------------------------------------------------------- the AI SDK

describe('the AI SDK', () => {
  const model = () => createAnthropic({ baseURL: `${url()}/v1`, apiKey: app.key })('up')

  it.each([
    ['whole', false],
    ['streamed', true],
  ])('takes steps with a tool: %s', async (_how, stream) => {
    answers(stream, { reasoning_content: 'Hm.', content: '', tool_calls: [CALL] }, 'tool_calls')
    answers(stream, { content: 'Sunny.' })
    const weather = tool({ ...WEATHER, execute: async ({ city }) => `sun in ${city}` })
    const options = {
      ...{ model: model(), prompt: 'Hello', tools: { weather }, stopWhen: isStepCount(3), maxRetries: 0 },
      providerOptions: { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } },
    }
    const result = stream ? streamText(options) : await generateText(options)
    expect(await result.text).toBe('Sunny.')
    expect(await result.finishReason).toBe('stop')
    expect((await result.steps)[0]).toMatchObject({
      ...{ finishReason: 'tool-calls', reasoningText: 'Hm.' },
      usage: { inputTokens: 11, outputTokens: 7 },
    })
    expect(upstream.asked[1]?.['messages'].slice(-2)).toEqual([
      { role: 'assistant', content: null, reasoning_content: 'Hm.', tool_calls: [CALL] },
      { role: 'tool', tool_call_id: 'call_1', content: 'sun in Bern' },
    ])
    expect(JSON.stringify((await result.steps).map(({ warnings }) => warnings))).not.toContain('reasoning')
  })
})

// ---------------------------------------------------------------- cut, and resumed

it('goes on after any event, wherever it was cut', async () => {
  answers(true, { reasoning_content: 'Hm.', content: 'Grüße', tool_calls: [CALL] }, 'tool_calls')
  const first = await post({ ...HELLO, stream: true, thinking: { type: 'adaptive' } })
  const all = readSse(toBytes(await first.text()))
  expect(all.map(({ n }) => n)).toEqual(all.map((_, i) => i + 1))
  const location = `${url()}${first.headers.get('location')}`
  for (const [i, { n }] of all.entries()) {
    const rest = await fetch(location, { headers: { 'x-api-key': app.key, 'last-event-id': `1-${n}` } })
    if (i === all.length - 1) expect(rest.status).toBe(204)
    else expect(readSse(toBytes(await rest.text()))).toEqual(all.slice(i + 1))
  }
})
