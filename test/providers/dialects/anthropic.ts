/**
 * Streams of Anthropic's Messages API, as its documentation prints them:
 * https://docs.anthropic.com/en/docs/build-with-claude/streaming ("Basic streaming request", "with tool use", "with
 * extended thinking", "Error events") and https://docs.anthropic.com/en/api/messages (the document).
 */
import { type Fixture, named } from './fixture.ts'

const start = (usage: object) => ({
  type: 'message_start',
  message: {
    id: 'msg_1nZdL29xx5MUA1yADyHTEXnR8uuvGzszyy',
    type: 'message',
    role: 'assistant',
    content: [],
    model: 'claude-opus-4-1-20250805',
    stop_reason: null,
    stop_sequence: null,
    usage,
  },
})
const ping = { type: 'ping' }
const block = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block })
const delta = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta })
const stop = (index: number) => ({ type: 'content_block_stop', index })
const end = (stop_reason: string, output_tokens: number) => [
  { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage: { output_tokens } },
  { type: 'message_stop' },
]
const text = (index: number, ...texts: string[]) => [
  block(index, { type: 'text', text: '' }),
  ...texts.map((text) => delta(index, { type: 'text_delta', text })),
  stop(index),
]

const MODEL = 'claude-opus-4-1-20250805'
const HELLO = { model: MODEL, max_tokens: 256, messages: [{ role: 'user', content: 'Hello' }] }
const WEATHER = {
  model: MODEL,
  max_tokens: 1024,
  messages: [{ role: 'user', content: 'What is the weather like in San Francisco?' }],
  tools: [
    {
      type: 'function',
      function: {
        name: 'get_weather',
        description: 'Get the current weather in a given location',
        parameters: { type: 'object', properties: { location: { type: 'string' } }, required: ['location'] },
      },
    },
  ],
  tool_choice: 'auto',
}

export const anthropic: readonly Fixture[] = [
  {
    name: 'anthropic-text',
    provider: 'anthropic',
    request: HELLO,
    body: named([
      start({ input_tokens: 25, output_tokens: 1 }),
      block(0, { type: 'text', text: '' }),
      ping,
      delta(0, { type: 'text_delta', text: 'Hello' }),
      delta(0, { type: 'text_delta', text: '!' }),
      stop(0),
      ...end('end_turn', 15),
    ]),
  },
  {
    name: 'anthropic-tools',
    provider: 'anthropic',
    request: WEATHER,
    body: named([
      start({ input_tokens: 472, output_tokens: 2, cache_read_input_tokens: 100, cache_creation_input_tokens: 30 }),
      ping,
      ...text(0, 'Okay', ',', ' let', "'s", ' check', ' the', ' weather', ':'),
      block(1, { type: 'tool_use', id: 'toolu_01T1x1fJ34qAmk2tNTrN7Up6', name: 'get_weather', input: {} }),
      delta(1, { type: 'input_json_delta', partial_json: '' }),
      delta(1, { type: 'input_json_delta', partial_json: '{"location":' }),
      delta(1, { type: 'input_json_delta', partial_json: ' "San' }),
      delta(1, { type: 'input_json_delta', partial_json: ' Francisc' }),
      delta(1, { type: 'input_json_delta', partial_json: 'o,' }),
      delta(1, { type: 'input_json_delta', partial_json: ' CA"}' }),
      stop(1),
      ...end('tool_use', 89),
    ]),
  },
  {
    name: 'anthropic-thinking',
    provider: 'anthropic',
    request: { ...HELLO, max_tokens: 20_000, reasoning_effort: 'medium' },
    body: named([
      start({ input_tokens: 25, output_tokens: 1 }),
      block(0, { type: 'thinking', thinking: '', signature: '' }),
      delta(0, { type: 'thinking_delta', thinking: 'Let me solve this step by step:\n\n1. First break down 27 * 453' }),
      delta(0, { type: 'thinking_delta', thinking: '\n2. 453 = 400 + 50 + 3' }),
      delta(0, { type: 'signature_delta', signature: 'EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds' }),
      stop(0),
      ...text(1, '27 * 453 = 12,231'),
      ...end('end_turn', 90),
    ]),
  },
  {
    name: 'anthropic-length',
    provider: 'anthropic',
    request: HELLO,
    body: named([start({ input_tokens: 25, output_tokens: 1 }), ...text(0, 'Hello'), ...end('max_tokens', 256)]),
  },
  {
    name: 'anthropic-refusal',
    provider: 'anthropic',
    request: HELLO,
    body: named([start({ input_tokens: 25, output_tokens: 1 }), ...text(0, 'Hello..'), ...end('refusal', 22)]),
  },
  {
    name: 'anthropic-error',
    provider: 'anthropic',
    request: HELLO,
    body: named([
      start({ input_tokens: 25, output_tokens: 1 }),
      block(0, { type: 'text', text: '' }),
      delta(0, { type: 'text_delta', text: 'Hel' }),
      { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
    ]),
  },
  {
    name: 'anthropic-document',
    provider: 'anthropic',
    isDocument: true,
    request: HELLO,
    body: JSON.stringify({
      content: [{ text: 'Hi! My name is Claude.', type: 'text' }],
      id: 'msg_013Zva2CMHLNnXjNJJKqJ2EF',
      model: 'claude-opus-4-1-20250805',
      role: 'assistant',
      stop_reason: 'end_turn',
      stop_sequence: null,
      type: 'message',
      usage: { input_tokens: 2095, output_tokens: 503 },
    }),
  },
]
