/** Many texts as one number: how far off it is, what it costs, and that it can't be steered. */
import { describe, expect, it } from 'vitest'
import { HOSTILE, KINDS, randomNumbers } from './testing/kinds.ts'
import { tokensIn, vocabulary } from './testing/vocabulary.ts'
import { countTexts } from './text.ts'

const count = (texts: readonly string[], salt = 1) => countTexts(texts, vocabulary, salt)

describe('short texts are counted', () => {
  it.each(Object.keys(KINDS).filter((kind) => kind !== 'Chinese'))('%s', (kind) => {
    const text = KINDS[kind](randomNumbers(5), 2_000)
    expect(count([text])).toEqual({ tokens: tokensIn(text), exact: true })
  })

  it('in several texts, each by itself', () => {
    expect(count(['un', 'like', '', 'ly'])).toEqual({
      tokens: tokensIn('un') + tokensIn('like') + tokensIn('ly'),
      exact: true,
    })
    expect(count([])).toEqual({ tokens: 0, exact: true })
    expect(count([''])).toEqual({ tokens: 0, exact: true })
  })
})

describe('the error of long ones', () => {
  /** Of 40 texts each, half of 8,000 characters and half of 100,000: mean, and the worst. */
  const BOUNDS: Readonly<Record<string, readonly [mean: number, worst: number]>> = {
    markdown: [0.04, 0.12],
    prose: [0.04, 0.12],
    code: [0.04, 0.12],
    // A lock file, where runs of hashes stand between names: the least even of all
    'JSON, pretty': [0.06, 0.25],
    'JSON, compact': [0.06, 0.2],
    Chinese: [0.03, 0.08],
    Russian: [0.05, 0.12],
    'chat with emoji': [0.05, 0.12],
    base64: [0.03, 0.1],
    uuids: [0.03, 0.06],
    numbers: [0.03, 0.06],
    logs: [0.03, 0.06],
  }

  it.each(Object.keys(KINDS))('%s', (kind) => {
    const random = randomNumbers(11)
    const errors = Array.from({ length: 40 }, (_, i) => {
      const text = KINDS[kind](random, i % 2 === 0 ? 8_000 : 100_000)
      const { tokens, exact } = count([text], i)
      expect(exact).toBe(false)
      return Math.abs(tokens / tokensIn(text) - 1)
    })
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length
    expect([mean, Math.max(...errors)].map((error, i) => error <= BOUNDS[kind][i])).toEqual([true, true])
  })

  it('does not grow where they are in many pieces', () => {
    const text = KINDS['prose'](randomNumbers(13), 40_000)
    const pieces = text.match(/.{1,7}/gs)!
    const exact = pieces.reduce((sum, piece) => sum + tokensIn(piece), 0)
    expect(count(pieces).tokens / exact).toBeGreaterThan(0.93)
    expect(count(pieces).tokens / exact).toBeLessThan(1.07)
  })

  it('a light half does not hide a heavy one', () => {
    const [light, heavy] = [' '.repeat(50_000), KINDS['base64'](randomNumbers(17), 50_000)]
    for (const text of [light + heavy, heavy + light])
      expect(count([text]).tokens / tokensIn(text)).toBeGreaterThan(0.85)
  })
})

describe('the work', () => {
  /** A lookup is 25 to 80 ns: a third of a millisecond. The last word may be more. */
  const MOST = 7_000 + 9 * 256
  const workOf = (texts: readonly string[]): number => {
    let lookups = 0
    const counting = {
      count(text: string, tally: { lookups: number }, max?: number) {
        const before = tally.lookups
        const isWhole = vocabulary.count(text, tally as Parameters<typeof vocabulary.count>[1], max)
        lookups += tally.lookups - before
        return isWhole
      },
    }
    countTexts(texts, counting, 1)
    return lookups
  }

  it.each(Object.keys(HOSTILE))('%s: bounded, however long it is', (kind) => {
    for (const chars of [1_680, 8_400, 840_000]) expect(workOf([HOSTILE[kind](chars)])).toBeLessThan(MOST)
  })

  it('of a prompt of 80,000 tokens', () => {
    expect(workOf([KINDS['prose'](randomNumbers(19), 320_000)])).toBeLessThan(MOST / 2)
  })

  it('of a body of 16 MB', () => {
    expect(workOf(['的'.repeat(16_000_000)])).toBeLessThan(MOST)
  })

  it('of many small texts', () => {
    expect(workOf(Array.from({ length: 10_000 }, (_, i) => `m${i}`))).toBeLessThan(MOST)
  })
})

describe('which windows are read', () => {
  const text = KINDS['prose'](randomNumbers(23), 60_000)

  it('is the same each time', () => {
    expect(count([text])).toEqual(count([text]))
  })

  it('depends on the salt, and on what the windows before had in them', () => {
    const read = (text: string, salt: number): readonly string[] => {
      const windows: string[] = []
      const recording = {
        count(piece: string, tally: { tokens: number; chars: number }) {
          windows.push(piece)
          tally.tokens++
          tally.chars += piece.length
          return true
        },
      }
      countTexts([text], recording, salt)
      return windows
    }
    const windows = read(text, 1)
    expect(windows).toHaveLength(32)
    expect(new Set(windows).size).toBe(32)
    const other = new Set(read(text, 2))
    expect(windows.filter((window) => other.has(window)).length).toBeLessThan(4)
    // One letter of the first window is another one: so are all the others
    const changed = new Set(read(text.replace(windows[0], `#${windows[0].slice(1)}`), 1))
    expect(windows.filter((window) => changed.has(window)).length).toBeLessThan(4)
  })
})
