/**
 * Finds any of many terms in one pass over the text (Aho and Corasick, 1975): a search for each term by itself would
 * block the event loop for seconds.
 */
import type { Finder, Found, Match } from './finder.ts'

/** Size of the table: states times kinds of characters. */
const MAX_CELLS = 4_000_000
/** UTF-16. */
const CODES = 65_536

const charsOf = (terms: readonly string[]): readonly string[] => [...new Set(terms.join('').split(''))]

/** Is their table small enough? */
export const canBeFound = (terms: readonly string[]): boolean =>
  (terms.join('').length + 1) * (charsOf(terms).length + 1) <= MAX_CELLS

/** Of each UTF-16 code the one in lower case, where that is one code; İ is an i, as in a text that is lowered. */
let lower: Uint16Array | null = null
function lowerCodes(): Uint16Array {
  if (lower !== null) return lower
  lower = new Uint16Array(CODES)
  for (let code = 0; code < CODES; code++) lower[code] = String.fromCharCode(code).toLowerCase().charCodeAt(0)
  return lower
}

/** Finds the terms, which are in lower case, in any case; where they overlap, all that they cover as one. */
export function termFinder(terms: readonly string[]): Finder {
  // 0: a character of no term
  const kinds = new Uint16Array(CODES)
  const chars = charsOf(terms)
  for (const [i, char] of chars.entries()) kinds[char.charCodeAt(0)] = i + 1
  const small = lowerCodes()
  for (let code = 0; code < CODES; code++) kinds[code] = kinds[small[code]]
  const width = chars.length + 1
  const size = terms.join('').length + 1
  const next = new Int32Array(size * width)
  /** Of each state: the length of the longest term that ends there, and of what was read of one. */
  const ends = new Uint32Array(size)
  const depth = new Uint32Array(size)
  let states = 1
  for (const term of terms) {
    let state = 0
    for (let i = 0; i < term.length; i++) {
      const cell = state * width + kinds[term.charCodeAt(i)]
      if (next[cell] === 0) {
        depth[states] = i + 1
        next[cell] = states++
      }
      state = next[cell]
    }
    ends[state] = term.length
  }
  // Where a term doesn't continue, the search falls back to the longest other beginning that has just been read
  const fallback = new Int32Array(states)
  const open = [0]
  for (const state of open)
    for (let kind = 1; kind < width; kind++) {
      const cell = state * width + kind
      const other = state === 0 ? 0 : next[fallback[state] * width + kind]
      const child = next[cell]
      if (child === 0) next[cell] = other
      else {
        fallback[child] = other
        if (ends[child] === 0) ends[child] = ends[other]
        open.push(child)
      }
    }

  return {
    find(text, from, isOpen): Found {
      const matches: Match[] = []
      let [begin, end] = [-1, -1]
      let state = 0
      for (let i = from; i < text.length; i++) {
        state = next[state * width + kinds[text.charCodeAt(i)]]
        const length = ends[state]
        if (length === 0) continue
        const at = i + 1 - length
        if (at >= end) {
          if (end >= 0) matches.push({ from: begin, to: end, rule: 'term' })
          begin = at
        } else if (at < begin) begin = at
        end = i + 1
      }
      if (end >= 0) matches.push({ from: begin, to: end, rule: 'term' })
      return { matches, openFrom: text.length - (isOpen ? depth[state] : 0) }
    },
  }
}
