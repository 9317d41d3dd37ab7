/** One open page of the dashboard: what it asks, and what it is told, as far as it reads. */
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { Clock } from '../../core/clock.ts'
import { ERRORS, SluiceError } from '../../core/errors.ts'
import { isRecord } from '../../core/json.ts'
import type { LiveTold, Role } from '../../core/live.ts'
import type { Live, LivePage } from '../../core/ports/live.ts'
import type { Signed } from '../caller/sign-in.ts'
import { readAsk } from './frames.ts'

export const MAX_ASK_BYTES = 4_096
/** Frames are dropped while so much is unread: the next ones tell what is so by then. */
const MAX_UNREAD_BYTES = 128 * 1024
const ASKS_PER_SECOND = 10
const BURST_SECONDS = 5
const MAX_REASON_BYTES = 120

/** Frames by what they tell: several pages may be told the same. */
const texts = new WeakMap<LiveTold, string>()

function textOf(told: LiveTold): string {
  const known = texts.get(told)
  if (known !== undefined) return known
  const text = JSON.stringify(told)
  texts.set(told, text)
  return text
}

export class Page {
  /** Null: by the admin key. */
  readonly signed: Signed | null
  heardMono: number
  /** When a sign of life was requested that has not come yet; Infinity: none was. */
  pingedMono = Infinity
  readonly #ws: WebSocket
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #onFault: (error: unknown) => void
  readonly #live: LivePage
  #credit = ASKS_PER_SECOND * BURST_SECONDS
  #countedMono: number
  #closing = false

  constructor(
    ws: WebSocket,
    socket: Socket,
    { clock, live, onFault }: { clock: Clock; live: Live; onFault: (error: unknown) => void },
    role: Role,
    signed: Signed | null,
    onClosed: (page: Page) => void,
  ) {
    this.#ws = ws
    this.#socket = socket
    this.#clock = clock
    this.#onFault = onFault
    this.signed = signed
    this.heardMono = clock.monoMs()
    this.#countedMono = this.heardMono
    ws.on('message', (data, isBinary) => this.#onMessage(data as Buffer, isBinary))
    ws.on('ping', (data) => {
      if (this.#isHeard()) ws.pong(data)
    })
    ws.on('pong', () => void this.#isHeard())
    ws.on('error', () => {}) // ws closes with the right code
    ws.on('close', () => {
      this.#closing = true
      this.#live.close()
      onClosed(this)
    })
    this.#live = live.open(role, (told) => this.#tell(told))
  }

  #tell(told: LiveTold): boolean {
    if (this.#closing || this.#socket.writableLength > MAX_UNREAD_BYTES) return false
    this.#ws.send(textOf(told))
    return true
  }

  /** Records a sign of life. False: it sends too much, and is closed. */
  #isHeard(): boolean {
    const now = this.#clock.monoMs()
    this.heardMono = now
    this.pingedMono = Infinity
    const earned = ((now - this.#countedMono) * ASKS_PER_SECOND) / 1_000
    this.#credit = Math.min(ASKS_PER_SECOND * BURST_SECONDS, this.#credit + earned) - 1
    this.#countedMono = now
    if (this.#credit < 0) this.close(new SluiceError('message_flood'))
    return !this.#closing
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    if (this.#closing || !this.#isHeard()) return
    if (data.length > MAX_ASK_BYTES) return this.close(new SluiceError('message_too_large'))
    try {
      const value: unknown = isBinary ? null : parsed(data)
      if (!isRecord(value))
        throw new SluiceError('invalid_request', { message: 'Frames must be text: one JSON object each.' })
      this.#live.ask(readAsk(value))
    } catch (thrown) {
      const error = SluiceError.from(thrown)
      if (error.code === 'internal') this.#onFault(error.cause ?? error)
      this.#tell({ t: 'error', error: error.wire })
    }
  }

  ping(now: number): void {
    this.pingedMono = now
    this.#ws.ping()
  }

  close(error: SluiceError): void {
    if (this.#closing) return
    this.#closing = true
    this.#live.close()
    const reason = `${error.code}: ${error.message}`.slice(0, MAX_REASON_BYTES).replace(/[^\x20-\x7e]/g, '?')
    this.#ws.close(ERRORS[error.code].close, reason)
  }

  /** At once. */
  cut(): void {
    this.#ws.terminate()
  }
}

/** Null: it is no JSON. A text of MAX_ASK_BYTES is nested deeply at worst, which JSON.parse bears. */
function parsed(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString('utf8'))
  } catch {
    return null
  }
}
