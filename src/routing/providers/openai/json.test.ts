import fc from 'fast-check'
import { expect, it } from 'vitest'
import { expectInTime } from '../../../../test/in-time.ts'
import { MAX_DEPTH } from '../../../core/answer-limits.ts'
import { JsonScan, parseJson } from './json.ts'

const nested = (depth: number, open: string, close: string): string => `${open.repeat(depth)}1${close.repeat(depth)}`
const PAD = `"pad":"${'x'.repeat(300)}"`

it.each([
  ['[', ']'],
  ['{"a":', '}'],
  ['[{"a":', '}]'],
])('takes what is nested %s up to the limit, and no deeper', (open, close) => {
  const levels = MAX_DEPTH / open.replace(/[^[{]/g, '').length - 1
  expect(parseJson(`{${PAD},"x":${nested(levels, open, close)}}`)).toBeDefined()
  expect(parseJson(`{${PAD},"x":${nested(levels + 1, open, close)}}`)).toBeUndefined()
})

it('does not count what stands within strings', () => {
  const text = JSON.stringify({ a: '[{"'.repeat(1_000), b: '\\'.repeat(999), c: ['"]}'.repeat(500)] })
  expect(parseJson(text)).toEqual(JSON.parse(text))
})

it('says of any JSON what JSON.parse says', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify([value, 'x'.repeat(300)])
      expect(parseJson(text)).toEqual(JSON.parse(text))
    }),
  )
})

it('takes a BOM, as bytes or as a character, and nothing that is no JSON', () => {
  expect(['\xef\xbb\xbf{"a":1}', '\ufeff{"a":1}'].map((text) => parseJson(text))).toEqual([{ a: 1 }, { a: 1 }])
  expect(['', '{', 'hello', `${'['.repeat(100_000)}`].map((text) => parseJson(text))).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ])
})

it('is linear in strings full of brackets and backslashes', () => {
  const startMono = performance.now()
  parseJson(`["${'\\\\'.repeat(1_000_000)}","${'{['.repeat(1_000_000)}",${'"",'.repeat(300_000)}1]`)
  expectInTime(performance.now() - startMono, 2_000)
})

it('follows JSON to its end, in whatever pieces it comes', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.array(fc.nat(9), { minLength: 1, maxLength: 9 }), (value, sizes) => {
      const text = JSON.stringify({ a: value, b: '\\"}]' }, null, 1)
      const scan = new JsonScan()
      for (let from = 0, i = 0; from < text.length; i++) {
        expect(scan.closed).toBe(false)
        const to = from + 1 + sizes[i % sizes.length]
        scan.feed(text.slice(from, to))
        from = to
      }
      expect([scan.closed, scan.feed('\n').closed, scan.feed('x').closed]).toEqual([true, true, false])
    }),
  )
})

it.each([
  ['lists', '[],', 350_000, undefined],
  ['objects', '{"a":1},', 350_000, undefined],
  ['numbers', '1,', 1_000_001, undefined],
  ['texts', '"",', 2_000_001, 8_000_000],
  ['numbers of embeddings', '1,', 8_000_001, 8_000_000],
])('is not parsed when it holds too many %s', (_name, unit, count, maxItems) => {
  const json = (n: number): string => `[${unit.repeat(n)}1]`
  expect(new JsonScan(maxItems).feed(json(count)).excess).toMatch(/more than (?:350000|[128]000000)/)
  expect(new JsonScan(maxItems).feed(json(count - 2)).excess).toBeNull()
})

it('is not parsed when it holds too many names that differ', () => {
  const names = (n: number): string => `{${Array.from({ length: n }, (_, i) => `"k${i}":1`).join(',')}}`
  expect(new JsonScan().feed(names(90_000)).excess).toBeNull()
  expect(new JsonScan().feed(names(150_000)).excess).toContain('100000 different')
  // As an answer with its probabilities has them
  const tokens = Array.from({ length: 160_000 }, (_, i) => `{"token":"t${i % 9_000}","logprob":-1,"bytes":[32]}`)
  expect(new JsonScan().feed(`[${tokens.join(',')}]`).excess).toBeNull()
})
