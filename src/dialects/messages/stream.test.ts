import { expect, it } from 'vitest'
import { SluiceError, type WireError } from '../../core/errors.ts'
import type { Rendering } from '../../core/ports/dialect.ts'
import { type Bytes, documentRecord, endRecord, resetRecord, toBytes, toText } from '../../core/record.ts'
import { messages } from './messages.ts'

type Loose = ReturnType<typeof JSON.parse>
const JOB: Rendering = {
  tenant: 'default',
  ...{ id: 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV', kind: 'chat', dialect: 'messages', model: 'm', acceptedAtMs: 0 },
  shownAs: { thinking: true },
}
const chunk = (delta: object, finish: string | null = null): Bytes =>
  toBytes(JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] }))
const done = endRecord({
  state: 'done',
  usage: { ...{ promptTokens: 10, completionTokens: 4, cachedTokens: 6, cacheWriteTokens: 1 }, estimated: false },
})

const { stream } = messages
function told(records: readonly Bytes[], job = JOB): readonly Loose[] {
  const { events } = stream!.render({ job: job.id, epoch: 1, firstSeq: 1, records }, stream!.begin(job), 0)
  return [...toText(events).matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data))
}
function whole(records: readonly Bytes[], job = JOB): Loose {
  const answer = messages.whole(job)
  answer.take(records)
  const { body } = answer.reply()
  return JSON.parse(toText(body))
}

/** As clients make a message of its events. */
function gathered(events: readonly Loose[]): Loose {
  let message: Loose
  for (const { type, index, content_block: block, delta, usage, ...event } of events)
    if (type === 'message_start') message = event.message
    else if (type === 'content_block_start') message.content.push({ ...block, json: '' })
    else if (type === 'content_block_delta') {
      const open = message.content[index]
      if (delta.type === 'text_delta') open.text += delta.text
      else if (delta.type === 'thinking_delta') open.thinking += delta.thinking
      else if (delta.type === 'signature_delta') open.signature += delta.signature
      else open.json += delta.partial_json
    } else if (type === 'content_block_stop') {
      const { json, ...block } = message.content[index]
      message.content[index] = json === '' ? block : { ...block, input: JSON.parse(json) }
    } else if (type === 'message_delta') message = { ...message, ...delta, usage }
  return message
}

const call = (index: number, id: string | undefined, input: string): object => ({
  tool_calls: [
    { index, ...(id !== undefined && { id }), function: { ...(id !== '' && { name: 'f' }), arguments: input } },
  ],
})
const LOGS: ReadonlyArray<readonly [string, readonly Bytes[]]> = [
  ['nothing', [done]],
  ['a text', [chunk({ content: 'Grü' }), chunk({ content: 'ße' }, 'stop'), done]],
  ['calls side by side', [chunk(call(0, 'a', '{')), chunk(call(1, 'b', '{}')), chunk(call(0, 'a', '}')), done]],
  ['a call without an id, ended with "stop"', [chunk(call(0, undefined, '{"a":1}')), chunk({}, 'stop'), done]],
  [
    'thought in signed parts, and one that is encrypted',
    [
      chunk({ reasoning_content: 'so' }),
      chunk({ reasoning_details: [{ index: 0, type: 'reasoning.text', text: 'so', signature: 's1' }] }),
      chunk({ reasoning_details: [{ index: 1, type: 'reasoning.encrypted', data: 'xyz' }] }),
      chunk({ reasoning_content: 'then' }),
      chunk({ reasoning_details: [{ index: 2, type: 'reasoning.text', text: 'then', signature: 's2' }] }),
      chunk({ content: 'Yes' }, 'stop'),
      done,
    ],
  ],
  ['a refusal', [chunk({ refusal: 'No.' }, 'stop'), done]],
  ['a reset before anything was shown', [resetRecord('x'), chunk({ content: 'a' }, 'length'), done]],
]

it.each(LOGS)('is the same message, streamed or whole: %s', (_name, records) => {
  expect(gathered(told(records))).toEqual(whole(records))
  expect(gathered(told(records, { ...JOB, shownAs: undefined } as never))).toEqual(
    whole(records, { ...JOB, shownAs: undefined } as never),
  )
})

