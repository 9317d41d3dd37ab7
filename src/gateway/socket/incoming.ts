/** What a peer may send: messages a second, and bytes of an unfinished message. */
import type { WebSocket } from 'ws'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Caller } from '../caller/caller.ts'
import type { Holding, Inflow } from '../http/inflow.ts'

/** A burst may be this many seconds' worth of messages. */
const BURST_SECONDS = 5
/** What a peer may send before it has authenticated: messages, and bytes of an unfinished one. */
const STRANGERS_MESSAGES = 16
const STRANGERS_BYTES = 128 * 1024

export class Incoming {
  readonly #ws: WebSocket
  readonly #clock: Clock
  readonly #inflow: Inflow
  readonly #perSecond: number
  #isStranger = true
  /** Messages that it may still send now. */
  #messages: number
  #countedMono: number
  /** Messages that were read before it had authenticated. */
  #strange = 0
  /** What it holds of unfinished messages. */
  #holding: Holding
  #unfinished = 0

  constructor(ws: WebSocket, clock: Clock, inflow: Inflow, perSecond: number) {
    this.#ws = ws
    this.#clock = clock
    this.#inflow = inflow
    this.#perSecond = perSecond
    this.#messages = perSecond * BURST_SECONDS
    this.#countedMono = clock.monoMs()
    this.#holding = inflow.open(null)
  }

  /** Counts a message, a ping or a pong. Throws message_flood. */
  count(): void {
    const now = this.#clock.monoMs()
    const most = this.#perSecond * BURST_SECONDS
    const earned = ((now - this.#countedMono) * this.#perSecond) / 1_000
    this.#messages = Math.min(most, this.#messages + earned) - 1
    this.#countedMono = now
    if (this.#messages < 0) throw new SluiceError('message_flood')
  }

  /** Counts a message that is to be read. Throws message_flood. */
  countMessage(): void {
    this.count()
    if (this.#isStranger && ++this.#strange > STRANGERS_MESSAGES)
      throw new SluiceError('message_flood', { message: 'Too many messages before hello.' })
  }

  /**
   * To be called after ws has read some bytes: what it keeps belongs to an unfinished message. Throws
   * message_too_large, overloaded, too_many_unfinished.
   */
  measure(): void {
    const unfinished = unfinishedBytesOf(this.#ws)
    if (unfinished === this.#unfinished) return
    this.#unfinished = unfinished
    if (this.#isStranger && unfinished > STRANGERS_BYTES) throw new SluiceError('message_too_large')
    this.#holding.hold(unfinished)
  }

  /** Their caller is known: from now on they count as the caller's. */
  enter(caller: Caller): void {
    this.#isStranger = false
    this.#holding.hold(0)
    this.#holding = this.#inflow.open(caller)
  }

  close(): void {
    this.#holding.hold(0)
  }
}

/** ws does not tell how much it keeps of a message; its receiver knows. */
function unfinishedBytesOf(ws: WebSocket): number {
  const { _bufferedBytes, _messageLength } = (ws as unknown as Receiving)._receiver
  return _bufferedBytes + _messageLength
}

interface Receiving {
  readonly _receiver: { readonly _bufferedBytes: number; readonly _messageLength: number }
}
