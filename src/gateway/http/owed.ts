/**
 * The answers that each connection is owed, in the order of its requests. A request is begun once those before it have
 * been answered and read: a client that pipelines many holds one answer, and one turn of the event loop, at a time.
 * Garbage after them is refused after their answers. A client may close its side after its request (HTTP/1.1 allows
 * it) and still read the answer; one that has left looks the same until something is written to it.
 */
import type { Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Bytes } from '../../core/record.ts'
import type { Exchange } from './exchange.ts'

/** Requests of one connection that may wait for their answers at once (pipelining). */
const MAX_OWED = 64
/** A refused connection is closed after this, whether its peer read the answer or not. */
const REFUSED_LINGER_MS = 500
/** For a reset to come back. */
const RESET_MS = 200

/** An exchange that is owed its answer. */
interface Owing {
  readonly exchange: Exchange
  /** Null: it is begun, or refused. */
  begin: (() => void) | null
}

interface Connection {
  /** Oldest first. An array: there is one at most times, and hash tables that churn keep what they held alive. */
  readonly owing: Owing[]
  /** Written once nothing else is owed. */
  refusal: Bytes | null
}

export class Owed {
  readonly #clock: Clock
  /** How long a lost reader is waited for. */
  readonly #graceMs: number
  readonly #connections = new WeakMap<Socket, Connection>()

  constructor(clock: Clock, graceMs: number) {
    this.#clock = clock
    this.#graceMs = graceMs
  }

  /** `begin` is called in its turn, and must not throw. Throws too_many_connections. */
  add(exchange: Exchange, begin: () => void): void {
    const { socket } = exchange.request
    const connection = this.#of(socket)
    const { owing } = connection
    const isFull = owing.length >= MAX_OWED
    const isNext = owing.length === 0
    const one: Owing = { exchange, begin: isFull || isNext ? null : begin }
    owing.push(one)
    exchange.onClose(() => {
      const at = owing.indexOf(one)
      if (at >= 0) owing.splice(at, 1)
      this.#beginNext(socket, connection)
      this.#refuseLast(socket, connection)
    })
    if (isFull)
      throw new SluiceError('too_many_connections', {
        message: `A connection may have at most ${MAX_OWED} pending answers: read some first.`,
      })
    if (isNext) begin()
  }

  /** Is there an answer that this connection still waits for? */
  isPending(socket: Socket): boolean {
    return (this.#connections.get(socket)?.owing.length ?? 0) > 0
  }

  #beginNext(socket: Socket, { owing }: Connection): void {
    if (owing.length === 0 || owing[0].begin === null) return
    const { begin } = owing[0]
    owing[0].begin = null
    this.#clock.soon(() => {
      if (!socket.destroyed) begin()
    })
  }

  /** The last bytes on this connection are not a request. `answer` ends the connection. */
  refuse(socket: Socket, answer: Bytes): void {
    const connection = this.#of(socket)
    connection.refusal ??= answer
    // It is the incomplete request that is refused
    const { owing } = connection
    for (let i = owing.length - 1; i >= 0; i--) if (!owing[i].exchange.request.complete) owing.splice(i, 1)
    this.#refuseLast(socket, connection)
  }

  #refuseLast(socket: Socket, { owing, refusal }: Connection): void {
    if (refusal === null || owing.length > 0 || socket.writableEnded) return
    socket.end(refusal, 'latin1')
    socket.once(
      'close',
      this.#clock.after(REFUSED_LINGER_MS, () => socket.destroy()),
    )
  }

  #of(socket: Socket): Connection {
    const known = this.#connections.get(socket)
    if (known !== undefined) return known
    const connection: Connection = { owing: [], refusal: null }
    this.#connections.set(socket, connection)
    socket.once('end', () => this.#peerEnded(socket, connection))
    return connection
  }

  #peerEnded(socket: Socket, { owing }: Connection): void {
    const now = this.#clock.monoMs()
    for (const { exchange } of owing) exchange.peerEndedMono = now
    // By then a reader is given up: is it still there? The first write to one that has left is answered by a reset,
    // which the second one meets.
    let stop = this.#clock.after(this.#graceMs, () => {
      probe(owing)
      stop = this.#clock.after(RESET_MS, () => probe(owing))
    })
    socket.once('close', () => stop())
  }
}

/** Writes what no reader minds: a comment in a stream, an interim response before any other. */
function probe(owing: readonly Owing[]): void {
  const response = owing[0]?.exchange.response
  if (response === undefined || response.writableEnded) return
  if (response.headersSent) response.write(': hb\n')
  else response.writeProcessing()
}
