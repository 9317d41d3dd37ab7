/** The Responses API, by the SDKs that use it by default: nothing is changed but the base URL. */
import { createOpenAI } from '@ai-sdk/openai'
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'
import OpenAI from 'openai'
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { type Server, startServer } from './server.ts'

let server: Server
let mock: MockServer
let openai: OpenAI

beforeAll(async () => {
  mock = await startMock({ port: 0 })
  server = await startServer(
    'models:\n  - { name: demo, provider: demo }\n' +
      `  - { name: "mock-*", provider: openai-compatible, base_url: "${mock.url}/v1" }\n` +
      'http: { disconnect_grace_ms: 500 }\n',
  )
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.key, maxRetries: 0 })
})
afterAll(async () => {
  await server?.stop()
  await mock?.close()
})

const FAST = 'demo: tokens=12 delay=1 ttft=5'
const TOOL = {
  type: 'function' as const,
  name: 'weather',
  description: 'The weather of a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: false,
}

async function all(stream: AsyncIterable<ResponseStreamEvent>): Promise<readonly ResponseStreamEvent[]> {
  const events: ResponseStreamEvent[] = []
  for await (const event of stream) events.push(event)
  return events
}

const textOf = (events: readonly ResponseStreamEvent[]): string =>
  events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')
const finalOf = (events: readonly ResponseStreamEvent[]): Response =>
  (events.at(-1) as { readonly response: Response }).response

