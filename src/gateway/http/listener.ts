/** A port with node's HTTP server behind it, under our limits. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { SluiceError } from '../../core/errors.ts'
import { errorJson } from '../../core/wire.ts'
import { errorHeaders, rawAnswer } from './exchange.ts'
import { refusalOf } from './form.ts'
import type { Owed } from './owed.ts'

/** How often connections are checked for the timeouts of headers and requests. */
const CONNECTION_CHECK_MS = 1_000

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
      shouldUpgradeCallback: sockets?.shouldUpgrade ?? (() => false),
    },
    serve,
  )
  server.maxConnections = maxConnections
  // A client that closed its side may still wait for its answer
  Object.assign(server, { httpAllowHalfOpen: true })
  sockets?.listenOn(server)
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Answering) => {
    if (socket.writableEnded) return
    const answering = socket._httpMessage
    const isTorn = answering?.headersSent === true && !answering.req.complete
    if (!socket.writable || error.code === 'ECONNRESET' || isTorn) {
      socket.destroy()
      return
    }
    const refusal = refusalOf(error)
    onUnreadable(refusal)
    owed.refuse(socket, rawAnswer(refusal.status, errorJson(refusal.wire), errorHeaders(refusal)))
  })
  // "expect: 100-continue" is answered when the body is wanted, any other expectation by checkForm
  for (const event of ['checkContinue', 'checkExpectation'])
    server.on(event, (request, response) => server.emit('request', request, response))
  await new Promise<void>((done, failed) => {
    server.once('error', failed)
    server.listen(port, host, () => {
      server.off('error', failed)
      done()
    })
  })
  return server
}

/** Node's own link from a socket to the response that is being written to it. */
type Answering = Socket & { readonly _httpMessage?: ServerResponse }
