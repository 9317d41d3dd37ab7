/**
 * What clients' libraries read of our answers: the `openai` SDK, and the AI SDK with its provider for servers that
 * speak OpenAI's API. Both unmodified; the upstream says what each test hands it.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, isStepCount, streamText, tool } from 'ai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { aiSdk, openAi, WEATHER } from '../sdk-clients.ts'
import { startTestApp, type TestApp } from './app.ts'

let upstream: Server
/** What the upstream says next: its status, and a document, or the payloads of a stream. */
let says: Array<readonly [status: number, body: object | readonly object[]]>
let asked: Array<Record<string, any>>
let app: TestApp

beforeAll(async () => {
  upstream = createServer(async (request, response) => {
    let body = ''
    for await (const part of request) body += part
    asked.push(JSON.parse(body))
    const [status, said] = says.shift() ?? [500, {}]
    response.writeHead(status, { 'content-type': Array.isArray(said) ? 'text/event-stream' : 'application/json' })
    if (!Array.isArray(said)) return void response.end(JSON.stringify(said))
    response.end(`${said.map((payload) => `data: ${JSON.stringify(payload)}\n\n`).join('')}data: [DONE]\n\n`)
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const { port } = upstream.address() as AddressInfo
  const up = { name: 'up', provider: 'openai-compatible', base_url: `http://127.0.0.1:${port}/v1` }
  app = await startTestApp({ bad_keys_per_minute: 1_000 }, { models: [up], queue: { max_attempts: 1 } })
})
beforeEach(() => {
  says = []
  asked = []
})
afterAll(async () => {
  await app?.stop()
  upstream?.close()
})

// ---------------------------------------------------------------- what the upstream says

const USAGE = {
  prompt_tokens: 11,
  completion_tokens: 7,
  total_tokens: 18,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 3 },
}
const told = { id: 'chatcmpl-1', created: 1, model: 'real' }
const chunk = (delta: object, finish_reason: string | null = null) => ({
  ...told,
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta, finish_reason }],
})

/** A message in one piece, or as the chunks of a stream. */
function answers(stream: boolean, message: Record<string, any>, reason = 'stop'): void {
  if (!stream) {
    const choices = [{ index: 0, message: { role: 'assistant', content: null, ...message }, finish_reason: reason }]
    says.push([200, { ...told, object: 'chat.completion', choices, usage: USAGE }])
    return
  }
  const deltas: object[] = [{ role: 'assistant', content: '' }]
  for (const name of ['reasoning_content', 'content'])
    for (const character of message[name] ?? '') deltas.push({ [name]: character })
  for (const [index, { id, type, function: called }] of (message['tool_calls'] ?? []).entries()) {
    deltas.push({ tool_calls: [{ index, id, type, function: { name: called.name, arguments: '' } }] })
    for (const part of called.arguments.match(/.{1,4}/g))
      deltas.push({ tool_calls: [{ index, function: { arguments: part } }] })
  }
  const last = { ...told, object: 'chat.completion.chunk', choices: [], usage: USAGE }
  says.push([200, [...deltas.map((delta) => chunk(delta)), chunk({}, reason), last]])
}

// ---------------------------------------------------------------- what they read

const LIBRARIES = [
  ['the AI SDK', aiSdk],
  ['the openai SDK', openAi],
] as const
const CASES = LIBRARIES.flatMap(([name, of]) => [
  [name, 'a document', of, false] as const,
  [name, 'a stream', of, true] as const,
])
const server = () => ({ url: `http://127.0.0.1:${app.port}/v1`, key: app.key, model: 'up' })

