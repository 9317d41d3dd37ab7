/** A stream of events with bytes of files in them, in base64: these are read as its reader takes them. */
import type { WireError } from '../../core/errors.ts'
import { GAP } from '../../core/media.ts'
import type { EventSink } from '../../core/ports/delivery.ts'
import type { StreamWire } from '../../core/ports/dialect.ts'
import type { Files } from '../../core/ports/files.ts'
import type { Bytes } from '../../core/record.ts'
import type { Headers } from '../http/answer.ts'
import { isGone, room } from '../http/byte-stream.ts'
import { streamHeaders } from '../http/event-stream.ts'
import type { Exchange } from '../http/exchange.ts'
import { ResponseSink } from '../http/response-sink.ts'
import { base64Of, isFileOf } from './media.ts'

/** A client that takes nothing for this long is considered gone. */
const STALLED_MS = 30_000
const ignore = (): void => {}

interface FileEventsOptions {
  readonly headers: Headers
  readonly wire: StreamWire
  /** Told of what was unforeseen. */
  readonly failed: (error: unknown) => void
}

export class FileEvents extends ResponseSink implements EventSink {
  readonly #files: Files
  readonly #job: Parameters<typeof isFileOf>[1]
  readonly #options: FileEventsOptions
  /** Texts, and between each two of an event: a gap. */
  readonly #waiting: Bytes[] = []
  #waitingBytes = 0
  #isLast = false
  #pumping = false
  #onWritten: () => void = ignore

  constructor(files: Files, job: Parameters<typeof isFileOf>[1], exchange: Exchange, options: FileEventsOptions) {
    super(exchange, options.headers)
    this.#files = files
    this.#job = job
    this.#options = options
  }

  open(onWritten: () => void, onClose: () => void): void {
    this.#onWritten = onWritten
    this.response.on('close', onClose)
  }

  get buffered(): number {
    return this.#waitingBytes + this.response.writableLength
  }

  start(): void {
    if (this.started || this.ended) return
    // Its caller was sent away meanwhile
    if (this.response.headersSent) {
      this.ended = true
      return
    }
    this.started = true
    this.response.setTimeout(STALLED_MS, () => void this.response.destroy())
    this.response.writeHead(200, { ...this.exchange.headers(this.headers), ...streamHeaders(this.#options.wire) })
    this.response.flushHeaders()
  }

  write(events: Bytes): void {
    this.start()
    if (this.ended || this.#isLast) return
    this.#waiting.push(events)
    this.#waitingBytes += events.length
    void this.#pump()
  }

  end(events: Bytes, error?: WireError): void {
    if (this.ended) return
    this.exchange.told(error)
    this.write(events)
    this.#isLast = true
    void this.#pump()
  }

  async #pump(): Promise<void> {
    if (this.#pumping || this.ended) return
    this.#pumping = true
    const { response } = this
    try {
      for (let events = this.#waiting.shift(); events !== undefined; events = this.#waiting.shift()) {
        for (const [i, piece] of events.split(GAP).entries())
          if (i % 2 === 1) await this.#fill(piece)
          else if (piece !== '' && !response.write(piece, 'latin1')) await room(response)
        this.#waitingBytes -= events.length
        if (response.destroyed || this.ended) return
        this.#onWritten()
      }
      if (!this.#isLast) return
      this.ended = true
      response.end()
    } catch (error) {
      if (!isGone(error)) this.#options.failed(error)
      this.cut()
    } finally {
      this.#pumping = false
    }
  }

  async #fill(gap: Bytes): Promise<void> {
    const [file, from, to] = gap.split(' ')
    if (!isFileOf(await this.#files.get(file), this.#job)) throw new Error('a log refers to a file of another job')
    for await (const text of base64Of(this.#files, file, Number(from), Number(to))) {
      if (this.response.destroyed) return
      if (!this.response.write(text)) await room(this.response)
    }
  }
}
