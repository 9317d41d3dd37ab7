/**
 * RFC 6455 by hand, over a plain socket: it can be wrong in every way that it is told to be, and hides nothing of what
 * comes back.
 */
import { createHash, randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'

export const TEXT = 1
export const BINARY = 2
export const CLOSE = 8
export const PING = 9
export const PONG = 10

const WITHIN_MS = 60_000
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** A frame of `sluice.v1`, as parsed. */
export type Said = Record<string, any> & { readonly t: string }
/** Which frame: its type, or what holds of it. */
export type Wanted = string | ((said: Said) => boolean)

export interface FrameOptions {
  readonly opcode?: number
  readonly fin?: boolean
  /** The three reserved bits. */
  readonly rsv?: number
  /** True: at random. Null: unmasked. */
  readonly mask?: true | Uint8Array | null
  /** A length other than the payload's. */
  readonly claim?: bigint
}

/** The bytes of one frame; valid, unless the options make it otherwise. */
export function encode(payload: string | Uint8Array, options: FrameOptions = {}): Buffer {
  const { opcode = TEXT, fin = true, rsv = 0, mask = true } = options
  const content = Buffer.from(payload as string)
  const length = options.claim ?? BigInt(content.length)
  const masked = mask === null ? 0 : 0x80
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  const key = mask === true ? randomBytes(4) : mask
  if (key !== null) for (let i = 0; i < content.length; i++) content[i] ^= key[i & 3]
  return Buffer.concat([headOf(first, masked, length), key ?? Buffer.alloc(0), content])
}

function headOf(first: number, masked: number, length: bigint): Buffer {
  if (length < 126n) return Buffer.from([first, masked | Number(length)])
  const head = Buffer.alloc(length < 65_536n ? 4 : 10)
  head[0] = first
  head[1] = masked | (head.length === 4 ? 126 : 127)
  if (head.length === 4) head.writeUInt16BE(Number(length), 2)
  else head.writeBigUInt64BE(length, 2)
  return head
}

/** A close frame's payload. */
export const closing = (code: number, reason: string | Uint8Array = ''): Buffer =>
  Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason as string)])

export interface Frame {
  readonly opcode: number
  readonly fin: boolean
  readonly rsv: number
  readonly payload: Buffer
  /** Head included. */
  readonly wireBytes: number
}

/** The first whole frame of `bytes`, or null. Throws on what a server must never send: a masked frame. */
function decode(bytes: Buffer): Frame | null {
  if (bytes.length < 2) return null
  const [first, second] = bytes
  if ((second & 0x80) !== 0) throw new Error('the server masked a frame')
  const short = second & 0x7f
  const at = short < 126 ? 2 : short === 126 ? 4 : 10
  if (bytes.length < at) return null
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  if (bytes.length < at + length) return null
  return {
    opcode: first & 15,
    fin: (first & 0x80) !== 0,
    rsv: (first >> 4) & 7,
    payload: bytes.subarray(at, at + length),
    wireBytes: at + length,
  }
}

/** How it ended. */
export interface Closed {
  /** 1005: a close frame without a code. 1006: the connection ended without a close frame. */
  readonly code: number
  readonly reason: string
}

/** The server's answer to an upgrade, if it was not 101. */
export class NotUpgraded extends Error {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string

  constructor(status: number, headers: Readonly<Record<string, string>>, body: string) {
    super(`not upgraded: ${status} ${body}`)
    this.status = status
    this.headers = headers
    this.body = body
  }
}

export interface OpenOptions {
  /** Beside those of a good handshake, or instead of them; null leaves one out. */
  readonly headers?: Readonly<Record<string, string | null>>
  readonly path?: string
  /** Sent in the same write as the handshake. */
  readonly at_once?: Buffer
  /** Pings are answered. Default true. */
  readonly alive?: boolean
}

