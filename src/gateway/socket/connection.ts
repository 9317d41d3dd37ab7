/**
 * One WebSocket: how it opens, what it may send and hold, and how it ends. What its messages do is its protocol's. It
 * holds little while it is idle: there may be ten thousand.
 */
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { ERRORS, SluiceError } from '../../core/errors.ts'
import type { GoawayFrame, HelloFrame, ServerFrame } from '../../core/frames.ts'
import { checkUnique } from '../../core/json.ts'
import { toBytes } from '../../core/record.ts'
import { textFrame } from '../../core/text-frame.ts'
import type { From } from '../caller/auth.ts'
import type { Caller } from '../caller/caller.ts'
import { parseBody } from '../http/body.ts'
import type { About } from './about.ts'
import type { SocketContext } from './context.ts'
import { FollowedJobs } from './following.ts'
import { Incoming } from './incoming.ts'
import { Outgoing } from './outgoing.ts'
import type { Peer } from './peer.ts'
import type { Protocol, Talk } from './protocol.ts'
import { Watches } from './watches.ts'

/** A peer that sends but does not read is no longer read from once this many times its buffer is unread. */
const DEAF_FACTOR = 4
const MAX_REASON_BYTES = 120
/** Time for a close frame to arrive. */
const TOLD_MS = 250

export class Connection implements Peer {
  readonly id: string
  readonly context: SocketContext
  readonly from: From
  readonly out: Outgoing
  readonly following: FollowedJobs
  caller: Caller | null = null
  closing = false
  greeted = false
  window = Infinity
  openedMono: number
  heardMono: number
  /** When a sign of life was requested that has not come yet; Infinity: none was. */
  pingedMono = Infinity
  /** When its session's token is to be renewed; Infinity: it has none. */
  renewMono = Infinity
  readonly #ws: WebSocket
  readonly #incoming: Incoming
  readonly #talk: Talk
  readonly #protocol: Protocol
  readonly #onClosed: (connection: Connection, code: number) => void
  #watches: Watches | null = null
  /** Messages that came while its hello was looked at. */
  #held: Array<{ readonly data: Buffer; readonly isBinary: boolean }> | null = null
  #leave = (): void => {}

