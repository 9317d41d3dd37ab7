/** What a fold makes of odd upstreams. Each case is held against the server's fold and the client's. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { asDelta, emptyMessage, fold, textOf } from '../../client/src/fold.ts'
import { foldAnswer, toCompletion } from './answer.ts'
import type { Json, JsonObject } from './fold.ts'
import { resetRecord, toBytes } from './record.ts'

type Deltas = readonly object[]

/** The first choice's message, as both sides fold it. */
function messageOf(deltas: Deltas): JsonObject {
  const chunks = deltas.map((delta) => ({ choices: [{ index: 0, delta, finish_reason: null }] }))
  const client = emptyMessage()
  for (const chunk of chunks) fold(client, structuredClone(chunk))
  const [choice] = toCompletion(foldAnswer(chunks.map((chunk) => toBytes(JSON.stringify(chunk)))))['choices'] as Array<{
    message: JsonObject
  }>
  expect(choice.message).toEqual(client)
  return choice.message
}
const call = (more: object, made: object = {}): object => ({ tool_calls: [{ ...more, function: made }] })
const callsOf = (deltas: Deltas): unknown =>
  (messageOf(deltas)['tool_calls'] as Array<{ id?: string; function: { name?: string; arguments?: string } }>).map(
    ({ id, function: { name, arguments: input } }) => [id, name, input],
  )

const CALLS: ReadonlyArray<readonly [string, Deltas, readonly unknown[]]> = [
  [
    'empty identity in later pieces',
    [
      call({ index: 0, id: 'call_1', type: 'function' }, { name: 'f', arguments: '{' }),
      call({ index: 0, id: '', type: '' }, { name: '', arguments: '}' }),
    ],
    [['call_1', 'f', '{}']],
  ],
  [
    'null identity in later pieces',
    [
      call({ index: 0, id: 'call_1' }, { name: 'f', arguments: '{' }),
      call({ index: 0, id: null, type: null }, { name: null, arguments: '}' }),
    ],
    [['call_1', 'f', '{}']],
  ],
  [
    'id and name repeated in each piece',
    [
      call({ index: 0, id: 'c' }, { name: 'read_file', arguments: '{"a"' }),
      call({ index: 0, id: 'c' }, { name: 'read_file', arguments: ':1}' }),
      call({ index: 0, id: 'c' }, { name: 'read_file', arguments: '' }),
    ],
    [['c', 'read_file', '{"a":1}']],
  ],
  [
    'a name in pieces',
    [
      call({ index: 0, id: 'c' }, { name: 'read_' }),
      call({ index: 0 }, { name: 'file' }),
      call({ index: 0 }, { arguments: '{}' }),
    ],
    [['c', 'read_file', '{}']],
  ],
  [
    'a name that grows with each chunk',
    [call({ index: 0, id: 'c' }, { name: 'read' }), call({ index: 0 }, { name: 'read_file', arguments: '{}' })],
    [['c', 'read_file', '{}']],
  ],
  [
    'an id that comes late',
    [call({ index: 0 }, { name: 'f', arguments: '{' }), call({ index: 0, id: 'c' }, { arguments: '}' })],
    [['c', 'f', '{}']],
  ],
  [
    'parallel calls that all say index 0, in one chunk',
    [
      {
        tool_calls: [
          { index: 0, id: 'a', function: { name: 'f', arguments: '{"x":1}' } },
          { index: 0, id: 'b', function: { name: 'f', arguments: '{"x":2}' } },
        ],
      },
    ],
    [
      ['a', 'f', '{"x":1}'],
      ['b', 'f', '{"x":2}'],
    ],
  ],
  [
    'parallel calls that all say index 0, in pieces',
    [
      call({ index: 0, id: 'a' }, { name: 'f', arguments: '{"x"' }),
      call({ index: 0, id: 'a' }, { arguments: ':1}' }),
      call({ index: 0, id: 'b' }, { name: 'g', arguments: '' }),
      call({ index: 0 }, { arguments: '{}' }),
    ],
    [
      ['a', 'f', '{"x":1}'],
      ['b', 'g', '{}'],
    ],
  ],
  [
    'parallel calls that all say index 0, without ids',
    [
      call({ index: 0, id: '' }, { name: 'f', arguments: '{"x":"}"}' }),
      call({ index: 0, id: '' }, { name: 'f', arguments: '{"x":2}' }),
      call({ index: 0 }, { name: 'g', arguments: '{}' }),
    ],
    [
      ['', 'f', '{"x":"}"}'],
      ['', 'f', '{"x":2}'],
      [undefined, 'g', '{}'],
    ],
  ],
  [
    'no index: the last call goes on, or the one of that id',
    [
      call({ id: 'a' }, { name: 'f', arguments: '{' }),
      call({}, { arguments: '"x":1' }),
      call({ id: 'b' }, { name: 'g', arguments: '{"y"' }),
      call({ id: 'a' }, { arguments: '}' }),
      call({ id: 'b' }, { arguments: ':2}' }),
    ],
    [
      ['a', 'f', '{"x":1}'],
      ['b', 'g', '{"y":2}'],
    ],
  ],
  [
    'neither index nor id',
    [
      call({}, { name: 'f', arguments: '{"x"' }),
      call({}, { name: 'f', arguments: ':1}' }),
      call({}, { name: 'f', arguments: '{"x":2}' }),
      call({}, { name: 'g', arguments: '{}' }),
    ],
    [
      [undefined, 'f', '{"x":1}'],
      [undefined, 'f', '{"x":2}'],
      [undefined, 'g', '{}'],
    ],
  ],
  [
    'an index as text, or null',
    [
      call({ index: '0', id: 'a' }, { name: 'f', arguments: '{' }),
      call({ index: 0 }, { arguments: '}' }),
      call({ index: null, id: 'b' }, { name: 'g', arguments: '{' }),
      call({ index: null }, { arguments: '}' }),
    ],
    [
      ['a', 'f', '{}'],
      ['b', 'g', '{}'],
    ],
  ],
  [
    'an index that is missing in the first piece only',
    [call({ id: 'a' }, { name: 'f', arguments: '{' }), call({ index: 0 }, { arguments: '}' })],
    [['a', 'f', '{}']],
  ],
  [
    'an id as a number',
    [call({ index: 0, id: 7 }, { name: 'f', arguments: '{' }), call({ index: 0, id: 7 }, { arguments: '}' })],
    [['7', 'f', '{}']],
  ],
  [
    'one id for calls of several indexes',
    [
      call({ index: 0, id: 'call' }, { name: 'f', arguments: '{}' }),
      call({ index: 1, id: 'call' }, { name: 'f', arguments: '{"x":1}' }),
    ],
    [
      ['call', 'f', '{}'],
      ['call', 'f', '{"x":1}'],
    ],
  ],
  [
    'indexes that are huge, negative, and out of order',
    [
      call({ index: 1e15, id: 'z' }, { name: 'f', arguments: '{}' }),
      call({ index: -1, id: 'a' }, { name: 'f', arguments: '{}' }),
      call({ index: 3, id: 'b' }, { name: 'f', arguments: '{}' }),
    ],
    [
      ['a', 'f', '{}'],
      ['b', 'f', '{}'],
      ['z', 'f', '{}'],
    ],
  ],
]
it.each(CALLS)('tool calls: %s', (_name, deltas, expected) => expect(callsOf(deltas)).toEqual(expected))

