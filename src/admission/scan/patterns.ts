/** Regular expressions of the operator, in the syntax of RE2: they can't go back, so their time is linear (0044). */
import type { RE2JS } from 're2js'
import { load } from '../../core/load.ts'
import type { Finder, Found, Match } from './finder.ts'

export const MAX_PATTERNS = 50
export const MAX_PATTERN_CHARS = 1_000
/** Instructions of RE2, of all patterns together: each character of a text may cost so many steps. */
export const MAX_PROGRAM = 5_000

const engine = (): typeof RE2JS => (load('re2js') as { readonly RE2JS: typeof RE2JS }).RE2JS

const union = (patterns: readonly string[]): RE2JS =>
  engine().compile(patterns.map((pattern) => `(?:${pattern})`).join('|'))

/** What is wrong with them, or null. */
export function patternProblem(patterns: readonly string[]): string | null {
  for (const [i, pattern] of patterns.entries())
    try {
      engine().compile(pattern)
    } catch (thrown) {
      return `pattern ${i + 1} is not an expression of RE2: ${(thrown as Error).message}`
    }
  for (const [i, pattern] of patterns.entries())
    if (engine().compile(pattern).test('')) return `pattern ${i + 1} matches an empty text, and so any`
  return union(patterns).programSize() > MAX_PROGRAM ? `the patterns are too large: write shorter repetitions` : null
}

/** `window`: of a text that may go on, so many characters are held back, as no match shows that it may go on. */
export function patternFinder(patterns: readonly string[], window: number): Finder {
  const all = union(patterns)
  const each = patterns.map((pattern) => engine().compile(pattern))
  const ruleOf = (text: string): string =>
    `pattern-${
      Math.max(
        0,
        each.findIndex((one) => one.matches(text)),
      ) + 1
    }`
  return {
    find(text, from, isOpen): Found {
      const openFrom = isOpen ? Math.max(from, text.length - window) : text.length
      const matches: Match[] = []
      const matcher = all.matcher(text)
      for (let isFound = matcher.find(from); isFound; isFound = matcher.find()) {
        const [start, end] = [matcher.start(), matcher.end()]
        if (end > start) matches.push({ from: start, to: end, rule: ruleOf(text.slice(start, end)) })
      }
      return { matches, openFrom }
    },
  }
}