  constructor(
    context: SocketContext,
    protocol: Protocol,
    ws: WebSocket,
    socket: Socket,
    from: From,
    id: string,
    onClosed: (connection: Connection, code: number) => void,
  ) {
    const { deps, inflow } = context
    const { clock, options } = deps
    this.context = context
    this.from = from
    this.id = id
    this.#ws = ws
    this.#onClosed = onClosed
    this.openedMono = clock.monoMs()
    this.heardMono = this.openedMono
    this.out = new Outgoing(socket, options.maxReaderBufferBytes, context.flushSoon, this.#onRoom)
    this.following = new FollowedJobs(this)
    this.#incoming = new Incoming(ws, clock, inflow, options.socket.maxMessagesPerSecond)
    this.#protocol = protocol
    this.#talk = protocol.begin(this)
    ws.on('message', (data, isBinary) => this.#onMessage(data as Buffer, isBinary))
    ws.on('ping', (data) => {
      if (!this.closing && this.#isAllowed(() => this.#incoming.count())) ws.pong(data)
    })
    ws.on('pong', () => {
      if (!this.closing) this.#isAllowed(() => this.#incoming.count())
    })
    socket.on('data', this.#onBytes)
    ws.on('error', () => {}) // ws closes with the right code
    ws.on('close', (code) => this.#onClose(code))
  }

  // ---------------------------------------------------------------- to the client

  send(frame: ServerFrame): void {
    this.out.write(textFrame(toBytes(JSON.stringify(frame))))
  }

  readonly #onRoom = (): void => {
    if (this.#ws.isPaused && !this.out.full) this.#ws.resume()
    this.#watches?.resume()
  }

  ping(now: number): void {
    this.pingedMono = now
    this.#ws.ping()
  }

  /** It had no chance to be heard until now. */
  forgive(now: number): void {
    if (this.pingedMono !== Infinity) this.pingedMono = now
    if (this.caller === null) this.openedMono = now
  }

  refuse(thrown: unknown, about: About): void {
    const error = SluiceError.from(thrown)
    if (error.code === 'internal') this.context.deps.onFault(error.cause ?? error, this.id)
    this.out.write(textFrame(this.#talk.error(error, about)))
  }

  refuseEntry(thrown: unknown, about: About): void {
    this.refuse(thrown, about)
    this.close(SluiceError.from(thrown))
  }

  /** Gives the reason in the close frame; the peer has a moment to answer it. */
  close(error: SluiceError): void {
    if (this.closing) return
    this.out.flush()
    this.closing = true
    this.#ws.close(
      ERRORS[error.code].close,
      `${error.code}: ${error.message}`.slice(0, MAX_REASON_BYTES).replace(/[^\x20-\x7e]/g, '?'),
    )
    this.#releaseAll()
  }

  get isIdle(): boolean {
    return this.#talk.isIdle
  }

  leave(goaway: GoawayFrame): void {
    this.#talk.leave(goaway)
  }

  /** At once. */
  cut(): void {
    this.#ws.terminate()
  }

  // ---------------------------------------------------------------- from the client

  /** After ws has read them. */
  readonly #onBytes = (): void => {
    try {
      this.#incoming.measure()
    } catch (thrown) {
      this.close(SluiceError.from(thrown))
      // No more of it is read, and what is held is released as soon as the peer can know why
      this.#ws.pause()
      this.context.deps.clock.after(TOLD_MS, () => this.cut())
    }
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    if (this.closing || !this.#isAllowed(() => this.#incoming.countMessage())) return
    if (data.length > this.#protocol.maxMessageBytes) return this.close(this.#protocol.tooLarge())
    if (this.#held !== null) this.#held.push({ data, isBinary })
    else this.#read(data, isBinary)
  }

  #read(data: Buffer, isBinary: boolean): void {
    const { options } = this.context.deps
    let about: About = {}
    try {
      if (isBinary) throw new SluiceError('invalid_request', { message: 'Frames must be text: one JSON object each.' })
      const body = parseBody(data, options)
      about = body.value
      checkUnique(body)
      const pending = this.#talk.take(body)
      if (pending !== undefined) this.#hold(pending)
    } catch (thrown) {
      this.refuse(thrown, about)
    }
    if (this.out.unread > options.maxReaderBufferBytes * DEAF_FACTOR) this.#ws.pause()
  }

  /** Records a sign of life. False: it sent too much, and is closed. */
  #isAllowed(count: () => void): boolean {
    this.heardMono = this.context.deps.clock.monoMs()
    this.pingedMono = Infinity
    try {
      count()
      return true
    } catch (thrown) {
      this.close(SluiceError.from(thrown))
      return false
    }
  }

  /** What comes while its hello is looked at waits: what one read brought, at most. */
  #hold(entering: Promise<void>): void {
    this.#held = []
    this.#ws.pause()
    entering
      .catch((thrown: unknown) => this.refuse(thrown, {}))
      .then(() => {
        const held = this.#held ?? []
        this.#held = null
        if (!this.out.full) this.#ws.resume()
        for (const { data, isBinary } of held) if (!this.closing) this.#read(data, isBinary)
      })
  }

  enter(caller: Caller, client: HelloFrame['client'] | null): void {
    const { admitted, deps } = this.context
    this.#leave = admitted.enter(caller, 'socket', (error) => this.close(error))
    this.caller = caller
    this.#incoming.enter(caller)
    const { tenant } = caller.key
    deps.emit({
      type: 'socket-opened',
      conn: this.id,
      tenant,
      client: client ? `${client.name} ${client.version}` : null,
    })
    if (caller.session !== null) deps.emit({ type: 'session-opened', tenant, transport: 'socket' })
  }

  /** Keeps a token valid for the next hello, however long this connection lives. */
  renewToken(): void {
    const session = this.caller?.session
    if (!session) return
    const { token, expiresInMs } = this.context.sessions.token(session)
    this.renewMono = this.context.deps.clock.monoMs() + expiresInMs / 2
    this.send({ t: 'token', token, expires_in_ms: Math.floor(expiresInMs) })
  }

  /** Of a connection whose caller is known. */
  get watches(): Watches {
    this.#watches ??= new Watches(this.context.deps, this.caller!, this.out)
    return this.#watches
  }

  // ---------------------------------------------------------------- the end

  /** What it followed and watched. */
  #releaseAll(): void {
    this.out.close()
    this.#watches?.close()
    this.#watches = null
    this.following.dropAll()
    this.#talk.end()
  }

  #onClose(code: number): void {
    this.closing = true
    this.#releaseAll()
    this.#incoming.close()
    this.#leave()
    this.#onClosed(this, code)
  }
}