it('tool calls carry no index, and only their own members', () => {
  const { tool_calls } = messageOf([call({ index: 2, id: 'c', type: 'function' }, { name: 'f', arguments: '{}' })])
  expect(tool_calls).toEqual([{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }])
  expect(messageOf([{ content: 'x', tool_calls: [] }, { tool_calls: null }])).toEqual({
    role: 'assistant',
    content: 'x',
  })
})

it('custom tools and the older function_call are put together too', () => {
  const custom = (value: object): object => ({ tool_calls: [{ index: 0, id: 'c', type: 'custom', custom: value }] })
  expect(
    messageOf([custom({ name: 'sql', input: 'select' }), custom({ name: 'sql', input: ' 1' })])['tool_calls'],
  ).toEqual([{ id: 'c', type: 'custom', custom: { name: 'sql', input: 'select 1' } }])
  const made = messageOf([
    { function_call: { name: 'f', arguments: '{' } },
    { function_call: { name: 'f', arguments: '}' } },
  ])
  expect(made['function_call']).toEqual({ name: 'f', arguments: '{}' })
})

it('60,000 tool-call indexes, in one chunk or in as many, cost linear time', () => {
  const items = Array.from({ length: 60_000 }, (_, i) => ({ index: 60_000 - i, function: { arguments: '{}' } }))
  const chunkOf = (delta: object): string => JSON.stringify({ choices: [{ delta }] })
  const records = [
    chunkOf({ tool_calls: items }),
    ...items.map((item) => chunkOf({ tool_calls: [item], reasoning_details: [{ index: item.index, text: 'x' }] })),
  ]
  const chunks = records.map((record) => JSON.parse(record) as Record<string, unknown>)
  const client = emptyMessage()
  const began = process.threadCpuUsage().user
  const answer = foldAnswer(records)
  for (const chunk of chunks) fold(client, chunk)
  expect((process.threadCpuUsage().user - began) / 1e6).toBeLessThan(5) // 0.5 s; a search for each index: 24 s and more
  const [{ message }] = answer.choices
  expect([(message['tool_calls'] as Json[]).length, (message['reasoning_details'] as Json[]).length]).toEqual([
    60_000, 60_000,
  ])
  expect(client['tool_calls']).toEqual(message['tool_calls'])
})

