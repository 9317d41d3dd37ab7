/**
 * A lean WebSocket client that follows one job of its own over any number of connections: ten thousand fit a process.
 * It does what PROTOCOL.md section 6 asks of a client, notes whatever must not happen, and keeps of the text a digest.
 */
import { connect, type Socket } from 'node:net'

export interface ReaderEvents {
  /** It has shown everything that was stored, and is fed live; or its job is over. */
  onCaughtUp(reader: Reader): void
  /** Its connection is gone, or could not be made. `slot`: when the server wants it back, ms. */
  onLost(reader: Reader, slot: readonly [number, number] | null): void
}

/** Of texts: how long they are, and their FNV-1a. */
export class Digest {
  length = 0
  hash = 0x811c9dc5

  add(text: string): void {
    for (let i = 0; i < text.length; i++) this.hash = Math.imul(this.hash ^ text.charCodeAt(i), 0x01000193)
    this.length += text.length
  }

  toString(): string {
    return `${this.length}:${this.hash >>> 0}`
  }
}

type Frame = { readonly t: string; readonly [member: string]: any }

const [TEXT, CLOSE, PING, PONG] = [1, 8, 9, 10]
const HEAD_END = Buffer.from('\r\n\r\n')
const RETRY_MS = 500
const MAX_FAULTS = 5

export class Reader {
  readonly n: number
  job: string | null = null
  seq = 0
  cursor: string | null = null
  readonly text = new Digest()
  /** What must not happen. */
  readonly faults: string[] = []
  /** Errors after which it tried again, by their code. */
  readonly retried: string[] = []
  port = 0
  isCaughtUp = false
  isOver = false
  lostMono = 0
  readonly #key: string
  readonly #submit: string
  readonly #on: ReaderEvents
  #socket: Socket | null = null
  #rest: Buffer = Buffer.alloc(0)
  #isUpgraded = false
  #slot: readonly [number, number] | null = null

  /** `request`: the body of its job. */
  constructor(n: number, key: string, request: object, on: ReaderEvents) {
    this.n = n
    this.#key = key
    this.#submit = JSON.stringify({ t: 'submit', id: 's', idempotency_key: `${process.pid}.${n}`, request })
    this.#on = on
  }

  get isConnected(): boolean {
    return this.#socket !== null
  }

