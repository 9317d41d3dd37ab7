import { expect, it } from 'vitest'
import type { Usage } from '../core/job.ts'
import type { Prices, Tokens } from '../core/ports/prices.ts'
import { costing } from './cost.ts'

const USAGE: Usage = { promptTokens: 100, completionTokens: 50, estimated: false }

function setUp(found: ReturnType<Prices['at']>) {
  const asked: unknown[] = []
  const at: Prices['at'] = (...args) => {
    asked.push(args)
    return found
  }
  return { asked, price: costing({ at }, { wallMs: () => 1_000 }) }
}

it('is asked for by deployment, model and time, and for tokens of all kinds', () => {
  const counted: Tokens[] = []
  const cost = (tokens: Tokens): number => {
    counted.push(tokens)
    return 7
  }
  const { asked, price } = setUp({ version: 'v', cost })
  const kinds = {
    cachedTokens: 1,
    cacheWriteTokens: 2,
    audioPromptTokens: 3,
    reasoningTokens: 4,
    audioCompletionTokens: 5,
  }
  expect(price('d', 'm')({ ...USAGE, ...kinds })).toEqual({ nanoDollars: 7, priceVersion: 'v' })
  expect(asked).toEqual([['d', 'm', 1_000]])
  expect(counted).toEqual([
    { input: 100, cachedInput: 1, cacheWrite: 2, inputAudio: 3, output: 50, reasoning: 4, outputAudio: 5 },
  ])
})

it.each([
  ['no price', { reason: 'unknown' }],
  ['no deployment', null],
])('%s: nothing is known', (_name, found) => {
  const price = setUp(found).price('d', 'm')
  expect(price(USAGE)).toEqual({ nanoDollars: null, priceVersion: null })
  // Nothing came of it, so nothing is missing
  expect(price({ ...USAGE, promptTokens: 0, completionTokens: 0 })).toEqual({ nanoDollars: 0, priceVersion: null })
})

it('what was estimated has its price, and what the provider refused costs nothing', () => {
  const price = setUp({ version: 'v', cost: () => 7 }).price('d', 'm')
  expect(price({ ...USAGE, estimated: true }).nanoDollars).toBe(7)
  expect(price({ promptTokens: 0, completionTokens: 0, estimated: false }).nanoDollars).toBe(0)
})

it('of media, the cost of tokens that nobody has told is unknown; of requests it is known', () => {
  const costOf = (cost: (tokens: Tokens) => number) =>
    costing({ at: () => ({ cost, version: 'v' }) }, { wallMs: () => 0 })('d', 'm', 'speech')
  const estimated = { promptTokens: 10, completionTokens: 0, estimated: true }
  const reported = { promptTokens: 10, completionTokens: 5, estimated: false }
  const byTokens = costOf(({ input, output }) => input + output)
  expect([byTokens(estimated).nanoDollars, byTokens(reported).nanoDollars]).toEqual([null, 15])
  expect(costOf(() => 7)(estimated)).toEqual({ nanoDollars: 7, priceVersion: 'v' })
  expect(costOf(() => 0)(estimated).nanoDollars).toBe(0)
})