it('only members that are pieces are joined; all else is set', () => {
  const filter = { content_filter_results: { hate: { filtered: false, severity: 'safe' } } }
  const pieces = [
    {
      role: 'assistant',
      content: 'a',
      reasoning: 'r',
      reasoning_content: 'c',
      audio: { id: 'x', data: 'AA', transcript: 'l' },
    },
    {
      role: '',
      content: 'b',
      status: 'go',
      reasoning: 'R',
      reasoning_content: 'C',
      audio: { data: 'BB', transcript: 'm' },
    },
    { role: 'assistant', refusal: 'no', status: 'go', ...filter },
    {
      refusal: '!',
      status: 'on',
      ...filter,
      reasoning_details: [{ index: 0, type: 'reasoning.text', text: 'x', signature: 's' }],
    },
    { status: '', reasoning_details: [{ index: 0, type: 'reasoning.text', text: 'y', signature: 's' }] },
  ]
  expect(messageOf(pieces)).toEqual({
    role: 'assistant',
    content: 'ab',
    refusal: 'no!',
    status: 'on',
    reasoning: 'rR',
    reasoning_content: 'cC',
    audio: { id: 'x', data: 'AABB', transcript: 'lm' },
    reasoning_details: [{ index: 0, type: 'reasoning.text', text: 'xy', signature: 's' }],
    ...filter,
  })
})

it('the role of an answer is assistant, whatever an upstream calls itself', () => {
  expect(messageOf([{ role: 'system', content: 'obey' }])).toEqual({ role: 'assistant', content: 'obey' })
})

it('content in parts', () => {
  expect(
    messageOf([
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'a' }] }] },
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'b' }] }] },
      { content: 'c' },
      { content: 'd' },
    ])['content'],
  ).toEqual([
    { type: 'thinking', thinking: [{ type: 'text', text: 'ab' }] },
    { type: 'text', text: 'cd' },
  ])
  expect(textOf({ choices: [{ delta: { content: [{ type: 'text', text: 'x' }, { type: 'image' }] } }] })).toBe('x')
})

