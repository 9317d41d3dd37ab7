/** The front door: two listeners, one way in. What is hostile or malformed is refused here, as early as it shows. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SluiceError } from '../core/errors.ts'
import { gauge } from '../core/numbers.ts'
import { errorJson } from '../core/wire.ts'
import { Admitted } from './caller/admitted.ts'
import { createAuth } from './caller/auth.ts'
import { normalOrigins } from './caller/origin.ts'
import { createSessions } from './caller/sessions.ts'
import type { Address, Gateway, GatewayDeps } from './deps.ts'
import { Call, errorHeaders, type KeyCall, rawAnswer } from './http/call.ts'
import { answerPreflight, corsOf, isPreflight } from './http/cors.ts'
import { checkForm, refusalOf } from './http/form.ts'
import { Inflow } from './http/inflow.ts'
import { adminAdvice } from './http/no-route.ts'
import { Owed } from './http/owed.ts'
import { checkQuery, Router } from './http/router.ts'
import { createAnswers } from './read/answers.ts'
import { createAttendance } from './read/attendance.ts'
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
  tookMs: 0,
} as const

/** When to come back to a server that starts or stops. */
const RETRY_AFTER_MS = 1_000
/** How often connections are checked for the timeouts of headers and requests. */
const CONNECTION_CHECK_MS = 1_000

export function createGateway(deps: GatewayDeps): Gateway {
  const { options, clock, emit, onFault } = deps
  const sessions = createSessions(deps.keys, clock, deps.ids, options.sessions)
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
  const attendance = createAttendance(
    clock,
    options.disconnectGraceMs,
    (job) => void deps.jobs.cancel(job).catch((error: unknown) => onFault(error, job)),
  )
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
  const answers = createAnswers(deps, attendance)
  const submits = createSubmits(deps, auth)
  const jobs = createJobs(deps, submits)
  const hub = new Hub(deps, { auth, sessions, attendance, submits, admitted, inflow })
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

  const serve =
    (router: Router, origins: ReadonlySet<string>) => (request: IncomingMessage, response: ServerResponse) => {
      const call = new Call(request, response, requestId(request, deps), corsOf(request, origins), clock, onFault)
      const fail = (thrown: unknown): void => {
        const code = thrown instanceof SluiceError ? thrown.code : null
        if (code === 'method_not_allowed') call.fail(thrown, { allow: router.methods(request.url ?? '').join(', ') })
        else if (code === 'upgrade_required')
          call.fail(thrown, { upgrade: 'websocket', connection: 'upgrade', 'sec-websocket-version': '13' })
        else call.fail(thrown)
      }
      const begin = (): void => {
        try {
          answer(call, router)?.catch(fail)
        } catch (error) {
          fail(error)
        }
      }
      response.once('close', () => ended(call))
      try {
        owed.add(call, begin)
      } catch (error) {
        fail(error)
      }
    }

  const ended = ({ caller, request, response, requestId, trace, route, failure, startedAt }: Call): void =>
    emit({
      type: 'request-ended',
      tenant: caller?.key.tenant ?? null,
      keyId: caller?.key.id ?? null,
      model: null,
      requestId,
      trace,
      method: request.method ?? null,
      route,
      status: response.headersSent ? response.statusCode : (failure?.status ?? 0),
      code: failure?.code ?? null,
      tookMs: clock.monoMs() - startedAt,
    })

  /** Form, then route, then key, then query; the body comes last. */
  function answer(call: Call, router: Router): Promise<void> | undefined {
    checkForm(call.request)
    if (isPreflight(call.request)) {
      answerPreflight(call)
      return undefined
    }
    const { route, params, query } = router.find(call.request.method ?? '', call.request.url ?? '')
    call.route = route.path
    if (route.errorForm !== undefined) call.errorForm = route.errorForm
    call.params = params
    call.query = query
    const refusal = route.auth === 'none' ? null : closedFor()
    if (refusal !== null) throw refusal
    if (route.auth === 'operator') auth.operator(call.request)
    else {
      call.inflow = inflow
      call.outflow = outflow
    }
    if (route.auth === 'tenant') admit(call)
    checkQuery(route, query)
    return route.run(call as KeyCall) ?? undefined
  }

  /** Its caller stays in as long as it is valid. */
  function admit(call: Call): void {
    const caller = auth.tenant(call.request)
    const leave = admitted.enter(caller, 'request', (error) => call.sendAway(error))
    call.response.once('close', leave)
    call.caller = caller
    call.check = () => auth.check(caller)
  }

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
      serve(router, normalOrigins(origins)),
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
    expectReader: (job) => attendance.expect(job),
    ready() {
      starting = false
      hub.starting = false
    },
    listenAdmin: (host, port) => listen(operators, host, port, [], null),
    drain() {
      draining = true
      hub.drain()
      attendance.close() // readers leave because we do
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

/** The client's own id, if it is sane; else one of ours. */
function requestId(request: IncomingMessage, deps: GatewayDeps): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w.:/+=-]{1,128}$/.test(given) ? given : deps.ids.name('req', 12)
}