describe.each(CASES)('%s, %s', (_name, _form, of, stream) => {
  const library = of(server)

  it('text, and usage in all its parts', async () => {
    answers(stream, { content: 'Hello — “世界” 🙂' })
    expect(await library.ask(stream)).toEqual({
      ...{ text: 'Hello — “世界” 🙂', reasoning: '', calls: [], reason: 'stop' },
      usage: [11, 4, 7, 3],
    })
  })

  it('reasoning, apart from text', async () => {
    answers(stream, { reasoning_content: 'I think.', content: 'I am.' })
    expect(await library.ask(stream)).toMatchObject({ reasoning: 'I think.', text: 'I am.' })
  })

  it('calls of tools', async () => {
    const call = (id: string, city: string) => ({
      id,
      type: 'function',
      function: { name: 'weather', arguments: JSON.stringify({ city }) },
    })
    answers(stream, { tool_calls: [call('call_1', 'Bern'), call('call_2', 'Zürich')] }, 'tool_calls')
    expect(await library.ask(stream, { tools: ['weather'] })).toMatchObject({
      calls: [
        { id: 'call_1', name: 'weather', input: { city: 'Bern' } },
        { id: 'call_2', name: 'weather', input: { city: 'Zürich' } },
      ],
      reason: 'tool_calls',
    })
    expect(asked[0]['tools'][0]).toMatchObject({ type: 'function', function: { name: 'weather' } })
  })

  it('JSON of a schema', async () => {
    const schema = {
      type: 'object',
      properties: { name: { type: 'string' }, age: { type: 'integer' } },
      required: ['name', 'age'],
      additionalProperties: false,
    }
    answers(stream, { content: '{"name":"Ada","age":36}' })
    const { text } = await library.ask(stream, { schema })
    expect(JSON.parse(text)).toEqual({ name: 'Ada', age: 36 })
    expect(asked[0]['response_format']).toMatchObject({ type: 'json_schema', json_schema: { name: 'person', schema } })
  })

  it.each(['length', 'content_filter'])('the end for %s', async (reason) => {
    answers(stream, { content: 'Hel' }, reason)
    expect(await library.ask(stream)).toMatchObject({ text: 'Hel', reason })
  })

  it('a wrong key, an unknown model: ours to refuse', async () => {
    expect(await library.failure(stream, { key: 'sk-of-nobody' })).toMatchObject({ status: 401 })
    const unknown = await library.failure(stream, { model: 'upp' })
    expect(unknown.status).toBe(404)
    expect(unknown.message).toMatch(/"?upp"?.*"?up"?/)
    expect(asked).toEqual([])
  })

  it.each([
    [400, { message: 'max_tokens is too large', type: 'invalid_request_error', param: 'max_tokens' }, 400],
    [500, { message: 'boom' }, 502],
    [401, { message: 'the key sk-of-the-operator' }, 502],
  ])('the provider answers %d', async (status, error, seen) => {
    says.push([status, { error }])
    const failure = await library.failure(stream)
    expect(failure.status).toBe(seen)
    if (seen === 400) expect(failure.message).toContain('max_tokens is too large')
    expect(failure.message).not.toContain('sk-of-the-operator')
  })
})

describe.each(LIBRARIES)('%s', (_name, of) => {
  it('a stream that fails in its midst is a failure, and no short answer', async () => {
    says.push([200, [chunk({ role: 'assistant', content: 'Hel' }), { error: { message: 'overloaded', code: 529 } }]])
    const { message } = await of(server).failure(true)
    expect(message).toContain('overloaded')
  })
})

it.each([false, true])('the AI SDK runs a tool and hands its result back (stream: %s)', async (stream) => {
  const sluice = createOpenAICompatible({ name: 'sluice', baseURL: server().url, apiKey: app.key })
  const called = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } }
  answers(stream, { reasoning_content: 'I look.', tool_calls: [called] }, 'tool_calls')
  answers(stream, { content: 'It snows.' })
  const options = {
    model: sluice('up'),
    prompt: 'The weather of Bern?',
    tools: { weather: tool({ ...WEATHER, execute: ({ city }) => `snow in ${city}` }) },
    stopWhen: isStepCount(3),
  }
  const result = stream ? streamText(options) : await generateText(options)
  expect(await result.text).toBe('It snows.')
  expect(await result.steps).toHaveLength(2)
  expect(asked[1]['messages']).toMatchObject([
    { role: 'user' },
    { role: 'assistant', tool_calls: [called] },
    { role: 'tool', tool_call_id: 'call_1', content: 'snow in Bern' },
  ])
})