it('has each part of its thought with its own signature, whole and in parts', () => {
  const [, records] = LOGS.find(([name]) => name.startsWith('thought'))!
  const expected = [
    { type: 'thinking', thinking: 'so', signature: 's1' },
    { type: 'redacted_thinking', data: 'xyz' },
    { type: 'thinking', thinking: 'then', signature: 's2' },
    { type: 'text', text: 'Yes' },
  ]
  expect(whole(records).content).toEqual(expected)
  const details = [
    { type: 'reasoning.text', text: 'so', signature: 's1' },
    { type: 'reasoning.encrypted', data: 'xyz' },
    { type: 'reasoning.text', text: 'then', signature: 's2' },
  ]
  const message = { content: 'Yes', reasoning_content: 'sothen', reasoning_details: details }
  const document = documentRecord(JSON.stringify({ choices: [{ index: 0, message, finish_reason: 'stop' }] }))
  expect(whole([document, done]).content).toEqual(expected)
  const mixed = [{ type: 'reasoning.text', text: 'un' }, ...details.slice(0, 1)]
  const unsigned = { ...message, reasoning_content: 'unso', reasoning_details: mixed }
  const choices = [{ index: 0, message: unsigned, finish_reason: 'stop' }]
  expect(whole([documentRecord(JSON.stringify({ choices })), done]).content[0]).toEqual({
    ...{ type: 'thinking', thinking: 'unso', signature: 's1' },
  })
})

it('shows thought only to those who asked', () => {
  const records = [chunk({ reasoning_content: 'hm' }), chunk({ content: 'a' }), done]
  const { shownAs: _, ...plain } = JOB
  expect(whole(records, plain).content).toEqual([{ type: 'text', text: 'a' }])
  expect(told(records, plain)[1]).toMatchObject({ index: 0, content_block: { type: 'text' } })
})

it('counts input as this API does: without what is cached', () => {
  expect(whole([done]).usage).toEqual({
    ...{ input_tokens: 3, cache_read_input_tokens: 6, cache_creation_input_tokens: 1, output_tokens: 4 },
  })
})

it('tells why it ended', () => {
  const why = (finish: string, ...records: readonly Bytes[]): string =>
    whole([...records, chunk({ content: 'a' }, finish), done]).stop_reason
  expect(why('stop')).toBe('end_turn')
  expect(why('length')).toBe('max_tokens')
  expect(why('content_filter')).toBe('refusal')
  expect(why('stop', chunk({ refusal: 'No.' }))).toBe('refusal')
  expect(why('stop', chunk(call(0, 'a', '{}')))).toBe('tool_use')
  const cut = endRecord({ state: 'done', cut: { name: 'x', unit: 'tokens', needed: 1, limit: 1 } as never })
  expect(whole([chunk({ content: 'a' }, 'stop'), cut]).stop_reason).toBe('max_tokens')
})

it('hands on what is no JSON as a member of its own', () => {
  expect(whole([chunk(call(0, 'a', '{"a":')), done]).content[0].input).toEqual({ INVALID_JSON: '{"a":' })
  expect(whole([chunk(call(0, 'a', '')), done]).content[0].input).toEqual({})
})

it('ends with an error where text would have to be taken back', () => {
  const last = told([chunk({ content: 'a' }), resetRecord('worker_lost'), chunk({ content: 'b' }), done]).at(-1)
  expect(last).toMatchObject({ type: 'error', error: { type: 'api_error', code: 'stream_restarted' } })
})

it('tells all of an answer that is garbage', () => {
  const garbage = [chunk(call(0, 'a', '{}')), chunk(call(1, 'b', '{}')), chunk(call(0, 'a', 'x')), done]
  expect(told(garbage).at(-1)).toMatchObject({ type: 'message_stop' })
  expect(whole(garbage).content.map(({ input }: Loose) => input)).toEqual([{}, {}, { INVALID_JSON: 'x' }])
})

it.each([
  ['invalid_request', 'invalid_request_error'],
  ['invalid_api_key', 'authentication_error'],
  ['forbidden', 'permission_error'],
  ['model_not_found', 'not_found_error'],
  ['body_too_large', 'request_too_large'],
  ['rate_limit_exceeded', 'rate_limit_error'],
  ['overloaded', 'overloaded_error'],
  ['provider_timeout', 'timeout_error'],
  ['provider_error', 'api_error'],
  ['job_canceled', 'api_error'],
] as const)('%s is an %s', (code, type) => {
  const { wire } = new SluiceError(code)
  expect(JSON.parse(messages.error(wire))).toMatchObject({
    type: 'error',
    error: { type, message: wire.message, code },
  })
})

it('says that a prompt is too long in the words that agents look for', () => {
  const error: WireError = { ...new SluiceError('provider_rejected').wire, code: 'context_length_exceeded' }
  const { error: said } = JSON.parse(messages.error({ ...error, sluice_code: 'provider_rejected' })) as Loose
  expect(said).toMatchObject({ type: 'invalid_request_error', message: expect.stringMatching(/^prompt is too long: /) })
})
