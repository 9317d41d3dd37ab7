import { expect, it } from 'vitest'
import { placeCacheHints } from '../../core/cache-hints.ts'
import { SluiceError } from '../../core/errors.ts'
import { request } from './request.ts'

type Loose = ReturnType<typeof JSON.parse>
const BASE = { model: 'm', max_tokens: 10, messages: [{ role: 'user', content: 'Hi' }] }
const read = (more: object): Loose => {
  const sent = { ...BASE, ...more }
  const { body, value, ...rest } = request.read(sent, Buffer.from(JSON.stringify(sent)))
  expect(JSON.parse(Buffer.from(body).toString())).toEqual(value)
  return { ...rest, ...value }
}
const messages = (...messages: readonly object[]): Loose => read({ messages }).messages
const user = (...content: readonly object[]): object => ({ role: 'user', content })
const refusal = (more: object): { param: string | null; message: string } => {
  try {
    read(more)
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'invalid_request') return error
    throw error
  }
  return expect.fail('it was read')
}

it('is a chat completion', () => {
  const sent = { system: 'Be brief.', temperature: 0.5, top_p: 0.9, top_k: 5, stop_sequences: ['x'], stream: true }
  expect(read({ ...sent, metadata: { user_id: 'u1' } })).toEqual({
    ...{ model: 'm', max_completion_tokens: 10, temperature: 0.5, top_p: 0.9, top_k: 5, stop: ['x'], stream: true },
    ...{ user: 'u1', shownAs: undefined, hidesThought: true },
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
    ],
  })
})

it('keeps a long user for itself, as OpenAI refuses it', () => {
  const sent = request.read({ ...BASE, metadata: { user_id: 'u'.repeat(65) } }, new Uint8Array())
  expect([sent.user, sent.value['user']]).toEqual(['u'.repeat(65), undefined])
  expect(refusal({ metadata: { user_id: 'u'.repeat(513) } }).param).toBe('metadata')
})

it('ignores what it does not know, and hints', () => {
  const more = { x_unknown: { a: [1] }, service_tier: 'auto', inference_geo: null }
  expect(read(more)).toEqual(read({}))
  expect(read({ tools: [{ type: 'web_search_20250305', name: 'web_search' }], tool_choice: { type: 'auto' } })).toEqual(
    read({}),
  )
})

it('keeps where to cache beside the request, counted from its end', () => {
  const cache_control = { type: 'ephemeral', ttl: '1h' }
  const text = (words: string) => ({ type: 'text', text: words, cache_control })
  const image = { type: 'image', source: { type: 'url', url: 'https://x.test/a.png' } }
  const schema = { type: 'object' }
  const asked = read({
    system: [text('Be brief.'), { type: 'text', text: 'Be kind.' }],
    tools: [
      { type: 'web_search_20250305', name: 'web_search', cache_control },
      { name: 'a', input_schema: schema },
      { name: 'b', input_schema: schema, cache_control },
    ],
    messages: [
      user(text('Look.'), image),
      { role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'a', input: {}, cache_control }] },
      user({ type: 'tool_result', tool_use_id: 't', content: 'x', cache_control }, text('Go on.')),
    ],
    cache_control: { type: 'ephemeral' },
  })
  const { cache_hints: hints, ...rest } = asked
  expect(JSON.stringify(rest)).not.toContain('cache_control')
  expect(hints).toEqual([
    [['tools', 1], cache_control],
    [['messages', 0], cache_control],
    [['messages', -4, 'content', 0], cache_control],
    [['messages', -3], cache_control],
    [['messages', -2], cache_control],
    [['messages', -1], cache_control],
    [['messages', -1], { type: 'ephemeral' }],
  ])
  const whole = {
    ...rest,
    messages: [rest.messages[0], { role: 'user', content: 'Before' }, ...rest.messages.slice(1)],
  }
  const placed = structuredClone({ ...whole, cache_hints: hints })
  placeCacheHints(placed)
  expect(placed.tools.map((tool: Loose) => 'cache_control' in tool)).toEqual([false, true])
  expect(placed.messages.map((message: Loose) => 'cache_control' in message)).toEqual([
    ...[true, false, false, true, true, true],
  ])
  expect(placed.messages[2].content[0]).toMatchObject({ type: 'text', cache_control })
})

