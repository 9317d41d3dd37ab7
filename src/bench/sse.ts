/**
 * Server-sent events, as text that is cut anywhere: lines end with LF, CRLF or CR, an event with an empty line
 * (WHATWG HTML, "Server-sent events"). One that the body's end cuts short of its empty line counts, as many upstreams
 * forget the last one.
 */
export interface SseEvents {
  /** `data`: of all its data lines. */
  event(data: string, name: string): void
  comment(text: string): void
}

/** Of a line, or of an event of several lines. */
const MAX_EVENT_CHARS = 8 << 20

export class SseLines {
  /** A line, or an event, was too long: what follows is not read. */
  overflow = false
  readonly #events: SseEvents
  #line = ''
  /** Null: the event that is being read has no data line yet. */
  #data: string | null = null
  #name = ''
  /** The last line ended with CR: an LF that follows belongs to it. */
  #afterCr = false

  constructor(events: SseEvents) {
    this.#events = events
  }

  feed(text: string): void {
    if (this.overflow || text === '') return
    if (this.#afterCr && text.charCodeAt(0) === 10) text = text.slice(1)
    this.#afterCr = text.charCodeAt(text.length - 1) === 13
    if (text.includes('\r')) text = text.replace(/\r\n?/g, '\n')
    let from = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      this.#take(this.#line + text.slice(from, end))
      this.#line = ''
      from = end + 1
    }
    this.#line += text.slice(from)
    if (this.#line.length + (this.#data?.length ?? 0) > MAX_EVENT_CHARS) this.overflow = true
  }

  end(): void {
    if (this.#line !== '') this.#take(this.#line)
    this.#line = ''
    this.#take('')
  }

  #take(line: string): void {
    if (line === '') return this.#dispatch()
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1)
    if (field === '') this.#events.comment(value)
    else if (field === 'event') this.#name = value
    else if (field === 'data') this.#data = this.#data === null ? value : `${this.#data}\n${value}`
  }

  #dispatch(): void {
    const data = this.#data
    const name = this.#name
    this.#data = null
    this.#name = ''
    if (data !== null && data !== '') this.#events.event(data, name)
  }
}
