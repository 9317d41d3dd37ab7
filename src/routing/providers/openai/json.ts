/**
 * The one place where an upstream's JSON is first parsed: events, documents, error bodies. What is nested too deep, or
 * holds too many values, is never parsed: JSON.parse takes any depth and holds the loop for seconds, and everything
 * after it (stringify, clone, our own walks) is recursive.
 */
import { MAX_CHAT_ITEMS, MAX_CONTAINERS, MAX_DEPTH, MAX_DISTINCT, MAX_TEXTS } from '../../../core/answer-limits.ts'
import { isObject, type Json, type JsonObject } from '../../../core/fold.ts'
import type { Bytes } from '../../../core/record.ts'

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c]
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d]

/** Longer texts are long enough to pay for themselves, by their bytes; each counts as one that differs. */
const SHORT = 64
/** Up to this many texts it does not matter how many of them differ. */
const FEW = 10_000
const BITS = 20

/** Follows the structure of one JSON text, which may come in pieces; each character once, strings natively. */
export class JsonScan {
  /** Why it is not to be parsed; null while it is. */
  excess: string | null = null
  /** Its outermost object or list is closed, and nothing but white space came after it. */
  closed = false
  readonly #maxItems: number
  #depth = 0
  #containers = 0
  #items = 0
  #texts = 0
  #distinct = 0
  /** A bit for each hash of a short text that was met. */
  #met: Uint8Array | null = null
  #inString = false
  /** Backslashes at the end of the last piece, within a string. */
  #slashes = 0

  constructor(maxItems = MAX_CHAT_ITEMS) {
    this.#maxItems = maxItems
  }

  feed(text: string): this {
    let i = this.#inString ? this.#skipString(text, 0) : 0
    for (; i < text.length && this.excess === null; i++) {
      const c = text.charCodeAt(i)
      if (c === QUOTE) {
        i = this.#skipString(text, i + 1) - 1
      } else if (c === OPEN_OBJECT || c === OPEN_LIST) {
        this.#containers++
        if (++this.#depth > MAX_DEPTH) this.excess = `it is nested deeper than ${MAX_DEPTH}`
      } else if (c === CLOSE_OBJECT || c === CLOSE_LIST) {
        this.closed = --this.#depth === 0
        continue
      } else if (c === COMMA) this.#items++
      else if (c <= 0x20) continue
      this.closed = false
    }
    if (this.#texts > MAX_TEXTS) this.excess ??= `it holds more than ${MAX_TEXTS} names and texts`
    if (this.#containers > MAX_CONTAINERS) this.excess ??= `it holds more than ${MAX_CONTAINERS} lists and objects`
    if (this.#distinct > MAX_DISTINCT) this.excess ??= `it holds more than ${MAX_DISTINCT} different names and texts`
    if (this.#items > this.#maxItems) this.excess ??= `its lists and objects hold more than ${this.#maxItems} items`
    return this
  }

  #meet(text: string, from: number, end: number) {
    this.#met ??= new Uint8Array(1 << (BITS - 3))
    if (end - from >= SHORT) {
      this.#distinct++
      return
    }
    let hash = 0x811c9dc5
    for (let i = from; i < end; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
    hash = (hash ^ (hash >>> BITS)) & ((1 << BITS) - 1)
    const bit = 1 << (hash & 7)
    if ((this.#met[hash >>> 3] & bit) !== 0) return
    this.#met[hash >>> 3] |= bit
    this.#distinct++
  }

  /** Index after the string's end, or the length of the piece. */
  #skipString(text: string, from: number): number {
    for (let at = text.indexOf('"', from); ; at = text.indexOf('"', at + 1)) {
      const end = at < 0 ? text.length : at
      let slashes = 0
      while (end - slashes > from && text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++
      if (end - slashes === from && this.#inString) slashes += this.#slashes
      if (at < 0) {
        this.#inString = true
        this.#slashes = slashes
        return end
      }
      if (slashes % 2 === 1) continue
      if (++this.#texts > FEW) this.#meet(text, from, end)
      this.#inString = false
      this.#slashes = 0
      return at + 1
    }
  }
}

/** Why this JSON text is not to be parsed. Costs nothing for the short texts that most events are. */
const excessOf = (text: string): string | null =>
  text.length <= 2 * MAX_DEPTH ? null : new JsonScan().feed(text).excess

/**
 * Undefined when it is no JSON, or too much, which `onExcess` is told. Of a binary string only structure and ASCII may
 * be used.
 */
export function parseJson(text: Bytes | string, onExcess?: (what: string) => void): Json | undefined {
  const excess = excessOf(text)
  if (excess === null) return parseScanned(text)
  onExcess?.(excess)
  return undefined
}

/** The same for what a `JsonScan` followed, and let pass. */
export function parseScanned(text: Bytes | string): Json | undefined {
  try {
    return JSON.parse(text.replace(/^(?:\xef\xbb\xbf|\ufeff)/, '')) as Json
  } catch {
    return undefined
  }
}

/** The object, or the first one of a list: Google's errors, and some documents, come in one. */
export function objectIn(value: Json | undefined): JsonObject | null {
  const first = Array.isArray(value) ? value[0] : value
  return isObject(first) ? first : null
}
