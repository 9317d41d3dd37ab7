/**
 * One WebSocket: who it is, what it asks for, which jobs it follows. Holds little while it is idle: there may be ten
 * thousand.
 */
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { ERRORS, SluiceError } from '../../core/errors.ts'
import type { ClientFrame, ErrorFrame, HelloFrame, ServerFrame, SubmitFrame } from '../../core/frames.ts'
import { isTerminal, type Job, type JobId, type Place } from '../../core/job.ts'
import type { FrameSink, SocketReader } from '../../core/ports/delivery.ts'
import { type Bytes, type Cursor, parseCursor, toBytes } from '../../core/record.ts'
import { textFrame } from '../../core/text-frame.ts'
import type { From } from '../caller/auth.ts'
import { type Caller, canSee } from '../caller/caller.ts'
import { type JsonBody, memberBytes } from '../http/body.ts'
import type { Holding } from '../http/inflow.ts'
import { placeView } from '../read/views.ts'
import { jobDraft } from '../submit/draft.ts'
import { checkFrame, credentialOf, parseMessage } from './frames.ts'
import type { Hub } from './hub.ts'
import { Watches } from './watches.ts'

/** A connection whose peer sends and does not read is not read from beyond so many times its buffer. */
const DEAF_FACTOR = 4
/** A burst of messages may be so many seconds' worth. */
const BURST_SECONDS = 5
const MAX_REASON_BYTES = 120
/** What a peer may send before it has authenticated: messages, and bytes of an unfinished one. */
const STRANGERS_MESSAGES = 16
const STRANGERS_BYTES = 128 * 1024
/** For a close frame to arrive. */
const TOLD_MS = 250

/** A job that this connection follows. */
export interface Following {
  readonly connection: Connection
  readonly job: Job
  readonly reader: SocketReader
  readonly leave: (complete: boolean) => void
  /** What was last told of its place in line, and when. */
  toldPlace: number
  toldMono: number
}

export class Connection implements FrameSink {
  readonly id: string
  readonly #hub: Hub
  readonly #ws: WebSocket
  readonly #socket: Socket
  readonly #from: From
  readonly following = new Map<JobId, Following>()
  /** Frames under way that will follow a job. */
  #toFollow = 0
  /** Null until it is known. */
  caller: Caller | null = null
  closing = false
  readonly openedMono: number
  heardMono: number
  /** When it was asked for a sign of life that has not come yet; Infinity: it was not. */
  pingedMono = Infinity
  /** When its session's token is to be renewed; Infinity: it has none. */
  renewMono = Infinity
  #out: Bytes = ''
  /** Bytes that are being read for its readers. */
  #claimed = 0
  /** Readers that wait for room, the one that waited longest first. */
  #parked: Set<SocketReader> | null = null
  #watches: Watches | null = null
  #greeted = false
  #window = Infinity
  #messages: number
  /** Messages that were read before it had authenticated. */
  #strange = 0
  /** What it holds of messages that are not whole. */
  #holding: Holding
  #unfinished = 0
  #leave = (): void => {}
  #countedMono: number

