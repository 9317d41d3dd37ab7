/** One HTTP request under way, and how it is answered. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import { retryHeaders, SluiceError } from '../../core/errors.ts'
import type { Dialect } from '../../core/ports/dialect.ts'
import { type Bytes, toBytes } from '../../core/record.ts'
import { readTraceparent, type Traceparent } from '../../core/trace.ts'
import { errorJson } from '../../core/wire.ts'
import type { Caller } from '../caller/caller.ts'
import type { Inflow } from './inflow.ts'

export type Headers = Readonly<Record<string, string>>
const NO_HEADERS: Headers = {}
const JSON_TYPE = 'application/json; charset=utf-8'

/**
 * A body this small that is still arriving when its request is refused is read and dropped; a larger one costs the
 * connection.
 */
const DROPPED_BODY_BYTES = 64 * 1024
/** How long a refused sender may keep sending, so that it can read the answer: a close with unread bytes is a reset. */
const LINGER_MS = 2_000

/** An answer beyond this is counted until its reader has it. */
const LARGE_ANSWER_BYTES = 64 * 1024
/** A reader of a large answer that takes nothing for so long is gone. */
const STALLED_MS = 30_000

export class Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  readonly cors: Headers
  readonly clock: Clock
  /** Monotonic ms. */
  readonly startedAt: number
  readonly #onFault: (error: unknown, requestId: string) => void
  /** Of its client; echoed. Null: it is in no trace. */
  readonly trace: Traceparent | null
  caller: Caller | null = null
  /** What it was answered with, or cut off for. */
  failure: SluiceError | null = null
  /** When the client closed its side; Infinity: it has not. */
  peerEndedMono = Infinity
  /** Its path in the route table, once it is found. */
  route: string | null = null
  /** How its route spells errors. */
  errorForm: Dialect['error'] = errorJson
  /** Throws when its caller is let in no more. */
  check: () => void = () => {}
  /** Counts the bytes of its body while it comes; null: nobody counts them. */
  inflow: Inflow | null = null
  /** Counts the bytes of large answers until they are read; null: nobody counts them. */
  outflow: Inflow | null = null
  params: Readonly<Record<string, string>> = NO_HEADERS
  query: Readonly<Record<string, unknown>> = NO_HEADERS

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    cors: Headers,
    clock: Clock,
    onFault: (error: unknown, requestId: string) => void,
  ) {
    this.request = request
    this.response = response
    this.requestId = requestId
    this.cors = cors
    this.clock = clock
    this.startedAt = clock.monoMs()
    this.trace = readTraceparent(request.headers['traceparent'])
    this.#onFault = onFault
  }

  /** How long ago the client closed its side, ms. */
  get peerGoneMs(): number {
    return Math.max(0, this.clock.monoMs() - this.peerEndedMono)
  }

  /** A header's value; of repeated ones the first, or their list as node joins it. */
  header(name: string): string | undefined {
    const value = this.request.headers[name]
    return Array.isArray(value) ? value[0] : value
  }

  /** A query parameter; undefined when it is absent, an error when it has two values. */
  parameter(name: string): string | undefined {
    const value = this.query[name]
    if (value === undefined || typeof value === 'string') return value
    throw new SluiceError('invalid_request', { param: name, message: `The query has two values for "${name}".` })
  }

  /** Whole and in range, or undefined when absent. */
  integer(name: string, min: number, max: number): number | undefined {
    const text = this.parameter(name)
    if (text === undefined) return undefined
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new SluiceError('invalid_request', {
      param: name,
      message: `"${name}" must be a whole number from ${min} to ${max}.`,
    })
  }

  /** Headers that every answer carries. */
  headers(more: Headers = NO_HEADERS): Record<string, string> {
    const { requestId, trace } = this
    return { 'x-request-id': requestId, ...(trace !== null && { traceparent: trace }), ...this.cors, ...more }
  }

  json(status: number, value: unknown, more: Headers = NO_HEADERS): void {
    this.bytes(status, toBytes(JSON.stringify(value)), more)
  }

  bytes(status: number, body: Bytes, more: Headers = NO_HEADERS, type = JSON_TYPE): void {
    const { response } = this
    if (response.headersSent || response.destroyed) return
    if (body.length > LARGE_ANSWER_BYTES && !this.#holds(body.length)) return
    const head = [
      'content-type',
      type,
      'content-length',
      String(body.length),
      'cache-control',
      'no-store',
      'x-request-id',
      this.requestId,
    ]
    if (this.trace !== null) head.push('traceparent', this.trace)
    for (const name in this.cors) head.push(name, this.cors[name])
    for (const name in more) head.push(name, more[name])
    response.writeHead(status, head)
    response.end(body, 'latin1')
  }

  /** Counts a large answer. False: its caller leaves too many unread, and was told so instead. */
  #holds(bytes: number): boolean {
    const { outflow, caller, response } = this
    if (outflow === null || caller === null) return true
    const holding = outflow.open(caller)
    const counted = Math.min(bytes, outflow.most(caller))
    // What a key's own backend has had made is not refused: it would be made, and paid, twice
    if (this.request.method === 'POST' && caller.session === null) holding.take(counted)
    else
      try {
        holding.hold(counted)
      } catch (thrown) {
        this.fail(thrown)
        return false
      }
    response.once('close', () => holding.hold(0))
    response.setTimeout(STALLED_MS, () => void response.destroy())
    return true
  }

  empty(status: number, more: Headers = NO_HEADERS): void {
    const { response } = this
    if (response.headersSent || response.destroyed) return
    response.writeHead(status, this.headers(more))
    response.end()
  }

  /** Its caller is let in no more: told so where nothing has been sent, else cut off. */
  sendAway(error: SluiceError): void {
    if (this.response.headersSent) this.response.destroy()
    else this.fail(error)
  }

  /** Answers with whatever was thrown. The details of what was not foreseen go to the operator, not to the client. */
  fail(thrown: unknown, more: Headers = NO_HEADERS): void {
    if (thrown instanceof Aborted) return
    const error = SluiceError.from(thrown)
    this.failure = error
    if (error.code === 'internal') this.#onFault(error.cause ?? error, this.requestId)
    const { request, response } = this
    if (response.headersSent || response.destroyed) return
    const body = this.errorForm(error.wire)
    const headers = { ...errorHeaders(error), ...more }
    const { socket } = response
    if (!hasLargeBodyToCome(request) || socket === null) {
      this.bytes(error.status, body, headers)
      return
    }
    socket.end(rawAnswer(error.status, body, this.headers(headers)), 'latin1')
    request.resume()
    const cut = this.clock.after(LINGER_MS, () => socket.destroy())
    socket.once('close', cut)
  }
}

/** Who left before its request was whole gets no answer. */
export class Aborted extends Error {}

/** A call of somebody known. */
export type KeyCall = Call & { readonly caller: Caller }

/** Headers of an error: may it be tried again, and on this connection? */
export const errorHeaders = (error: SluiceError): Headers => ({
  ...retryHeaders(error),
  ...(error.code === 'draining' ? { connection: 'close' } : {}),
})

function hasLargeBodyToCome(request: IncomingMessage): boolean {
  if (request.complete) return false
  return (
    request.headers['transfer-encoding'] !== undefined ||
    Number(request.headers['content-length'] ?? 0) > DROPPED_BODY_BYTES
  )
}

/** The whole answer as bytes for the socket, where node's own ServerResponse does not reach. Ends the connection. */
export function rawAnswer(status: number, body: Bytes, headers: Headers): Bytes {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n`
  head += `content-type: ${JSON_TYPE}\r\ncontent-length: ${body.length}\r\n`
  for (const name in headers) if (name !== 'connection') head += `${name}: ${headers[name]}\r\n`
  return `${head}connection: close\r\n\r\n${body}`
}
