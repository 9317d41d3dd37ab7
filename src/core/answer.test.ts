import fc from 'fast-check'
import { expect, it } from 'vitest'
import { foldAnswer, foldInSteps, toCompletion } from './answer.ts'
import { resetRecord, toBytes } from './record.ts'

const chunk = (delta: object, more: object = {}, index = 0): string =>
  toBytes(
    JSON.stringify({
      id: 'c',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'm',
      choices: [{ index, delta, logprobs: null, finish_reason: null, ...more }],
    }),
  )
const contentOf = (records: string[]): unknown => foldAnswer(records).choices[0]?.message['content']

it('joins any pieces of text, whatever is in them', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('"', '\\', '\\"', '","content":"', '\n', '世', '"}')),
        { minLength: 1, maxLength: 20 },
      ),
      (pieces) => {
        const records = [chunk({ role: 'assistant', content: '' }), ...pieces.map((content) => chunk({ content }))]
        expect(contentOf(records)).toBe(pieces.join(''))
      },
    ),
    { numRuns: 500 },
  )
})

it('takes a chunk that says more than text for what it is', () => {
  const records = [
    chunk({ content: 'a' }),
    chunk({ content: 'b' }),
    chunk({ content: 'c', x: 1 }),
    chunk({ content: 'd' }),
    chunk({ content: 'e' }, { finish_reason: 'stop' }),
  ]
  const [choice] = foldAnswer(records).choices
  expect(choice.message).toEqual({ content: 'abcde', x: 1 })
  expect(choice.finishReason).toBe('stop')
})

it('keeps choices apart, and forgets what was reset', () => {
  const records = [
    chunk({ content: 'x' }),
    resetRecord('worker_lost'),
    chunk({ content: 'a' }),
    chunk({ content: 'b' }, {}, 1),
    chunk({ content: 'c' }),
    chunk({ content: 'd' }),
    chunk({ content: 'e' }, {}, 1),
  ]
  expect(foldAnswer(records).choices.map((c) => c.message['content'])).toEqual(['acd', 'be'])
})

it('does not make room for an absurd tool-call index', () => {
  const calls = [
    { index: 1_000_000_000, id: 'z', function: { name: 'f', arguments: '{}' } },
    { index: 0, id: 'a', function: { name: 'g', arguments: '{}' } },
  ]
  const { choices } = toCompletion(foldAnswer([chunk({ tool_calls: calls })])) as {
    choices: Array<{ message: { tool_calls: Array<{ id: string }> } }>
  }
  expect(choices[0].message.tool_calls.map((c) => c.id)).toEqual(['a', 'z'])
})

it('is the same in steps, and lets others run', async () => {
  const records = Array.from({ length: 50_000 }, (_, i) => chunk({ content: ` word${i}` }))
  let turns = 0
  const clock = {
    soon(fn: () => void) {
      turns++
      setImmediate(fn)
    },
  }
  expect(await foldInSteps(records, clock)).toEqual(foldAnswer(records))
  expect(turns).toBeGreaterThan(4)
})