  open(port: number): void {
    const socket = connect(port, '127.0.0.1')
    this.port = port
    this.#socket = socket
    this.#rest = Buffer.alloc(0)
    this.#isUpgraded = false
    this.#slot = null
    socket.setNoDelay(true)
    socket.once('connect', () => socket.write(UPGRADE))
    socket.on('data', (data) => this.#take(socket, data))
    socket.on('error', () => {})
    socket.once('close', () => this.#lost(socket))
  }

  /** Without a word, as a network does. */
  cut(): void {
    const socket = this.#socket
    if (socket === null) return
    socket.resetAndDestroy()
    this.#lost(socket)
  }

  /** Reads nothing more, and keeps its connection. */
  pause(): void {
    this.#socket?.pause()
  }

  resume(): void {
    this.#socket?.resume()
  }

  #lost(socket: Socket): void {
    if (this.#socket !== socket) return
    this.#socket = null
    if (this.isOver) return
    this.lostMono = performance.now()
    this.isCaughtUp = false
    this.#on.onLost(this, this.#slot)
  }

  #take(socket: Socket, data: Buffer): void {
    if (this.#socket !== socket) return
    this.#rest = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data])
    if (!this.#isUpgraded) {
      const end = this.#rest.indexOf(HEAD_END)
      if (end < 0) return
      const head = this.#rest.toString('latin1', 0, end)
      this.#rest = this.#rest.subarray(end + HEAD_END.length)
      if (!head.startsWith('HTTP/1.1 101')) {
        this.retried.push(head.slice(9, 12))
        socket.destroy()
        return
      }
      this.#isUpgraded = true
      const jobs = this.job === null ? [] : [{ job: this.job, ...(this.cursor !== null && { cursor: this.cursor }) }]
      this.#send(JSON.stringify({ t: 'hello', auth: { key: this.#key }, jobs }))
    }
    this.#frames()
  }

  #frames(): void {
    let at = 0
    const bytes = this.#rest
    while (bytes.length - at >= 2) {
      let size = bytes[at + 1] & 127
      let start = at + 2
      if (size === 126) {
        if (bytes.length < at + 4) break
        size = bytes.readUInt16BE(at + 2)
        start += 2
      } else if (size === 127) {
        if (bytes.length < at + 10) break
        size = Number(bytes.readBigUInt64BE(at + 2))
        start += 8
      }
      if (bytes.length < start + size) break
      const kind = bytes[at] & 15
      const payload = bytes.subarray(start, start + size)
      at = start + size
      if (kind === TEXT) this.#hear(JSON.parse(payload.toString()) as Frame)
      else if (kind === PING) this.#write(PONG, payload)
      else if (kind === CLOSE) this.#socket?.end()
      if (this.#socket === null) return
    }
    this.#rest = bytes.subarray(at)
  }

  #hear(frame: Frame): void {
    switch (frame.t) {
      case 'welcome':
        if (this.job === null) this.#send(this.#submit)
        return
      case 'accepted':
        this.job = frame['job']
        return
      case 'attached':
        if (this.cursor === frame['cursor'] && ENDED.includes(frame['state'])) this.#over()
        return
      case 'live':
        return this.#caughtUp()
      case 'ev':
        return this.#apply(frame)
      case 'end':
        if (frame['seq'] !== this.seq + 1) this.#fault(`end ${frame['seq']} after ${this.seq}`)
        if (frame['state'] !== 'done') this.#fault(`${frame['state']} ${frame['error']?.code}`)
        return this.#over()
      case 'goaway':
        this.#slot = frame['reconnect_ms']
        return
      case 'gap':
        return this.#fault('gap')
      case 'error':
        return this.#refused(frame)
    }
  }

  #apply(frame: Frame): void {
    if (frame['job'] !== this.job) return this.#fault(`an event of ${frame['job']}`)
    if (frame['seq'] !== this.seq + 1) this.#fault(`seq ${frame['seq']} after ${this.seq}`)
    this.seq = frame['seq'] + frame['e'].length - 1
    this.cursor = frame['cursor']
    for (const { chunk, reset } of frame['e']) {
      if (reset !== undefined) this.#fault('reset')
      const content = chunk?.choices[0]?.delta?.content
      if (typeof content === 'string') this.text.add(content)
    }
    if (!this.isCaughtUp && this.seq > 0 && frame['seq'] === 1) this.#caughtUp()
  }

  #refused({ error, retryable, retry_after_ms: afterMs = RETRY_MS * (1 + Math.random()) }: Frame): void {
    if (retryable !== true) return this.#fault(`error ${error.code}`)
    this.retried.push(error.code)
    const socket = this.#socket
    setTimeout(() => {
      if (this.#socket !== socket) return
      if (this.job === null) this.#send(this.#submit)
      else this.#send(JSON.stringify({ t: 'attach', job: this.job, ...(this.cursor && { cursor: this.cursor }) }))
    }, afterMs)
  }

  #caughtUp(): void {
    this.isCaughtUp = true
    this.#on.onCaughtUp(this)
  }

  #over(): void {
    this.isOver = true
    this.#caughtUp()
    this.#socket?.destroy()
  }

  #fault(what: string): void {
    if (this.faults.length < MAX_FAULTS) this.faults.push(`${this.job}: ${what}`)
  }

  #send(text: string): void {
    this.#write(TEXT, Buffer.from(text))
  }

  /** Masked with zeros. */
  #write(kind: number, payload: Buffer): void {
    const { length } = payload
    const head = length < 126 ? Buffer.from([0x80 | kind, 0x80 | length, 0, 0, 0, 0]) : Buffer.alloc(8)
    if (length >= 126) {
      head[0] = 0x80 | kind
      head[1] = 0x80 | 126
      head.writeUInt16BE(length, 2)
    }
    this.#socket?.write(Buffer.concat([head, payload]))
  }
}

const ENDED = ['done', 'failed', 'canceled', 'expired']
const UPGRADE =
  'GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
  'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
  'sec-websocket-protocol: sluice.v1\r\n\r\n'
