import { describe, expect, it } from 'vitest'
import { isCutOff, loopIn } from './steps.ts'

interface Made {
  readonly args?: object
  readonly id?: string
  readonly tool?: string
}
const user = { role: 'user', content: 'Where?' }
/** A message with these calls, and their results. */
const step = (calls: readonly Made[], result: (n: number) => string = () => 'nothing'): object[] => [
  {
    role: 'assistant',
    content: null,
    tool_calls: calls.map(({ args = {}, id, tool = 'look' }) => ({
      ...(id !== undefined && { id }),
      ...{ type: 'function', function: { name: tool, arguments: JSON.stringify(args) } },
    })),
  },
  ...calls.map(({ id = '' }, n) => ({ role: 'tool', tool_call_id: id, content: result(n) })),
]

/** At which of its steps an agent is stopped; null: at none. */
function stoppedAt(most: number, of: (n: number) => object[]): number | null {
  const messages: object[] = [user]
  for (let n = 0; n < most; n++) {
    messages.push(...of(n))
    if (loopIn(messages) !== null) return n + 1
  }
  return null
}

describe('an agent that goes in circles is stopped', () => {
  it.each([
    ['ids of their own', (n: number) => step([{ args: { city: 'Paris' }, id: `call_${n}` }])],
    ['one id for all', () => step([{ args: { city: 'Paris' }, id: 'call_0' }])],
    ['no ids', () => step([{ args: { city: 'Paris' } }])],
    ['arguments in any order', (n: number) => step([{ args: n % 2 ? { a: 1, b: 2 } : { b: 2, a: 1 } }])],
    ['a word of its own after each', () => [...step([{}]), { role: 'user', content: 'Continue.' }]],
    ['two calls at once', () => step([{ args: { a: 1 } }, { args: { b: 1 } }])],
  ])('with %s: at the fifth', (_, of) => expect(stoppedAt(20, of)).toBe(5))

  it.each([
    ['ids of their own', (n: number) => step([{ args: { city: n % 2 }, id: `call_${n}` }])],
    ['no ids', (n: number) => step([{ args: { city: n % 2 } }])],
  ])('between two steps, with %s: at the twelfth', (_, of) => expect(stoppedAt(20, of)).toBe(12))

  it('and told which tools it called', () => {
    const messages = [user, ...Array.from({ length: 5 }, () => step([{ tool: 'look' }, { tool: 'list' }])).flat()]
    expect(loopIn(messages)).toBe(
      'The last 5 steps called "look", "list" with the same arguments and got the same results.',
    )
  })
})

describe('one that gets on is not', () => {
  it.each([
    ['other arguments', (n: number) => step([{ args: { page: n }, id: `call_${n}` }])],
    ['other arguments and one id for all', (n: number) => step([{ args: { page: n }, id: 'call_0' }])],
    ['three calls in turn', (n: number) => step([{ args: { city: n % 3 } }])],
    ['other results, page by page', (n: number) => step([{ tool: 'next_page' }], () => `page ${n}`)],
    [
      'a user who asks for it again',
      () => [user, ...step([{ tool: 'weather' }]), { role: 'assistant', content: 'Rain.' }],
    ],
  ])('with %s', (_, of) => expect(stoppedAt(30, of)).toBeNull())

  it('nor six dice at once, nor one that repeated itself before', () => {
    expect(loopIn([user, ...step(Array.from({ length: 6 }, (_, n) => ({ tool: 'roll', id: `call_${n}` })))])).toBeNull()
    const before = Array.from({ length: 4 }, () => step([{ args: { city: 'Paris' } }])).flat()
    expect(loopIn([user, ...before, ...step([{ args: { city: 'Rome' } }])])).toBeNull()
  })

  it.each([undefined, [], [null], [{ tool_calls: [null, {}] }], 'none'])('nor one that tells of none: %j', (told) =>
    expect(loopIn(told)).toBeNull(),
  )
})

it('needs what was said before where a request brings results alone', () => {
  const [, result] = step([{}])
  expect(isCutOff({ messages: [result] })).toBe(true)
  expect(isCutOff({ messages: [{ role: 'system', content: 'x' }, result] })).toBe(true)
  for (const messages of [[user, ...step([{}])], step([{}]), [], null]) expect(isCutOff({ messages })).toBe(false)
})
