import { describe, expect, it } from 'vitest'
import { followed, isLoop, type Step, stepsIn } from './trail.ts'

const call = (args: object, id?: string): object => ({
  ...(id !== undefined && { id }),
  ...{ type: 'function', function: { name: 'look', arguments: JSON.stringify(args) } },
})
const said = (...calls: readonly object[]): object => ({ role: 'assistant', content: null, tool_calls: calls })
const messages = (...all: readonly object[]): { messages: object[] } => ({
  messages: [{ role: 'user', content: 'Where?' }, ...all],
})
const repeated = (count: number, of: (n: number) => object): object[] =>
  Array.from({ length: count }, (_, n) => said(of(n)))

/** An agent whose requests repeat all that came before: at which of its requests it is stopped; null: at none. */
function stoppedAt(most: number, of: (n: number) => object): number | null {
  let trail: readonly Step[] = []
  for (let n = 0; n <= most; n++) {
    const value = messages(...repeated(n, of))
    if (isLoop(trail, value)) return n
    trail = followed(trail, stepsIn(value))
  }
  return null
}

describe('an agent that goes in circles is stopped', () => {
  it.each([
    ['ids of their own', (n: number) => call({ city: 'Paris' }, `call_${n}`)],
    ['one id for all', () => call({ city: 'Paris' }, 'call_0')],
    ['no ids', () => call({ city: 'Paris' })],
    ['its arguments in any order', (n: number) => call(n % 2 ? { a: 1, b: 2 } : { b: 2, a: 1 }, `call_${n}`)],
  ])('with %s: at the fifth', (_, of) => expect(stoppedAt(20, of)).toBe(5))

  it.each([
    ['ids of their own', (n: number) => call({ city: n % 2 }, `call_${n}`)],
    ['no ids', (n: number) => call({ city: n % 2 })],
  ])('between two calls, with %s: at the twelfth', (_, of) => expect(stoppedAt(20, of)).toBe(12))

  it('over jobs that each tell of their last call alone', () => {
    let trail: readonly Step[] = []
    for (let n = 0; n < 4; n++) trail = followed(trail, stepsIn(messages(said(call({}, `call_${n}`)))))
    expect(isLoop(trail, messages(said(call({}, 'call_3'))))).toBe(false)
    expect(isLoop(trail, messages(said(call({}, 'call_4'))))).toBe(true)
  })
})

describe('one that gets on is not', () => {
  it.each([
    ['ids of their own', (n: number) => call({ page: n }, `call_${n}`)],
    ['one id for all', (n: number) => call({ page: n }, 'call_0')],
    ['no ids', (n: number) => call({ page: n })],
    ['three calls in turn', (n: number) => call({ city: n % 3 }, `call_${n}`)],
  ])('with %s', (_, of) => expect(stoppedAt(30, of)).toBeNull())

  it('nor one that repeated itself before', () => {
    const before = repeated(4, () => call({ city: 'Paris' }))
    expect(isLoop([], messages(...before, said(call({ city: 'Rome' }))))).toBe(false)
  })

  it.each([undefined, [], [null], [{ tool_calls: [null, {}] }], 'none'])('nor one that tells of none: %j', (told) =>
    expect(isLoop([], { messages: told as unknown as object[] })).toBe(false),
  )
})
