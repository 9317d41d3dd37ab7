/**
 * The APIs that can be measured: where they are posted, what a request looks like, and their events in the words of
 * chat completions, which stream.ts measures.
 */
import { isObject, type Json, type JsonObject } from '../core/fold.ts'
import type { Api } from './run.ts'

export interface Message {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

export interface Ask {
  readonly model: string
  readonly messages: readonly Message[]
  readonly maxTokens: number | null
  readonly stream: boolean
  /** Members of the user's own, which win. */
  readonly extra: JsonObject
}

/** From the target's base, which has no "/v1". */
export const PATHS: Readonly<Record<Api, string>> = {
  chat: '/v1/chat/completions',
  completions: '/v1/completions',
  responses: '/v1/responses',
  messages: '/v1/messages',
  jobs: '/v1/jobs',
  ws: '/v1/ws',
}

const ANTHROPIC_MAX_TOKENS = 1_024

/** The body of a POST; of jobs and ws, their `request`. */
export function requestOf(api: Api, { model, messages, maxTokens, stream, extra }: Ask): Record<string, unknown> {
  const length = (name: string): Record<string, number> => (maxTokens === null ? {} : { [name]: maxTokens })
  switch (api) {
    case 'completions':
      return {
        model,
        prompt: messages.map(({ content }) => content).join('\n\n'),
        ...length('max_tokens'),
        ...streamed(stream),
        ...extra,
      }
    case 'responses':
      return { model, input: messages, ...length('max_output_tokens'), stream, ...extra }
    case 'messages': {
      const system = messages.filter(({ role }) => role === 'system').map(({ content }) => content)
      const others = messages.filter(({ role }) => role !== 'system')
      return {
        model,
        max_tokens: maxTokens ?? ANTHROPIC_MAX_TOKENS,
        ...(system.length > 0 && { system: system.join('\n\n') }),
        messages: others,
        stream,
        ...extra,
      }
    }
    default:
      return { model, messages, ...length('max_tokens'), ...streamed(stream), ...extra }
  }
}

const streamed = (stream: boolean): object =>
  stream ? { stream: true, stream_options: { include_usage: true } } : { stream: false }

/** What an event says beside what a chat chunk can. */
export interface Told {
  readonly chunk: JsonObject
  /** All that was shown before is void. */
  readonly isReset?: boolean
  readonly attempt?: number
  /** Sluice's `timing` of a job. */
  readonly timing?: JsonObject
}

const NOTHING: Told = { chunk: {} }

export type ReadEvent = (value: JsonObject, name: string) => Told

export function eventReader(api: Api): ReadEvent {
  switch (api) {
    case 'completions':
      return completion
    case 'responses':
      return responses
    case 'messages':
      return messages
    case 'jobs':
    case 'ws':
      return native
    case 'chat':
      return (chunk) => ({ chunk })
  }
}

const delta = (member: string, text: Json | undefined): Told => ({
  chunk: typeof text === 'string' ? { choices: [{ index: 0, delta: { [member]: text } }] } : {},
})
const ended = (reason: Json, usage: JsonObject | null): Told => ({
  chunk: { choices: [{ index: 0, delta: {}, finish_reason: reason }], ...(usage !== null && { usage }) },
})

function completion(value: JsonObject): Told {
  const choices = value['choices']
  if (!Array.isArray(choices)) return { chunk: value }
  return {
    chunk: {
      ...value,
      choices: choices.map((choice) => (isObject(choice) ? { ...choice, delta: { content: choice['text'] } } : choice)),
    },
  }
}

function responses(value: JsonObject, name: string): Told {
  const type = typeof value['type'] === 'string' ? value['type'] : name
  switch (type) {
    case 'response.output_text.delta':
      return delta('content', value['delta'])
    case 'response.refusal.delta':
      return delta('refusal', value['delta'])
    case 'response.function_call_arguments.delta':
      return argumentsOf(value['delta'])
    case 'response.reasoning_text.delta':
    case 'response.reasoning_summary_text.delta':
      return delta('reasoning', value['delta'])
    case 'response.completed':
    case 'response.incomplete': {
      const response = value['response']
      const usage = isObject(response) ? openAiUsage(response['usage']) : null
      return ended(type === 'response.completed' ? 'stop' : 'length', usage)
    }
    case 'response.failed':
      return { chunk: { error: (isObject(value['response']) ? value['response']['error'] : null) ?? 'failed' } }
    case 'error':
      return { chunk: { error: value['error'] ?? value } }
    default:
      return NOTHING
  }
}

const argumentsOf = (text: Json): Told => ({
  chunk:
    typeof text === 'string'
      ? { choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: text } }] } }] }
      : {},
})

