/**
 * Reads one HTTP/1.1 response from binary strings, cut anywhere (RFC 9112). What is ambiguous is refused, because a
 * response that two readers frame differently ends in somebody else's answer.
 */
import type { Bytes } from '../../../core/record.ts'

export interface ResponseHead {
  readonly status: number
  /** Names in lower case; repeated headers joined by ", ". */
  readonly headers: ReadonlyMap<string, string>
  /** How the body is compressed, though nobody asked for it: it can't be read. */
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

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/

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
  #state: State = 'head'
  #line = ''
  #lineBytes = 0
  /** Bytes still to come of a body or chunk. */
  #left = 0
  #status = 0
  #minor = 1
  #headers = new Map<string, string>()
  #headerCount = 0
  #interim = 0

  constructor(sink: ResponseSink) {
    this.#sink = sink
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
    this.#lineBytes += till - from + 1
    const cap =
      this.#state === 'head' ? MAX_HEAD_BYTES : this.#state === 'trailers' ? MAX_TRAILER_BYTES : MAX_CHUNK_LINE_BYTES
    if (this.#lineBytes > cap) this.#break(this.#state === 'head' ? 'headers too large' : 'chunk framing too large')
    else if (end < 0) this.#line += text.slice(from)
    else {
      let line = this.#line === '' ? text.slice(from, end) : this.#line + text.slice(from, end)
      this.#line = ''
      if (line.charCodeAt(line.length - 1) === 13) line = line.slice(0, -1)
      this.#takeLine(line)
    }
    return end < 0 ? text.length : end + 1
  }

  #takeLine(line: string) {
    switch (this.#state) {
      case 'chunk-size': {
        this.#lineBytes = 0
        const size = chunkSize(line)
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
        if (line === '') this.#state = 'chunk-size'
        else this.#break('chunk longer than its size')
        return
      case 'trailers':
        if (line === '') this.#state = 'done'
        return
      default:
        this.#takeHeadLine(line)
    }
  }

  #takeHeadLine(line: string) {
    if (this.#status === 0) {
      const match = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/.exec(line)
      if (!match) return this.#break('not an HTTP/1.1 response')
      this.#minor = Number(match[1])
      this.#status = Number(match[2])
      return
    }
    if (line === '') return this.#endHead()
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase()
    if (!NAME.test(name) || CONTROL.test(line)) return this.#break('bad header')
    if (++this.#headerCount > MAX_HEADERS) return this.#break('too many headers')
    const value = trimmed(line, colon + 1)
    const known = this.#headers.get(name)
    this.#headers.set(name, known === undefined ? value : `${known}, ${value}`)
  }

  #endHead() {
    const status = this.#status
    const headers = this.#headers
    if (status < 200) {
      // 100 and 103 come before the response; 101 was not asked for
      if (status === 101 || ++this.#interim > MAX_INTERIM) return this.#break('unexpected interim response')
      this.#status = 0
      this.#headers = new Map()
      return
    }
    const connection = items(headers.get('connection')?.toLowerCase())
    this.reusable = this.#minor === 1 ? !connection.includes('close') : connection.includes('keep-alive')
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

/**
 * A header's value without the white space around it. By hand: a RegExp that does this tries each start of a long run.
 */
function trimmed(line: string, from: number): string {
  let to = line.length
  while (from < to && isBlank(line.charCodeAt(from))) from++
  while (to > from && isBlank(line.charCodeAt(to - 1))) to--
  return line.slice(from, to)
}

const isBlank = (c: number): boolean => c === 32 || c === 9
const items = (list = ''): string[] => list.split(',').map((item) => trimmed(item, 0))

/** Hexadecimal, then perhaps an extension, which is ignored; -1 when it is neither. */
function chunkSize(line: string): number {
  let size = 0
  let i = 0
  for (; i < line.length && i < 8; i++) {
    const c = line.charCodeAt(i)
    if (c >= 48 && c <= 57) size = size * 16 + c - 48
    else if (c >= 97 && c <= 102) size = size * 16 + c - 87
    else if (c >= 65 && c <= 70) size = size * 16 + c - 55
    else break
  }
  if (i === 0) return -1
  if (i === line.length) return size
  const next = line.charCodeAt(i)
  return next === 59 || next === 32 || next === 9 ? size : -1
}
