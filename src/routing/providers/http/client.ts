/**
 * A small HTTP/1.1 client for token streams. What it does that general clients do not: all sockets read into one
 * buffer, bodies come as binary strings, and a socket can be left unread, so that under load one read brings the
 * tokens of a whole window (gathering). No object, timer or promise per token. It follows no redirect.
 */
import type { Clock, Wheel } from '../../../core/clock.ts'
import type { Bytes } from '../../../core/record.ts'
import { Slots } from '../../../core/table.ts'
import { type ConnectionEvents, createConnector, type Wire } from './connect.ts'
import { type HeaderNames, items } from './headers.ts'
import { type Origin, type OutboundProxy, targetOf } from './origin.ts'
import { type ResponseHead, ResponseReader, type ResponseSink, wantedHeaders } from './response.ts'
import { Sweep, type Swept } from './sweep.ts'

export type { ResponseHead } from './response.ts'

export interface HttpClientOptions {
  readonly origin: Origin
  readonly proxy: OutboundProxy | null
  /** PEM text of the authorities to trust instead of the system's. */
  readonly ca: string | null
  readonly clock: Clock
  readonly wheel: Wheel
  /** How long a socket is left unread after a read; 0 = read what comes. Asked after each read. */
  readonly gatherMs: () => number
  readonly connectTimeoutMs: number
  /** Names, in lower case, of the response headers that its users read. */
  readonly headers: readonly string[]
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  /** Below the base URL: "/chat/completions". */
  readonly route: string
  /** Header lines, each ended by CRLF; without host, framing and accept-encoding. */
  readonly headers: string
  readonly body: Uint8Array | null
  /** A body of this many bytes, sent as its peer takes it, instead of `body`. It can't be sent twice. */
  readonly upload?: { readonly length: number; readonly chunks: AsyncIterable<Uint8Array> }
}

export interface HttpFailure {
  /** No byte of an answer came; it broke off; what came is not HTTP; this machine has no descriptor or port left. */
  readonly kind: 'unreachable' | 'cut' | 'garbage' | 'local'
  /** A code or a few words, never text of the upstream. */
  readonly detail: string
}

export interface HttpHandler {
  head(head: ResponseHead): void
  /** A piece of the body. */
  body(text: Bytes): void
  /** All that one read brought was handed over. */
  readDone(): void
  /** The body is complete. Exactly one of `end` and `fail`, unless aborted or drained. */
  end(): void
  fail(failure: HttpFailure): void
}

/** A read that brought this much gains nothing from waiting for more. */
const GATHER_BELOW_BYTES = 16 * 1024
/** Idle connections are kept this long, or as long as the server allows. */
const IDLE_MS = 55_000
const MAX_IDLE = 1024
const DRAIN_MS = 1_000
const MAX_DRAIN_BYTES = 64 * 1024

/** Encodings that change the bytes. Others that are named (`utf-8`, `none`) are mistakes that change nothing. */
const CODINGS = new Set(['gzip', 'x-gzip', 'deflate', 'br', 'zstd', 'compress', 'x-compress', 'dcb', 'dcz', 'exi'])
/** Errors that keep this machine from opening a connection to anybody. */
const LOCAL_FAULTS = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM'])

const GONE = Promise.resolve(false)
const NOTHING: HttpHandler = { head() {}, body() {}, readDone() {}, end() {}, fail() {} }

export class HttpClient {
  readonly options: HttpClientOptions
  readonly sweep: Sweep
  readonly wanted: HeaderNames
  readonly #connect: (events: ConnectionEvents) => Wire
  readonly #headPrefix: string
  /** Last in, first out: the warmest is used, the others age. */
  readonly #idle: Connection[] = []
  readonly #open = new Slots<Connection>()
  #closed = false