export interface Peer {
  /** Of the handshake, names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly socket: Socket
  /** All frames of `sluice.v1` so far, in order, taken or not. */
  readonly heard: readonly Said[]
  /** Payload bytes of each frame in `heard`. */
  readonly sizes: readonly number[]
  /** All frames of RFC 6455 so far. */
  readonly frames: readonly Frame[]
  /** One good frame of `sluice.v1`. */
  say(frame: object): void
  write(bytes: Uint8Array): void
  /** The first frame that is wanted and was not taken yet; it is taken, those before it are left. */
  next(wanted: Wanted, withinMs?: number): Promise<Said>
  /** All frames that were not taken yet up to the wanted one; all are taken. */
  until(wanted: Wanted, withinMs?: number): Promise<Said[]>
  /** Until the server has answered a ping of `sluice.v1`: what it said before that. */
  settled(): Promise<Said[]>
  /** A frame of RFC 6455 that was not asked for yet. */
  nextFrame(opcode: number, withinMs?: number): Promise<Frame>
  closed(withinMs?: number): Promise<Closed>
  /** Says goodbye, and waits for the answer. */
  close(code?: number): Promise<Closed>
  /** Gone without a word. */
  drop(): void
}

/** The handshake of a good client. */
export function handshake(url: string, options: OpenOptions = {}): { readonly bytes: Buffer; readonly accept: string } {
  const key = randomBytes(16).toString('base64')
  const headers: Record<string, string | null> = {
    host: new URL(url).host,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': key,
    'sec-websocket-protocol': 'sluice.v1',
    ...options.headers,
  }
  const lines = Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}\r\n`]))
  const accept = createHash('sha1')
    .update((headers['sec-websocket-key'] ?? '') + GUID)
    .digest('base64')
  return { bytes: Buffer.from(`GET ${options.path ?? '/v1/ws'} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'), accept }
}

/** `url`: of the server, http. Throws NotUpgraded; Error if there is no good answer in time. */
export function openPeer(url: string, options: OpenOptions = {}): Promise<Peer> {
  const { hostname, port } = new URL(url)
  const { bytes, accept } = handshake(url, options)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    let read: Buffer = Buffer.alloc(0)
    const fail = (error: Error): void => {
      clearTimeout(late)
      socket.destroy()
      reject(error)
    }
    const late = setTimeout(() => fail(new Error('no answer to the upgrade')), WITHIN_MS)
    const over = (): void => fail(refusalOf(read) ?? new Error('the connection ended before an answer'))
    const onData = (data: Buffer): void => {
      read = Buffer.concat([read, data])
      const end = read.indexOf('\r\n\r\n')
      if (end < 0) return
      const { status, headers } = headOfAnswer(read.subarray(0, end).toString('latin1'))
      if (status !== 101) {
        const refusal = refusalOf(read)
        if (refusal !== null) fail(refusal)
        return
      }
      clearTimeout(late)
      for (const event of ['data', 'end', 'close', 'error']) socket.removeAllListeners(event)
      if (headers['sec-websocket-accept'] !== accept) return fail(new Error('sec-websocket-accept is wrong'))
      const peer = talk(socket, headers, options.alive ?? true)
      socket.emit('data', read.subarray(end + 4))
      resolve(peer)
    }
    socket.on('data', onData)
    socket.on('end', over)
    socket.on('close', over)
    socket.on('error', fail)
    socket.write(options.at_once === undefined ? bytes : Buffer.concat([bytes, options.at_once]))
  })
}

function headOfAnswer(head: string): { readonly status: number; readonly headers: Record<string, string> } {
  const [first, ...lines] = head.split('\r\n')
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? 0),
    headers: Object.fromEntries(
      lines.map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]),
    ),
  }
}

/** Null while it is not whole. */
function refusalOf(read: Buffer): NotUpgraded | null {
  const end = read.indexOf('\r\n\r\n')
  if (end < 0) return null
  const { status, headers } = headOfAnswer(read.subarray(0, end).toString('latin1'))
  const body = read.subarray(end + 4)
  return body.length < Number(headers['content-length'] ?? 0)
    ? null
    : new NotUpgraded(status, headers, body.toString('utf8'))
}

interface Waiting {
  /** True: it has what it waited for, or can't get it any longer. */
  look(): boolean
}

