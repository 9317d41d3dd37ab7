/** What a start counts of an attempt's log is what its worker's meter counted while it streamed. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { attemptRecord, type Bytes, documentRecord, kindOf, resetRecord, usageRecord } from '../../src/core/record.ts'
import { attemptOf, outputTokensIn } from '../../src/core/seen.ts'
import { Meter } from '../../src/worker/meter.ts'
import { depth } from '../depth.ts'

const chunk = (delta: object, finish: string | null = null): Bytes =>
  JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })

const CHUNKS: readonly Bytes[] = [
  chunk({ role: 'assistant', content: '' }),
  chunk({}),
  chunk({ content: 'text' }),
  chunk({ content: ' "usage" ' }),
  chunk({ reasoning_content: 'hm' }),
  chunk({ tool_calls: [{ index: 0, function: { name: 'f', arguments: '' } }] }),
  chunk({}, 'stop'),
  chunk({ content: '' }, 'length'),
  JSON.stringify({ choices: [], usage: null }),
  JSON.stringify({ choices: [{ index: 0, delta: { content: 'x' } }], usage: null }),
]

it('any chunks', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...CHUNKS), { maxLength: 20 }), (records) => {
      const meter = new Meter(10, 100)
      // As the worker does: what is nothing but usage is no chunk of the log
      const kept = records.filter((record) => meter.see(record) !== 'usage')
      expect(outputTokensIn(kept)).toBe(meter.attemptUsage().completionTokens)
    }),
    { numRuns: depth(3_000, 300) },
  )
})

it('control records are no tokens; a document is counted by what it reports, or by its text', () => {
  const others = [resetRecord('worker_lost'), usageRecord('{"choices":[],"usage":{"completion_tokens":7}}')]
  expect(outputTokensIn(others)).toBe(0)
  const message = { choices: [{ message: { content: 'x'.repeat(400) } }] }
  for (const usage of [undefined, { prompt_tokens: 1, completion_tokens: 42 }]) {
    const document = JSON.stringify({ ...message, usage })
    const meter = new Meter(10, 100)
    meter.seeDocument(document, usage, true)
    expect(outputTokensIn([documentRecord(document)])).toBe(meter.attemptUsage().completionTokens)
  }
})

it('an attempt is known by its record', () => {
  const begun = attemptRecord({ n: 3, mode: 'continue', deployment: 'dé' })
  expect(attemptOf(begun)).toEqual({ n: 3, mode: 'continue', deployment: 'dé' })
  expect([chunk({}), documentRecord('{}')].map((record) => [kindOf(record), attemptOf(record)])).toEqual([
    ['chunk', null],
    ['document', null],
  ])
})
