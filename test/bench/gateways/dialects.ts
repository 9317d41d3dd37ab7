/** What an upstream of each dialect sends, token by token, as its own servers do. */

export type DialectName = 'chat' | 'responses' | 'messages'

export interface Dialect {
  readonly path: string
  readonly open: string
  /** A token: its index and its send time are written into it, as the load client checks them. */
  readonly token: string
  readonly close: (tokens: number) => string
  readonly document: (tokens: number) => string
}

/** Six digits of index, thirteen of the monotonic microsecond. */
export const TOKEN = ' tok000000.0000000000000'
const textOf = (tokens: number): string =>
  Array.from({ length: tokens }, (_, i) => ` tok${String(i).padStart(6, '0')}`).join('')

const event = (data: object & { type?: string }): string => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`

const chunk = (choices: readonly object[], usage?: object): string =>
  `data: ${JSON.stringify({
    id: 'chatcmpl-bench00000000000000000000000',
    object: 'chat.completion.chunk',
    created: 1_750_000_000,
    model: 'gpt-4o-mini-2024-07-18',
    system_fingerprint: 'fp_34a54ae93c',
    choices,
    ...(usage && { usage }),
  })}\n\n`
const delta = (change: object, finish: string | null = null): string =>
  chunk([{ index: 0, delta: change, logprobs: null, finish_reason: finish }])
const chatUsage = (tokens: number) => ({
  prompt_tokens: 19,
  completion_tokens: tokens,
  total_tokens: tokens + 19,
  prompt_tokens_details: { cached_tokens: 0 },
})

const chat: Dialect = {
  path: '/v1/chat/completions',
  open: delta({ role: 'assistant', content: '', refusal: null }),
  token: delta({ content: TOKEN }),
  close: (tokens) => `${delta({}, 'stop')}${chunk([], chatUsage(tokens))}data: [DONE]\n\n`,
  document: (tokens) =>
    JSON.stringify({
      id: 'chatcmpl-bench00000000000000000000000',
      object: 'chat.completion',
      created: 1_750_000_000,
      model: 'gpt-4o-mini-2024-07-18',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: textOf(tokens), refusal: null, annotations: [] },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: chatUsage(tokens),
      service_tier: 'default',
      system_fingerprint: 'fp_34a54ae93c',
    }),
}

const ITEM = 'msg_bench0000000000000000000000000000000000000000'
const item = (text: string, status: string) => ({
  id: ITEM,
  type: 'message',
  status,
  role: 'assistant',
  content: text === '' ? [] : [{ type: 'output_text', annotations: [], logprobs: [], text }],
})
const response = (tokens: number | null) => ({
  id: 'resp_bench000000000000000000000000000000000000000',
  object: 'response',
  created_at: 1_750_000_000,
  status: tokens === null ? 'in_progress' : 'completed',
  error: null,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  model: 'gpt-4o-mini-2024-07-18',
  output: tokens === null ? [] : [item(textOf(tokens), 'completed')],
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: { effort: null, summary: null },
  store: true,
  temperature: 1,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_p: 1,
  truncation: 'disabled',
  usage:
    tokens === null
      ? null
      : {
          input_tokens: 19,
          input_tokens_details: { cached_tokens: 0 },
          output_tokens: tokens,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: tokens + 19,
        },
  user: null,
  metadata: {},
})
const at = { item_id: ITEM, output_index: 0, content_index: 0 }
const part = (text: string) => ({ type: 'output_text', annotations: [], logprobs: [], text })

const responses: Dialect = {
  path: '/v1/responses',
  open:
    event({ type: 'response.created', sequence_number: 0, response: response(null) } as object) +
    event({ type: 'response.in_progress', sequence_number: 1, response: response(null) } as object) +
    event({
      type: 'response.output_item.added',
      sequence_number: 2,
      output_index: 0,
      item: item('', 'in_progress'),
    } as object) +
    event({ type: 'response.content_part.added', sequence_number: 3, ...at, part: part('') } as object),
  token: event({
    type: 'response.output_text.delta',
    sequence_number: 4,
    ...at,
    delta: TOKEN,
    logprobs: [],
    obfuscation: 'q8Lk2',
  } as object),
  close: (tokens) => {
    const text = textOf(tokens)
    return (
      event({ type: 'response.output_text.done', sequence_number: 5, ...at, text, logprobs: [] } as object) +
      event({ type: 'response.content_part.done', sequence_number: 6, ...at, part: part(text) } as object) +
      event({
        type: 'response.output_item.done',
        sequence_number: 7,
        output_index: 0,
        item: item(text, 'completed'),
      } as object) +
      event({ type: 'response.completed', sequence_number: 8, response: response(tokens) } as object)
    )
  },
  document: (tokens) => JSON.stringify(response(tokens)),
}

const message = (content: readonly object[], stop: string | null, tokens: number) => ({
  id: 'msg_bench0000000000000000',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-5-20250929',
  content,
  stop_reason: stop,
  stop_sequence: null,
  usage: {
    input_tokens: 19,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: tokens,
    service_tier: 'standard',
  },
})

const messages: Dialect = {
  path: '/v1/messages',
  open:
    event({ type: 'message_start', message: message([], null, 1) } as object) +
    event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } } as object) +
    event({ type: 'ping' }),
  token: event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: TOKEN } } as object),
  close: (tokens) =>
    event({ type: 'content_block_stop', index: 0 } as object) +
    event({
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: tokens },
    } as object) +
    event({ type: 'message_stop' }),
  document: (tokens) => JSON.stringify(message([{ type: 'text', text: textOf(tokens) }], 'end_turn', tokens)),
}

export const DIALECTS: Readonly<Record<DialectName, Dialect>> = { chat, responses, messages }

const PROMPT = 'Explain in a few sentences how a gateway in front of language models saves money.'

/** What a client of that dialect asks for; the load client puts the model's name in the place of %M. */
export function requestOf(dialect: DialectName, stream: boolean): object {
  const asked = { model: '%M', temperature: 0.7, stream }
  const user = { role: 'user', content: PROMPT }
  if (dialect === 'responses')
    return { ...asked, instructions: 'You are a helpful assistant.', input: PROMPT, max_output_tokens: 512 }
  if (dialect === 'messages')
    return { ...asked, system: 'You are a helpful assistant.', messages: [user], max_tokens: 512 }
  return {
    ...asked,
    messages: [{ role: 'system', content: 'You are a helpful assistant.' }, user],
    max_tokens: 512,
    ...(stream && { stream_options: { include_usage: true } }),
  }
}

/** Is this the end of a whole answer of that dialect? */
export function isWhole(dialect: DialectName, stream: boolean, text: string): boolean {
  if (!stream) return text.includes('"usage"') && text.includes('tok000009')
  if (dialect === 'chat') return text.includes('data: [DONE]')
  return text.includes(dialect === 'responses' ? '"response.completed"' : '"message_stop"')
}
