/** Five logs that settle the record: whatever renders a log must render these. */
import { attemptRecord, type Bytes, endRecord, resetRecord, toBytes, usageRecord } from '../../src/core/record.ts'

const head = '"id":"chatcmpl-1","object":"chat.completion.chunk","created":1750000000,"model":"m-1"'
const chunk = (choices: string, more = ''): Bytes => toBytes(`{${head}${more},"choices":[${choices}]}`)
const delta = (d: string, finish = 'null', index = 0): Bytes =>
  chunk(`{"index":${index},"delta":${d},"finish_reason":${finish}}`)
const done = endRecord({
  state: 'done',
  usage: { promptTokens: 5, completionTokens: 3, estimated: false },
  timing: { queuedMs: 1, ttftMs: 50, tpotMs: 20, totalMs: 120, attempts: 1 },
})
const first = attemptRecord({ n: 1, mode: 'first', deployment: 'a' })
const usage = usageRecord(chunk('', ',"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}'))

export interface GoldenLog {
  readonly name: string
  readonly records: readonly Bytes[]
  /** The first choice's message in the JSON reply; null: it is an error. */
  readonly message: Record<string, unknown> | null
  readonly finish?: string
}

export const GOLDEN_LOGS: readonly GoldenLog[] = [
  {
    name: 'plain text, with unknown members, several bytes a char, and a payload over two lines',
    records: [
      first,
      delta('{"role":"assistant","content":""}'),
      delta('{"content":"Grüße, "}'),
      chunk(
        '{"index":0,"delta":{"content":"世界 🌍","x_unknown":"kept"},"finish_reason":null}',
        ',"system_fingerprint":"fp_1","x_vendor":{"a":[1]}',
      ),
      toBytes(`{${head},\n"choices":[{"index":0,"delta":{"content":"!"},"finish_reason":null}]}`),
      delta('{}', '"stop"'),
      done,
    ],
    message: { role: 'assistant', content: 'Grüße, 世界 🌍!', x_unknown: 'kept' },
    finish: 'stop',
  },
  {
    name: 'tool calls, two side by side',
    records: [
      first,
      delta(
        '{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function",' +
          '"function":{"name":"weather","arguments":""}}]}',
      ),
      delta('{"tool_calls":[{"index":0,"function":{"arguments":"{\\"city\\":"}}]}'),
      delta('{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"time","arguments":"{}"}}]}'),
      delta('{"tool_calls":[{"index":0,"function":{"arguments":"\\"Bern\\"}"}}]}'),
      delta('{}', '"tool_calls"'),
      done,
    ],
    message: {
      role: 'assistant',
      content: null,
      tool_calls: [
        { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } },
        { id: 'call_b', type: 'function', function: { name: 'time', arguments: '{}' } },
      ],
    },
    finish: 'tool_calls',
  },
  {
    name: 'hidden usage, reasoning and logprobs',
    records: [
      first,
      delta('{"role":"assistant","reasoning_content":"hm"}'),
      delta('{"reasoning_content":" so"}'),
      chunk(
        '{"index":0,"delta":{"content":"Yes"},"logprobs":{"content":[{"token":"Yes","logprob":-0.1}]},' +
          '"finish_reason":null}',
      ),
      chunk(
        '{"index":0,"delta":{"content":"."},"logprobs":{"content":[{"token":".","logprob":-0.2}]},' +
          '"finish_reason":"stop"}',
      ),
      usage,
      done,
    ],
    message: { role: 'assistant', reasoning_content: 'hm so', content: 'Yes.' },
    finish: 'stop',
  },
  {
    name: 'a fail-over that continues, and one that starts anew before anything was shown',
    records: [
      first,
      attemptRecord({ n: 2, mode: 'first', deployment: 'b' }),
      delta('{"role":"assistant","content":""}'),
      delta('{"content":"One two"}'),
      attemptRecord({ n: 3, mode: 'continue', deployment: 'c' }),
      delta('{"content":" three"}'),
      delta('{}', '"stop"'),
      usage,
      done,
    ],
    message: { role: 'assistant', content: 'One two three' },
    finish: 'stop',
  },
  {
    name: 'an answer that came from another dialect, restarted, then failed',
    records: [
      first,
      delta('{"role":"assistant","content":"Once"}'),
      delta('{"content":" upon"}'),
      resetRecord('worker_lost'),
      attemptRecord({ n: 2, mode: 'restart', deployment: 'b' }),
      delta('{"role":"assistant","content":"Twice"}'),
      endRecord({
        state: 'failed',
        error: { message: 'The model provider failed.', type: 'server_error', param: null, code: 'provider_error' },
      }),
    ],
    message: null,
  },
]
