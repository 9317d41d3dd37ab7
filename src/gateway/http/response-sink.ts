/** What any sink of an HTTP response does: it is cut, or becomes an answer that is no stream. */
import type { ServerResponse } from 'node:http'
import type { SluiceError, WireError } from '../../core/errors.ts'
import type { Reply } from '../../core/ports/dialect.ts'
import { bytes, empty, type Headers } from './answer.ts'
import type { Exchange } from './exchange.ts'

export abstract class ResponseSink {
  /** Its headers are sent. */
  started = false
  protected ended = false
  protected readonly exchange: Exchange
  protected readonly response: ServerResponse
  /** Of whatever the answer becomes. */
  protected readonly headers: Headers

  constructor(exchange: Exchange, headers: Headers) {
    this.exchange = exchange
    this.response = exchange.response
    this.headers = headers
  }

  /** So that nobody takes a part for the whole. */
  cut(): void {
    this.ended = true
    this.response.destroy()
  }

  reply({ status, headers, body, type }: Reply, error?: WireError): void {
    if (this.started || this.ended) return
    this.ended = true
    this.exchange.told(error)
    const all = { ...this.headers, ...headers }
    this.exchange.send(body === '' ? empty(status, all) : bytes(status, body, all, type))
  }

  fail(error: SluiceError): void {
    if (this.started || this.ended) return
    this.ended = true
    this.exchange.fail(error, this.headers)
  }
}
