/** One HTTP request and its response, from the first byte to the last: how it is answered, and what becomes of it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import { codeOf, type ErrorCode, retryHeaders, SluiceError, type WireError } from '../../core/errors.ts'
import type { Role } from '../../core/live.ts'
import type { Spelling } from '../../core/ports/dialect.ts'
import type { Bytes } from '../../core/record.ts'
import { type BeginSpan, readTraceparent, type Traceparent } from '../../core/trace.ts'
import { errorJson, msText } from '../../core/wire.ts'
import type { Caller } from '../caller/caller.ts'
import { type Answer, bytes, type Headers, JSON_TYPE, NO_HEADERS } from './answer.ts'
import type { Inflow } from './inflow.ts'
import { STATUS_CODES } from './node-http.ts'
import { refusalHeaders } from './rate-limit.ts'

/**
 * A body this small that is still arriving when its request is refused is read and dropped; a larger one costs the
 * connection.
 */
const DROPPED_BODY_BYTES = 64 * 1024
/** How long a refused sender may keep sending, so that it can read the answer: a close with unread bytes is a reset. */
const LINGER_MS = 2_000

/** A larger answer is counted until its reader has it. */
const LARGE_ANSWER_BYTES = 64 * 1024
/** A reader of a large answer that takes nothing for this long is considered gone. */
const STALLED_MS = 30_000

/** What all exchanges are given. */
export interface ExchangeDeps {
  readonly clock: Clock
  /** An unexpected error. */
  readonly onFault: (error: unknown, requestId: string) => void
  /** Counts the bytes of large answers until they are read. */
  readonly outflow: Inflow
  readonly beginSpan: BeginSpan | null
  readonly phase: { readonly isStopping: boolean }
}

/** '': nobody knows. */
export interface ServerTiming {
  text(): string
}

