/**
 * The one place where an upstream's JSON is first parsed: events, documents, error bodies. What is nested too deep is no
 * JSON to us, because JSON.parse takes any depth, and everything after it (stringify, clone, our own walks) is recursive.
 */
import { isObject, type Json, type JsonObject } from '../../../core/fold.ts'
import type { Bytes } from '../../../core/record.ts'

/** Far above any answer's nesting, far below what a stack takes. */
export const MAX_DEPTH = 128

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d]

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

/** Linear, and nothing at all for the short texts that most events are. */
function isTooDeep(text: Bytes): boolean {
  if (text.length <= 2 * MAX_DEPTH) return false
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === QUOTE) i = endOfString(text, i)
    else if (c === OPEN_OBJECT || c === OPEN_ARRAY) {
      if (++depth > MAX_DEPTH) return true
    } else if (c === CLOSE_OBJECT || c === CLOSE_ARRAY) depth--
  }
  return false
}

/** Index of the quote that ends the string which begins at `start`. */
function endOfString(text: Bytes, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end
  }
  return text.length
}
