/**
 * Event sequences of the Responses API as OpenAI publishes them in its API reference (openai/openai-openapi, MIT): the
 * example of a stream, and the examples of single events. Texts are shortened; members and their types are as there.
 */
const RESPONSE = {
  id: 'resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654',
  object: 'response',
  created_at: 1741290958,
  status: 'in_progress',
  error: null,
  incomplete_details: null,
  instructions: 'You are a helpful assistant.',
  max_output_tokens: null,
  model: 'gpt-4.1-2025-04-14',
  output: [] as unknown[],
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
  usage: null as unknown,
  user: null,
  metadata: {},
}
const ID = 'msg_67c9fdcf37fc8190ba82116e33fb28c507b8b0ad4e5eb654'
const TEXT = 'Hi there!'
const PART = { type: 'output_text', text: TEXT, annotations: [] }
const ITEM = { id: ID, type: 'message', status: 'completed', role: 'assistant', content: [PART] }
const AT = { item_id: ID, output_index: 0, content_index: 0 }
const USAGE = {
  input_tokens: 37,
  output_tokens: 11,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 48,
}

export type Published = { readonly type: string } & Readonly<Record<string, unknown>>

/** A whole stream, one piece of text long. */
export const TEXT_STREAM: readonly Published[] = [
  { type: 'response.created', response: RESPONSE, sequence_number: 0 },
  { type: 'response.in_progress', response: RESPONSE, sequence_number: 1 },
  {
    type: 'response.output_item.added',
    output_index: 0,
    item: { ...ITEM, status: 'in_progress', content: [] },
    sequence_number: 2,
  },
  { type: 'response.content_part.added', ...AT, part: { ...PART, text: '' }, sequence_number: 3 },
  { type: 'response.output_text.delta', ...AT, delta: TEXT, sequence_number: 4 },
  { type: 'response.output_text.done', ...AT, text: TEXT, sequence_number: 5 },
  { type: 'response.content_part.done', ...AT, part: PART, sequence_number: 6 },
  { type: 'response.output_item.done', output_index: 0, item: ITEM, sequence_number: 7 },
  {
    type: 'response.completed',
    response: { ...RESPONSE, status: 'completed', output: [ITEM], usage: USAGE },
    sequence_number: 8,
  },
]

const CALL_ID = 'fc_67ca09c6bedc8190a7abfec07b1a1332096610f474011cc0'
const ARGUMENTS = '{"location":"Boston, MA","unit":"celsius"}'
const CALL = {
  type: 'function_call',
  id: CALL_ID,
  call_id: 'call_unLAR8MvFNptuiZK6K6HCy5k',
  name: 'get_current_weather',
  arguments: ARGUMENTS,
  status: 'completed',
}
const CALL_AT = { item_id: CALL_ID, output_index: 0 }

export const CALL_STREAM: readonly Published[] = [
  TEXT_STREAM[0],
  TEXT_STREAM[1],
  {
    type: 'response.output_item.added',
    output_index: 0,
    item: { ...CALL, arguments: '', status: 'in_progress' },
    sequence_number: 2,
  },
  { type: 'response.function_call_arguments.delta', ...CALL_AT, delta: ARGUMENTS, sequence_number: 3 },
  {
    type: 'response.function_call_arguments.done',
    ...CALL_AT,
    name: CALL.name,
    arguments: ARGUMENTS,
    sequence_number: 4,
  },
  { type: 'response.output_item.done', output_index: 0, item: CALL, sequence_number: 5 },
  {
    type: 'response.completed',
    response: { ...RESPONSE, status: 'completed', output: [CALL], usage: USAGE },
    sequence_number: 6,
  },
]

const THOUGHT_ID = 'rs_6826e8d4d5f48190a3a1f8d9a8d45f2a0f2f9f4a5d1f2c3b'
const THOUGHT = 'Looking at a number.'
const SUMMARY = { type: 'summary_text', text: THOUGHT }
const THOUGHT_AT = { item_id: THOUGHT_ID, output_index: 0, summary_index: 0 }

/** What a reasoning item's own events are. */
export const REASONING_EVENTS: readonly Published[] = [
  {
    type: 'response.output_item.added',
    output_index: 0,
    item: { id: THOUGHT_ID, type: 'reasoning', summary: [] },
    sequence_number: 2,
  },
  {
    type: 'response.reasoning_summary_part.added',
    ...THOUGHT_AT,
    part: { ...SUMMARY, text: '' },
    sequence_number: 3,
  },
  { type: 'response.reasoning_summary_text.delta', ...THOUGHT_AT, delta: THOUGHT, sequence_number: 4 },
  { type: 'response.reasoning_summary_text.done', ...THOUGHT_AT, text: THOUGHT, sequence_number: 5 },
  { type: 'response.reasoning_summary_part.done', ...THOUGHT_AT, part: SUMMARY, sequence_number: 6 },
  {
    type: 'response.output_item.done',
    output_index: 0,
    item: { id: THOUGHT_ID, type: 'reasoning', summary: [SUMMARY] },
    sequence_number: 7,
  },
]

const REFUSAL_AT = { item_id: 'msg_123', output_index: 0, content_index: 0 }
export const REFUSAL_EVENTS: readonly Published[] = [
  { type: 'response.refusal.delta', ...REFUSAL_AT, delta: 'No.', sequence_number: 4 },
  { type: 'response.refusal.done', ...REFUSAL_AT, refusal: 'No.', sequence_number: 5 },
]

export const FAILED: Published = {
  type: 'response.failed',
  response: {
    ...RESPONSE,
    status: 'failed',
    error: { code: 'server_error', message: 'The model failed to generate a response.' },
  },
  sequence_number: 3,
}

export const INCOMPLETE: Published = {
  type: 'response.incomplete',
  response: { ...RESPONSE, status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } },
  sequence_number: 3,
}

export const ERROR: Published = {
  type: 'error',
  code: 'ERR_SOMETHING',
  message: 'Something went wrong',
  param: null,
  sequence_number: 1,
}