export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  /** Of its client, or of the request's own span; echoed. Null: it is in no trace. */
  trace: Traceparent | null = null
  /** Of its own span; absent: it has none. */
  parentSpan?: string | null
  readonly cors: Headers
  readonly startedMono: number
  /** What its client took to send the body, from when it was asked for. */
  uploadMs = 0
  /** When the client closed its side; Infinity: still open. */
  peerEndedMono = Infinity
  /** What it was answered with, or cut off for. */
  failure: SluiceError | null = null
  /** Of the job, where its answer tells that it has not ended well; absent: it does not. */
  jobCode?: ErrorCode
  /** Once they are known; null if it was refused before. */
  route: { readonly method: string; readonly path: string } | null = null
  /** How answers at its path are spelled; absent: as Sluice does. */
  spelling?: Spelling | undefined
  caller: Caller | null = null
  /** Where the time until now went, for `server-timing`; null: nobody knows. Asked once. */
  timing: ServerTiming | null = null
  /** Of an operator; null: it is none. */
  role: Role | null = null
  /** By the dashboard's cookie, not by the admin key. */
  isSignedIn = false
  /** Which session that is, by its digest. */
  session: string | null = null
  readonly #deps: ExchangeDeps
  readonly #onClose: Array<() => void> = []

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    cors: Headers,
    deps: ExchangeDeps,
  ) {
    this.request = request
    this.response = response
    this.requestId = requestId
    this.cors = cors
    this.startedMono = deps.clock.monoMs()
    this.#deps = deps
    const given = readTraceparent(request.headers['traceparent'])
    if (given !== null) this.#trace(given)
    response.on('close', () => {
      for (const fn of this.#onClose) fn()
    })
  }

  /** What it submits is traced, whoever asks; other requests only where their client does. */
  traced(): Traceparent | null {
    if (this.trace === null) this.#trace(null)
    return this.trace
  }

  #trace(given: Traceparent | null): void {
    const { beginSpan } = this.#deps
    this.trace = given
    if (beginSpan === null) return
    const { trace, parent } = beginSpan(given)
    this.trace = trace
    this.parentSpan = parent
  }

  /** When its response is whole, or its connection gone; in the order in which they were asked for. */
  onClose(fn: () => void): void {
    this.#onClose.push(fn)
  }

  /** How long ago the client closed its side, ms. */
  get peerGoneMs(): number {
    return Math.max(0, this.#deps.clock.monoMs() - this.peerEndedMono)
  }

  get tookMs(): number {
    return this.#deps.clock.monoMs() - this.startedMono
  }

  #serverTiming(): string {
    const known = this.timing?.text() ?? ''
    // It leads to the job, and a connection that is kept leads here
    this.timing = null
    const upload = this.uploadMs < 1 ? '' : `upload;dur=${msText(this.uploadMs)}, `
    const total = `${upload}total;dur=${msText(this.tookMs)}`
    return known === '' ? total : `${known}, ${total}`
  }

  /** Its answer is of a job that has ended so; absent: well, or not at all. */
  told(error: WireError | undefined): void {
    if (error !== undefined) this.jobCode = codeOf(error)
  }

  /** `more`, and those that every answer carries: its head is written at once. */
  headers(more: Headers = NO_HEADERS): Record<string, string> {
    this.#endKept()
    const { requestId, trace } = this
    const idHeader = this.spelling?.idHeader
    const timing = this.#serverTiming()
    return {
      'x-request-id': requestId,
      ...(idHeader !== undefined && { [idHeader]: requestId }),
      'server-timing': timing,
      ...(trace !== null && { traceparent: trace }),
      ...this.cors,
      ...more,
    }
  }

  /** Whoever has it open goes elsewhere with the next request, and is told before it sends that. */
  #endKept(): void {
    if (this.#deps.phase.isStopping) this.response.shouldKeepAlive = false
  }

  /** Does nothing if there is an answer already, or nobody left to read it. */
  send({ status, body, type, headers }: Answer): void {
    const { response } = this
    if (response.headersSent || response.destroyed) return
    if (body === null) {
      response.writeHead(status, this.headers(headers))
      response.end()
      return
    }
    if (body.length > LARGE_ANSWER_BYTES && !this.#holds(body.length)) return
    const head = [
      'content-type',
      type,
      'content-length',
      String(body.length),
      'cache-control',
      headers['cache-control'] ?? 'no-store',
      'x-request-id',
      this.requestId,
      'server-timing',
      this.#serverTiming(),
    ]
    const idHeader = this.spelling?.idHeader
    if (idHeader !== undefined) head.push(idHeader, this.requestId)
    if (this.trace !== null) head.push('traceparent', this.trace)
    for (const name in this.cors) head.push(name, this.cors[name])
    for (const name in headers) if (name !== 'cache-control') head.push(name, headers[name])
    this.#endKept()
    response.writeHead(status, head)
    response.end(body, 'latin1')
  }

  /** Counts a large answer. False: its caller leaves too many unread, and got that error instead. */
  #holds(size: number): boolean {
    const { caller, response } = this
    if (caller === null) return true
    const { outflow } = this.#deps
    const holding = outflow.open(caller)
    const counted = Math.min(size, outflow.most(caller))
    // An answer for a key's own backend is not refused: it would be generated, and paid for, twice
    if (this.request.method === 'POST' && caller.session === null) holding.take(counted)
    else
      try {
        holding.hold(counted)
      } catch (thrown) {
        this.fail(thrown)
        return false
      }
    this.onClose(() => holding.hold(0))
    response.setTimeout(STALLED_MS, () => void response.destroy())
    return true
  }

  /** Its caller is no longer valid: gets the error if nothing has been sent, otherwise the connection is cut. */
  sendAway(error: SluiceError): void {
    if (this.response.headersSent) this.response.destroy()
    else this.fail(error)
  }

  /** Answers with whatever was thrown. Details of an unexpected error go to the operator, not to the client. */
  fail(thrown: unknown, more: Headers = NO_HEADERS): void {
    if (thrown instanceof Aborted) return
    const error = SluiceError.from(thrown)
    this.failure = error
    if (error.code === 'internal') this.#deps.onFault(error.cause ?? error, this.requestId)
    const { request, response } = this
    if (response.headersSent || response.destroyed) return
    const { spelling } = this
    const body = spelling === undefined ? errorJson(error.wire) : spelling.error(error.wire)
    const type = spelling?.errorType
    const own = errorHeaders(error)
    const headers = more === NO_HEADERS ? own : { ...own, ...more }
    const { socket } = response
    if (!hasLargeBodyToCome(request) || socket === null) {
      this.send(bytes(error.status, body, headers, type))
      return
    }
    socket.end(rawAnswer(error.status, body, this.headers(headers), type), 'latin1')
    request.resume()
    const cut = this.#deps.clock.after(LINGER_MS, () => socket.destroy())
    socket.once('close', cut)
  }
}

/** The peer left before its request was complete: there is no answer. */
export class Aborted extends Error {}

/** May the request be tried again, and on this connection? What is left of what refused it? */
export function errorHeaders(error: SluiceError): Headers {
  const headers = retryHeaders(error)
  if (error.code === 'draining') return { ...headers, connection: 'close' }
  return error.limit === undefined ? headers : { ...headers, ...refusalHeaders(error.limit) }
}

function hasLargeBodyToCome(request: IncomingMessage): boolean {
  if (request.complete) return false
  return (
    request.headers['transfer-encoding'] !== undefined ||
    Number(request.headers['content-length'] ?? 0) > DROPPED_BODY_BYTES
  )
}

/** The whole answer as bytes for the socket, where node's own ServerResponse does not reach. Ends the connection. */
export function rawAnswer(status: number, body: Bytes, headers: Headers, type = JSON_TYPE): Bytes {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n`
  head += `content-type: ${type}\r\ncontent-length: ${body.length}\r\n`
  for (const name in headers) if (name !== 'connection') head += `${name}: ${headers[name]}\r\n`
  return `${head}connection: close\r\n\r\n${body}`
}
