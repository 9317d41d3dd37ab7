/**
 * Cuts images out of an answer's JSON as it comes: what is left is small, and refers to them as `{"part": n}`. Looks at
 * each byte once, and holds no image.
 */
import { imageType } from '../../../core/media.ts'
import type { Bytes } from '../../../core/record.ts'

export interface PartSink {
  part(type: string): void
  bytes(chunk: Uint8Array): void
}

/** Of what is left. */
const MAX_REST_CHARS = 1 << 20
const MAX_PARTS = 64
/** Longer texts are no member's name. */
const MAX_NAME_CHARS = 16
const NAME = 'b64_json'
/** The first bytes tell an image's type. */
const HEAD_BYTES = 12
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

export class PartCutter {
  /** What is wrong with it, once it is. */
  fault: string | null = null
  rest = ''
  readonly #sink: PartSink
  #parts = 0
  #mode: 'json' | 'string' | 'base64' = 'json'
  /** Of the string: its beginning, and is its last char a backslash that escapes? */
  #text = ''
  #escapes = false
  /** The last string was this; null: something else came after it. */
  #last: string | null = null
  /** A value of this name is next; null: not, or of another name. */
  #named = false
  /** Chars that don't make three bytes yet, and bytes that don't tell the type yet. */
  #odd = ''
  #head: Buffer | null = null

  constructor(sink: PartSink) {
    this.#sink = sink
  }

  feed(piece: Bytes): void {
    let at = 0
    while (at < piece.length && this.fault === null)
      at =
        this.#mode === 'json'
          ? this.#json(piece, at)
          : this.#mode === 'string'
            ? this.#string(piece, at)
            : this.#base64(piece, at)
    if (this.rest.length > MAX_REST_CHARS) this.fault ??= `it has more than ${MAX_REST_CHARS} bytes beside its images`
  }

  #json(piece: Bytes, from: number): number {
    const quote = piece.indexOf('"', from)
    const end = quote < 0 ? piece.length : quote
    const between = piece.slice(from, end)
    this.rest += between
    const seen = between.trim()
    if (seen !== '') {
      this.#named = seen === ':' && this.#last === NAME
      this.#last = null
    }
    if (quote < 0) return piece.length
    if (this.#named) {
      if (this.#parts >= MAX_PARTS) this.fault = `it has more than ${MAX_PARTS} images`
      this.#mode = 'base64'
      this.#odd = ''
      this.#head = Buffer.alloc(0)
    } else {
      this.#mode = 'string'
      this.#text = ''
      this.#escapes = false
      this.rest += '"'
    }
    this.#named = false
    return quote + 1
  }

  #string(piece: Bytes, from: number): number {
    let at = from
    if (this.#escapes) {
      this.#escapes = false
      at++
    }
    for (; at < piece.length; at++) {
      const c = piece.charCodeAt(at)
      if (c === 0x5c) {
        if (at + 1 === piece.length) this.#escapes = true
        at++
      } else if (c === 0x22) {
        this.#keep(piece, from, at)
        this.rest += piece.slice(from, at + 1)
        this.#last = this.#text
        this.#mode = 'json'
        return at + 1
      }
    }
    this.#keep(piece, from, piece.length)
    this.rest += piece.slice(from)
    return piece.length
  }

  #keep(piece: Bytes, from: number, to: number): void {
    if (this.#text.length <= MAX_NAME_CHARS) this.#text += piece.slice(from, Math.min(to, from + MAX_NAME_CHARS + 1))
  }

  #base64(piece: Bytes, from: number): number {
    const quote = piece.indexOf('"', from)
    const end = quote < 0 ? piece.length : quote
    // Some write "/" as "\/"
    let text = (this.#odd + piece.slice(from, end)).replaceAll('\\/', '/')
    const half = quote < 0 && text.endsWith('\\') ? '\\' : ''
    if (half !== '') text = text.slice(0, -1)
    const whole = quote < 0 ? text.length - (text.length % 4) : text.length
    this.#odd = text.slice(whole) + half
    const now = text.slice(0, whole)
    if (!BASE64.test(now)) this.fault = 'an image that is not base64'
    else this.#decoded(Buffer.from(now, 'base64'), quote >= 0)
    if (quote < 0) return piece.length
    this.rest += `{"part":${this.#parts++}}`
    this.#mode = 'json'
    return quote + 1
  }

  #decoded(bytes: Buffer, isLast: boolean): void {
    if (this.#head === null) {
      if (bytes.length > 0) this.#sink.bytes(bytes)
      return
    }
    const head = Buffer.concat([this.#head, bytes])
    this.#head = head
    if (head.length < HEAD_BYTES && !isLast) return
    this.#head = null
    if (head.length === 0) {
      this.fault = 'an image without bytes'
      return
    }
    this.#sink.part(imageType(head))
    this.#sink.bytes(head)
  }
}
