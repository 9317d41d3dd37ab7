/** The front door: two listeners, one way in. What is hostile or malformed is refused here, as early as it shows. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SluiceError } from '../core/errors.ts'
import { type Auth as AuthCheck, createAuth } from './auth.ts'
import { Aborted } from './body.ts'
import { Call, errorBody, type KeyCall, rawAnswer } from './call.ts'
import type { Address, Gateway, GatewayDeps } from './deps.ts'
import { createAttendance } from './disconnect.ts'
import { createRoutes, type Route } from './routes.ts'
import { Router } from './router.ts'

const MAX_TARGET_BYTES = 4_096
const MAX_HEADERS = 100
const CORS_METHODS = 'GET, POST, PATCH, DELETE, OPTIONS'
const CORS_EXPOSED = 'x-request-id, location, sluice-job, retry-after, retry-after-ms, server-timing'

export function createGateway(deps: GatewayDeps): Gateway {
  const { options, clock } = deps
  const auth = createAuth(deps.keys, clock, options)
  const attendance = createAttendance(clock, options.disconnectGraceMs, (job) => void deps.queue.cancel(job).catch((error) => deps.onFault(error, job)))
  const routes = createRoutes(deps, attendance)
  const servers: Server[] = []
  const underWay = new Map<string, number>()
  let draining = false

  function serve(router: Router, cors: boolean) {
    return (request: IncomingMessage, response: ServerResponse): void => {
      const call = new Call(request, response, requestId(request, deps), cors ? corsOf(request, options.corsOrigins) : {}, clock)
      // A failure is answered, whenever it comes; one that left gets none
      const fail = (thrown: unknown): void => {
        if (thrown instanceof Aborted) return
        const error = SluiceError.from(thrown)
        if (error.code === 'internal') deps.onFault(error.cause ?? error, call.requestId)
        call.error(error, error.code === 'method_not_allowed' ? { allow: router.methods(request.url ?? '').join(', ') } : undefined)
      }
      try {
        const done = answer(call, router, auth, fail)
        if (done !== undefined) done.catch(fail)
      } catch (error) {
        fail(error)
      }
    }
  }

  function answer(call: Call, router: Router, check: AuthCheck, fail: (thrown: unknown) => void): Promise<void> | undefined {
    const { request, response } = call
    checkForm(request)
    if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
      if (call.cors['access-control-allow-origin'] === undefined) throw new SluiceError('origin_forbidden')
      call.empty(204, { 'access-control-allow-methods': CORS_METHODS, 'access-control-allow-headers': String(request.headers['access-control-request-headers'] ?? '*').slice(0, 1_024), 'access-control-max-age': '600' })
      return undefined
    }
    const found = router.find(request.method ?? '', request.url ?? '')
    if (draining && found.route.auth !== 'none') throw new SluiceError('draining', { retryAfterMs: 1_000 })
    call.params = found.params
    call.query = found.query
    if (found.route.auth === 'operator') check.operator(request)
    else if (found.route.auth === 'tenant') {
      const key = check.tenant(request)
      call.key = key
      const open = (underWay.get(key.id) ?? 0) + 1
      if (open > options.maxRequestsPerKey) throw new SluiceError('too_many_connections')
      underWay.set(key.id, open)
      response.once('close', () => {
        const left = (underWay.get(key.id) ?? 1) - 1
        if (left === 0) underWay.delete(key.id)
        else underWay.set(key.id, left)
      })
    }
    void fail
    return found.route.run(call as KeyCall) ?? undefined
  }

  async function listen(routes: readonly Route[], host: string, port: number, cors: boolean): Promise<Address> {
    const server = createServer(
      {
        headersTimeout: options.headersTimeoutMs,
        requestTimeout: options.requestTimeoutMs,
        keepAliveTimeout: options.keepAliveMs,
        connectionsCheckingInterval: options.connectionCheckMs,
        maxHeaderSize: options.maxHeaderBytes,
        noDelay: true,
      },
      serve(new Router(routes), cors),
    )
    server.maxConnections = options.maxConnections
    server.maxHeadersCount = 0
    server.on('clientError', onClientError)
    // "expect: 100-continue" is answered when the body is wanted; anything else is refused in checkForm
    server.on('checkContinue', (request, response) => server.emit('request', request, response))
    server.on('checkExpectation', (request, response) => server.emit('request', request, response))
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
  const gateway: Gateway = {
    listenPublic: (host, port) => listen(routes.public, host, port, true),
    listenAdmin: (host, port) => listen(routes.admin, host, port, false),
    drain() {
      draining = true
    },
    close(withinMs = 0) {
      closed ??= (async () => {
        draining = true
        attendance.close()
        const all = Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
        for (const server of servers) server.closeIdleConnections()
        const cut = clock.after(withinMs, () => {
          for (const server of servers) server.closeAllConnections()
        })
        await all
        cut()
      })()
      return closed
    },
  }
  return gateway
}

/** The client's own id, if it is sane; else one of ours. */
function requestId(request: IncomingMessage, deps: GatewayDeps): string {
  const said = request.headers['x-request-id']
  return typeof said === 'string' && /^[\w.:/+=-]{1,128}$/.test(said) ? said : `req_${Buffer.from(deps.ids.random(12)).toString('hex')}`
}

function corsOf(request: IncomingMessage, origins: readonly string[]): Readonly<Record<string, string>> {
  const { origin } = request.headers
  if (origin === undefined || origins.length === 0) return NO_CORS
  if (!origins.includes(origin) && !origins.includes('*')) return NO_CORS
  return { 'access-control-allow-origin': origin, 'access-control-expose-headers': CORS_EXPOSED, vary: 'origin' }
}
const NO_CORS: Readonly<Record<string, string>> = {}

/** What node's parser lets through and we do not. */
function checkForm(request: IncomingMessage): void {
  const target = request.url ?? ''
  if (target.length > MAX_TARGET_BYTES) throw new SluiceError('uri_too_long')
  if (!target.startsWith('/')) throw new SluiceError('invalid_request', { message: 'The request target must be a path.' })
  const path = target.split('?', 1)[0]
  if (/\/\/|\/\.\.?(\/|$)|%2e|%2f|%00|%5c|\\/i.test(path)) throw new SluiceError('invalid_request', { message: 'The path is not a plain one.' })
  const { rawHeaders } = request
  if (rawHeaders.length > 2 * MAX_HEADERS) throw new SluiceError('headers_too_large')
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i].length === 4 && rawHeaders[i].toLowerCase() === 'host') hosts++
  if (hosts > 1) throw new SluiceError('invalid_request', { message: 'The request has more than one host header.' })
  const { expect } = request.headers
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') throw new SluiceError('expectation_failed')
}

/** What could not be parsed as HTTP at all. */
function onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (socket.destroyed || !socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const refused =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new SluiceError('headers_too_large')
      : error.code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW'
        ? new SluiceError('body_too_large')
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? new SluiceError('request_timeout')
          : error.code === 'HPE_INVALID_METHOD'
            ? new SluiceError('method_not_allowed')
            : new SluiceError('invalid_request', { message: 'That is not HTTP/1.1.' })
  socket.end(rawAnswer(refused.status, errorBody(refused), {}), 'latin1')
}
