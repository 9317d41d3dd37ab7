/** A port with node's HTTP server behind it, under our limits. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { errorJson } from '../../core/wire.ts'
import { errorHeaders, rawAnswer } from './exchange.ts'
import { refusalOf } from './form.ts'
import { createServer } from './node-http.ts'
import type { Owed } from './owed.ts'

/** How often connections are checked for the timeouts of headers and requests. */
const CONNECTION_CHECK_MS = 1_000

/** Connections that wait to be accepted: when thousands come back at once, those beyond wait a second, then more. */
const MAX_UNACCEPTED = 4_096

export interface ListenerOptions {
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly keepAliveMs: number
  readonly maxHeaderBytes: number
  readonly maxConnections: number
}

export interface Handlers {
  readonly serve: (request: IncomingMessage, response: ServerResponse) => void
  /** Its error for bytes that could not be read as a request is sent in its turn. */
  readonly owed: Owed
  /** Such an error. */
  readonly onUnreadable: (error: SluiceError) => void
  /** Takes over connections that are to speak another protocol; null: none are. */
  readonly sockets: {
    readonly shouldUpgrade: (request: IncomingMessage) => boolean
    listenOn(server: Server): void
  } | null
}

/** Resolves when it listens. Port 0 = any free one. Rejects with the system's error (EADDRINUSE). */
export async function listen(
  host: string,
  port: number,
  { headersTimeoutMs, requestTimeoutMs, keepAliveMs, maxHeaderBytes, maxConnections }: ListenerOptions,
  { serve, owed, onUnreadable, sockets }: Handlers,
): Promise<Server> {
  const server = createServer(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: CONNECTION_CHECK_MS,
      maxHeaderSize: maxHeaderBytes,
      requireHostHeader: false, // checkForm answers in JSON
      noDelay: true,
      shouldUpgradeCallback: (request) => {
        if (sockets?.shouldUpgrade(request) === true) return true
        onRest(request, () => refuse(request.socket, new SluiceError('invalid_request', { message: NO_MORE })))
        return false
      },
    },
    serve,
  )
  server.maxConnections = maxConnections
  // A client that closed its side may still wait for its answer
  Object.assign(server, { httpAllowHalfOpen: true })
  sockets?.listenOn(server)
  const refuse = (socket: Socket, refusal: SluiceError): void => {
    onUnreadable(refusal)
    owed.refuse(socket, rawAnswer(refusal.status, errorJson(refusal.wire), errorHeaders(refusal)))
  }
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Answering) => {
    if (socket.writableEnded) return
    const answering = socket._httpMessage
    const isTorn = answering?.headersSent === true && !answering.req.complete
    if (!socket.writable || error.code === 'ECONNRESET' || isTorn) {
      socket.destroy()
      return
    }
    refuse(socket, refusalOf(error))
  })
  // Node has let go of the connection: what is still being answered on it goes on by this alone
  server.on('connect', ({ socket }: { readonly socket: Answering }) => {
    socket.on('error', () => socket.destroy())
    socket.on('drain', () => socket._httpMessage?.emit('drain'))
    socket.resume()
    refuse(socket, new SluiceError('method_not_allowed', { message: 'This is no proxy: CONNECT is refused.' }))
  })
  // "expect: 100-continue" is answered when the body is wanted, any other expectation by checkForm
  for (const event of ['checkContinue', 'checkExpectation'])
    server.on(event, (request, response) => server.emit('request', request, response))
  await new Promise<void>((done, failed) => {
    server.once('error', failed)
    server.listen({ port, host, backlog: MAX_UNACCEPTED }, () => {
      server.off('error', failed)
      done()
    })
  })
  return server
}

/**
 * New connections are refused, and go to another gateway; those that still wait to be accepted, one in each turn, would
 * be reset. Idle ones stay: a request may be on its way. `onClosed`: once all are closed.
 */
export function stopListening(server: Server, clock: Turns, onClosed: () => void): void {
  let accepted = 0
  const count = (): void => void accepted++
  server.on('connection', count)
  const close = (): void => {
    server.off('connection', count)
    NetServer.prototype.close.call(server, onClosed)
  }
  whenQuiet(clock, () => accepted, close)
}

/**
 * Closes connections that are kept open, once all that has come on them is read: a busy process has requests in its
 * sockets that it does not know of, and a balancer can't send a POST again.
 */
export function closeIdle(server: Server, clock: Turns, then: () => void = () => {}): void {
  const close = (): void => {
    server.closeIdleConnections()
    then()
  }
  whenQuiet(clock, () => 0, close)
}

type Turns = Pick<Clock, 'soon' | 'monoMs'>
/** A turn of the event loop in which next to nothing was to do. */
const QUIET_MS = 0.2
const MOST_TURNS = 2_000

/** Right after a turn in which next to nothing came, and nothing that `come` counts: nearly all is known then. */
function whenQuiet(clock: Turns, come: () => number, fn: () => void): void {
  const turn = (left: number): void => {
    const [begunMono, before] = [clock.monoMs(), come()]
    clock.soon(() => {
      const isQuiet = come() === before && clock.monoMs() - begunMono < QUIET_MS
      if (isQuiet || left === 0) fn()
      else turn(left - 1)
    })
  }
  // The rest of this turn looks at no socket
  clock.soon(() => turn(MOST_TURNS))
}

const NO_MORE = 'A request that offers another protocol must be answered before the next one is sent: send that again.'

/**
 * Node's parser stops after a request that offers another protocol, even where the offer is ignored, and drops what
 * came with it. Calls `fn` if that was anything.
 */
function onRest(request: IncomingMessage, fn: () => void): void {
  const { parser } = request.socket as Socket & { readonly parser?: Parser }
  const event = parser?.constructor.kOnExecute
  const node = event === undefined ? undefined : parser?.[event]
  if (parser === undefined || event === undefined || node === undefined) return
  parser[event] = (parsed) => {
    const { length } = parser.getCurrentBuffer()
    if (request.complete) parser[event] = node
    node(parsed)
    if (request.complete && typeof parsed === 'number' && parsed < length) fn()
  }
}

/** What node's parser is to node's own server. */
interface Parser {
  readonly constructor: { readonly kOnExecute?: number }
  getCurrentBuffer(): Buffer
  [event: number]: ((parsed: number | Error) => void) | undefined
}

/** Node's own link from a socket to the response that is being written to it. */
type Answering = Socket & { readonly _httpMessage?: ServerResponse }
