/**
 * An HTTP response that sends bytes of files as lines of a log tell that they are there: a sound, while it is made. One
 * that can't be sent whole is cut, so that nobody takes a part for the whole.
 */
import type { WireError } from '../../core/errors.ts'
import { type MediaRef, mediaOf } from '../../core/media.ts'
import type { EventSink } from '../../core/ports/delivery.ts'
import type { Files } from '../../core/ports/files.ts'
import type { Bytes } from '../../core/record.ts'
import type { Headers } from '../http/answer.ts'
import { isGone, room } from '../http/byte-stream.ts'
import type { Exchange } from '../http/exchange.ts'
import { ResponseSink } from '../http/response-sink.ts'
import { isFileOf } from './media.ts'

/** A client that takes nothing for this long is considered gone. */
const STALLED_MS = 30_000

/** Its headers are sent once there is something to send: they tell its type. */
export class FileStream extends ResponseSink implements EventSink {
  readonly #files: Files
  readonly #job: Parameters<typeof isFileOf>[1]
  readonly #failed: (error: unknown) => void
  #ref: MediaRef | null = null
  #sent: number
  #isWhole = false
  #pumping = false

  /** `from`: bytes that its client has. `failed`: told of what was unforeseen. */
  constructor(
    files: Files,
    job: Parameters<typeof isFileOf>[1],
    exchange: Exchange,
    headers: Headers,
    failed: (error: unknown) => void,
    from = 0,
  ) {
    super(exchange, headers)
    this.#files = files
    this.#job = job
    this.#failed = failed
    this.#sent = from
  }

  open(_onWritten: () => void, onClose: () => void): void {
    this.response.on('close', onClose)
  }

  /** Lines are taken at once: what they tell of is read from the store as its reader takes it. */
  get buffered(): number {
    return 0
  }

  start(): void {}

  write(lines: Bytes): void {
    if (this.ended) return
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
    if (this.response.headersSent) return false
    this.started = true
    this.response.setTimeout(STALLED_MS, () => void this.response.destroy())
    this.response.writeHead(200, {
      ...this.exchange.headers(this.headers),
      'content-type': ref.type,
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    this.response.flushHeaders()
    return true
  }

  async #pump(): Promise<void> {
    if (this.#pumping || this.ended) return
    this.#pumping = true
    const response = this.response
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
      if (!this.#isWhole || response.destroyed || this.ended) return
      this.ended = true
      response.end()
    } catch (error) {
      if (!isGone(error)) this.#failed(error)
      this.cut()
    } finally {
      this.#pumping = false
    }
    if (this.#ref !== null && this.#sent < this.#ref.bytes) void this.#pump()
  }

  end(lines: Bytes, error?: WireError): void {
    if (this.ended) return
    this.exchange.told(error)
    this.write(lines)
    // Whoever has a part of it must not take it for all
    if (!this.#isWhole || this.#ref === null) this.cut()
  }
}
