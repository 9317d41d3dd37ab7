/** The Responses API as OpenAI publishes it, field by field beside what we render; and what requests become. */
import { describe, expect, it } from 'vitest'
import type { Recalled, Rendering } from '../../src/core/ports/dialect.ts'
import {
  attemptRecord,
  type Bytes,
  documentRecord,
  type End,
  endRecord,
  resetRecord,
  toBytes,
  toText,
} from '../../src/core/record.ts'
import { responses } from '../../src/dialects/responses/responses.ts'
import {
  CALL_STREAM,
  ERROR,
  FAILED,
  INCOMPLETE,
  type Published,
  REASONING_EVENTS,
  REFUSAL_EVENTS,
  TEXT_STREAM,
} from './published.ts'

/** To be looked into. */
const seal = (secret: string, tenant: string): string => `sealed:${tenant}:${secret}`
const open = (sealed: string, tenant: string): string | null =>
  sealed.startsWith(`sealed:${tenant}:`) ? sealed.slice(`sealed:${tenant}:`.length) : null
const { requests, stream: form, whole, resource: kept } = responses({ seal, open })
const [request, stream, resource] = [requests[0], form!, kept!]

const JOB: Rendering = {
  id: 'job_01arz3ndektsv4rrffq69g5fav',
  tenant: 'default',
  kind: 'chat',
  dialect: 'responses',
  model: 'demo',
  acceptedAtMs: 1_741_290_958_000,
  shownAs: { instructions: 'You are a helpful assistant.', lead: 1 },
}
const chunk = (delta: object, finish: string | null = null): Bytes =>
  toBytes(JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] }))
const usage = { promptTokens: 37, completionTokens: 11, estimated: false }
const attempt = attemptRecord({ n: 1, mode: 'first', deployment: 'd' })
const end = (more: Partial<End> = {}): Bytes => endRecord({ state: 'done', usage, ...more })
const failure = { message: 'No.', type: 'server_error', param: null, code: 'provider_error' }
const call = (input: string): object => ({
  tool_calls: [
    { index: 0, id: 'call_1', type: 'function', function: { name: 'get_current_weather', arguments: input } },
  ],
})

type Event = { readonly type: string } & Readonly<Record<string, any>>
function eventsOf(records: readonly Bytes[], job = JOB): readonly Event[] {
  const { events } = stream.render({ job: job.id, epoch: 1, firstSeq: 1, records }, stream.begin(job), 0)
  return toText(events)
    .split('\n\n')
    .filter((block) => block !== '')
    .map((block) => JSON.parse(block.slice(block.indexOf('data: ') + 6)) as Event)
}

/** Each member that is published is there, of the same type, all the way down. */
function expectForm(ours: unknown, published: unknown, at: string): void {
  const kind = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value)
  expect(kind(ours), at).toBe(kind(published))
  if (Array.isArray(published)) {
    expect((ours as unknown[]).length, at).toBe(published.length)
    for (const [i, item] of published.entries()) expectForm((ours as unknown[])[i], item, `${at}[${i}]`)
  } else if (typeof published === 'object' && published !== null)
    for (const [name, value] of Object.entries(published))
      expectForm((ours as Record<string, unknown>)[name], value, `${at}.${name}`)
  else if (/\.(?:type|object|status|role|code|reason)$/.test(at) && !at.includes('error'))
    expect(ours, at).toBe(published)
}

function expectForms(ours: readonly Event[], published: readonly Published[]): void {
  expect(ours.map(({ type }) => type)).toEqual(published.map(({ type }) => type))
  for (const [i, event] of published.entries()) expectForm(ours[i], event, `${i} ${event.type}`)
}

