import { describe, expect, it } from 'vitest'
import { speak } from './answer.ts'
import { PARAGRAPHS } from './paragraphs.ts'
import { seeded } from './random.ts'
import { readScript } from './script.ts'
import { proseTokens, tokenize } from './text.ts'

const say = (prompt: string, tokens: number | null, seed = 1): string =>
  proseTokens(prompt, seeded(seed), tokens).join('')

describe("the demo's prose", () => {
  it('has exactly the tokens that are asked for, at any length, and says the same to the same prompt', () => {
    for (const tokens of [0, 1, 2, 60, 700, 5_000]) {
      expect(proseTokens('Tell me of rivers.', seeded(7), tokens)).toHaveLength(tokens)
      expect(say('Tell me of rivers.', tokens)).toBe(say('Tell me of rivers.', tokens))
    }
    expect(say('Hi', 5_000).startsWith(say('Hi', 700))).toBe(true)
    expect(say('x', 300, 1)).not.toBe(say('x', 300, 2))
  })

  it('repeats no sentence within 600 tokens, wherever they begin', () => {
    for (const seed of [1, 2, 3]) {
      const sentences = say('Tell me of rivers.', 3_000, seed).split(/(?<=[.!]) |\n\n/)
      const last = new Map<string, number>()
      let at = 0
      let repeatedWithin = Infinity
      for (const sentence of sentences) {
        const before = last.get(sentence)
        if (before !== undefined) repeatedWithin = Math.min(repeatedWithin, at - before)
        last.set(sentence, at)
        at += tokenize(sentence).length
      }
      expect(repeatedWithin).toBeGreaterThan(600)
    }
  })

  it('ends with a whole sentence where no length is asked for, and quotes a short prompt only', () => {
    for (let seed = 0; seed < 20; seed++) expect(say('What is a lane?', null, seed)).toMatch(/[.!]$/)
    expect(say('What is a lane?', 60)).toContain('“What is a lane?”')
    expect(say('x'.repeat(81), 60)).not.toContain('xx')
    expect(say('Good morning', 60)).toMatch(/^Hello/)
  })

  it('is made of whole sentences', () => {
    for (const sentence of PARAGRAPHS.flat()) expect(sentence).toMatch(/^[A-Z][^\n]*[.]$/)
  })
})

it('of a prompt of megabytes only the ends are searched for what it asks of the demo', () => {
  const read = (prompt: string): number | null => readScript('demo', prompt, 1, { delayMs: 1, ttftMs: 1 }).tokens
  const long = 'x '.repeat(100_000)
  expect([
    read(`demo: tokens=3\n${long}`),
    read(`${long} demo: tokens=4`),
    read(`${long} demo: tokens=5\n${long}`),
  ]).toEqual([3, 4, null])
})

it('an answer ends before the first of its stops, however many there are', () => {
  const script = readScript('demo', 'Hi', 1, { delayMs: 1, ttftMs: 1 })
  const spoken = (stop?: readonly string[]): string =>
    speak({ messages: [{ role: 'user', content: 'Hi' }], stop }, 0, script).tokens.join('')
  const whole = spoken()
  expect(spoken([whole.slice(30, 40), whole.slice(10, 20), 'not in it'])).toBe(whole.slice(0, 10))
  expect(spoken(Array(190_000).fill(whole.slice(10, 20)))).toBe(whole.slice(0, 10))
})
