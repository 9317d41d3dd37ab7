import { describe, expect, it } from 'vitest'
import { overlap } from './topic-patterns.ts'

/** As a topic exchange does, for the reference. */
function matches(pattern: readonly string[], key: readonly string[]): boolean {
  const [word, ...rest] = pattern
  if (word === undefined) return key.length === 0
  if (word === '#') return matches(rest, key) || (key.length > 0 && matches(pattern, key.slice(1)))
  return key.length > 0 && (word === '*' || word === key[0]) && matches(rest, key.slice(1))
}

const WORDS = ['a', 'b', '*', '#']
const upTo = (words: readonly string[], length: number): string[][] =>
  length === 0 ? [[]] : [[], ...words.flatMap((word) => upTo(words, length - 1).map((rest) => [word, ...rest]))]

describe('patterns of topic exchanges overlap', () => {
  it.each([
    ['image.*', 'image.cat', true],
    ['image.*', 'image', false],
    ['image.#', 'image', true],
    ['image.*', '#', true],
    ['image.*', 'text.#', false],
    ['text.#', 'text.small.#', true],
    ['*.png', 'image.*', true],
    ['a.#.z', 'a.b.c.#', true],
    ['a.*.z', 'a.z', false],
    ['#.a', 'b.#', true],
    ['*', '*.*', false],
    ['#', '#', true],
  ])('%s and %s: %s', (a, b, isSo) => {
    expect([overlap(a, b), overlap(b, a)]).toEqual([isSo, isSo])
  })

  it('where there is a key that both match, of all patterns of up to three words', () => {
    const patterns = upTo(WORDS, 3).filter(({ length }) => length > 0)
    const keys = upTo(['a', 'b', 'c'], 6).filter(({ length }) => length > 0)
    const matched = patterns.map((pattern) => keys.map((key) => matches(pattern, key)))
    const wrong: string[] = []
    for (const [i, a] of patterns.entries())
      for (const [k, b] of patterns.entries()) {
        const isSo = matched[i].some((one, n) => one && matched[k][n])
        if (overlap(a.join('.'), b.join('.')) !== isSo) wrong.push(`${a.join('.')} ${b.join('.')}: ${isSo}`)
      }
    expect(wrong).toEqual([])
  })

  it('long ones cost little', () => {
    const long = Array(128).fill('#').join('.')
    const from = process.cpuUsage().user
    expect(overlap(`${long}.a`, `${long}.b`)).toBe(false)
    expect(process.cpuUsage().user - from).toBeLessThan(2_000_000)
  })
})
