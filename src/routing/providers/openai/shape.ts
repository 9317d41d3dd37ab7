/**
 * Proves that a chunk is valid JSON of a kind seen before, without parsing it. The chunks of one answer are alike but
 * for the text: a chunk that was parsed leaves its shape (the bytes around its texts), and one that has the same bytes
 * there, and valid strings in between, means the same with other words. All others are parsed.
 */
import { isUtf8 } from 'node:buffer'
import { type Bytes, copyOf } from '../../../core/record.ts'

/** Members whose strings differ from token to token. */
const TEXTS = /"(?:content|reasoning_content|reasoning|arguments|refusal|obfuscation)":"((?:[^"\\]|\\.)*)"/g
/** What may be between the quotes of a JSON string; and the part of it that needs no second look. */
const STRING = /^(?:[\x20\x21\x23-\x5b\x5d-\xff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*$/
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7f]*$/
const MAX_SHAPES = 4
const MAX_SHAPE_BYTES = 4096

export class Shapes {
  readonly #shapes: string[][] = []
  #next = 0

  /** A valid chunk in which only the texts matter. */
  learn(chunk: Bytes): void {
    if (chunk.length > MAX_SHAPE_BYTES) return
    chunk = copyOf(chunk)
    const literals: string[] = []
    let from = 0
    for (const match of chunk.matchAll(TEXTS)) {
      const end = match.index + match[0].length - 1
      literals.push(chunk.slice(from, end - match[1].length))
      from = end
    }
    if (literals.length === 0) return
    literals.push(chunk.slice(from))
    if (
      this.#shapes.some(
        (shape) => shape.length === literals.length && shape.every((literal, i) => literal === literals[i]),
      )
    )
      return
    this.#shapes[this.#next] = literals
    this.#next = (this.#next + 1) % MAX_SHAPES
  }

  matches(chunk: Bytes): boolean {
    for (const literals of this.#shapes) if (fits(chunk, literals)) return true
    return false
  }
}

function fits(chunk: Bytes, literals: readonly string[]): boolean {
  let at = literals[0].length
  if (chunk.slice(0, at) !== literals[0]) return false
  for (let i = 1; i < literals.length; i++) {
    const end = closingQuote(chunk, at)
    if (end < 0 || !isString(chunk.slice(at, end))) return false
    at = end + literals[i].length
    // startsWith goes through a slice char by char, at ten times the cost
    if (chunk.slice(end, at) !== literals[i]) return false
  }
  return at === chunk.length
}

function closingQuote(chunk: Bytes, from: number): number {
  for (let end = chunk.indexOf('"', from); end >= 0; end = chunk.indexOf('"', end + 1)) {
    let slashes = 0
    while (chunk.charCodeAt(end - 1 - slashes) === 92) slashes++
    if (slashes % 2 === 0) return end
  }
  return -1
}

const isString = (text: Bytes): boolean =>
  PLAIN.test(text) || (STRING.test(text) && isUtf8(Buffer.from(text, 'latin1')))
