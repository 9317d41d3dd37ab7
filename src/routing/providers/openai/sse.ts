/**
 * Cuts a stream of server-sent events, as binary strings cut anywhere, into the payloads of their `data` lines.
 * Of the other fields only an `event` that names an error matters; they and comments are dropped. Lines end with LF,
 * CRLF or CR (WHATWG HTML, "Server-sent events").
 */
import type { Bytes } from '../../../core/record.ts'

const BOM = '\xef\xbb\xbf'
const DATA = 'data:'
const EVENT = 'event:'
const MAX_NAME = 128
/** A bare line of JSON, as some engines write an error; of a list only one of objects, as `[DONE]` begins alike. */
const BARE_JSON = ['{', '[{']
const ERROR_NAME = /error|exception|fail|^fault$/i

export class SseReader {
  /** A line, or an event of several lines, exceeded the cap. */
  overflow = false
  readonly #emit: (payload: Bytes, isError: boolean) => void
  readonly #maxEventBytes: number
  /** The unfinished line. */
  #line = ''
  /** Of the unfinished event; null while it has no data line. */
  #data: Bytes | null = null
  #isError = false
  #start: string | null = ''
  /** The last line ended with CR: an LF that follows belongs to it. */
  #afterCr = false

  /** `isError`: the event is named so, or is JSON where a field should be. */
  constructor(maxEventBytes: number, emit: (payload: Bytes, isError: boolean) => void) {
    this.#maxEventBytes = maxEventBytes
    this.#emit = emit
  }

  feed(text: Bytes) {
    if (this.#start !== null) {
      text = this.#start + text
      if (text.length < 3 && BOM.startsWith(text)) {
        this.#start = text
        return
      }
      this.#start = null
      if (text.startsWith(BOM)) text = text.slice(3)
    }
    if (this.#afterCr && text !== '') {
      this.#afterCr = false
      if (text.charCodeAt(0) === 10) text = text.slice(1)
    }
    if (text.includes('\r')) {
      this.#afterCr = text.charCodeAt(text.length - 1) === 13
      text = text.replace(/\r\n?/g, '\n')
    }
    let from = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      if (this.#line !== '') {
        const line = this.#line + text.slice(from, end)
        this.#line = ''
        this.#takeLine(line, 0, line.length)
      } else this.#takeLine(text, from, end)
      if (this.overflow) return
      from = end + 1
    }
    if (from < text.length) this.#line += from === 0 ? text : text.slice(from)
    if (this.#line.length > this.#maxEventBytes) this.overflow = true
  }

  /** The body is complete: an event without its blank line counts, as many upstreams forget the last one. */
  end() {
    const line = this.#line
    this.#line = ''
    if (line !== '') this.#takeLine(line, 0, line.length)
    this.#dispatch()
  }

  #takeLine(text: Bytes, from: number, to: number) {
    if (from === to) return this.#dispatch()
    if (!text.startsWith(DATA, from)) return this.#takeOther(text, from, to)
    const start = from + DATA.length
    const value = text.slice(text.charCodeAt(start) === 32 && start < to ? start + 1 : start, to)
    this.#data = this.#data === null ? value : `${this.#data}\n${value}`
    if (this.#data.length > this.#maxEventBytes) this.overflow = true
  }

  #takeOther(text: Bytes, from: number, to: number) {
    if (BARE_JSON.some((start) => text.startsWith(start, from))) this.#emit(text.slice(from, to), true)
    else if (text.startsWith(EVENT, from))
      this.#isError = ERROR_NAME.test(text.slice(from + EVENT.length, Math.min(to, from + MAX_NAME)).trim())
  }

  #dispatch() {
    const data = this.#data
    const isError = this.#isError
    this.#data = null
    this.#isError = false
    if (isError) this.#emit(data ?? '', true)
    else if (data !== null && data !== '') this.#emit(data, false)
  }
}
