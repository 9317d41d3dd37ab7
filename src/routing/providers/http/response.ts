/**
 * Reads one HTTP/1.1 response from binary strings, cut anywhere (RFC 9112). What is ambiguous is refused, because a
 * response that two readers frame differently ends in somebody else's answer.
 */
import { type Bytes, copyOf } from '../../../core/record.ts'
import { HeaderNames, isControl, items, nameEnd, trimmed } from './headers.ts'

export interface ResponseHead {
  readonly status: number
  /** Those that are wanted. Names in lower case; repeated headers joined by ", ". */
  readonly headers: ReadonlyMap<string, string>
  /** The content encoding, which nobody asked for: the body can't be read. */
  readonly coding?: string
}

export interface ResponseSink {
  head(head: ResponseHead): void
  /** Pieces of the body, in order, without its framing. */
  body(text: Bytes): void
}

const MAX_HEAD_BYTES = 64 * 1024
const MAX_HEADERS = 256
const MAX_CHUNK_LINE_BYTES = 4 * 1024
const MAX_TRAILER_BYTES = 16 * 1024
const MAX_INTERIM = 16

/** Headers that decide how a response is framed, and how long its connection may be used. */
const FRAMING = ['connection', 'content-length', 'transfer-encoding', 'content-encoding', 'keep-alive']
const NO_HEADERS: ReadonlyMap<string, string> = new Map()

/** The names that a reader keeps, made once for all of a client's responses. */
export const wantedHeaders = (names: readonly string[]): HeaderNames => new HeaderNames([...FRAMING, ...names])

type State =
  | 'head'
  /** A body of known length. */
  | 'length'
  | 'chunk-size'
  | 'chunk'
  /** The line end after a chunk. */
  | 'chunk-end'
  | 'trailers'
  /** A body that lasts until the connection ends. */
  | 'until-close'
  | 'done'
  | 'broken'

export class ResponseReader {
  /** What is wrong with the response, once it is. */
  fault: string | null = null
  /** Once done: may the connection carry another request? */
  reusable = false
  readonly #sink: ResponseSink
  readonly #wanted: HeaderNames
  #state: State = 'head'
  #line = ''
  #lineBytes = 0
  /** Bytes still to come of a body or chunk. */
  #left = 0
  #status = 0
  #minor = 1
  #headers: Map<string, string> | null = null
  #headerCount = 0
  #interim = 0

  constructor(sink: ResponseSink, wanted: HeaderNames) {
    this.#sink = sink
    this.#wanted = wanted
  }

  get done(): boolean {
    return this.#state === 'done'
  }

