/**
 * Answers of Cohere's Chat API, version 2, as its documentation prints them: https://docs.cohere.com/v2/docs/streaming
 * ("Basic Chat Stream Events"), …/docs/tool-use-streaming ("Events stream"), …/docs/reasoning (thinking), and
 * https://docs.cohere.com/reference/chat (the document), …/reference/errors.
 */
import { type Fixture, named } from './fixture.ts'

const MODEL = 'command-a-03-2025'
const ID = '29f14a5a-11de-4cae-9800-25e4747408ea'
const usage = (input: number, output: number) => ({
  billed_units: { input_tokens: input - 60, output_tokens: output },
  tokens: { input_tokens: input, output_tokens: output },
})
const start = {
  id: ID,
  type: 'message-start',
  delta: { message: { role: 'assistant', content: [], tool_plan: '', tool_calls: [], citations: [] } },
}
const text = (index: number, ...texts: string[]) => [
  { type: 'content-start', index, delta: { message: { content: { type: 'text', text: '' } } } },
  ...texts.map((text) => ({ type: 'content-delta', index, delta: { message: { content: { text } } } })),
  { type: 'content-end', index },
]
const thinking = (index: number, ...texts: string[]) => [
  { type: 'content-start', index, delta: { message: { content: { type: 'thinking', thinking: '' } } } },
  ...texts.map((thinking) => ({ type: 'content-delta', index, delta: { message: { content: { thinking } } } })),
  { type: 'content-end', index },
]
const end = (finish_reason: string, input: number, output: number) => ({
  type: 'message-end',
  delta: { finish_reason, usage: usage(input, output) },
})
const plan = (tool_plan: string) => ({ type: 'tool-plan-delta', delta: { message: { tool_plan } } })
const call = (index: number, id: string, ...parts: string[]) => [
  {
    type: 'tool-call-start',
    index,
    delta: { message: { tool_calls: { id, type: 'function', function: { name: 'get_weather', arguments: '' } } } },
  },
  ...parts.map((text) => ({
    type: 'tool-call-delta',
    index,
    delta: { message: { tool_calls: { function: { arguments: text } } } },
  })),
  { type: 'tool-call-end', index },
]

const ask = (content: string, more: object = {}) => ({ model: MODEL, messages: [{ role: 'user', content }], ...more })
const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'gets the weather of a given location',
    parameters: { type: 'object', properties: { location: { type: 'string' } }, required: ['location'] },
  },
}
const TORONTO = 'get_weather_77hrp3xf1qxg'

export const cohere: readonly Fixture[] = [
  {
    name: 'cohere-text',
    provider: 'cohere',
    request: ask('What is an LLM?', { max_tokens: 100, temperature: 0.3, stop: ['END'], seed: 7 }),
    body: named([start, ...text(0, 'A', ' large', ' language model'), end('COMPLETE', 66, 3)]),
  },
  {
    name: 'cohere-tools',
    provider: 'cohere',
    request: ask("What's the weather in Madrid and Brasilia?", { tools: [WEATHER], tool_choice: 'required' }),
    body: named([
      start,
      ...['I', ' will', ' look', ' up both.'].map(plan),
      ...call(0, 'get_weather_p1t92w7gfgq7', '{\n    "', 'location', '":', ' "', 'Madrid', '"\n', '}'),
      ...call(1, 'get_weather_ay6nmvjgw9vn', '{\n    "location": "Brasilia"\n}'),
      end('TOOL_CALL', 141, 71),
    ]),
  },
  {
    name: 'cohere-results',
    provider: 'cohere',
    request: {
      model: MODEL,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: "What's the weather in Toronto?" },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            { id: TORONTO, type: 'function', function: { name: 'get_weather', arguments: '{"location":"Toronto"}' } },
          ],
        },
        { role: 'tool', tool_call_id: TORONTO, content: '{"temperature":"20C"}' },
      ],
      tools: [WEATHER],
    },
    body: named([
      start,
      ...text(0, "It's 20", '°C', ' in Toronto.').slice(0, -1),
      {
        type: 'citation-start',
        index: 0,
        delta: {
          message: {
            citations: {
              start: 5,
              end: 9,
              text: '20°C',
              sources: [{ type: 'tool', id: `${TORONTO}:0`, tool_output: { temperature: '20C' } }],
              type: 'TEXT_CONTENT',
            },
          },
        },
      },
      { type: 'citation-end', index: 0 },
      { type: 'content-end', index: 0 },
      end('COMPLETE', 185, 8),
    ]),
  },
  {
    name: 'cohere-thinking',
    provider: 'cohere',
    request: ask('What is 10 + 4?', { model: 'command-a-reasoning-08-2025' }),
    body: named([start, ...thinking(0, 'The user', ' adds.'), ...text(1, '14'), end('COMPLETE', 90, 9)]),
  },
  {
    name: 'cohere-schema',
    provider: 'cohere',
    request: ask('A book, as JSON.', {
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'book', schema: { type: 'object', required: ['title'] } },
      },
    }),
    body: named([start, ...text(0, '{"title":', ' "The Great Gatsby"}'), end('COMPLETE', 95, 12)]),
  },
  {
    name: 'cohere-length',
    provider: 'cohere',
    request: ask('What is an LLM?', { max_tokens: 2 }),
    body: named([start, ...text(0, 'A', ' large'), end('MAX_TOKENS', 66, 2)]),
  },
  {
    name: 'cohere-failed',
    provider: 'cohere',
    request: ask('What is an LLM?'),
    body: named([start, ...text(0, 'A'), end('ERROR', 66, 1)]),
  },
  {
    name: 'cohere-document',
    provider: 'cohere',
    isDocument: true,
    request: ask('Tell me about LLMs'),
    body: JSON.stringify({
      id: 'c14c80c3-18eb-4519-9460-6c92edd8cfb4',
      finish_reason: 'COMPLETE',
      message: { role: 'assistant', content: [{ type: 'text', text: 'LLMs stand for Large Language Models' }] },
      usage: usage(65, 6),
    }),
  },
  {
    name: 'cohere-document-tools',
    provider: 'cohere',
    isDocument: true,
    request: ask("What's the weather in Toronto?", { tools: [WEATHER] }),
    body: JSON.stringify({
      id: 'c14c80c3-18eb-4519-9460-6c92edd8cfb4',
      finish_reason: 'TOOL_CALL',
      message: {
        role: 'assistant',
        tool_plan: 'I will look it up.',
        tool_calls: [
          { id: TORONTO, type: 'function', function: { name: 'get_weather', arguments: '{"location":"Toronto"}' } },
        ],
      },
      usage: usage(134, 22),
    }),
  },
  {
    name: 'cohere-limited',
    provider: 'cohere',
    isLimit: true,
    status: 429,
    isDocument: true,
    request: ask('Hi'),
    body: JSON.stringify({
      id: ID,
      message: 'Please wait and try again later',
    }),
  },
]
