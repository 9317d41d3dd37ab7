import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Turn } from '../core/ports.ts'
import { composePrompt } from './conversation.ts'

const turn = (n: number, more: Partial<Turn> = {}): Turn => ({
  job: `j${n}`,
  state: 'done',
  messages: JSON.stringify([{ role: 'user', content: `question ${n}` }]),
  answer: JSON.stringify({ role: 'assistant', content: `answer ${n}` }),
  ...more,
})
const own = JSON.stringify([{ role: 'user', content: 'and now?' }])
const compose = (turns: readonly Turn[], more: Partial<Parameters<typeof composePrompt>[0]> = {}) => {
  const prompt = composePrompt({ turns, own, budgetTokens: 100_000, keepFailed: false, ...more })
  return {
    ...prompt,
    said: (JSON.parse(prompt.messages) as Array<{ content?: string; role: string }>).map((m) => m.content ?? m.role),
  }
}
const ruled = turn(1, {
  messages: JSON.stringify([
    { role: 'system', content: 'be brief' },
    { role: 'developer', content: 'no jokes' },
    { role: 'user', content: 'question 1' },
  ]),
})

it('is what was said, in order, and then the own messages', () => {
  expect(compose([turn(1), turn(2)])).toMatchObject({
    said: ['question 1', 'answer 1', 'question 2', 'answer 2', 'and now?'],
    cutTurns: 0,
    failedTurns: 0,
    tooLong: false,
  })
  expect(compose([]).messages).toBe(own)
})

it('cuts whole turns from the oldest side', () => {
  // Each turn: 2 messages of about 4 + 10 tokens
  expect(compose([turn(1), turn(2), turn(3)], { budgetTokens: 60 })).toMatchObject({
    said: ['question 3', 'answer 3', 'and now?'],
    cutTurns: 2,
  })
  expect(
    compose([turn(1, { messages: JSON.stringify([{ role: 'user', content: 'x'.repeat(4_000) }]) }), turn(2)], {
      budgetTokens: 500,
    }),
  ).toMatchObject({
    said: ['question 2', 'answer 2', 'and now?'],
    cutTurns: 1,
  })
})

it('leaves no hole: what is older than a turn that was cut is cut too', () => {
  const long = turn(2, { answer: JSON.stringify({ role: 'assistant', content: 'x'.repeat(4_000) }) })
  expect(compose([turn(1), long, turn(3)], { budgetTokens: 500 })).toMatchObject({
    said: ['question 3', 'answer 3', 'and now?'],
    cutTurns: 2,
  })
})

it('keeps the instructions that the conversation began with', () => {
  expect(compose([ruled, turn(2), turn(3)], { budgetTokens: 85 })).toMatchObject({
    said: ['be brief', 'no jokes', 'question 3', 'answer 3', 'and now?'],
    cutTurns: 2,
  })
  expect(compose([ruled, turn(2)])).toMatchObject({
    said: ['be brief', 'no jokes', 'question 1', 'answer 1', 'question 2', 'answer 2', 'and now?'],
    cutTurns: 0,
  })
})

it('never cuts the own messages, and says when they are too long alone', () => {
  const long = JSON.stringify([{ role: 'user', content: 'x'.repeat(4_000) }])
  expect(compose([turn(1)], { own: long, budgetTokens: 100 })).toMatchObject({
    messages: long,
    cutTurns: 1,
    tooLong: true,
  })
})

it('leaves out turns that failed or were canceled, or keeps them, by policy', () => {
  const turns = [
    turn(1),
    turn(2, { state: 'failed', answer: null }),
    turn(3, { state: 'canceled', answer: JSON.stringify({ role: 'assistant', content: 'half an ans' }) }),
  ]
  expect(compose(turns)).toMatchObject({ said: ['question 1', 'answer 1', 'and now?'], failedTurns: 2 })
  expect(compose(turns, { keepFailed: true })).toMatchObject({
    said: ['question 1', 'answer 1', 'question 2', 'question 3', 'half an ans', 'and now?'],
    failedTurns: 0,
  })
})

it('keeps the instructions of a first turn that failed', () => {
  expect(compose([{ ...ruled, state: 'failed', answer: null }, turn(2)]).said).toEqual([
    'be brief',
    'no jokes',
    'question 2',
    'answer 2',
    'and now?',
  ])
})

it('keeps calls and their results together', () => {
  const call = JSON.stringify({
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }],
  })
  const result = JSON.stringify([{ role: 'tool', tool_call_id: 'c1', content: 'result' }])
  const { messages } = composePrompt({
    turns: [turn(1, { answer: call })],
    own: result,
    budgetTokens: 1_000,
    keepFailed: false,
  })
  expect(JSON.parse(messages)).toEqual([
    { role: 'user', content: 'question 1' },
    JSON.parse(call),
    { role: 'tool', tool_call_id: 'c1', content: 'result' },
  ])
})

it('stays within the budget, keeps the newest turns it can, and changes no message', () => {
  const message = fc.record({
    role: fc.constantFrom('user', 'assistant', 'tool', 'system'),
    content: fc.string({ unit: 'binary', maxLength: 200 }),
  })
  const turns = fc.array(fc.record({ messages: fc.array(message, { maxLength: 3 }), answer: fc.option(message) }), {
    maxLength: 12,
  })
  fc.assert(
    fc.property(turns, message, fc.nat({ max: 400 }), (plain, last, budgetTokens) => {
      const told = plain.map(({ messages, answer }, i) =>
        turn(i, { messages: JSON.stringify(messages), answer: answer === null ? null : JSON.stringify(answer) }),
      )
      const prompt = composePrompt({ turns: told, own: JSON.stringify([last]), budgetTokens, keepFailed: false })
      const said = JSON.parse(prompt.messages) as unknown[]
      const tokens = said.reduce<number>((sum, m) => sum + 4 + Math.ceil(Buffer.byteLength(JSON.stringify(m)) / 4), 0)
      expect(prompt.tooLong || tokens <= budgetTokens).toBe(true)
      const first = plain[0]?.messages ?? []
      const leading = first.slice(
        0,
        (first.findIndex((m) => m.role !== 'system') + first.length + 1) % (first.length + 1),
      )
      const rest = plain
        .slice(prompt.cutTurns)
        .flatMap(({ messages, answer }) => [...messages, ...(answer === null ? [] : [answer])])
      expect(said).toEqual([...(prompt.cutTurns > 0 ? leading : []), ...rest, last])
    }),
  )
})
