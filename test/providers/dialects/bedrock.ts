/**
 * Answers of Amazon Bedrock's Converse API, as its documentation prints them:
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (the document),
 * …/API_runtime_ConverseStream.html ("Examples"), …/userguide/tool-use-inference-call.html (a tool's use),
 * …/APIReference/API_runtime_ReasoningContentBlockDelta.html, …/userguide/guardrails-use-converse-api.html; and how its
 * streams are written: https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html
 */
import { crc32 } from 'node:zlib'
import type { Fixture } from './fixture.ts'

/** A message of Amazon's event stream: lengths and sums around headers and a payload. */
export function message(type: string, body: object, kind: 'event' | 'exception' = 'event'): Buffer {
  const header = (name: string, value: string): Buffer =>
    Buffer.concat([
      Buffer.from([name.length]),
      Buffer.from(name),
      Buffer.from([7, 0, value.length]),
      Buffer.from(value),
    ])
  const headers = Buffer.concat([
    header(`:${kind}-type`, type),
    header(':content-type', 'application/json'),
    header(':message-type', kind),
  ])
  const payload = Buffer.from(JSON.stringify(body))
  const start = Buffer.alloc(12)
  start.writeUInt32BE(16 + headers.length + payload.length, 0)
  start.writeUInt32BE(headers.length, 4)
  start.writeUInt32BE(crc32(start.subarray(0, 8)), 8)
  const all = Buffer.concat([start, headers, payload])
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(all))
  return Buffer.concat([all, sum])
}

export const EVENT_STREAM = 'application/vnd.amazon.eventstream'

type Event = readonly [type: string, body: object]
const stream = (...events: readonly Event[]) => ({
  type: EVENT_STREAM,
  // `p` pads each event, so that its length does not tell what is in it
  body: Buffer.concat(events.map(([type, body]) => message(type, { ...body, p: 'abcdefghijk' }))).toString('latin1'),
  isBytes: true,
})

const start: Event = ['messageStart', { role: 'assistant' }]
const delta = (contentBlockIndex: number, delta: object): Event => ['contentBlockDelta', { contentBlockIndex, delta }]
const stop = (contentBlockIndex: number): Event => ['contentBlockStop', { contentBlockIndex }]
const text = (index: number, ...texts: string[]): readonly Event[] => [
  ...texts.map((text) => delta(index, { text })),
  stop(index),
]
const end = (stopReason: string, inputTokens: number, outputTokens: number, more: object = {}): readonly Event[] => [
  ['messageStop', { stopReason }],
  [
    'metadata',
    {
      usage: { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, ...more },
      metrics: { latencyMs: 1275 },
    },
  ],
]

const MODEL = 'amazon.nova-lite-v1:0'
const CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'
const user = (content: unknown) => [{ role: 'user', content }]
const SONG = {
  model: MODEL,
  max_tokens: 512,
  temperature: 0.5,
  top_p: 0.9,
  stop: ['User:'],
  messages: [
    { role: 'system', content: 'You are an app that creates playlists.' },
    ...user('Create a list of 3 pop songs.'),
  ],
}
const TOP_SONG = {
  type: 'function',
  function: {
    name: 'top_song',
    description: 'Get the most popular song played on a radio station.',
    parameters: { type: 'object', properties: { sign: { type: 'string' } }, required: ['sign'] },
  },
}
const CALL = 'tooluse_hbTgdi0CSLq_hM4P8csZJA'

