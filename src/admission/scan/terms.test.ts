import fc from 'fast-check'
import { expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import { termFinder } from './terms.ts'

const finderOf = (terms: readonly string[]) => (text: string) =>
  termFinder(terms).find(text, 0, false).matches.length > 0

it('finds exactly what a search for each term would', () => {
  const few = fc.string({ unit: fc.constantFrom('a', 'b', 'ü', '😀', '\u0000'), maxLength: 30 })
  const term = fc.string({ unit: fc.constantFrom('a', 'b', 'ü', '😀', '\u0000'), minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(fc.array(term, { minLength: 1, maxLength: 6 }), few, (terms, text) => {
      expect(finderOf(terms)(text)).toBe(terms.some((one) => text.includes(one)))
    }),
    { numRuns: depth(5_000, 1_000) },
  )
})

it('takes time in proportion to the text alone', () => {
  const terms = Array.from({ length: 500 }, (_, i) => `term ${i} of many`)
  const isIn = finderOf(terms)
  const text = terms.map((term) => term.slice(0, -1)).join(' ')
  const took = (times: number): number => {
    const long = text.repeat(times)
    const startedAt = performance.now()
    expect(isIn(long)).toBe(false)
    return (performance.now() - startedAt) / long.length
  }
  took(50)
  const few = finderOf(['term 1 of many'])
  const startedAt = performance.now()
  few(text.repeat(200))
  const one = (performance.now() - startedAt) / (text.length * 200)
  // A search for each of the 500 would take hundreds of times as long as for one
  expect(Math.min(took(200), took(200), took(200)) / one).toBeLessThan(50)
})
