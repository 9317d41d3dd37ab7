/** The forms that the suites are held against, and how clients read each of them. */
import type { Rendering, StreamForm } from '../../src/core/ports/dialect.ts'
import { type Bytes, documentRecord, endRecord, resetRecord, toBytes } from '../../src/core/record.ts'
import { DIALECTS, dialectsBy } from '../../src/dialects/index.ts'
import { GOLDEN_LOGS } from '../golden/logs.ts'
import { numbered, numberedOnce } from './numbered.ts'
import { readFrames, readSse, readSseTogether, type Told } from './read.ts'

export interface FormCase {
  readonly name: string
  readonly form: StreamForm
  readonly job: Rendering
  /** Whole events as a client takes them: with their number, if they have one. */
  readonly read: (events: Bytes) => readonly Told[]
}

const JOB: Rendering = {
  id: 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV',
  tenant: 'default',
  kind: 'chat',
  dialect: 'chat',
  model: 'demo',
  acceptedAtMs: 1_750_000_000_000,
}
const [chat] = DIALECTS.spoken
const responses = DIALECTS.spoken.find(({ name }) => name === 'responses')!
const sealed = dialectsBy({ seal: (secret, tenant) => `${tenant}:${secret}`, open: () => null })
const sealing = sealed.spoken.find(({ name }) => name === 'responses')!
const completions = DIALECTS.spoken.find(({ name }) => name === 'completions')!
const messages = DIALECTS.spoken.find(({ name }) => name === 'messages')!

export const FORMS: readonly FormCase[] = [
  { name: 'chat', form: chat.stream!, job: JOB, read: readSse },
  { name: 'chat with usage', form: chat.stream!, job: { ...JOB, shownAs: { include_usage: true } }, read: readSse },
  { name: 'native', form: DIALECTS.events, job: JOB, read: readSse },
  { name: 'socket', form: DIALECTS.frames, job: JOB, read: readFrames },
  { name: 'ui', form: DIALECTS.read[0], job: JOB, read: readSse },
  { name: 'responses', form: responses.stream!, job: { ...JOB, dialect: 'responses' }, read: readSse },
  {
    name: 'responses in the background',
    form: responses.stream!,
    job: { ...JOB, dialect: 'responses', shownAs: { background: true, instructions: 'Be brief.' } },
    read: readSse,
  },
  {
    name: 'responses with all that may be included',
    form: sealing.stream!,
    job: { ...JOB, dialect: 'responses', shownAs: { store: false, thought: true, logprobs: true } },
    read: readSse,
  },
  { name: 'completions', form: completions.stream!, job: { ...JOB, dialect: 'completions' }, read: readSse },
  {
    name: 'completions with usage',
    form: completions.stream!,
    job: { ...JOB, dialect: 'completions', shownAs: { include_usage: true } },
    read: readSseTogether,
  },
  {
    name: 'transcriptions',
    form: DIALECTS.spoken.find(({ name }) => name === 'transcriptions')!.stream!,
    job: { ...JOB, dialect: 'transcriptions' },
    read: readSseTogether,
  },
  { name: 'messages', form: messages.stream!, job: { ...JOB, dialect: 'messages' }, read: readSse },
  {
    name: 'messages with thinking',
    form: messages.stream!,
    job: { ...JOB, dialect: 'messages', shownAs: { thinking: true } },
    read: readSse,
  },
  { name: 'numbered', form: numbered, job: { ...JOB, dialect: 'numbered' }, read: readSse },
  { name: 'numbered, without resets', form: numberedOnce, job: { ...JOB, dialect: 'numbered' }, read: readSse },
]

const CHUNK = '{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}'
const delta = (said: object): Bytes => toBytes(JSON.stringify({ choices: [{ index: 0, delta: said }] }))
const likely = (said: object, tokens: readonly string[]): Bytes => {
  const content = tokens.map((token) => ({ token, logprob: -1, bytes: null, top_logprobs: [{ token, logprob: -1 }] }))
  return toBytes(JSON.stringify({ choices: [{ index: 0, delta: said, logprobs: { content } }] }))
}
const failed = endRecord({
  state: 'failed',
  error: { message: 'No.', type: 'server_error', param: null, code: 'provider_error' },
})
const done = endRecord({ state: 'done', usage: { promptTokens: 1, completionTokens: 2, estimated: true } })
const [plain, tools] = GOLDEN_LOGS.map(({ records }) => records)

/** Whole logs, each of which every form must render. */
export const LOGS: ReadonlyArray<readonly [string, readonly Bytes[]]> = [
  ...GOLDEN_LOGS.map(({ name, records }) => [name, records] as const),
  ['nothing but a cancel', [endRecord({ state: 'canceled' })]],
  ['a failure before anything was shown', [plain[0], tools[0], failed]],
  ['a reset before anything was shown', [plain[0], resetRecord('worker_lost'), ...tools]],
  ['two resets', [...plain.slice(0, 3), resetRecord('a'), ...tools.slice(0, 3), resetRecord('b'), CHUNK, done]],
  [
    'an answer in one piece',
    [
      plain[0],
      documentRecord('{"choices":[{"index":0,"message":{"content":"a\\nb"},"finish_reason":"stop"}],"usage":{}}'),
      done,
    ],
  ],
  ['an embedding', [plain[0], documentRecord('{"object":"list",\r\n"data":[{"embedding":[0.5]}]}'), done]],
  [
    'thought and calls that are signed',
    [
      plain[0],
      delta({ reasoning_content: 'Hm.' }),
      delta({ reasoning_details: [{ type: 'reasoning.text', signature: 'S' }] }),
      delta({ reasoning_details: [{ type: 'reasoning.encrypted', data: 'D' }] }),
      delta({ tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '{}' }, extra_content: { s: 1 } }] }),
      done,
    ],
  ],
  [
    'tokens and how likely they were',
    [
      plain[0],
      likely({ content: 'a' }, ['a']),
      delta({ tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '{' } }] }),
      likely({ content: 'b' }, ['b']),
      delta({ tool_calls: [{ index: 0, function: { arguments: '}' } }] }),
      likely({ content: 'c' }, ['c', 'd']),
      resetRecord('worker_lost'),
      likely({ content: 'e' }, ['e']),
      likely({}, ['f']),
      done,
    ],
  ],
  [
    'a long answer',
    [
      plain[0],
      ...Array.from({ length: 60 }, (_, i) => CHUNK.replace('"x"', `"word ${i} of an answer that is long "`)),
      done,
    ],
  ],
]
