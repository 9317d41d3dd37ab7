/**
 * The one place where an upstream's JSON is first parsed: events, documents, error bodies. What is nested too deep is
 * no JSON to us, because JSON.parse takes any depth, and everything after it (stringify, clone, our own walks) is
 * recursive.
 */
import { isObject, type Json, type JsonObject } from '../../../core/fold.ts'
import type { Bytes } from '../../../core/record.ts'

/** Far above any answer's nesting, far below what a stack takes. */
export const MAX_DEPTH = 128

const MARKS = ['"', '{', '[', '}', ']'] as const
const [QUOTE, LAST_OPENING] = [0, 2]
const BACKSLASH = 0x5c

/** Undefined when it is no JSON, or nested too deep. Of a binary string only structure and ASCII may be used. */
export function parseJson(text: Bytes | string): Json | undefined {
  if (isTooDeep(text)) return undefined
  try {
    return JSON.parse(text.replace(/^(?:\xef\xbb\xbf|\ufeff)/, '')) as Json
  } catch {
    return undefined
  }
}

export function parseObject(text: Bytes): JsonObject | null {
  const value = parseJson(text)
  return isObject(value) ? value : null
}

/**
 * Linear, and nothing at all for the short texts that most events are. Goes from mark to mark by native searches: 70 MB
 * of numbers have few of them.
 */
function isTooDeep(text: string): boolean {
  if (text.length <= 2 * MAX_DEPTH) return false
  const at = MARKS.map((mark) => find(text, mark, 0))
  for (let depth = 0; ; ) {
    let first = 0
    for (let i = 1; i < MARKS.length; i++) if (at[i] < at[first]) first = i
    let end = at[first]
    if (end === Infinity) return false
    if (first === QUOTE) end = endOfString(text, end)
    else if (first <= LAST_OPENING) {
      if (++depth > MAX_DEPTH) return true
    } else depth--
    // What stands within a string is no mark
    for (let i = 0; i < MARKS.length; i++) if (at[i] <= end) at[i] = find(text, MARKS[i], end + 1)
  }
}

function find(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from)
  return at < 0 ? Infinity : at
}

/** Index of the quote that ends the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end
  }
  return text.length
}