  constructor(options: HttpClientOptions) {
    this.options = options
    this.sweep = new Sweep(options.clock)
    this.wanted = wantedHeaders(options.headers)
    this.#connect = createConnector(options)
    const { origin, proxy } = options
    const viaProxy = proxy !== null && !origin.secure
    const authorization =
      viaProxy && proxy.authorization !== null ? `proxy-authorization: ${proxy.authorization}\r\n` : ''
    this.#headPrefix = `host: ${origin.authority}\r\naccept-encoding: identity\r\n${authorization}`
  }

  request(request: HttpRequest, handler: HttpHandler): Exchange {
    const { origin, proxy } = this.options
    const path = targetOf(origin, request.route)
    const target = proxy !== null && !origin.secure ? `http://${origin.authority}${path}` : path
    const { body, upload } = request
    const bytesToCome = upload?.length ?? body?.length
    const length = bytesToCome === undefined ? '' : `content-length: ${bytesToCome}\r\n`
    const head = `${request.method} ${target} HTTP/1.1\r\n${this.#headPrefix}${request.headers}${length}\r\n`
    // One buffer, so that it is one write
    const bytes = Buffer.allocUnsafe(head.length + (body?.length ?? 0))
    bytes.write(head, 0, 'latin1')
    if (body !== null) bytes.set(body, head.length)
    const exchange = new Exchange(this, bytes, handler, upload?.chunks)
    // One that was closed meanwhile would cost the upload
    exchange.send(upload === undefined ? (this.#takeIdle() ?? this.fresh()) : this.fresh())
    return exchange
  }

  fresh(): Connection {
    const connection = new Connection(this, this.#connect)
    connection.place = this.#open.add(connection)
    return connection
  }

  #takeIdle(): Connection | undefined {
    const now = this.options.clock.monoMs()
    for (let c = this.#idle.pop(); c !== undefined; c = this.#idle.pop()) {
      if (now < c.idleUntilMono) return c
      c.destroy()
    }
    return undefined
  }

  /** The connection can carry another request. */
  release(connection: Connection, keepMs: number | null) {
    if (this.#closed || this.#idle.length >= MAX_IDLE) return connection.destroy()
    const now = this.options.clock.monoMs()
    connection.idleUntilMono = now + Math.min(keepMs ?? IDLE_MS, IDLE_MS)
    this.#idle.push(connection)
    // The oldest lies at the bottom; one look a release is enough to let a past burst go
    if (this.#idle[0].idleUntilMono <= now) this.#idle.shift()!.destroy()
  }

  gone(connection: Connection) {
    this.#open.delete(connection.place, connection)
    const at = this.#idle.lastIndexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  /** Closes all connections; calls under way fail. */
  close() {
    this.#closed = true
    for (const connection of [...this.#open]) connection.lose('closed by us')
    this.sweep.close()
  }

  get isClosed(): boolean {
    return this.#closed
  }
}

export class Connection implements ConnectionEvents, Swept {
  sweepPlace = -1
  /** Among the client's. */
  place = -1
  idleUntilMono = 0
  /** It has carried a request before: the server may have closed it in the meantime. */
  isReused = false
  readonly #client: HttpClient
  readonly #wire: Wire
  readonly #connectByMono: number
  #exchange: Exchange | null = null
  #isUp = false
  #over = false

  constructor(client: HttpClient, connect: (events: ConnectionEvents) => Wire) {
    this.#client = client
    this.#connectByMono = client.options.clock.monoMs() + client.options.connectTimeoutMs
    this.#wire = connect(this)
    client.sweep.add(this)
  }

  get isWriting(): boolean {
    return this.#wire.isWriting
  }

  carry(exchange: Exchange, request: Uint8Array) {
    this.#exchange = exchange
    if (this.#isUp) exchange.sent()
    this.#wire.write(request)
  }

  /** The exchange is over and left nothing behind. */
  free(keepMs: number | null) {
    this.#exchange = null
    this.isReused = true
    this.#client.release(this, keepMs)
  }

  /** Resolves when the peer has taken nearly all; false: the connection is gone. */
  write(bytes: Uint8Array): Promise<boolean> {
    if (this.#over) return GONE
    this.#wire.write(bytes)
    return this.#wire.taken().then(() => !this.#over)
  }

  pause() {
    this.#wire.pause()
  }

  resume() {
    this.#wire.resume()
  }

  connected() {
    this.#client.sweep.delete(this)
    this.#isUp = true
    this.#exchange?.sent()
  }

  sweep(nowMono: number) {
    if (nowMono >= this.#connectByMono) this.lose('connect timeout')
  }

  bytes(text: Bytes, isFull: boolean): boolean {
    if (this.#exchange !== null) return this.#exchange.bytes(text, isFull)
    // Unsolicited: this connection's next response can't be trusted
    this.destroy()
    return true
  }

  ended() {
    if (this.#exchange === null) this.destroy()
    else this.#exchange.connectionEnded()
  }

  closed(error: Error | null) {
    this.lose(error === null ? 'connection closed' : ((error as NodeJS.ErrnoException).code ?? error.message))
  }

  lose(detail: string) {
    if (this.#over) return
    const exchange = this.#exchange
    this.destroy()
    exchange?.lost(detail)
  }

  /** Closes the socket within this turn; the exchange is not notified. */
  destroy() {
    if (this.#over) return
    this.#over = true
    this.#exchange = null
    this.#client.sweep.delete(this)
    this.#client.gone(this)
    this.#wire.destroy()
  }
}

/** One request and its response. */
export class Exchange implements ResponseSink, Swept {
  sweepPlace = -1
  /** When a connection that stood took the request; null: not yet. */
  sentMono: number | null = null
  /** Set once an answer is under way: from then on reads may be gathered. */
  gathers = false
  readonly #client: HttpClient
  readonly #request: Uint8Array
  readonly #reader: ResponseReader
  #handler: HttpHandler
  #connection: Connection | null = null
  #headCame = false
  #byteCame = false
  #retried = false
  #over = false
  #reading = false
  #paused = false
  #gathering = false
  #keepMs: number | null = null
  #drainUntilMono = Infinity
  #drained = 0
  #uploaded = false
  readonly #upload: AsyncIterable<Uint8Array> | undefined

  constructor(client: HttpClient, request: Uint8Array, handler: HttpHandler, upload?: AsyncIterable<Uint8Array>) {
    this.#upload = upload
    this.#client = client
    this.#request = request
    this.#handler = handler
    this.#reader = new ResponseReader(this, client.wanted)
  }

  send(connection: Connection) {
    this.#connection = connection
    connection.carry(this, this.#request)
  }

  /** Its connection stands. */
  sent() {
    this.sentMono = this.#client.options.clock.monoMs()
    if (this.#upload !== undefined) void this.#send(this.#upload)
  }

  /** Its answer may come before all of it is sent: what is left is not sent then. */
  async #send(upload: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of upload) if (this.#over || !(await this.#connection!.write(chunk)) || this.#over) return
      this.#uploaded = true
    } catch {
      if (!this.#over) this.#fail({ kind: 'local', detail: 'the file that goes with the request could not be read' })
    }
  }

  /** Closes the connection within this turn. The handler isn't called any more. Safe to repeat. */
  abort() {
    if (this.#over) return
    this.#finish()
    this.#connection?.destroy()
  }

  /**
   * The handler has all it wanted: what is left of the body is dropped, for the connection's sake, but not for long.
   */
  drain() {
    if (this.#over) return
    this.#handler = NOTHING
    this.#drainUntilMono = this.#client.options.clock.monoMs() + DRAIN_MS
    this.gathers = false
    this.resume()
    this.#client.sweep.add(this)
  }

  /** Is the rest of the body being dropped? */
  get drains(): boolean {
    return this.#drainUntilMono !== Infinity
  }

  /** What comes waits in the kernel until `resume`. */
  pause() {
    if (this.#over || this.#paused) return
    this.#paused = true
    if (!this.#reading && !this.#gathering) this.#connection?.pause()
  }

  resume() {
    if (this.#over || !this.#paused) return
    this.#paused = false
    if (!this.#reading && !this.#gathering) this.#connection?.resume()
  }

  /** The window is over. Not before the wheel has turned: see Wheel. */
  readonly #gathered = (): void => {
    this.#gathering = false
    if (!this.#over && !this.#paused) this.#connection?.resume()
  }

  sweep(nowMono: number) {
    if (nowMono >= this.#drainUntilMono) this.abort()
  }

  // ---- from the connection

  bytes(text: Bytes, isFull: boolean): boolean {
    this.#byteCame = true
    this.#reading = true
    const used = this.#reader.feed(text)
    if (!this.#over) this.#handler.readDone()
    this.#reading = false
    if (this.#over) return true
    if (this.#reader.fault !== null) {
      this.#fail({ kind: 'garbage', detail: this.#reader.fault })
      return true
    }
    if (this.#reader.done) {
      this.#complete(used < text.length)
      return true
    }
    if (this.gathers && !this.#gathering && !isFull && text.length < GATHER_BELOW_BYTES) {
      const { wheel, gatherMs } = this.#client.options
      const ms = gatherMs()
      if (ms > 0) {
        this.#gathering = true
        wheel.in(ms, this.#gathered)
      }
    }
    return !this.#gathering && !this.#paused
  }

  connectionEnded() {
    if (this.#over) return
    if (!this.#reader.end()) return this.#connection?.closed(null)
    this.#handler.readDone()
    if (!this.#over) this.#complete(true)
  }

  lost(detail: string) {
    if (this.#over) return
    const stale = this.#connection?.isReused === true && !this.#byteCame && !this.#retried && !this.#client.isClosed
    if (stale) {
      // It was closed while idle, before it could have read the request
      this.#retried = true
      return this.send(this.#client.fresh())
    }
    this.#fail({ kind: this.#headCame ? 'cut' : LOCAL_FAULTS.has(detail) ? 'local' : 'unreachable', detail })
  }

  // ---- from the reader

  head(head: ResponseHead) {
    this.#headCame = true
    const keepAlive = head.headers.get('keep-alive')
    const seconds = keepAlive === undefined ? undefined : /(?:^|[,\s])timeout=(\d{1,6})/i.exec(keepAlive)?.[1]
    if (seconds !== undefined) this.#keepMs = Math.max(0, Number(seconds) * 1_000 - 500)
    const encoding = head.headers.get('content-encoding')
    const coding = encoding === undefined ? undefined : items(encoding.toLowerCase()).find((each) => CODINGS.has(each))
    this.#handler.head(coding === undefined ? head : { ...head, coding })
  }

  body(text: Bytes) {
    if (this.#drainUntilMono !== Infinity) this.#drained += text.length
    if (this.#drained > MAX_DRAIN_BYTES) this.abort()
    else this.#handler.body(text)
  }

  // ---- the two ends

  #complete(excess: boolean) {
    const connection = this.#connection!
    this.#finish()
    // TLS may hand over the end while the socket is left unread; unread, an idle connection would never be seen to end
    if (this.#gathering || this.#paused) connection.resume()
    const isSent = this.#upload === undefined || this.#uploaded
    if (this.#reader.reusable && isSent && !excess && !connection.isWriting) connection.free(this.#keepMs)
    else connection.destroy()
    this.#handler.end()
  }

  #fail(failure: HttpFailure) {
    this.#finish()
    this.#connection?.destroy()
    this.#handler.fail(failure)
  }

  #finish() {
    this.#over = true
    this.#client.sweep.delete(this)
    if (!this.#reader.done) this.#reader.stop()
  }
}
