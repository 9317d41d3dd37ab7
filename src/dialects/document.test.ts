/** A whole answer stored as one record, in every dialect. */
import { expect, it } from 'vitest'
import { emptyMessage, fold } from '../../client/src/fold.ts'
import { foldAnswer } from '../core/answer.ts'
import type { Rendering, StreamForm } from '../core/ports/dialect.ts'
import { type Bytes, documentRecord, endRecord, toBytes, toText } from '../core/record.ts'
import { chat } from './chat/chat.ts'
import { DIALECTS } from './index.ts'

const message = {
  role: 'assistant',
  content: 'Grüße 世界 🌍',
  reasoning_content: 'hm',
  tool_calls: [
    { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
    { id: 'call_b', type: 'function', function: { name: 'g', arguments: '{}' } },
  ],
}
// Escaped as Python's servers write it, with a space and a line end that a parser would lose
const sent =
  '{ "id":"c1",\n"object":"chat.completion","created":1,"model":"m","x_vendor":{"n":1.0},"choices":[{"index":0,' +
  `"message":${JSON.stringify(message).replace('世', '\\u4e16')},"finish_reason":"tool_calls"}],` +
  '"usage":{"prompt_tokens":3,"completion_tokens":4}}'
const records = [documentRecord(toBytes(sent)), endRecord({ state: 'done' })]
const job: Rendering = { id: 'job_0', tenant: 'default', kind: 'chat', dialect: 'chat', model: 'demo', acceptedAtMs: 0 }
const run = { job: job.id, epoch: 1, firstSeq: 1, records }
const render = (form: StreamForm, shown = job): Bytes => form.render(run, form.begin(shown), 0).events
const data = (text: Bytes): string[] => [...toText(text).matchAll(/^data: (.*)$/gm)].map((m) => m[1])

it('is its own JSON reply, byte for byte', () => {
  const answer = chat.whole(job)
  answer.take(records)
  expect(toText(answer.reply().body)).toBe(sent)
})

it('is one chunk in chat SSE, its usage only for those who asked', () => {
  const [chunk, done] = data(render(chat.stream!))
  expect(done).toBe('[DONE]')
  expect(JSON.parse(chunk)).toMatchObject({
    id: 'c1',
    object: 'chat.completion.chunk',
    x_vendor: { n: 1 },
    choices: [{ index: 0, delta: { content: message.content }, finish_reason: 'tool_calls' }],
  })
  expect(JSON.parse(chunk)).not.toHaveProperty('usage')
  expect(JSON.parse(data(render(chat.stream!, { ...job, shownAs: { include_usage: true } }))[0])).toHaveProperty(
    'usage.completion_tokens',
    4,
  )
})

it.each<[string, () => unknown]>([
  ['native events', () => JSON.parse(data(render(DIALECTS.events))[0])],
  ['socket frames', () => JSON.parse(/\{"chunk":(.*)\}\]\}/.exec(toText(render(DIALECTS.frames)))![1])],
])('folds to its message from %s', (_name, chunkOf) => {
  const folded = emptyMessage()
  fold(folded, chunkOf() as Record<string, unknown>)
  const { tool_calls: calls, ...text } = folded
  const { tool_calls: _calls, ...expected } = message
  expect(text).toEqual(expected)
  expect(calls).toMatchObject(message.tool_calls)
})

it('folds on the server, for a conversation', () => {
  const { choices, usage } = foldAnswer(records)
  expect(choices[0]).toMatchObject({ message, finishReason: 'tool_calls' })
  expect(usage).toEqual({ prompt_tokens: 3, completion_tokens: 4 })
})