it('puts no hint where it leads nowhere', () => {
  const request = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] }
  const control = { type: 'ephemeral' }
  const nowhere = [
    [],
    ['messages'],
    ['messages', 7],
    ['messages', -2],
    ['messages', 0, 'content', 0],
    ['__proto__', 'x'],
  ]
  const hints = [...nowhere.map((path) => [path, control]), 7, [7, 7], [['messages', 0], 7], null]
  const placed: Loose = structuredClone({ ...request, cache_hints: hints })
  placeCacheHints(placed)
  expect(placed).toEqual({ ...request, cache_hints: hints })
})

it('reads documents, images, results and where to find them', () => {
  const source = { type: 'base64', media_type: 'application/pdf', data: 'aGk=' }
  const text = { type: 'text', media_type: 'text/plain', data: 'words' }
  const content = [{ type: 'text', text: 'a' }]
  expect(
    messages(
      user(
        { type: 'document', source, title: 'a.pdf', context: 'of May' },
        { type: 'document', source: text },
        { type: 'document', source: { type: 'content', content } },
        { type: 'image', source: { type: 'url', url: 'https://x.test/a.png' } },
        { type: 'search_result', title: 'T', source: 'https://x.test', content },
      ),
    )[0].content,
  ).toEqual([
    { type: 'text', text: 'a.pdf' },
    { type: 'text', text: 'of May' },
    { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,aGk=' } },
    { type: 'text', text: 'words' },
    { type: 'text', text: 'a' },
    { type: 'image_url', image_url: { url: 'https://x.test/a.png' } },
    { type: 'text', text: 'T\nhttps://x.test\na' },
  ])
})

it('takes conversations that began at Anthropic: its own tools are left out, signed thought is kept', () => {
  const [answer] = messages({
    role: 'assistant',
    content: [
      { type: 'thinking', thinking: 'hm', signature: 'sig' },
      { type: 'redacted_thinking', data: 'xyz' },
      { type: 'server_tool_use', id: 's1', name: 'web_search', input: {} },
      { type: 'web_search_tool_result', tool_use_id: 's1', content: [] },
      { type: 'text', text: 'Found.' },
    ],
  })
  expect(answer).toEqual({
    role: 'assistant',
    content: 'Found.',
    reasoning_details: [
      { type: 'reasoning.text', text: 'hm', signature: 'sig' },
      { type: 'reasoning.encrypted', data: 'xyz' },
    ],
  })
})

it('takes a tool that returned nothing', () => {
  expect(messages(user({ type: 'tool_result', tool_use_id: 'a' }))).toEqual([
    { role: 'tool', tool_call_id: 'a', content: '' },
  ])
})

it.each([
  [{ thinking: { type: 'enabled', budget_tokens: 2_000 } }, 'low'],
  [{ thinking: { type: 'enabled', budget_tokens: 10_000 } }, 'medium'],
  [{ thinking: { type: 'enabled', budget_tokens: 31_999 } }, 'high'],
  [{ thinking: { type: 'adaptive' } }, undefined],
  [{ thinking: { type: 'adaptive' }, output_config: { effort: 'max' } }, 'xhigh'],
  [{ thinking: { type: 'disabled' } }, undefined],
])('thinks as much as it is told: %o', (more, effort) => {
  const { reasoning_effort, shownAs } = read(more)
  expect(reasoning_effort).toBe(effort)
  expect(shownAs).toEqual(more.thinking.type === 'disabled' ? undefined : { thinking: true })
})

const loop = { type: 'object', properties: { a: { $ref: '#/properties/b' }, b: { $ref: '#/properties/a' } } }
it.each<[object, string]>([
  [{ messages: [] }, 'messages'],
  [{ messages: 'x' }, 'messages'],
  [{ messages: [null] }, 'messages[0]'],
  [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
  [{ messages: [{ role: 'user', content: 7 }] }, 'messages[0].content'],
  [{ messages: [{ role: 'user', content: [] }] }, 'messages[0].content'],
  [{ messages: [user('x' as never)] }, 'messages[0].content[0]'],
  [{ messages: [user({ type: 'text', text: 1 })] }, 'messages[0].content[0].text'],
  [{ messages: [user({ type: 'hologram' })] }, 'messages[0].content[0].type'],
  [{ messages: [user({ type: 'image', source: { type: 'file', file_id: 'f' } })] }, 'messages[0].content[0].source'],
  [{ messages: [user({ type: 'tool_result' })] }, 'messages[0].content[0].tool_use_id'],
  [
    { messages: [user({ type: 'document', source: { type: 'content', content: [{ type: 'document' }] } })] },
    'messages[0].content[0].source.content[0]',
  ],
  [
    { messages: [{ role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: 'x' }] }] },
    'messages[0].content[0].input',
  ],
  [{ system: [{ type: 'image' }] }, 'system[0].type'],
  [{ max_tokens: 0 }, 'max_tokens'],
  [{ max_tokens: 1e300 }, 'max_tokens'],
  [{ stream: 'yes' }, 'stream'],
  [{ stop_sequences: [1] }, 'stop_sequences'],
  [{ tools: {} }, 'tools'],
  [{ tools: [{ name: 'f' }] }, 'tools[0].input_schema'],
  [{ tools: [{ type: 'bash_20250124', name: 'bash' }] }, 'tools[0].type'],
  [{ tools: [{ name: 'f', input_schema: loop }] }, 'tools'],
  [{ tool_choice: { type: 'any' } }, 'tool_choice'],
  [{ tools: [{ name: 'f', input_schema: {} }], tool_choice: { type: 'tool', name: 'g' } }, 'tool_choice.name'],
  [{ tools: [{ name: 'f', input_schema: {} }], tool_choice: { type: 'x' } }, 'tool_choice.type'],
  [{ output_config: { format: { type: 'xml' } } }, 'output_config.format'],
  [{ thinking: { type: 'enabled' } }, 'thinking.budget_tokens'],
  [{ mcp_servers: [{ url: 'x' }] }, 'mcp_servers'],
])('refuses %o by its name', (more, param) => {
  expect(refusal(more).param).toBe(param)
})