describe('events', () => {
  it('are those of the published stream of a text', () => {
    expectForms(eventsOf([attempt, chunk({ content: 'Hi there!' }), chunk({}, 'stop'), end()]), TEXT_STREAM)
  })

  it('are those of the published stream of a call', () => {
    const records = [attempt, chunk(call('{"location":"Boston, MA","unit":"celsius"}')), chunk({}, 'tool_calls'), end()]
    expectForms(eventsOf(records), CALL_STREAM)
  })

  it('are those that are published of reasoning, and of a refusal', () => {
    const thought = eventsOf([attempt, chunk({ reasoning_content: 'Hm.' }), chunk({ content: 'x' }), end()])
    expectForms(thought.slice(2, 8), REASONING_EVENTS)
    const refused = eventsOf([attempt, chunk({ refusal: 'No.' }), end()])
    expectForms(
      refused.filter(({ type }) => type.includes('refusal')),
      REFUSAL_EVENTS,
    )
  })

  it('tell a failure, and what a limit has cut, as published', () => {
    const failed = eventsOf([attempt, chunk({ content: 'x' }), end({ state: 'failed', error: failure })]).at(-1)!
    expectForm({ ...failed, response: { ...failed['response'], output: [], usage: null } }, FAILED, 'failed')
    const cut = eventsOf([attempt, chunk({ content: 'x' }), chunk({}, 'length'), end()]).at(-1)!
    expectForm({ ...cut, response: { ...cut['response'], output: [], usage: null } }, INCOMPLETE, 'incomplete')
    expect(cut['response'].output[0].status).toBe('incomplete')
    const [alone, ...none] = eventsOf([attempt, end({ state: 'failed', error: failure })])
    expect(none).toEqual([])
    expectForm(alone, ERROR, 'error')
  })

  it('tell what a restart withdraws, and end with what is left', () => {
    const records = [attempt, chunk({ content: 'lost' }), resetRecord('worker_lost'), chunk({ content: 'kept' }), end()]
    const events = eventsOf(records)
    const done = events.filter(({ type }) => type === 'response.output_item.done').map(({ item }) => item)
    expect(done.map(({ status }) => status)).toEqual(['incomplete', 'completed'])
    expect(new Set(done.map(({ id }) => id)).size).toBe(2)
    const { output } = events.at(-1)!['response']
    expect(output).toEqual([done[1]])
    const again = events.filter(({ type }) => type === 'response.in_progress')
    expect(again.map(({ response }) => response.output)).toEqual([[], []])
  })

  it('end with the same response as the whole answer, and as the resource', () => {
    for (const records of [
      [
        attempt,
        chunk({ reasoning: 'Hm.' }),
        chunk({ content: 'Hé€😀' }),
        chunk(call('{}')),
        chunk({}, 'tool_calls'),
        end(),
      ],
      [attempt, documentRecord('{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"length"}]}'), end()],
    ]) {
      const answer = whole(JOB)
      answer.take(records)
      const kept = resource.ended(JOB)
      kept.take(records)
      const last = eventsOf(records).at(-1)!['response']
      expect(JSON.parse(toText(answer.reply().body))).toEqual(last)
      expect(JSON.parse(toText(kept.reply().body))).toEqual(last)
    }
  })

  it('of a failed or canceled job: the resource tells it, and is no error of HTTP', () => {
    for (const [state, status] of [
      ['failed', 'failed'],
      ['canceled', 'cancelled'],
      ['expired', 'failed'],
    ] as const) {
      const kept = resource.ended(JOB)
      kept.take([attempt, chunk({ content: 'half' }), endRecord({ state, error: failure })])
      const reply = kept.reply()
      const response = JSON.parse(toText(reply.body))
      expect(reply.status).toBe(200)
      expect(response.status).toBe(status)
      expect(response.output[0]).toMatchObject({ status: 'incomplete', content: [{ text: 'half' }] })
      expect(response.error === null).toBe(state === 'canceled')
    }
  })
})

const read = (value: Record<string, unknown>, recalled?: ReadonlyMap<string, Recalled>) =>
  request.read({ model: 'demo', ...value } as never, new Uint8Array(), {
    tenant: 'default',
    ...(recalled && { recalled }),
  })
