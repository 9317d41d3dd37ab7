/**
 * Cuts a stream of server-sent events, as binary strings cut anywhere, into the payloads of their `data` lines.
 * Other fields and comments are dropped. Lines end with LF, CRLF or CR (WHATWG HTML, "Server-sent events").
 */
import type { Bytes } from '../../../core/record.ts'

const BOM = '\xef\xbb\xbf'
const DATA = 'data:'

export class SseReader {
  /** A line, or an event of several lines, grew over the cap. */
  overflow = false
  readonly #emit: (payload: Bytes) => void
  readonly #maxEventBytes: number
  /** The line that has not ended. */
  #line = ''
  /** Of the event that has not ended; null when it has no data line yet. */
  #data: Bytes | null = null
  #start: string | null = ''
  /** The last line ended with CR: an LF that follows belongs to it. */
  #afterCr = false

  constructor(maxEventBytes: number, emit: (payload: Bytes) => void) {
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
    if (!text.startsWith(DATA, from)) return
    const start = from + DATA.length
    const value = text.slice(text.charCodeAt(start) === 32 && start < to ? start + 1 : start, to)
    this.#data = this.#data === null ? value : `${this.#data}\n${value}`
    if (this.#data.length > this.#maxEventBytes) this.overflow = true
  }

  #dispatch() {
    const data = this.#data
    if (data === null) return
    this.#data = null
    if (data !== '') this.#emit(data)
  }
}
