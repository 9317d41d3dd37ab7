/** Counting as the reference does, and never at length. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { reference, vocabularyData } from '../../../scripts/vocabulary.ts'
import { depth } from '../../../test/depth.ts'
import { HOSTILE, KINDS, randomNumbers } from './testing/kinds.ts'
import { tokensIn, vocabulary, vocabularyFile } from './testing/vocabulary.ts'

const { countTokens } = reference()
/** It is one token: in the reference's data, too, which never finds it, as it looks for a text without it. */
const BYTE_ORDER_MARK = '\ufeff'

it('the file is what `npm run data` makes of the package', () => {
  expect(vocabularyFile().equals(vocabularyData())).toBe(true)
})

describe('counts as the reference', () => {
  it.each(Object.keys(KINDS))('%s', (kind) => {
    const random = randomNumbers(3)
    for (let i = 0; i < depth(50, 8); i++) {
      const text = KINDS[kind](random, 1_500)
      expect(tokensIn(text), JSON.stringify(text)).toBe(countTokens(text))
    }
  })

  it('any text', () => {
    const some = fc.string({
      unit: fc.oneof(
        { weight: 6, arbitrary: fc.string({ minLength: 1, maxLength: 1 }) },
        fc.constantFrom(' ', '  ', '\n', '\r\n', '\t', "'s", "'LL", '12', '345', 'ab', 'THE', 'é', 'e\u0301', 'ß'),
        fc.constantFrom('的', '日本', 'ん', '한국', 'привет', 'שלום', 'สวัส', '😀', '👩‍👩‍👧', '\ud800', '\udc00', '𠀀'),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      ),
      maxLength: 60,
    })
    fc.assert(
      fc.property(some, (text) => {
        fc.pre(!text.includes(BYTE_ORDER_MARK))
        expect(tokensIn(text)).toBe(countTokens(text))
      }),
      { numRuns: depth(20_000, 2_000) },
    )
  })
})

it('a byte order mark is its token', () => {
  expect(tokensIn(BYTE_ORDER_MARK)).toBe(1)
})

it.each(['ehndfwpa', 'ptquzmqf', 'knjmpfkl', 'ottlabv', 'gmtelnql'])('%s is not the token of the same hash', (word) => {
  expect(tokensIn(word)).toBe(countTokens(word))
})

describe('an endless word', () => {
  it.each(Object.keys(HOSTILE))('of %s costs as much a character as a short one', (kind) => {
    const work = (chars: number): number => {
      const tally = { tokens: 0, chars: 0, lookups: 0 }
      vocabulary.count(HOSTILE[kind](chars), tally)
      return tally.lookups / tally.chars
    }
    // Three bytes a character, each of which may be merged, at three lookups a merge
    expect(work(33_600)).toBeLessThan(9)
    expect(work(33_600)).toBeLessThan(1.2 * work(1_680) + 0.1)
  })

  it('is cut: that is some tokens more than there are', () => {
    const text = 'a'.repeat(2_000)
    expect(tokensIn(text)).toBeGreaterThanOrEqual(countTokens(text))
    expect(tokensIn(text)).toBeLessThan(1.05 * countTokens(text))
  })
})

it('stops where it has done enough, and tells how far it came', () => {
  const text = '的'.repeat(5_000)
  const tally = { tokens: 0, chars: 0, lookups: 0 }
  expect(vocabulary.count(text, tally, 1_000)).toBe(false)
  expect(tally.chars).toBeGreaterThan(0)
  expect(tally.tokens).toBe(tokensIn(text.slice(0, tally.chars)))
  // A word more than that, of 256 characters at most
  expect(tally.lookups).toBeLessThan(1_000 + 9 * 256)
  const [{ chars }] = [tally]
  expect(vocabulary.count('more', tally, 1_000)).toBe(false)
  expect(tally.chars).toBe(chars)
})