function messages(value: JsonObject): Told {
  switch (value['type']) {
    case 'message_start': {
      const usage = isObject(value['message']) ? anthropicUsage(value['message']['usage']) : null
      // Its output_tokens is a beginning, not a count
      return usage === null ? NOTHING : { chunk: { usage: { ...usage, completion_tokens: null } } }
    }
    case 'content_block_delta': {
      const part = value['delta']
      if (!isObject(part)) return NOTHING
      if (typeof part['thinking'] === 'string') return delta('reasoning', part['thinking'])
      return typeof part['partial_json'] === 'string'
        ? argumentsOf(part['partial_json'])
        : delta('content', part['text'])
    }
    case 'message_delta': {
      const reason = isObject(value['delta']) ? value['delta']['stop_reason'] : null
      return ended(reason ?? null, anthropicUsage(value['usage']))
    }
    case 'error':
      return { chunk: { error: value['error'] ?? 'error' } }
    default:
      return NOTHING
  }
}

/** Sluice's own: a record of the log. Of a WebSocket, `name` is the record's one member. */
function native(value: JsonObject, name: string): Told {
  switch (name) {
    case 'chunk':
      return { chunk: value }
    case 'usage':
      return { chunk: { usage: isObject(value['usage']) ? value['usage'] : value } }
    case 'reset':
    case 'gap':
      return { chunk: {}, isReset: true }
    case 'attempt':
      return { chunk: {}, ...(typeof value['attempt'] === 'number' && { attempt: value['attempt'] }) }
    case 'end': {
      const chunk: JsonObject = {}
      const state = value['state'] ?? 'done'
      if (isObject(value['usage'])) chunk['usage'] = value['usage']
      if (state !== 'done') chunk['error'] = value['error'] ?? { code: state, message: String(state) }
      return { chunk, ...(isObject(value['timing']) && { timing: value['timing'] }) }
    }
    default:
      return NOTHING
  }
}

/** Of a whole answer, in one document: as the one chunk of a stream. */
export function documentOf(api: Api, value: JsonObject): JsonObject {
  if (isObject(value['error'])) return { error: value['error'] }
  if (api === 'messages' || api === 'responses') {
    const usage = api === 'messages' ? anthropicUsage(value['usage']) : openAiUsage(value['usage'])
    const text = contentOf(value['content'] ?? value['output'])
    const reason = value['stop_reason'] ?? value['status'] ?? 'stop'
    const choices = [{ index: 0, delta: { content: text }, finish_reason: reason }]
    return { choices, ...(usage !== null && { usage }) }
  }
  const choices = Array.isArray(value['choices']) ? value['choices'].filter(isObject) : []
  return {
    ...value,
    choices: choices.map((choice) => ({ ...choice, delta: choice['message'] ?? { content: choice['text'] ?? '' } })),
  }
}

/** Texts of a list of blocks, and of their `content`. */
function contentOf(blocks: Json): string {
  if (!Array.isArray(blocks)) return ''
  return blocks
    .filter(isObject)
    .map((block) => [block['text'], block['arguments'], contentOf(block['content'])].filter(isText).join(''))
    .join('')
}

const isText = (value: unknown): value is string => typeof value === 'string'

/** The usage of a response, in the words of a chat completion. */
function openAiUsage(usage: Json): JsonObject | null {
  if (!isObject(usage)) return null
  return {
    prompt_tokens: usage['prompt_tokens'] ?? usage['input_tokens'],
    completion_tokens: usage['completion_tokens'] ?? usage['output_tokens'],
    prompt_tokens_details: usage['prompt_tokens_details'] ?? usage['input_tokens_details'],
    completion_tokens_details: usage['completion_tokens_details'] ?? usage['output_tokens_details'],
  }
}

function anthropicUsage(usage: Json): JsonObject | null {
  if (!isObject(usage)) return null
  const number = (name: string): number => (typeof usage[name] === 'number' ? usage[name] : 0)
  const cached = number('cache_read_input_tokens')
  return {
    // What a message_delta repeats of the prompt is often nothing
    ...(typeof usage['input_tokens'] === 'number' && {
      prompt_tokens: number('input_tokens') + cached + number('cache_creation_input_tokens'),
      prompt_tokens_details: { cached_tokens: cached },
    }),
    completion_tokens: usage['output_tokens'] ?? null,
  }
}