function talk(socket: Socket, headers: Readonly<Record<string, string>>, alive: boolean): Peer {
  const heard: Said[] = []
  const sizes: number[] = []
  const untaken: Said[] = []
  const frames: Frame[] = []
  const unasked: Frame[] = []
  const waiting = new Set<Waiting>()
  let rest: Buffer = Buffer.alloc(0)
  let parts: Buffer[] = []
  let ended: Closed | null = null
  let said: Closed | null = null
  let broken: unknown = null
  let leaving = false

  const wake = (): void => {
    for (const one of [...waiting]) if (one.look()) waiting.delete(one)
  }
  const write = (bytes: Uint8Array): void => void (socket.writable && socket.write(bytes))

  function take(frame: Frame): void {
    frames.push(frame)
    unasked.push(frame)
    const { opcode, payload, fin } = frame
    if (opcode === PING && alive) write(encode(payload, { opcode: PONG }))
    if (opcode === CLOSE) {
      said = { code: payload.length < 2 ? 1005 : payload.readUInt16BE(0), reason: payload.subarray(2).toString('utf8') }
      if (!leaving) write(encode(payload.subarray(0, 2), { opcode: CLOSE }))
    }
    if (opcode > 2) return
    parts.push(payload)
    if (!fin) return
    const message = Buffer.concat(parts)
    parts = []
    const parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(message)) as Said
    heard.push(parsed)
    sizes.push(message.length)
    untaken.push(parsed)
  }

  socket.on('data', (data: Buffer) => {
    rest = rest.length === 0 ? data : Buffer.concat([rest, data])
    try {
      for (let frame = decode(rest); frame !== null; frame = decode(rest)) {
        rest = rest.subarray(frame.wireBytes)
        take(frame)
      }
    } catch (error) {
      broken ??= error
      socket.destroy()
    }
    wake()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    ended = said ?? { code: 1006, reason: '' }
    wake()
  })

  /** Waits until `look` finds something. */
  function wait<T>(what: string, withinMs: number, look: () => T | undefined, goesOnClosed = false): Promise<T> {
    const at = heard.length
    return new Promise((resolve, reject) => {
      const fail = (why: string): void =>
        reject(
          new Error(
            `${why} while waiting for ${what}; heard since: ` +
              `${JSON.stringify(heard.slice(at).slice(-10)).slice(0, 2_000)}`,
            { cause: broken },
          ),
        )
      const one: Waiting = {
        look() {
          const found = look()
          if (found === undefined && (ended === null || goesOnClosed)) return false
          clearTimeout(late)
          if (found !== undefined) resolve(found)
          else fail(`closed (${ended?.code} ${ended?.reason})`)
          return true
        },
      }
      const late = setTimeout(() => {
        waiting.delete(one)
        fail(`nothing in ${withinMs} ms`)
      }, withinMs)
      waiting.add(one)
      if (one.look()) waiting.delete(one)
    })
  }

  const holds = (wanted: Wanted): ((frame: Said) => boolean) =>
    typeof wanted === 'string' ? (frame) => frame.t === wanted : wanted
  const until = (wanted: Wanted, withinMs = WITHIN_MS): Promise<Said[]> =>
    wait(String(wanted), withinMs, () => {
      const at = untaken.findIndex(holds(wanted))
      return at < 0 ? undefined : untaken.splice(0, at + 1)
    })
  const closed = (withinMs = WITHIN_MS): Promise<Closed> => wait('the close', withinMs, () => ended ?? undefined, true)

  return {
    headers,
    socket,
    heard,
    sizes,
    frames,
    write,
    say: (frame) => write(encode(JSON.stringify(frame))),
    next: (wanted, withinMs = WITHIN_MS) =>
      wait(String(wanted), withinMs, () => {
        const at = untaken.findIndex(holds(wanted))
        return at < 0 ? undefined : untaken.splice(at, 1)[0]
      }),
    until,
    async settled() {
      write(encode('{"t":"ping"}'))
      return (await until('pong')).slice(0, -1)
    },
    nextFrame: (opcode, withinMs = WITHIN_MS) =>
      wait(`opcode ${opcode}`, withinMs, () => {
        const at = unasked.findIndex((frame) => frame.opcode === opcode)
        return at < 0 ? undefined : unasked.splice(at, 1)[0]
      }),
    closed,
    close(code = 1000) {
      leaving = true
      write(encode(closing(code), { opcode: CLOSE }))
      return closed()
    },
    drop: () => void socket.destroy(),
  }
}