/** What the model was sent. */
async function sentBy({ id }: Response): Promise<{ readonly messages: ReadonlyArray<Record<string, any>> }> {
  const path = `/v1/jobs/job_${id.slice('resp_'.length)}/request`
  return (await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}` } })).json() as never
}

async function ended(id: string): Promise<Response> {
  for (let i = 0; i < 300; i++) {
    const response = await openai.responses.retrieve(id)
    if (response.status !== 'queued' && response.status !== 'in_progress') return response
    await new Promise((next) => setTimeout(next, 50))
  }
  throw new Error('It does not end.')
}

describe('the openai SDK', () => {
  it('is answered in one piece', async () => {
    const response = await openai.responses.create({ model: 'demo', instructions: 'Be kind.', input: FAST })
    expect(response.object).toBe('response')
    expect(response.id).toMatch(/^resp_/)
    expect(response.status).toBe('completed')
    expect(response.instructions).toBe('Be kind.')
    expect(response.output_text.length).toBeGreaterThan(20)
    expect(response.usage!.output_tokens).toBeGreaterThan(5)
    expect(response.usage!.total_tokens).toBe(response.usage!.input_tokens + response.usage!.output_tokens)
    expect(await openai.responses.retrieve(response.id)).toEqual(response)
  })

  it('streams, with what its helper makes of it', async () => {
    const events = await all(await openai.responses.create({ model: 'demo', input: FAST, stream: true }))
    expect(events.map(({ sequence_number: n }) => n)).toEqual(events.map((_, i) => i))
    expect(events.slice(0, 4).map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
    ])
    expect(events.slice(-4).map(({ type }) => type)).toEqual([
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ])
    const response = finalOf(events)
    expect(textOf(events)).toBe((response.output[0] as unknown as { content: [{ text: string }] }).content[0].text)
    const { output_text: _, ...stored } = await openai.responses.retrieve(response.id)
    expect(stored).toEqual(response)

    const helped = await openai.responses.stream({ model: 'demo', input: FAST }).finalResponse()
    expect(helped.output_text.length).toBeGreaterThan(20)
  })

  it('calls tools, and goes on with their output and the last response', async () => {
    const first = await openai.responses.create({
      model: 'demo',
      input: 'Use the tool: what is the weather in Bern? demo: delay=1 ttft=5',
      tools: [TOOL],
      tool_choice: 'required',
    })
    const call = first.output.find(({ type }) => type === 'function_call') as { call_id: string; arguments: string }
    expect(JSON.parse(call.arguments)).toHaveProperty('city')
    const second = await openai.responses.create({
      model: 'demo',
      previous_response_id: first.id,
      input: [{ type: 'function_call_output', call_id: call.call_id, output: 'Rain.' }],
    })
    expect(second.previous_response_id).toBe(first.id)
    const sent = await sentBy(second)
    expect(sent.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool'])
    expect(sent.messages[1].tool_calls[0].id).toBe(call.call_id)
    const items = await openai.responses.inputItems.list(second.id, { order: 'asc' })
    expect(items.data.map(({ type }) => type)).toEqual(['message', 'function_call', 'function_call_output'])
  })

  it('tells one end user nothing of another', async () => {
    const ask = (more: object) => openai.responses.create({ model: 'demo', input: FAST, ...more })
    const { id } = await ask({ safety_identifier: 'alice' })
    const asBob = ask({ safety_identifier: 'bob', previous_response_id: id })
    await expect(asBob).rejects.toMatchObject({ status: 400, param: 'previous_response_id' })
    expect((await ask({ safety_identifier: 'alice', previous_response_id: id })).status).toBe('completed')
  })

  it('lists what was asked, item by item, the last one first', async () => {
    const { id } = await openai.responses.create({
      model: 'demo',
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'q' }] },
        { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'thought' }] },
        { type: 'custom_tool_call', call_id: 'c1', name: 'cu', input: 'RAW' },
        { type: 'custom_tool_call_output', call_id: 'c1', output: 'done' },
        {
          type: 'message',
          id: 'msg_1',
          status: 'completed',
          role: 'assistant',
          content: [{ type: 'refusal', refusal: 'NO' }],
        },
        { role: 'user', content: FAST },
      ],
    })
    const kinds: string[] = []
    for await (const item of openai.responses.inputItems.list(id, { limit: 2 })) kinds.push(item.type!)
    const listed = ['message', 'reasoning', 'custom_tool_call', 'function_call_output', 'message', 'message']
    expect(kinds).toEqual(listed.toReversed())
    const { data } = await openai.responses.inputItems.list(id, { order: 'asc' })
    expect(data[2]).toMatchObject({ call_id: 'c1', name: 'cu', input: 'RAW' })
    expect(data[4]).toMatchObject({ content: [{ type: 'refusal', refusal: 'NO' }] })
    const { length: count } = new Set(data.map((item) => item.id)).keys().toArray()
    expect(count).toBe(6)
    await expect(openai.responses.inputItems.list(id, { order: 'zzz' as never })).rejects.toThrow('asc or desc')
  })

  it('counts the tokens of an input, and joins the repeat of a client that says which turn it is', async () => {
    const counted = await openai.responses.inputTokens.count({ model: 'demo', input: 'How many tokens are these?' })
    expect(counted.object).toBe('response.input_tokens')
    expect(counted.input_tokens).toBeGreaterThan(4)
    const body = { model: 'demo', input: `Once. ${FAST}`, store: false }
    const ask = async (headers: Record<string, string>): Promise<string> =>
      (await openai.responses.create(body, { headers })).id
    const turn = { 'x-codex-turn-metadata': '{"turn_id":"1"}' }
    expect(await ask(turn)).toBe(await ask(turn))
    expect(await ask({})).not.toBe(await ask({}))
  })

  it('goes on without the instructions of before', async () => {
    const first = await openai.responses.create({ model: 'demo', instructions: 'One.', input: FAST })
    const second = await openai.responses.create({
      ...{ model: 'demo', instructions: 'Two.', input: FAST, previous_response_id: first.id },
    })
    const sent = await sentBy(second)
    expect(sent.messages).toEqual([
      { role: 'system', content: 'Two.' },
      { role: 'user', content: FAST },
      { role: 'assistant', content: first.output_text },
      { role: 'user', content: FAST },
    ])
  })

  it('runs in the background, and is read by polling', async () => {
    const begun = await openai.responses.create({ model: 'demo', input: FAST, background: true })
    expect(['queued', 'in_progress', 'completed']).toContain(begun.status)
    const response = await ended(begun.id)
    expect(response.status).toBe('completed')
    expect(response.background).toBe(true)
    expect(response.output_text.length).toBeGreaterThan(20)
  })

  it('resumes a background stream after any event, also where the server was killed in between', async () => {
    const asked = { model: 'demo', input: 'demo: tokens=120 delay=20 ttft=5', background: true, stream: true } as const
    const seen: ResponseStreamEvent[] = []
    for await (const event of await openai.responses.create(asked)) {
      seen.push(event)
      if (textOf(seen).length > 40) break
    }
    expect(seen.slice(0, 3).map(({ type }) => type)).toEqual([
      'response.created',
      'response.queued',
      'response.in_progress',
    ])
    const { id } = (seen[0] as { response: Response }).response
    await server.crash()
    const rest = await all(
      await openai.responses.retrieve(id, { stream: true, starting_after: seen.at(-1)!.sequence_number }),
    )
    const whole = await all(await openai.responses.retrieve(id, { stream: true }))
    expect([...seen, ...rest].map(({ sequence_number: n }) => n)).toEqual(whole.map((_, i) => i))
    // As it was stored when each was shown: only `response.created` was told before
    expect([...seen, ...rest]).toEqual(whole)
    expect(finalOf(whole).status).toBe('completed')
    for (const after of [0, 1, 5, whole.length - 2])
      expect(await all(await openai.responses.retrieve(id, { stream: true, starting_after: after }))).toEqual(
        whole.slice(after + 1),
      )
    const helped = openai.responses.stream({ response_id: id, starting_after: 3 })
    expect((await helped.finalResponse()).output_text).toBe(textOf(whole))
  }, 60_000)

  it('begins a background stream anew where no provider can go on from what was shown', async () => {
    const asked = { model: 'mock-n60-d40-f20', input: 'x', background: true, stream: true } as const
    const seen: ResponseStreamEvent[] = []
    for await (const event of await openai.responses.create(asked)) {
      seen.push(event)
      if (textOf(seen).length > 20) break
    }
    const { id } = (seen[0] as { response: Response }).response
    await server.crash()
    const after = seen.at(-1)!.sequence_number
    const rest = await all(await openai.responses.retrieve(id, { stream: true, starting_after: after }))
    const whole = [...seen, ...rest]
    expect(whole.map(({ sequence_number: n }) => n)).toEqual(whole.map((_, i) => i))
    const response = finalOf(whole)
    expect(response.status).toBe('completed')
    // What was withdrawn ended before it began anew, and is no part of the answer
    const again = whole.findLastIndex(({ type }) => type === 'response.in_progress')
    expect(whole[again - 1]).toMatchObject({ type: 'response.output_item.done', item: { status: 'incomplete' } })
    expect(response.output).toHaveLength(1)
    const [{ content }] = response.output as unknown as [{ content: [{ text: string }] }]
    expect(content[0].text).toBe(textOf(whole.slice(again)))
  }, 60_000)

  it('has nothing after the last event', async () => {
    const whole = await all(await openai.responses.create({ model: 'demo', input: FAST, stream: true }))
    const asked = { stream: true, starting_after: whole.at(-1)!.sequence_number } as const
    expect(await all(await openai.responses.retrieve(finalOf(whole).id, asked))).toEqual([])
  })

  it('throws where an answer breaks off, also in clients that know no failed response', async () => {
    const stream = await openai.responses.create({ model: 'demo', input: 'demo: tokens=20 cut=10', stream: true })
    const events: ResponseStreamEvent[] = []
    const read = async (): Promise<void> => {
      for await (const event of stream) events.push(event)
    }
    await expect(read()).rejects.toMatchObject({ code: 'provider_cut', message: expect.stringContaining('complete') })
    expect(textOf(events).length).toBeGreaterThan(10)
  })

  it('cancels, twice alike, and deletes', async () => {
    const begun = await openai.responses.create({ model: 'demo', input: 'demo: tokens=900 delay=50', background: true })
    const canceled = await openai.responses.cancel(begun.id)
    expect(canceled.status).toBe('cancelled')
    expect(await openai.responses.cancel(begun.id)).toEqual(canceled)
    await openai.responses.delete(begun.id)
    await expect(openai.responses.retrieve(begun.id)).rejects.toMatchObject({ status: 404, code: 'job_not_found' })
  })

  it('keeps nothing that can be looked up with store: false', async () => {
    const response = await openai.responses.create({ model: 'demo', input: FAST, store: false })
    expect(response).toMatchObject({ store: false })
    await expect(openai.responses.retrieve(response.id)).rejects.toMatchObject({ status: 404 })
    const next = openai.responses.create({ model: 'demo', input: FAST, previous_response_id: response.id })
    await expect(next).rejects.toMatchObject({ status: 400, param: 'previous_response_id' })
  })

  it('tells what it can not do, and where', async () => {
    const ask = (more: object) => openai.responses.create({ model: 'demo', input: FAST, ...more } as never)
    await expect(ask({ conversation: 'conv_1' })).rejects.toMatchObject({ status: 404, param: 'conversation' })
    await expect(ask({ prompt: { id: 'p' } })).rejects.toMatchObject({ status: 400, param: 'prompt' })
    await expect(ask({ input: [] })).rejects.toMatchObject({ status: 400, param: 'input' })
    const unreadable = { background: true, store: false }
    await expect(ask(unreadable)).rejects.toMatchObject({ status: 400, param: 'store' })
    for (const [member, said] of [
      ['response_format', '"text": {"format": …}'],
      ['max_tokens', '"max_output_tokens"'],
      ['instruction', 'Did you mean "instructions"?'],
    ])
      await expect(ask({ [member]: 7 })).rejects.toMatchObject({
        ...{ status: 400, param: member, message: expect.stringContaining(said) },
      })
    await expect(ask({ tools: [{ type: 'function', function: TOOL }] })).rejects.toMatchObject({
      ...{ param: 'tools[0].name', message: expect.stringContaining('beside "type"') },
    })
    await expect(ask({ input: [{ type: 'mcp_call' }] })).rejects.toMatchObject({ param: 'input[0].type' })
    await expect(ask({ tools: [{ type: 'web_search' }], tool_choice: 'required' })).rejects.toMatchObject({
      param: 'tool_choice',
    })
    const offered = (await ask({ tools: [{ type: 'web_search' }, TOOL] })) as Response
    expect(offered.tools).toEqual([TOOL])
    await expect(ask({ input: 'demo: fail=400' })).rejects.toMatchObject({ status: expect.any(Number) })
  })

  it('asks for JSON of a schema', async () => {
    const schema = {
      type: 'object',
      properties: { n: { type: 'integer' } },
      required: ['n'],
      additionalProperties: false,
    }
    const response = await openai.responses.parse({
      model: 'demo',
      input: 'demo: delay=1',
      text: { format: { type: 'json_schema', name: 'number', schema, strict: true } },
    })
    expect(response.output_parsed).toHaveProperty('n')
  })
})

describe('the AI SDK, whose OpenAI provider calls this API by default', () => {
  const model = () => createOpenAI({ baseURL: `${server.url}/v1`, apiKey: server.key })('demo')

  it('generates and streams', async () => {
    const { text, usage } = await generateText({ model: model(), prompt: FAST })
    expect(text.length).toBeGreaterThan(20)
    expect(usage.outputTokens).toBeGreaterThan(5)
    const streamed = streamText({ model: model(), prompt: FAST })
    expect((await streamed.text).length).toBeGreaterThan(20)
    expect(await streamed.finishReason).toBe('stop')
  })

  it('runs tools in steps, referring to items of earlier responses', async () => {
    let called = 0
    const result = await generateText({
      model: model(),
      prompt: 'Use the tool: what is the weather in Bern? demo: delay=1 ttft=5',
      tools: {
        weather: tool({
          description: 'The weather of a city',
          inputSchema: jsonSchema<{ city: string }>(TOOL.parameters as never),
          execute: () => {
            called++
            return 'Rain.'
          },
        }),
      },
      stopWhen: stepCountIs(3),
    })
    expect(called).toBeGreaterThan(0)
    expect(result.steps.length).toBeGreaterThan(1)
  })
})
