/**
 * Finds any of many terms in one pass over the text (Aho and Corasick, 1975): a search for each term by itself would
 * block the event loop for seconds.
 */

/** Size of the table: states times kinds of characters. */
const MAX_CELLS = 4_000_000
/** UTF-16. */
const CODES = 65_536

const charsOf = (terms: readonly string[]): readonly string[] => [...new Set(terms.join('').split(''))]

/** Is their table small enough? */
export const canBeFound = (terms: readonly string[]): boolean =>
  (terms.join('').length + 1) * (charsOf(terms).length + 1) <= MAX_CELLS

/** Returns a function: does a text contain one of the terms? */
export function finderOf(terms: readonly string[]): (text: string) => boolean {
  // 0: a character of no term
  const kinds = new Uint16Array(CODES)
  const chars = charsOf(terms)
  for (const [i, char] of chars.entries()) kinds[char.charCodeAt(0)] = i + 1
  const width = chars.length + 1
  const next = new Int32Array((terms.join('').length + 1) * width)
  const isEnd = new Uint8Array(terms.join('').length + 1)
  let states = 1
  for (const term of terms) {
    let state = 0
    for (let i = 0; i < term.length; i++) {
      const cell = state * width + kinds[term.charCodeAt(i)]
      if (next[cell] === 0) next[cell] = states++
      state = next[cell]
    }
    isEnd[state] = 1
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
        isEnd[child] |= isEnd[other]
        open.push(child)
      }
    }
  return (text) => {
    let state = 0
    for (let i = 0; i < text.length; i++) {
      state = next[state * width + kinds[text.charCodeAt(i)]]
      if (isEnd[state] === 1) return true
    }
    return false
  }
}