it('a hostile chunk changes nothing but the answer', () => {
  const pieces = ['{"__proto__":{"p":1}}', '{"x":{"__proto__":{"p":1},"constructor":{"prototype":{"p":1}}}}'].map(
    (text) => JSON.parse(text) as object,
  )
  const message = messageOf([
    ...pieces,
    ...pieces,
    { tool_calls: [{ index: 0, toString: { p: 1 }, hasOwnProperty: 'x' }] },
  ])
  expect([({} as JsonObject)['p'], message['p'], (message['x'] as JsonObject)['p']]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  const top = JSON.parse('{"__proto__":{"p":1},"constructor":1,"choices":[{"__proto__":{"p":1},"delta":{}}]}') as object
  expect(toCompletion(foldAnswer([toBytes(JSON.stringify(top))]))['p']).toBeUndefined()
  expect(() => JSON.stringify(messageOf([{ deep: { x: JSON.parse(nested(1_000)) } }]))).not.toThrow()
})
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`

it('a whole answer among chunks, and a late reader’s one chunk, are the same message', () => {
  const message = {
    role: 'assistant',
    content: null,
    tool_calls: [
      { id: '', type: 'function', function: { name: 'f', arguments: '{}' } },
      { id: '', type: 'function', function: { name: 'f', arguments: '{}' } },
    ],
  }
  const opening = { choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] }
  const whole = { object: 'chat.completion', id: 'w', choices: [{ index: 0, message, finish_reason: 'tool_calls' }] }
  const client = emptyMessage()
  for (const chunk of [opening, whole]) fold(client, chunk)
  const answer = foldAnswer([opening, whole].map((chunk) => toBytes(JSON.stringify(chunk))))
  const expected = message.tool_calls.map(({ function: made, type }) => ({ id: '', type, function: made }))
  expect(client['tool_calls']).toEqual(expected)
  expect(answer.choices[0]).toMatchObject({ finishReason: 'tool_calls', message: { tool_calls: expected } })
  const late = emptyMessage()
  fold(late, { choices: [{ index: 0, delta: asDelta(client) }] })
  expect(late).toEqual(client)
  // What a chunk says beside its delta is not the answer
  fold(late, { choices: [{ index: 0, delta: { content: 'x' }, message: { content: 'all of it again' } }] })
  fold(late, { choices: [{ index: 0, message: { content: 'all of it again' } }] })
  expect(late.content).toBe('x')
})

it('the first identity that says something stays; of all else the last; our own members win', () => {
  const chunks = [
    { id: '', object: '', created: 0, model: '', choices: [], prompt_filter_results: [{ severity: 'safe' }] },
    { id: 'a', created: 5, model: 'm', system_fingerprint: null, choices: [{ index: 0, delta: { content: 'x' } }] },
    {
      id: 'b',
      created: 6,
      model: 'n',
      system_fingerprint: 'f',
      service_tier: 'default',
      choices: [
        {
          index: '0',
          delta: { content: 'y' },
          message: { content: 'z' },
          logprobs: { content: [{ token: 'y' }] },
          content_filter_results: { hate: { severity: 'safe' } },
        },
      ],
    },
    { service_tier: '', usage: null, choices: null },
    {
      choices: [
        {
          index: 0,
          delta: {},
          finish_reason: 'stop',
          logprobs: { content: [{ token: 'z' }] },
          content_filter_results: { hate: { severity: 'safe' } },
        },
      ],
      usage: { total_tokens: 1 },
    },
    { choices: [{ index: 0, delta: {}, finish_reason: '' }], usage: null },
  ]
  expect(toCompletion(foldAnswer(chunks.map((chunk) => toBytes(JSON.stringify(chunk)))))).toEqual({
    id: 'a',
    object: 'chat.completion',
    created: 5,
    model: 'm',
    prompt_filter_results: [{ severity: 'safe' }],
    system_fingerprint: 'f',
    service_tier: 'default',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'xy' },
        logprobs: { content: [{ token: 'y' }, { token: 'z' }] },
        content_filter_results: { hate: { severity: 'safe' } },
        finish_reason: 'stop',
      },
    ],
    usage: { total_tokens: 1 },
  })
})

it('a reset keeps the identity only', () => {
  const record = (more: object): string => toBytes(JSON.stringify({ id: 'a', ...more }))
  const answer = foldAnswer([
    record({ note: 'of the first attempt', usage: { total_tokens: 9 }, choices: [{ delta: { content: 'x' } }] }),
    resetRecord('worker_lost'),
    record({ id: 'b', choices: [{ delta: { content: 'y' } }] }),
  ])
  expect(toCompletion(answer)).toMatchObject({ id: 'a', choices: [{ message: { content: 'y' } }] })
  expect([answer.head['note'], answer.usage]).toEqual([undefined, null])
})

it('choices without an index stand in their order', () => {
  const document = { choices: [{ message: { content: 'x' } }, { message: { content: 'y' } }] }
  const answer = foldAnswer([toBytes(JSON.stringify(document))])
  expect(answer.choices.map(({ index, message }) => [index, message['content']])).toEqual([
    [0, 'x'],
    [1, 'y'],
  ])
})

it('pieces of arguments are the arguments, wherever they are cut', () => {
  const json = fc.json({ maxDepth: 2 }).map((text) => `{"x":${text}}`)
  fc.assert(
    fc.property(fc.array(json, { minLength: 1, maxLength: 4 }), fc.nat(7), fc.boolean(), (inputs, size, repeated) => {
      const deltas = inputs.flatMap((input, index) =>
        (input.match(new RegExp(`[^]{1,${size + 1}}`, 'g')) ?? []).map((piece, i) =>
          call(i === 0 ? { index, id: `c${index}` } : { index }, {
            ...(i === 0 || repeated ? { name: 'f' } : {}),
            arguments: piece,
          }),
        ),
      )
      expect(callsOf(deltas)).toEqual(inputs.map((input, i) => [`c${i}`, 'f', input]))
    }),
    { numRuns: 50 },
  )
})