  /** The connection ended. Is the response complete? */
  end(): boolean {
    if (this.#state === 'until-close') this.#state = 'done'
    return this.#state === 'done'
  }

  /** Nothing more is handed over. */
  stop() {
    this.#state = 'broken'
  }

  /** Index after the last byte of this response. Look at `fault` and `done` then. */
  feed(text: Bytes): number {
    let i = 0
    while (i < text.length) {
      switch (this.#state) {
        case 'length':
        case 'chunk': {
          const take = Math.min(this.#left, text.length - i)
          this.#left -= take
          const piece = take === text.length ? text : text.slice(i, i + take)
          i += take
          // The state moves first: the sink may stop us
          if (this.#left === 0) this.#state = this.#state === 'chunk' ? 'chunk-end' : 'done'
          this.#sink.body(piece)
          break
        }
        case 'until-close':
          this.#sink.body(i === 0 ? text : text.slice(i))
          return text.length
        case 'done':
        case 'broken':
          return i
        default:
          i = this.#feedLine(text, i)
      }
    }
    return i
  }

  #feedLine(text: Bytes, from: number): number {
    const end = text.indexOf('\n', from)
    const till = end < 0 ? text.length : end
    this.#lineBytes += till - from + (end < 0 ? 0 : 1)
    const cap =
      this.#state === 'head' ? MAX_HEAD_BYTES : this.#state === 'trailers' ? MAX_TRAILER_BYTES : MAX_CHUNK_LINE_BYTES
    if (this.#lineBytes > cap) this.#break(this.#state === 'head' ? 'headers too large' : 'chunk framing too large')
    else if (end < 0) this.#line += text.slice(from)
    else if (this.#line !== '') {
      const line = this.#line + text.slice(from, end)
      this.#line = ''
      this.#takeLine(line, 0, line.length)
    } else this.#takeLine(text, from, end)
    return end < 0 ? text.length : end + 1
  }

  /** The line from `from` to `end`, without its line end. */
  #takeLine(text: string, from: number, end: number) {
    const to = end > from && text.charCodeAt(end - 1) === 13 ? end - 1 : end
    if (this.#state === 'head') return this.#takeHeadLine(text, from, to)
    const isEmpty = to === from
    switch (this.#state) {
      case 'chunk-size': {
        this.#lineBytes = 0
        const size = chunkSize(text, from, to)
        if (size < 0) this.#break('bad chunk size')
        else if (size === 0) this.#state = 'trailers'
        else {
          this.#left = size
          this.#state = 'chunk'
        }
        return
      }
      case 'chunk-end':
        this.#lineBytes = 0
        if (isEmpty) this.#state = 'chunk-size'
        else this.#break('chunk longer than its size')
        return
      case 'trailers':
        if (isEmpty) this.#state = 'done'
    }
  }

  #takeHeadLine(text: string, from: number, to: number) {
    if (this.#status === 0) return this.#takeStatus(text, from, to)
    if (to === from) return this.#endHead()
    const colon = nameEnd(text, from, to)
    if (colon < 0) return this.#break('bad header')
    for (let i = colon + 1; i < to; i++) if (isControl(text.charCodeAt(i))) return this.#break('bad header')
    if (++this.#headerCount > MAX_HEADERS) return this.#break('too many headers')
    const name = this.#wanted.find(text, from, colon)
    if (name === null) return
    const value = copyOf(trimmed(text, colon + 1, to))
    this.#headers ??= new Map()
    const known = this.#headers.get(name)
    this.#headers.set(name, known === undefined ? value : `${known}, ${value}`)
  }

  #takeStatus(text: string, from: number, to: number) {
    const match = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/.exec(text.slice(from, to))
    if (!match) return this.#break('not an HTTP/1.1 response')
    this.#minor = Number(match[1])
    this.#status = Number(match[2])
  }

  #endHead() {
    const status = this.#status
    const headers = this.#headers ?? NO_HEADERS
    if (status < 200) {
      // 100 and 103 come before the response; 101 was not asked for
      if (status === 101 || ++this.#interim > MAX_INTERIM) return this.#break('unexpected interim response')
      this.#status = 0
      this.#headers = null
      return
    }
    const connection = headers.get('connection')?.toLowerCase()
    const says = (word: string): boolean => connection !== undefined && items(connection).includes(word)
    this.reusable = this.#minor === 1 ? !says('close') : says('keep-alive')
    const coding = headers.get('transfer-encoding')
    const length = headers.get('content-length')
    this.#lineBytes = 0
    if (status === 204 || status === 304) this.#state = 'done'
    else if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked' || this.#minor === 0) return this.#break('unknown transfer-encoding')
      // Both: chunked holds, and nobody knows what the next reader thinks
      if (length !== undefined) this.reusable = false
      this.#state = 'chunk-size'
    } else if (length !== undefined) {
      const [first, ...others] = items(length)
      if (!/^\d{1,15}$/.test(first) || others.some((other) => other !== first)) return this.#break('bad content-length')
      this.#left = Number(first)
      this.#state = this.#left === 0 ? 'done' : 'length'
    } else {
      this.reusable = false
      this.#state = 'until-close'
    }
    this.#sink.head({ status, headers })
  }

  #break(fault: string) {
    this.fault = fault
    this.reusable = false
    this.#state = 'broken'
  }
}

/** Hexadecimal, then perhaps an extension, which is ignored; -1 when it is neither. */
function chunkSize(text: string, from: number, to: number): number {
  let size = 0
  let i = from
  for (; i < to && i < from + 8; i++) {
    const c = text.charCodeAt(i)
    if (c >= 48 && c <= 57) size = size * 16 + c - 48
    else if (c >= 97 && c <= 102) size = size * 16 + c - 87
    else if (c >= 65 && c <= 70) size = size * 16 + c - 55
    else break
  }
  if (i === from) return -1
  if (i === to) return size
  const next = text.charCodeAt(i)
  return next === 59 || next === 32 || next === 9 ? size : -1
}
