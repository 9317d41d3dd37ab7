/** The front door: two listeners, one way in. What is hostile or malformed is refused here, as early as it shows. */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SluiceError } from '../core/errors.ts'
import { gauge } from '../core/numbers.ts'
import { errorJson } from '../core/wire.ts'
import { Admitted } from './caller/admitted.ts'
import { createAuth } from './caller/auth.ts'
import { normalOrigins } from './caller/origin.ts'
import { createSessions } from './caller/sessions.ts'
import type { Address, Gateway, GatewayDeps } from './deps.ts'
import { createEntries } from './entry.ts'
import { errorHeaders, rawAnswer } from './http/exchange.ts'
import { refusalOf } from './http/form.ts'
import { Inflow } from './http/inflow.ts'
import { adminAdvice } from './http/no-route.ts'
import { Owed } from './http/owed.ts'
import { Router } from './http/router.ts'
import { pipeline } from './pipeline.ts'
import { createAnswers } from './read/answers.ts'
import { createJobs } from './read/jobs.ts'
import { createWatching } from './read/watching.ts'
import { createRoutes } from './routes/index.ts'
import { Hub } from './socket/hub.ts'
import { createSubmits } from './submit/submit.ts'

/** What is known of a request that could not be read. */
const UNREAD = {
  tenant: null,
  keyId: null,
  model: null,
  requestId: null,
  trace: null,
  method: null,
  route: null,
  complete: true,
  tookMs: 0,
} as const

/** When to come back to a server that starts or stops. */
const RETRY_AFTER_MS = 1_000
/** How often connections are checked for the timeouts of headers and requests. */
const CONNECTION_CHECK_MS = 1_000

export function createGateway(deps: GatewayDeps): Gateway {
  const { options, clock, emit } = deps
  const sessions = createSessions(deps.keys, deps.tickets, clock, deps.ids, options.sessions)
  const auth = createAuth(deps.keys, sessions, clock, options)
  const { sessions: quotas, socket } = options
  const admitted = new Admitted(auth, clock, {
    request: { perKey: options.maxRequestsPerKey, perSession: quotas.maxRequests },
    socket: { perKey: socket.maxPerKey, perSession: quotas.maxSockets },
  })
  // One body of any allowed size must fit
  const unfinished = {
    total: options.maxUnfinishedBytes,
    perKey: Math.max(options.maxUnfinishedBytesPerKey, options.maxBodyBytes),
    perSession: Math.max(quotas.maxUnfinishedBytes, options.maxBodyBytes),
  }
  const inflow = new Inflow(unfinished, 'unfinished requests')
  const outflow = new Inflow(unfinished, 'unread answers')
  const owed = new Owed(clock, options.disconnectGraceMs)
  let starting = true
  let draining = false
  /** What refuses all but probes; null when open. */
  const closedFor = (): SluiceError | null =>
    draining
      ? new SluiceError('draining', { retryAfterMs: RETRY_AFTER_MS })
      : starting
        ? new SluiceError('starting', { retryAfterMs: RETRY_AFTER_MS })
        : null
  const answers = createAnswers(deps)
  const submits = createSubmits(deps, auth)
  const jobs = createJobs(deps, submits)
  const hub = new Hub(deps, { auth, sessions, submits, admitted, inflow })
  const watching = createWatching(deps)
  const door = { auth, sessions, socket: hub.route, admitted }
  const routes = createRoutes(deps, jobs, submits, answers, door, watching, closedFor)
  const servers: Server[] = []
  let publicPort = 0
  const api = new Router(routes.public)
  const operators = new Router(
    routes.admin,
    adminAdvice(
      (path) => api.methods(path).length > 0,
      () => publicPort,
    ),
  )

  const entries = createEntries(auth, admitted)
  const ways = { ...deps, owed, inflow, outflow, entries, check: auth.check, closedFor }

  /** What could not be read as a request at all. */
  function onClientError(
    error: NodeJS.ErrnoException,
    socket: Socket & { readonly _httpMessage?: ServerResponse },
  ): void {
    if (socket.writableEnded) return
    const answering = socket._httpMessage
    const isTorn = answering?.headersSent === true && !answering.req.complete
    if (!socket.writable || error.code === 'ECONNRESET' || isTorn) {
      socket.destroy()
      return
    }
    const refusal = refusalOf(error)
    emit({ type: 'request-ended', ...UNREAD, status: refusal.status, code: refusal.code })
    owed.refuse(socket, rawAnswer(refusal.status, errorJson(refusal.wire), errorHeaders(refusal)))
  }

  async function listen(
    router: Router,
    host: string,
    port: number,
    origins: readonly string[],
    sockets: Hub | null,
  ): Promise<Address> {
    const server = createServer(
      {
        headersTimeout: options.headersTimeoutMs,
        requestTimeout: options.requestTimeoutMs,
        keepAliveTimeout: options.keepAliveMs,
        connectionsCheckingInterval: CONNECTION_CHECK_MS,
        maxHeaderSize: options.maxHeaderBytes,
        requireHostHeader: false, // checkForm answers in JSON
        noDelay: true,
        shouldUpgradeCallback: sockets?.shouldUpgrade ?? (() => false),
      },
      pipeline(router, normalOrigins(origins), ways),
    )
    server.maxConnections = options.maxConnections
    // A client that closed its side may still wait for its answer
    Object.assign(server, { httpAllowHalfOpen: true })
    sockets?.listenOn(server)
    server.on('clientError', onClientError)
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
    servers.push(server)
    return { host, port: (server.address() as { port: number }).port }
  }

  let closed: Promise<void> | null = null
  return {
    metrics: [
      ...hub.metrics,
      gauge('unfinished_bytes', 'Bodies and messages that are still arriving', () => inflow.bytes),
      gauge('unread_bytes', 'Large answers that are not read yet', () => outflow.bytes),
    ],
    async listenPublic(host, port) {
      const address = await listen(api, host, port, options.corsOrigins, hub)
      publicPort = address.port
      return address
    },
    ready() {
      starting = false
      hub.starting = false
    },
    listenAdmin: (host, port) => listen(operators, host, port, [], null),
    drain() {
      draining = true
      hub.drain()
      deps.presence.close() // readers leave because we do
    },
    close(withinMs = 0) {
      closed ??= (async () => {
        this.drain()
        answers.releaseAll()
        watching.endAll()
        hub.close()
        const all = servers.map((server) => new Promise((done) => server.close(done)))
        for (const server of servers) server.closeIdleConnections()
        const cut = clock.after(withinMs, () => {
          hub.cut()
          for (const server of servers) server.closeAllConnections()
        })
        await Promise.all(all)
        admitted.close()
        cut()
      })()
      return closed
    },
  }
}