  constructor(hub: Hub, ws: WebSocket, socket: Socket, from: From, id: string) {
    this.#hub = hub
    this.#ws = ws
    this.#socket = socket
    this.#from = from
    this.id = id
    this.openedMono = hub.deps.clock.monoMs()
    this.heardMono = this.openedMono
    this.#countedMono = this.openedMono
    this.#messages = hub.options.maxMessagesPerSecond * BURST_SECONDS
    this.#holding = hub.inflow.open(null)
    ws.on('message', (data, isBinary) => this.#onMessage(data as Buffer, isBinary))
    ws.on('ping', (data) => {
      if (!this.closing && this.#counts()) ws.pong(data)
    })
    ws.on('pong', () => {
      if (!this.closing) this.#counts()
    })
    socket.on('data', this.#onBytes)
    ws.on('error', () => {}) // ws closes with the code that fits
    ws.on('close', (code) => this.#onClose(code))
  }

  // ---------------------------------------------------------------- to the client

  /** Whole frames; all that is written in one turn leaves in one write. */
  write(frames: Bytes): void {
    if (this.closing) return
    if (this.#out === '') this.#hub.flushSoon(this)
    this.#out += frames
  }

  flush(): void {
    if (this.#out === '') return
    const out = this.#out
    this.#out = ''
    this.#socket.write(out, 'latin1', this.#onWritten)
  }

  get #room(): number {
    return this.#hub.deps.options.maxReaderBufferBytes - this.#socket.writableLength - this.#out.length - this.#claimed
  }

  get full(): boolean {
    return this.#room <= 0
  }

  claim(most: number, reader: SocketReader): number {
    const claimed = Math.min(most, this.#room)
    if (claimed > 0) {
      this.#claimed += claimed
      return claimed
    }
    this.#parked ??= new Set()
    this.#parked.add(reader)
    return 0
  }

  release(claimed: number): void {
    this.#claimed -= claimed
  }

  /** Not the socket's "drain": that comes only where its own mark was passed, which is not ours. */
  readonly #onWritten = (): void => {
    if (this.#ws.isPaused && !this.full) this.#ws.resume()
    this.#watches?.resume()
    if (this.#parked === null) return
    for (const reader of this.#parked) {
      if (this.full) return
      this.#parked.delete(reader)
      reader.resume()
    }
  }

  send(frame: ServerFrame): void {
    this.write(textFrame(toBytes(JSON.stringify(frame))))
  }

  ping(now: number): void {
    this.pingedMono = now
    this.#ws.ping()
  }

  /** Says why, in the close frame; the peer has a moment to answer it. */
  close(error: SluiceError): void {
    if (this.closing) return
    this.flush()
    this.closing = true
    this.#ws.close(
      ERRORS[error.code].close,
      `${error.code}: ${error.message}`.slice(0, MAX_REASON_BYTES).replace(/[^\x20-\x7e]/g, '?'),
    )
    this.#releaseAll()
  }

  /** At once. */
  cut(): void {
    this.#ws.terminate()
  }

  /** The error of one frame; the connection stays open. */
  #refuse(thrown: unknown, about: { readonly id?: unknown; readonly job?: unknown }): void {
    const error = SluiceError.from(thrown)
    if (error.code === 'internal') this.#hub.deps.onFault(error.cause ?? error, this.id)
    const frame: ErrorFrame = {
      t: 'error',
      ...(typeof about.id === 'string' ? { id: about.id.slice(0, 128) } : {}),
      ...(typeof about.job === 'string' ? { job: about.job.slice(0, 128) } : {}),
      error: error.wire,
      retryable: error.retryable,
      ...(error.retryAfterMs === undefined ? {} : { retry_after_ms: Math.max(1, Math.ceil(error.retryAfterMs)) }),
    }
    this.send(frame)
  }

  // ---------------------------------------------------------------- from the client

  /** After ws has read them: what it keeps is of a message that is not whole. */
  readonly #onBytes = (): void => {
    const unfinished = unfinishedBytesOf(this.#ws)
    if (unfinished === this.#unfinished) return
    this.#unfinished = unfinished
    try {
      if (this.caller === null && unfinished > STRANGERS_BYTES) throw new SluiceError('message_too_large')
      this.#holding.hold(unfinished)
    } catch (thrown) {
      this.close(SluiceError.from(thrown))
      // No more of it is read, and what is held is let go as soon as the peer can know why
      this.#ws.pause()
      this.#hub.deps.clock.after(TOLD_MS, () => this.cut())
    }
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    if (this.closing || !this.#counts()) return
    const { options } = this.#hub
    if (this.caller === null && ++this.#strange > STRANGERS_MESSAGES)
      return this.close(new SluiceError('message_flood', { message: 'Too many messages before hello.' }))
    if (data.length > options.maxMessageBytes) return this.close(new SluiceError('message_too_large'))
    let about: { readonly id?: unknown; readonly job?: unknown } = {}
    try {
      if (isBinary) throw new SluiceError('invalid_request', { message: 'Frames must be text: one JSON object each.' })
      const body = parseMessage(data, this.#hub.deps.options)
      about = body.value
      this.#handle(checkFrame(body.value), body)
    } catch (thrown) {
      this.#refuse(thrown, about)
    }
    if (this.#socket.writableLength + this.#out.length > this.#hub.deps.options.maxReaderBufferBytes * DEAF_FACTOR)
      this.#ws.pause()
  }

  /** Notes a sign of life. False: it sent too many messages, and is closed. */
  #counts(): boolean {
    const now = this.#hub.deps.clock.monoMs()
    const { maxMessagesPerSecond } = this.#hub.options
    this.heardMono = now
    this.pingedMono = Infinity
    const most = maxMessagesPerSecond * BURST_SECONDS
    this.#messages = Math.min(most, this.#messages + ((now - this.#countedMono) * maxMessagesPerSecond) / 1_000) - 1
    this.#countedMono = now
    if (this.#messages >= 0) return true
    this.close(new SluiceError('message_flood'))
    return false
  }

  #handle(frame: ClientFrame, body: JsonBody): void {
    if (frame.t === 'hello') return this.#hello(frame)
    const { caller } = this
    if (caller === null)
      return this.#refuseEntry(
        new SluiceError('missing_api_key', { message: 'Send hello first, with a key, a ticket or a token.' }),
        frame,
      )
    this.#hub.auth.check(caller)
    switch (frame.t) {
      case 'submit':
        return this.#attempt(frame, () =>
          frame.follow === false
            ? this.#submit(frame, body, caller)
            : this.#withPlace(() => this.#submit(frame, body, caller)),
        )
      case 'attach':
        return this.#attempt(frame, () => this.#attach(frame.job, frame.cursor, frame.id, caller))
      case 'cancel':
        return this.#attempt(frame, () => this.#cancel(frame.job, frame.id, caller))
      case 'detach':
        this.following.get(frame.job)?.reader.leave()
        this.#forget(frame.job, false)
        if (frame.id !== undefined) this.send({ t: 'ok', id: frame.id, job: frame.job })
        return
      case 'credit':
        return this.following.get(frame.job)?.reader.credit(frame.bytes)
      case 'report': {
        const followed = this.following.get(frame.job)
        if (followed !== undefined) this.#hub.noteTtft(followed.job, frame.ttft_ms)
        return
      }
      case 'watch':
        this.#watches ??= new Watches(this.#hub.deps, caller, this)
        return this.#watches.watch(frame.conversation, frame.id)
      case 'unwatch':
        this.#watches?.unwatch(frame.conversation)
        if (frame.id !== undefined) this.send({ t: 'ok', id: frame.id, conversation: frame.conversation })
        return
      case 'ping':
        return this.send({ t: 'pong' })
    }
  }

  #attempt(frame: { readonly id?: string; readonly job?: string }, work: () => Promise<void>): void {
    work().catch((error: unknown) => this.#refuse(error, frame))
  }

  #refuseEntry(thrown: unknown, about: object): void {
    this.#refuse(thrown, about)
    this.close(SluiceError.from(thrown))
  }

  #hello(frame: HelloFrame): void {
    const { auth, options } = this.#hub
    if (this.#greeted) throw new SluiceError('invalid_request', { message: 'A connection takes only one hello.' })
    if (this.caller !== null && frame.auth !== undefined)
      throw new SluiceError('invalid_request', {
        param: 'auth',
        message: 'This connection was authenticated by its upgrade request: leave "auth" out.',
      })
    this.#greeted = true
    try {
      if (this.caller === null) {
        const caller = auth.admit(credentialOf(frame.auth), this.#from)
        this.enter(caller, frame.client ?? null)
      }
      if ((frame.jobs?.length ?? 0) > options.maxJobs) throw tooMany(options.maxJobs)
    } catch (thrown) {
      return this.#refuseEntry(thrown, {})
    }
    const { caller } = this
    if (caller === null) return
    this.#window = frame.window ?? Infinity
    const { heartbeatMs, maxMessageBytes, maxJobs, maxMessagesPerSecond } = options
    this.send({
      t: 'welcome',
      conn: this.id,
      heartbeat_ms: heartbeatMs,
      max_message_bytes: maxMessageBytes,
      max_jobs: maxJobs,
      max_messages_per_second: maxMessagesPerSecond,
    })
    if (caller.session !== null) this.renewToken()
    for (const { job, cursor } of frame.jobs ?? [])
      this.#attempt({ job }, () => this.#attach(job, cursor ?? undefined, undefined, caller))
  }

  /** It is known now whose it is. Throws too_many_connections. */
  enter(caller: Caller, client: HelloFrame['client'] | null): void {
    const { admitted, deps, inflow } = this.#hub
    this.#leave = admitted.enter(caller, 'socket', (error) => this.close(error))
    this.caller = caller
    this.#holding.hold(0)
    this.#holding = inflow.open(caller)
    const { tenant } = caller.key
    deps.emit({
      type: 'socket-opened',
      conn: this.id,
      tenant,
      client: client ? `${client.name} ${client.version}` : null,
    })
    if (caller.session !== null) deps.emit({ type: 'session-opened', tenant, transport: 'socket' })
  }

  /** A token stands for the next hello, however long this connection lives. */
  renewToken(): void {
    const session = this.caller?.session
    if (!session) return
    const { token, expiresInMs } = this.#hub.sessions.token(session)
    this.renewMono = this.#hub.deps.clock.monoMs() + expiresInMs / 2
    this.send({ t: 'token', token, expires_in_ms: Math.floor(expiresInMs) })
  }

  async #submit(frame: SubmitFrame, body: JsonBody, caller: Caller): Promise<void> {
    const { deps, submits } = this.#hub
    if (this.#hub.draining) throw new SluiceError('draining', { retryAfterMs: 1_000 })
    const { t: _t, id: _id, follow: _follow, ...options } = body.value
    const draft = jobDraft(deps, caller, options, memberBytes(body, 'request'), null, {
      requestId: this.id,
      trace: null,
    })
    const { kind, job, place } = await submits.one(caller, draft)
    this.send({
      t: 'accepted',
      id: frame.id,
      job: job.id,
      cursor: `${job.epoch}-0`,
      state: job.state,
      joined: kind === 'joined',
      queue: placeView(place),
    })
    if (frame.follow !== false) this.#follow(job, null, false, place)
  }

  /** Takes a place among the followed jobs before anything is waited for: a burst of frames comes in one turn. */
  async #withPlace(work: () => Promise<void>): Promise<void> {
    const { maxJobs } = this.#hub.options
    if (this.following.size + this.#toFollow >= maxJobs) throw tooMany(maxJobs)
    this.#toFollow++
    try {
      await work()
    } finally {
      this.#toFollow--
    }
  }

  #attach(id: string, cursorText: string | undefined, replyTo: string | undefined, caller: Caller): Promise<void> {
    const attach = (): Promise<void> => this.#attachTo(id, cursorText, replyTo, caller)
    return this.following.has(id) ? attach() : this.#withPlace(attach)
  }

  async #attachTo(
    id: string,
    cursorText: string | undefined,
    replyTo: string | undefined,
    caller: Caller,
  ): Promise<void> {
    const { jobs, log } = this.#hub.deps
    const cursor = cursorText === undefined ? null : parseCursor(cursorText)
    if (cursorText !== undefined && cursor === null) throw new SluiceError('cursor_invalid')
    const job = await jobs.get(id)
    if (job === null || !canSee(caller, job)) throw new SluiceError('job_not_found')
    const page = await log.read(id, Number.MAX_SAFE_INTEGER, 0)
    if (page === null) throw new SluiceError('job_gone')
    if (cursor !== null && (cursor.epoch === null || cursor.epoch === job.epoch) && cursor.seq > page.head)
      throw new SluiceError('cursor_ahead')
    if (this.closing) return
    const known = this.following.get(id)
    if (known === undefined && this.#hub.attendance.readers(id) >= this.#hub.deps.options.maxReadersPerJob)
      throw new SluiceError('too_many_subscribers')
    const place = jobs.place(id)
    this.send({
      t: 'attached',
      ...(replyTo === undefined ? {} : { id: replyTo }),
      job: id,
      state: job.state,
      cursor: `${job.epoch}-${page.head}`,
      queue: placeView(place),
    })
    if (known !== undefined && cursor === null) return
    this.#follow(job, cursor, true, place)
  }

  async #cancel(id: string, replyTo: string | undefined, caller: Caller): Promise<void> {
    const { jobs } = this.#hub.deps
    const job = await jobs.get(id)
    if (job === null || !canSee(caller, job)) throw new SluiceError('job_not_found')
    const { kind } = await jobs.cancel(id)
    if (replyTo !== undefined && kind !== 'unknown') this.send({ t: 'ok', id: replyTo, job: id, state: kind })
  }

  // ---------------------------------------------------------------- followed jobs

  #follow(job: Job, cursor: Cursor | null, tellsLive: boolean, place: Place | null): void {
    const { deps, attendance } = this.#hub
    if (this.closing) return
    this.following.get(job.id)?.reader.leave()
    this.#forget(job.id, false)
    if (attendance.readers(job.id) >= deps.options.maxReadersPerJob) throw new SluiceError('too_many_subscribers')
    const leave = attendance.enter(job)
    const reader = deps.delivery.follow({
      job,
      cursor,
      sink: this,
      window: this.#window,
      tellsLive,
      onFail: (error) => {
        this.#forget(job.id, false)
        this.#refuse(error, { job: job.id })
      },
      onOver: (complete) => this.#forget(job.id, complete),
    })
    const following: Following = {
      connection: this,
      job,
      reader,
      leave,
      toldPlace: place?.position ?? 0,
      toldMono: deps.clock.monoMs(),
    }
    this.following.set(job.id, following)
    if (!isTerminal(job.state)) this.#hub.inLine.add(following)
  }

  /** The reader has left already. */
  #forget(job: JobId, complete: boolean): void {
    const following = this.following.get(job)
    if (following === undefined) return
    this.following.delete(job)
    this.#parked?.delete(following.reader)
    this.#hub.inLine.delete(following)
    following.leave(complete)
  }

  #releaseAll(): void {
    this.#watches?.close()
    this.#watches = null
    for (const { job, reader } of [...this.following.values()]) {
      reader.leave()
      this.#forget(job.id, false)
    }
  }

  #onClose(code: number): void {
    this.closing = true
    this.#out = ''
    this.#releaseAll()
    this.#holding.hold(0)
    this.#leave()
    this.#hub.leave(this, code)
  }
}

/** ws tells nobody what it keeps of a message; its receiver knows. */
function unfinishedBytesOf(ws: WebSocket): number {
  const { _bufferedBytes, _messageLength } = (ws as unknown as Receiving)._receiver
  return _bufferedBytes + _messageLength
}

interface Receiving {
  readonly _receiver: { readonly _bufferedBytes: number; readonly _messageLength: number }
}

const tooMany = (most: number): SluiceError =>
  new SluiceError('too_many_jobs', {
    message:
      `A connection follows at most ${most} jobs (websocket.max_jobs): ` +
      'detach from some, or submit with "follow": false.',
  })