it('has bounds: messages, blocks, and time in proportion', () => {
  const many = (count: number): object[] => Array.from({ length: count }, () => ({ role: 'user', content: 'x' }))
  expect(refusal({ messages: many(10_001) }).message).toContain('10000')
  const blocks = Array.from({ length: 60_000 }, () => ({ type: 'text', text: 'x' }))
  expect(refusal({ messages: [user(...blocks), user(...blocks)] }).message).toContain('100000 content blocks')
  const before = process.cpuUsage().user
  expect(messages(...many(9_999), user(...blocks))).toHaveLength(10_000)
  expect((process.cpuUsage().user - before) / 1_000).toBeLessThan(2_000)
})

it.each([
  ['an address', { type: 'url', url: 'https://x.example/y.pdf' }, /no chat completion can carry.*"base64".*"text"/],
  ['an id', { type: 'file', file_id: 'file_1' }, /only Anthropic has.*"base64" or "text"/],
])('refuses a document by %s, with what to send', (_name, source, message) => {
  const document = user({ type: 'document', source })
  expect(refusal({ messages: [document] })).toMatchObject({
    param: 'messages[0].content[0].source',
    message: expect.stringMatching(message),
  })
})

it('says of an image by an id that an address will do', () => {
  const image = user({ type: 'image', source: { type: 'file', file_id: 'file_1' } })
  expect(refusal({ messages: [image] }).message).toContain('"base64" or "url"')
})

it("knows OpenAI's form of a tool", () => {
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }]
  expect(refusal({ tools })).toMatchObject({ param: 'tools[0]', message: expect.stringContaining('"input_schema"') })
  expect(refusal({ tools }).message).toContain("OpenAI's")
  expect(refusal({ tools }).message).not.toContain("only Anthropic's")
})

it("names the tool of Anthropic's that a request requires, whatever others it has", () => {
  const search = { type: 'web_search_20250305', name: 'web_search' }
  const own = { name: 'f', input_schema: { type: 'object' } }
  for (const tools of [[search], [search, own]]) {
    const { param, message } = refusal({ tools, tool_choice: { type: 'tool', name: 'web_search' } })
    expect(param).toBe('tool_choice')
    expect(message).toMatch(/"web_search".*Anthropic's own servers/)
  }
})
