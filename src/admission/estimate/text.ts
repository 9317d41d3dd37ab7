/**
 * The tokens of many texts: all of them counted where they are short, else windows spread over them. Which windows
 * depends on the texts themselves and on a number that clients don't know: the same request weighs the same each time,
 * and nobody can make one whose windows are its light parts.
 */
import type { Tally, Vocabulary } from './vocabulary.ts'

type Counting = Pick<Vocabulary, 'count'>

/** Small: a token more than average then weighs little, and a long word costs little. */
const WINDOW_CHARS = 64
const WINDOWS = 32
/** As much as the windows are. */
const ALL_CHARS = WINDOW_CHARS * WINDOWS
/** About a third of a millisecond. English takes one for three characters, rare ones take up to eight each. */
const MAX_LOOKUPS = 7_000
/** A cut through a word makes one token two, more often than not; one between ideographs sometimes does. */
const [CUT_WORD, CUT_IDEOGRAPHS] = [0.5, 0.2]

export interface Counted {
  readonly tokens: number
  readonly exact: boolean
}

/** `salt`: an integer, the same for as long as estimates are to be the same. */
export function countTexts(texts: readonly string[], vocabulary: Counting, salt: number): Counted {
  let chars = 0
  for (const text of texts) chars += text.length
  const tally: Tally = { tokens: 0, chars: 0, lookups: 0 }
  if (chars <= ALL_CHARS) {
    for (const text of texts) if (!vocabulary.count(text, tally, MAX_LOOKUPS)) break
  } else readWindows(texts, chars, vocabulary, salt, tally)
  const exact = tally.chars === chars
  return { tokens: exact ? tally.tokens : Math.round((tally.tokens / tally.chars) * chars), exact }
}

function readWindows(texts: readonly string[], chars: number, vocabulary: Counting, salt: number, tally: Tally) {
  const ends = new Float64Array(texts.length)
  for (let i = 0, end = 0; i < texts.length; i++) ends[i] = end += texts[i].length
  const stratum = chars / WINDOWS
  let state = Math.imul(salt ^ chars, 0x9e3779b1)
  for (let i = 0; i < WINDOWS; i++) {
    // Far apart from one to the next: if there is no time for all, those that were read are from everywhere
    const window = (i * 13) % WINDOWS
    const random = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) >>> 0) / 2 ** 32
    let at = Math.floor(window * stratum + random * (stratum - WINDOW_CHARS))
    for (let k = textAt(ends, at), left = WINDOW_CHARS; left > 0 && k < texts.length; k++) {
      const text = texts[k]
      const from = text.length - (ends[k] - at)
      const to = Math.min(text.length, from + left)
      // Where each next window lies depends on what this one reads
      for (let c = from; c < to; c++) state = Math.imul(state ^ text.charCodeAt(c), 0x01000193)
      const isWhole = vocabulary.count(text.slice(from, to), tally, MAX_LOOKUPS)
      tally.tokens -= cutAt(text, from) + cutAt(text, to)
      if (!isWhole) return
      at += to - from
      left -= to - from
    }
  }
}

/** The first text that ends after this character of all. */
function textAt(ends: Float64Array, at: number): number {
  let [low, high] = [0, ends.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ends[middle] > at) high = middle
    else low = middle + 1
  }
  return low
}

/** What a cut before this character adds to each of its two sides, on average. */
function cutAt(text: string, at: number): number {
  if (at === 0 || at === text.length) return 0
  const [before, after] = [text.charCodeAt(at - 1), text.charCodeAt(at)]
  if (before >= 0x2e80 && after >= 0x2e80) return CUT_IDEOGRAPHS
  return isOfWord(before) && isOfWord(after) ? CUT_WORD : 0
}

const isOfWord = (code: number): boolean =>
  code >= 0xc0 || (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x39)