export const bedrock: readonly Fixture[] = [
  {
    name: 'bedrock-text',
    provider: 'bedrock',
    request: SONG,
    ...stream(start, ...text(0, 'Hére', ' are', ' three'), ...end('end_turn', 125, 60, { cacheReadInputTokens: 100 })),
  },
  {
    name: 'bedrock-tools',
    provider: 'bedrock',
    request: {
      model: CLAUDE,
      messages: user('What is the most popular song on WZPZ?'),
      tools: [TOP_SONG],
      tool_choice: { type: 'function', function: { name: 'top_song' } },
    },
    ...stream(
      start,
      ...text(0, 'I', ' look.'),
      ['contentBlockStart', { contentBlockIndex: 1, start: { toolUse: { toolUseId: CALL, name: 'top_song' } } }],
      delta(1, { toolUse: { input: '' } }),
      delta(1, { toolUse: { input: '{"sign":' } }),
      delta(1, { toolUse: { input: ' "WZPZ"}' } }),
      stop(1),
      ...end('tool_use', 375, 54),
    ),
  },
  {
    name: 'bedrock-results',
    provider: 'bedrock',
    request: {
      model: CLAUDE,
      messages: [
        ...user([
          { type: 'text', text: 'What is the most popular song on WZPZ?' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
        ]),
        {
          role: 'assistant',
          content: null,
          reasoning_details: [{ type: 'reasoning.text', text: 'I look.', signature: 'sig' }],
          tool_calls: [{ id: CALL, type: 'function', function: { name: 'top_song', arguments: '{"sign":"WZPZ"}' } }],
        },
        { role: 'tool', tool_call_id: CALL, content: '{"song":"Elemental Hotel"}' },
      ],
      tools: [TOP_SONG],
    },
    ...stream(start, ...text(0, '"Elemental Hotel".'), ...end('end_turn', 480, 12)),
  },
  {
    name: 'bedrock-thinking',
    provider: 'bedrock',
    request: { model: CLAUDE, max_tokens: 8_000, reasoning_effort: 'low', messages: user('27 * 453?') },
    ...stream(
      start,
      delta(0, { reasoningContent: { text: '27 * 400' } }),
      delta(0, { reasoningContent: { text: ' is 10,800.' } }),
      delta(0, { reasoningContent: { signature: 'EqQBCgIYAhIM1gbcDa9GJwZA2b3h' } }),
      stop(0),
      ...text(1, '12,231'),
      ...end('end_turn', 40, 90),
    ),
  },
  {
    name: 'bedrock-length',
    provider: 'bedrock',
    request: SONG,
    ...stream(start, ...text(0, 'Here'), ...end('max_tokens', 125, 512)),
  },
  {
    name: 'bedrock-guardrail',
    provider: 'bedrock',
    request: SONG,
    ...stream(start, ...text(0, "Sorry, the model can't answer."), ...end('guardrail_intervened', 0, 0)),
  },
  {
    name: 'bedrock-cut',
    provider: 'bedrock',
    request: SONG,
    ...stream(start, delta(0, { text: 'Here' })),
  },
  {
    name: 'bedrock-throttled',
    provider: 'bedrock',
    isLimit: true,
    request: SONG,
    type: EVENT_STREAM,
    isBytes: true,
    body: Buffer.concat([
      message('messageStart', { role: 'assistant' }),
      message('contentBlockDelta', { contentBlockIndex: 0, delta: { text: 'He' } }),
      message('throttlingException', { message: 'Too many tokens, please wait before trying again.' }, 'exception'),
    ]).toString('latin1'),
  },
  {
    name: 'bedrock-refused',
    provider: 'bedrock',
    request: SONG,
    status: 400,
    headers: 'x-amzn-errortype: ValidationException\r\n',
    isDocument: true,
    body: JSON.stringify({ message: 'The provided model identifier is invalid.' }),
  },
  {
    name: 'bedrock-document',
    provider: 'bedrock',
    isDocument: true,
    request: SONG,
    body: JSON.stringify({
      metrics: { latencyMs: 1275 },
      output: { message: { content: [{ text: 'Here are three songs.' }], role: 'assistant' } },
      stopReason: 'end_turn',
      usage: { inputTokens: 125, outputTokens: 60, totalTokens: 185 },
    }),
  },
  {
    name: 'bedrock-document-tools',
    provider: 'bedrock',
    isDocument: true,
    request: { model: CLAUDE, messages: user('What is the most popular song on WZPZ?'), tools: [TOP_SONG] },
    body: JSON.stringify({
      metrics: { latencyMs: 1275 },
      output: {
        message: {
          content: [{ text: 'I look.' }, { toolUse: { toolUseId: CALL, name: 'top_song', input: { sign: 'WZPZ' } } }],
          role: 'assistant',
        },
      },
      stopReason: 'tool_use',
      usage: { inputTokens: 375, outputTokens: 54, totalTokens: 429 },
    }),
  },
]
