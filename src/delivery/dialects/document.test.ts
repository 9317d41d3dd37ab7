/** A whole answer stored as one record, in every dialect. */
import { expect, it } from 'vitest'
import { emptyMessage, fold } from '../../../client/src/fold.ts'
import { foldAnswer } from '../../core/answer.ts'
import { type Bytes, documentRecord, endRecord, toBytes, toText } from '../../core/record.ts'
import { chatDialect } from './chat.ts'
import { renderCompletion } from './completion.ts'
import { nativeDialect } from './native.ts'
import { socketDialect } from './socket.ts'

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
const run = { job: 'job_0', epoch: 1, firstSeq: 1, records }
const render = (dialect: typeof nativeDialect): Bytes => dialect.render(run, 0, dialect.begin).events
const data = (text: Bytes): string[] => [...toText(text).matchAll(/^data: (.*)$/gm)].map((m) => m[1])

it('is its own JSON reply, byte for byte', () => {
  expect(toText(renderCompletion('chat', records).body)).toBe(sent)
})

it('is one chunk in chat SSE, its usage only for those who asked', () => {
  const [chunk, done] = data(render(chatDialect(false)))
  expect(done).toBe('[DONE]')
  expect(JSON.parse(chunk)).toMatchObject({
    id: 'c1',
    object: 'chat.completion.chunk',
    x_vendor: { n: 1 },
    choices: [{ index: 0, delta: { content: message.content }, finish_reason: 'tool_calls' }],
  })
  expect(JSON.parse(chunk)).not.toHaveProperty('usage')
  expect(JSON.parse(data(render(chatDialect(true)))[0])).toHaveProperty('usage.completion_tokens', 4)
})

it.each<[string, () => unknown]>([
  ['native events', () => JSON.parse(data(render(nativeDialect))[0])],
  ['socket frames', () => JSON.parse(/\{"chunk":(.*)\}\]\}/.exec(toText(render(socketDialect)))![1])],
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