const messages = (input: unknown, recalled?: ReadonlyMap<string, Recalled>) =>
  (read({ input }, recalled).value as { messages: unknown }).messages

describe('requests', () => {
  it('become chat completions', () => {
    const {
      value,
      stream: asked,
      user,
    } = read({
      instructions: 'Be kind.',
      input: [
        { role: 'developer', content: 'Short.' },
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What is it?' },
            { type: 'input_image', image_url: 'data:,x' },
          ],
        },
        { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'Hm.' }], encrypted_content: 'gAAA' },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'I look.', annotations: [] }] },
        { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' },
        { type: 'custom_tool_call', call_id: 'c2', name: 'run', input: 'ls' },
        { type: 'function_call_output', call_id: 'c1', output: 'A cat.' },
        { type: 'custom_tool_call_output', call_id: 'c2', output: [{ type: 'input_text', text: 'a b' }] },
      ],
      tools: [
        { type: 'function', name: 'look', parameters: { type: 'object' }, strict: true },
        { type: 'custom', name: 'run', format: { type: 'grammar', syntax: 'lark', definition: 'x' } },
        { type: 'web_search' },
      ],
      tool_choice: { type: 'function', name: 'look' },
      max_output_tokens: 7,
      reasoning: { effort: 'low', summary: 'auto' },
      text: { verbosity: 'low', format: { type: 'json_schema', name: 'n', schema: { type: 'object' }, strict: true } },
      temperature: 0,
      safety_identifier: 'jane',
      stream: true,
      include: ['reasoning.encrypted_content'],
    })
    expect(asked).toBe(true)
    expect(user).toBe('jane')
    expect(value).toEqual({
      model: 'demo',
      messages: [
        { role: 'system', content: 'Be kind.' },
        { role: 'system', content: 'Short.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url: 'data:,x' } },
          ],
        },
        {
          role: 'assistant',
          content: 'I look.',
          reasoning_content: 'Hm.',
          tool_calls: [
            { id: 'c1', type: 'function', function: { name: 'look', arguments: '{}' } },
            { id: 'c2', type: 'custom', custom: { name: 'run', input: 'ls' } },
          ],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'A cat.' },
        { role: 'tool', tool_call_id: 'c2', content: 'a b' },
      ],
      tools: [
        { type: 'function', function: { name: 'look', parameters: { type: 'object' }, strict: true } },
        {
          type: 'custom',
          custom: { name: 'run', format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'x' } } },
        },
      ],
      tool_choice: { type: 'function', function: { name: 'look' } },
      max_completion_tokens: 7,
      reasoning_effort: 'low',
      verbosity: 'low',
      response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'object' }, strict: true } },
      temperature: 0,
      safety_identifier: 'jane',
    })
  })

  it('go on from items of earlier answers, named by their ids', () => {
    const recalled = new Map([
      [
        JOB.id,
        {
          job: JOB,
          request: {
            messages: [
              { role: 'system', content: 'S' },
              { role: 'user', content: 'Q' },
            ],
          },
          records: [attempt, chunk({ reasoning: 'Hm.' }), chunk({ content: 'A' }), chunk(call('{}')), end()],
          end: 'done' as const,
          user: null,
          conversation: null,
        },
      ],
    ])
    const id = JOB.id.slice(4)
    const answer = {
      role: 'assistant',
      content: 'A',
      reasoning_content: 'Hm.',
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'get_current_weather', arguments: '{}' } }],
    }
    const references = [`rs_${id}_0`, `msg_${id}_1`, `fc_${id}_2`].map((one) => ({ type: 'item_reference', id: one }))
    expect(messages(references, recalled)).toEqual([answer])
    expect(request.refersTo!({ input: references })).toEqual(new Set([JOB.id]))
    expect(() => messages([{ type: 'item_reference', id: `msg_${id}_7` }], recalled)).toThrow('send the item itself')
    const next = read({ input: 'And?', previous_response_id: `resp_${id}` }, recalled)
    expect((next.value as { messages: unknown }).messages).toEqual([
      { role: 'user', content: 'Q' },
      answer,
      { role: 'user', content: 'And?' },
    ])
  })

  it('give each function of a namespace one name, by which its call is told as both', () => {
    const f = (name: string) => ({ type: 'function', name, parameters: { type: 'object' } })
    const tools = [f('exec'), { type: 'namespace', name: 'mcp__docs', tools: [f('lookup')] }, { type: 'web_search' }]
    const input = [{ type: 'function_call', call_id: 'c', namespace: 'mcp__docs', name: 'lookup', arguments: '{}' }]
    const sent = read({ input, tools, tool_choice: { type: 'function', namespace: 'mcp__docs', name: 'lookup' } })
    const named = { function: { name: 'mcp__docs__lookup' } }
    expect(sent.value).toMatchObject({
      tools: [{ function: { name: 'exec' } }, named],
      tool_choice: named,
      messages: [{ tool_calls: [named] }],
    })
    expect(sent.shownAs!['tools']).toEqual(tools.slice(0, 2))
    const job = { ...JOB, shownAs: sent.shownAs }
    const answer = whole(job)
    answer.take([attempt, chunk({ tool_calls: [{ index: 0, id: 'x', ...named }] }), chunk({}, 'tool_calls'), end()])
    const told = JSON.parse(toText(answer.reply().body))
    expect(told.output[0]).toMatchObject({ type: 'function_call', namespace: 'mcp__docs', name: 'lookup' })
    expect(told).not.toHaveProperty('namespaces')
    const two = [f('n__a'), { type: 'namespace', name: 'n', tools: [f('a')] }]
    expect(() => read({ input: 'x', tools: two })).toThrow('rename it')
  })

  it('go on with what a provider has signed, as it was', () => {
    const google = { google: { thought_signature: 'TSIG' } }
    const signed = [{ index: 0, type: 'reasoning.text', text: 'hm', signature: 'SIGN' }]
    const records = [
      attempt,
      chunk({ reasoning_content: 'hm' }),
      chunk({ reasoning_details: signed }),
      chunk({ tool_calls: [{ index: 0, id: 'x', function: { name: 'f', arguments: '{}' } }] }),
      chunk({ tool_calls: [{ index: 0, extra_content: google }] }),
      end(),
    ]
    const one = { job: JOB, request: { messages: [] }, records, end: 'done', user: null, conversation: null } as const
    const recalled = new Map([[JOB.id, one]])
    const id = JOB.id.slice(4)
    const output = { type: 'function_call_output', call_id: 'x', output: 'o' }
    const whole = { previous_response_id: `resp_${id}`, input: [output] }
    const items = [`rs_${id}_0`, `fc_${id}_1`].map((item) => ({ type: 'item_reference', id: item }))
    for (const sent of [whole, { input: [...items, output] }])
      expect((read(sent, recalled).value as { messages: unknown[] }).messages[0]).toMatchObject({
        reasoning_details: [{ type: 'reasoning.text', text: 'hm', signature: 'SIGN' }],
        tool_calls: [{ id: 'x', extra_content: google }],
      })
  })

  it('tell each text how likely its tokens were, piece by piece, whatever waits', () => {
    const { shownAs } = read({ input: 'Q', include: ['message.output_text.logprobs'] })
    const likely = (content: string | null, tokens: readonly unknown[]) =>
      toBytes(JSON.stringify({ choices: [{ index: 0, delta: { content }, logprobs: { content: tokens } }] }))
    const token = (text: string) => ({ token: text, logprob: -0.5, top_logprobs: null })
    const told = (text: string) => ({ token: text, logprob: -0.5, bytes: [...Buffer.from(text)], top_logprobs: [] })
    const records = [
      attempt,
      likely('a', [token('a'), { token: 1 }, null]),
      likely('bc', [token('b'), token('c')]),
      likely(null, [token('')]),
      chunk(call('{')),
      // Waits until the call is whole
      likely('d', [token('d')]),
      chunk(call('}')),
      chunk({}, 'tool_calls'),
      end(),
    ]
    const events = eventsOf(records, { ...JOB, shownAs })
    const of = (type: string) => events.filter((event) => event.type === `response.${type}`)
    expect(of('output_text.delta').map(({ logprobs }) => logprobs)).toEqual([
      [told('a')],
      [told('b'), told('c')],
      [told('d')],
    ])
    const whole = [[told('a'), told('b'), told('c'), told('')], [told('d')]]
    expect(of('output_text.done').map(({ logprobs }) => logprobs)).toEqual(whole)
    expect(of('content_part.done').map(({ part }) => part.logprobs)).toEqual(whole)
    const texts = (items: ReadonlyArray<Record<string, any>>) =>
      items.flatMap(({ content }) => (content === undefined ? [] : [content[0].logprobs]))
    expect(texts(of('output_item.done').map(({ item }) => item))).toEqual(whole)
    expect(texts(events.at(-1)!['response'].output)).toEqual(whole)
    expect(events.at(-1)!['response']).not.toHaveProperty('logprobs')
  })

  describe('with encrypted reasoning', () => {
    const asked = read({ input: 'Q', store: false, include: ['reasoning.encrypted_content'] }).shownAs!
    const records = [
      attempt,
      chunk({ reasoning_content: 'hm' }),
      chunk({ reasoning_details: [{ type: 'reasoning.text', signature: 'SIGN' }] }),
      chunk({ reasoning_details: [{ type: 'reasoning.encrypted', data: 'DATA' }] }),
      chunk({ reasoning: 'Well.' }),
      chunk({ content: 'A' }),
      chunk({ tool_calls: [{ index: 0, id: 'x', function: { name: 'f', arguments: '{}' }, extra_content: { g: 1 } }] }),
      chunk({}, 'tool_calls'),
      end(),
    ]
    const outputOf = (shownAs: Record<string, unknown>) => {
      const answer = whole({ ...JOB, shownAs })
      answer.take(records)
      return JSON.parse(toText(answer.reply().body)).output as Array<Record<string, any>>
    }
    const output = outputOf(asked)
    const signed = [
      { type: 'reasoning.text', text: 'hm', signature: 'SIGN' },
      { type: 'reasoning.encrypted', data: 'DATA' },
    ]
    const called = { id: 'x', type: 'function', function: { name: 'f', arguments: '{}' } }

    it('have it in stream and document, for those who asked, and not what it is made of', () => {
      const types = ['reasoning', 'reasoning', 'reasoning', 'message', 'function_call', 'reasoning']
      expect(output.map(({ type }) => type)).toEqual(types)
      expect(output.map(({ summary }) => summary?.length)).toEqual([1, 0, 1, undefined, undefined, 0])
      const events = eventsOf(records, { ...JOB, shownAs: asked })
      expect(events.at(-1)!['response'].output).toEqual(output)
      const told = events.filter(({ type }) => type === 'response.output_item.done').map(({ item }) => item)
      expect(told).toEqual(output)
      const added = events.filter(({ type }) => type === 'response.output_item.added').map((event) => event)
      expect(added.map(({ output_index: index }) => index)).toEqual([0, 1, 2, 3, 4, 5])
      const parts = events.filter(({ type }) => type.startsWith('response.reasoning_summary_part'))
      expect(parts.map(({ output_index: index }) => index)).toEqual([0, 0, 2, 2])
      const { include: _, ...others } = { ...read({ input: 'Q', store: false }).shownAs, include: 0 }
      expect(JSON.stringify(outputOf(others))).not.toContain('encrypted_content')
      expect(outputOf({ ...asked, store: true }).length).toBe(5)
    })

    it('give it back as it was', () => {
      expect(messages([...output, { type: 'function_call_output', call_id: 'x', output: 'o' }])).toEqual([
        {
          ...{ role: 'assistant', content: 'A', reasoning_content: 'hmWell.', reasoning_details: signed },
          tool_calls: [{ ...called, extra_content: { g: 1 } }],
        },
        { role: 'tool', tool_call_id: 'x', content: 'o' },
      ])
    })

    it.each([
      ["another tenant's", (sealed: string) => sealed.replace('default', 'acme')],
      ['altered', (sealed: string) => `X${sealed}`],
      ['of another server', () => 'gAAAAABo'],
      ['none', () => null],
    ])('go on by its summary where it is %s', (_what, bend) => {
      const sent = output.map((item) =>
        item['type'] === 'reasoning' ? { ...item, encrypted_content: bend(item['encrypted_content']) } : item,
      )
      expect(messages(sent)).toEqual([
        { role: 'assistant', content: 'A', reasoning_content: 'hmWell.', tool_calls: [called] },
      ])
    })
  })

  it('say where what they go on from can not be looked up, is not there, or is not whole', () => {
    const id = `resp_${JOB.id.slice(4)}`
    const one = { job: JOB, request: { messages: [] }, records: [], end: null, user: null, conversation: null }
    expect(() => read({ input: 'x', previous_response_id: id })).toThrow('posted to /v1/responses')
    expect(() => read({ input: 'x', previous_response_id: id }, new Map())).toThrow('There is no response')
    expect(() => read({ input: 'x', previous_response_id: id }, new Map([[JOB.id, one]]))).toThrow('not complete yet')
    const turn = { ...one, end: 'done' as const, conversation: 'talk' }
    expect(() => read({ input: 'x', previous_response_id: id }, new Map([[JOB.id, turn]]))).toThrow('a turn of a conv')
    expect(() => read({ input: 'x', previous_response_id: 'x'.repeat(9_000) }, new Map())).toThrow(/"x{64}"/)
  })

  it.each<[string, Record<string, unknown>]>([
    ['input', {}],
    ['input', { input: 5 }],
    ['input', { input: Array.from({ length: 10_001 }, () => ({ role: 'user', content: 'x' })) }],
    ['input[0]', { input: [null] }],
    ['input[0].role', { input: [{ role: 'tool', content: 'x' }] }],
    ['input[0].content', { input: [{ role: 'user' }] }],
    ['input[0].content[0].type', { input: [{ role: 'user', content: [{ type: 'video' }] }] }],
    ['input[0].content[0]', { input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }] }],
    ['input[0].type', { input: [{ type: 'computer_call' }] }],
    ['tools[0].type', { input: 'x', tools: [{ type: 'apply_patch' }] }],
    ['tools[0].type', { input: 'x', tools: [{ type: 'local_shell' }] }],
    ['tools[0].tools', { input: 'x', tools: [{ type: 'namespace', name: 'n' }] }],
    [
      'tools[0].tools[0].name',
      { input: 'x', tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'function' }] }] },
    ],
    ['input[0].call_id', { input: [{ type: 'function_call_output', output: 'x' }] }],
    ['tools[0]', { input: 'x', tools: [1] }],
    ['tool_choice', { input: 'x', tool_choice: { type: 'mcp' } }],
    ['messages', { input: 'x', messages: [] }],
    ['n', { input: 'x', n: 2 }],
    ['max_tokens', { input: 'x', max_tokens: 2 }],
    ['text.format.type', { input: 'x', text: { format: { type: 'xml' } } }],
    ['background', { input: 'x', background: 'yes' }],
    ['text', { input: 'x', text: { format: { type: 'json_schema', name: 'n', schema: { $ref: '#' } } } }],
  ])('are refused by the member that is wrong: %s', (param, value) => {
    try {
      read(value)
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ code: 'invalid_request', param })
    }
  })

  it('keep in memory only what is short of what they repeat', () => {
    const { shownAs } = read({
      input: 'x',
      instructions: 'y'.repeat(10_000),
      tools: [],
      store: false,
      temperature: 0.5,
    })
    expect(shownAs).toEqual({ lead: 1, store: false, temperature: 0.5 })
  })
})
