/** Reads one text/event-stream to its end, or until its reader leaves. */
import { SluiceError } from './errors.ts'
import type { Session } from './session.ts'

/** The server sends a comment every 15 s; after this much silence the connection is lost. */
const SILENT_MS = 45_000

export interface SseEvent {
  readonly id: string
  readonly event: string
  readonly data: string
}

/** Events of a text/event-stream, however its bytes are split (WHATWG HTML, section 9.2.6). */
export function sseParser(on: (event: SseEvent) => void): (text: string) => void {
  let rest = ''
  let id = ''
  let event = ''
  let data: string[] = []
  return (text) => {
    rest += text
    for (;;) {
      const end = rest.search(/\r\n|\n|\r/)
      // A CR at the very end may be half of a CRLF
      if (end < 0 || (rest[end] === '\r' && end === rest.length - 1)) return
      const line = rest.slice(0, end)
      rest = rest.slice(end + (rest[end] === '\r' && rest[end + 1] === '\n' ? 2 : 1))
      if (line === '') {
        if (data.length > 0) on({ id, event: event || 'message', data: data.join('\n') })
        event = ''
        data = []
        continue
      }
      const colon = line.indexOf(':')
      const name = colon < 0 ? line : line.slice(0, colon)
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (name === 'id') id = value
      else if (name === 'event') event = value
      else if (name === 'data') data.push(value)
    }
  }
}

export interface Reading {
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Of this request: aborted when the reading is over, or from outside. */
  readonly request: AbortController
  readonly onOpen: () => void
  readonly onEvent: (event: SseEvent) => void
  /** Is more wanted? Asked before each read that has to wait; a promise delays the reading. */
  readonly wantsMore?: () => boolean | Promise<boolean>
  /** Nothing is left to read, or the job is to be read again. */
  readonly isOver?: () => boolean
}

/** `empty`: there is nothing to read. `left`: no more was wanted. Throws SluiceError when it was cut. */
export async function readEvents(session: Session, reading: Reading): Promise<'empty' | 'left'> {
  const { request, wantsMore = () => true, isOver = () => false } = reading
  let silence: ReturnType<typeof setTimeout> | undefined
  const listen = (): void => {
    clearTimeout(silence)
    silence = setTimeout(() => request.abort(), SILENT_MS)
  }
  try {
    listen()
    const headers = { accept: 'text/event-stream', ...reading.headers }
    const response = await session.open('GET', reading.path, undefined, headers, request.signal)
    reading.onOpen()
    if (response.status === 204 || response.body === null) return 'empty'
    const feed = sseParser((event) => {
      if (!isOver()) reading.onEvent(event)
    })
    const decoder = new TextDecoder()
    const reader = response.body.getReader()
    for (;;) {
      const more = wantsMore()
      if (more !== true) {
        clearTimeout(silence)
        if (!(await more)) return 'left'
        listen()
      }
      const { done, value } = await reader.read()
      if (isOver()) return 'left'
      if (done) throw new SluiceError('connection_lost', 'The stream ended too early.', { retryable: true })
      listen()
      feed(decoder.decode(value, { stream: true }))
      if (isOver()) return 'left'
    }
  } catch (cause) {
    if (cause instanceof SluiceError) throw cause
    throw new SluiceError('connection_lost', 'The stream was cut.', { retryable: true, cause })
  } finally {
    clearTimeout(silence)
    request.abort()
  }
}
