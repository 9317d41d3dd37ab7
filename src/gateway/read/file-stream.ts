/**
 * An HTTP response that sends bytes of files as lines of a log tell that they are there: a sound, while it is made. One
 * that can't be sent whole is cut, so that nobody takes a part for the whole.
 */
import type { ServerResponse } from 'node:http'
import type { SluiceError, WireError } from '../../core/errors.ts'
import { type MediaRef, mediaOf } from '../../core/media.ts'
import type { EventSink } from '../../core/ports/delivery.ts'
import type { Reply } from '../../core/ports/dialect.ts'
import type { Files } from '../../core/ports/files.ts'
import type { Bytes } from '../../core/record.ts'
import { bytes, empty, type Headers } from '../http/answer.ts'
import { room } from '../http/byte-stream.ts'
import type { Exchange } from '../http/exchange.ts'
import { isFileOf } from './media.ts'

/** A client that takes nothing for this long is considered gone. */
const STALLED_MS = 30_000

export class FileStream implements EventSink {
  /** Its headers are sent once there is something to send: they tell its type. */
  started = false
  readonly #files: Files
  readonly #job: Parameters<typeof isFileOf>[1]
  readonly #exchange: Exchange
  readonly #response: ServerResponse
  readonly #headers: Headers
  readonly #failed: (error: unknown) => void
  #ref: MediaRef | null = null
  #sent: number
  #isWhole = false
  #pumping = false
  #ended = false

  /** `from`: bytes that its client has. `failed`: told of what was unforeseen. */
  constructor(
    files: Files,
    job: Parameters<typeof isFileOf>[1],
    exchange: Exchange,
    headers: Headers,
    failed: (error: unknown) => void,
    from = 0,
  ) {
    this.#files = files
    this.#job = job
    this.#exchange = exchange
    this.#response = exchange.response
    this.#headers = headers
    this.#failed = failed
    this.#sent = from
  }

  open(_onWritten: () => void, onClose: () => void): void {
    this.#response.on('close', onClose)
  }

  /** Lines are taken at once: what they tell of is read from the store as its reader takes it. */
  get buffered(): number {
    return 0
  }

  start(): void {}

  write(lines: Bytes): void {
    if (this.#ended) return
    for (const line of lines.split('\n')) {
      const ref = mediaOf(line)
      if (ref !== null && !this.#grown(ref)) return this.cut()
      if (line === 'done') this.#isWhole = true
    }
    void this.#pump()
  }

  /** False: it is another file, and bytes of the one before it were sent. */
  #grown(ref: MediaRef): boolean {
    if (this.#ref !== null && this.#ref.file !== ref.file) return false
    this.#ref = ref
    if (this.started) return true
    if (this.#response.headersSent) return false
    this.started = true
    this.#response.setTimeout(STALLED_MS, () => void this.#response.destroy())
    this.#response.writeHead(200, {
      ...this.#exchange.headers(this.#headers),
      'content-type': ref.type,
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    this.#response.flushHeaders()
    return true
  }

  async #pump(): Promise<void> {
    if (this.#pumping || this.#ended) return
    this.#pumping = true
    const response = this.#response
    try {
      while (this.#ref !== null && this.#sent < this.#ref.bytes && !response.destroyed) {
        const { file, bytes: until } = this.#ref
        if (!isFileOf(await this.#files.get(file), this.#job)) throw new Error('a log refers to a file of another job')
        for await (const chunk of this.#files.read(file, this.#sent, until)) {
          if (response.destroyed) return
          this.#sent += chunk.length
          if (!response.write(chunk)) await room(response)
        }
      }
      if (!this.#isWhole || response.destroyed || this.#ended) return
      this.#ended = true
      response.end()
    } catch (error) {
      this.#failed(error)
      this.cut()
    } finally {
      this.#pumping = false
    }
    if (this.#ref !== null && this.#sent < this.#ref.bytes) void this.#pump()
  }

  end(lines: Bytes, error?: WireError): void {
    if (this.#ended) return
    this.#exchange.told(error)
    this.write(lines)
    // Whoever has a part of it must not take it for all
    if (!this.#isWhole || this.#ref === null) this.cut()
  }

  cut(): void {
    this.#ended = true
    this.#response.destroy()
  }

  reply({ status, headers, body, type }: Reply, error?: WireError): void {
    if (this.started || this.#ended) return
    this.#ended = true
    this.#exchange.told(error)
    const all = { ...this.#headers, ...headers }
    this.#exchange.send(body === '' ? empty(status, all) : bytes(status, body, all, type))
  }

  fail(error: SluiceError): void {
    if (this.started || this.#ended) return
    this.#ended = true
    this.#exchange.fail(error, this.#headers)
  }
}
