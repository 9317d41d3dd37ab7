import { expect, it } from 'vitest'
import { type Bytes, documentRecord, endRecord, resetRecord, toBytes, toText } from '../../core/record.ts'
import { uiStream } from './stream.ts'

const JOB = { id: 'job_1', kind: 'chat', dialect: 'chat', model: 'demo', acceptedAtMs: 0, tenant: 'default' } as const
const DONE = endRecord({ state: 'done' })

const chunk = (delta: object, finish: string | null = null): Bytes =>
  toBytes(JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] }))
const call = (id: string, name: string, input: string, index = 0): Bytes =>
  chunk({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: input } }] })

/** What it tells, an event a line. */
function told(records: readonly Bytes[]): readonly string[] {
  const run = { job: JOB.id, epoch: 1, firstSeq: 1, records }
  return toText(uiStream.render(run, uiStream.begin(JOB), 0).events)
    .split('\n\n')
    .slice(0, -1)
    .map((event, i) => {
      expect(event.startsWith(`id: 1-${i + 1}\ndata: `)).toBe(true)
      const data = event.slice(event.indexOf('data: ') + 6)
      if (data === '[DONE]') return data
      const { type, ...rest } = JSON.parse(data) as { type: string }
      return [type, ...Object.values(rest).map((value) => JSON.stringify(value))].join(' ')
    })
}
const START = ['start "job_1"', 'start-step']
const finished = (reason: string): readonly string[] => ['finish-step', `finish "${reason}"`, '[DONE]']

it('tells reasoning and text as parts of one step', () => {
  const records = [
    chunk({ role: 'assistant', content: '' }),
    chunk({ reasoning_content: 'hm' }),
    chunk({ content: 'é' }),
  ]
  expect(told([...records, chunk({ content: '€' }), chunk({}, 'length'), DONE])).toEqual([
    ...START,
    'reasoning-start "reasoning-1"',
    'reasoning-delta "reasoning-1" "hm"',
    'reasoning-end "reasoning-1"',
    'text-start "text-2"',
    'text-delta "text-2" "é"',
    'text-delta "text-2" "€"',
    'text-end "text-2"',
    ...finished('length'),
  ])
})

it('tells the input of a tool as it comes, and that it is whole only when the answer is', () => {
  expect(
    told([call('a', 'f', '{"x":1}'), call('b', 'g', '{', 1), chunk({ content: 'x' }, 'tool_calls'), DONE]),
  ).toEqual([
    ...START,
    'tool-input-start "a" "f" true',
    'tool-input-delta "a" "{\\"x\\":1}"',
    'tool-input-start "b" "g" true',
    'tool-input-delta "b" "{"',
    'text-start "text-3"',
    'text-delta "text-3" "x"',
    'text-end "text-3"',
    'tool-input-available "a" "f" true {"x":1}',
    'tool-input-error "b" "g" true "{" "The arguments are not JSON."',
    ...finished('tool-calls'),
  ])
})

it('takes back what was shown, and the calls with it', () => {
  const shown = [call('a', 'f', '{}'), chunk({ content: 'x' })]
  expect(told([...shown, resetRecord('worker_lost'), chunk({ content: 'y' }), DONE])).toEqual([
    ...START,
    'tool-input-start "a" "f" true',
    'tool-input-delta "a" "{}"',
    'text-start "text-2"',
    'text-delta "text-2" "x"',
    'reset-step',
    'text-start "text-3"',
    'text-delta "text-3" "y"',
    'text-end "text-3"',
    ...finished('stop'),
  ])
  expect(told([resetRecord('worker_lost'), chunk({ content: 'x' }), DONE])).not.toContain('reset-step')
})

it('takes a whole answer, a call without an id, and one whose input is a text', () => {
  const calls = [{ function: { name: 'f', arguments: '' } }, { id: 'b', custom: { name: 'g', input: 'free' } }]
  const message = { content: null, refusal: 'No.', tool_calls: calls }
  const record = documentRecord(JSON.stringify({ choices: [{ index: 0, message, finish_reason: 'other thing' }] }))
  expect(told([record, DONE])).toEqual([
    ...START,
    'text-start "text-1"',
    'text-delta "text-1" "No."',
    'text-end "text-1"',
    'tool-input-start "call-1-job_1" "f" true',
    'tool-input-start "b" "g" true "text"',
    'tool-input-delta "b" "free"',
    'tool-input-available "call-1-job_1" "f" true {}',
    'tool-input-available "b" "g" true "free"',
    ...finished('other'),
  ])
})

it('tells how it ended otherwise: an error that comes first is all there is', () => {
  const error = { message: 'No.', type: 'server_error', param: null, code: 'provider_error' }
  const failed = endRecord({ state: 'failed', error })
  expect(told([failed])).toEqual(['error "No."'])
  expect(told([chunk({ content: 'x' }), failed]).slice(4)).toEqual(['text-end "text-1"', 'error "No."', '[DONE]'])
  expect(told([endRecord({ state: 'canceled', error })])).toEqual([...START, 'abort', '[DONE]'])
  expect(told([call('a', 'f', '{}'), endRecord({ state: 'canceled', error })]).slice(4)).toEqual(['abort', '[DONE]'])
})
