/** The front door: two listeners, one way in. What is hostile or malformed is refused here, as early as it shows. */
import type { Server } from 'node:http'
import type { SluiceError } from '../core/errors.ts'
import { gauge } from '../core/numbers.ts'
import { Admitted } from './caller/admitted.ts'
import { createAuth } from './caller/auth.ts'
import { normalOrigins } from './caller/origin.ts'
import { createSessions } from './caller/sessions.ts'
import { SignIn } from './caller/sign-in.ts'
import { KeyUses } from './caller/uses.ts'
import type { Address, Gateway, GatewayDeps } from './deps.ts'
import { createEntries } from './entry.ts'
import { Inflow } from './http/inflow.ts'
import { closeIdle, type Handlers, listen, stopListening } from './http/listener.ts'
import { adminAdvice } from './http/no-route.ts'
import { Owed } from './http/owed.ts'
import { PageFiles } from './http/page-files.ts'
import { Router } from './http/router.ts'
import { LiveHub } from './live/hub.ts'
import { Phase } from './phase.ts'
import { pipeline, type Serve } from './pipeline.ts'
import { createAnswers } from './read/answers.ts'
import { createJobs } from './read/jobs.ts'
import { createWatching } from './read/watching.ts'
import { pageRoutes } from './routes/dashboard.ts'
import { createRoutes } from './routes/index.ts'
import { bothOf, isOfPage } from './routes/page-api.ts'
import { finishRevocations } from './routes/stopping.ts'
import { RunEnds } from './runs/ends.ts'
import { Runs } from './runs/runs.ts'
import { Hub } from './socket/hub.ts'
import { laneProtocols } from './socket/lanes.ts'
import { nativeProtocol } from './socket/native.ts'
import { createBatchDoor } from './submit/batch-door.ts'
import { createEntrance } from './submit/published.ts'
import { createSubmits } from './submit/submit.ts'

/**
 * A gateway of a fleet that stops answers what comes on connections that are kept open, for so long: a balancer that
 * has one uses it, and can't send a POST again.
 */
const KEPT_MS = 3_000

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

const NO_ORIGINS: ReadonlySet<string> = new Set()

export function createGateway(deps: GatewayDeps): Gateway {
  const { options, clock, emit } = deps
  const sessions = createSessions(deps.keys, deps.tickets, clock, deps.ids, options.sessions)
  const uses = new KeyUses(deps.keys, clock)
  const auth = createAuth(deps.keys, sessions, clock, options, (key) => uses.used(key))
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
  const phase = new Phase(options.isOneOfMany)
  const answers = createAnswers(deps)
  const runs = new Runs(deps)
  const runEnds = new RunEnds(deps, runs)
  const submits = createSubmits(deps, auth, runs)
  const jobs = createJobs(deps, submits)
  const hub = new Hub(deps, { auth, sessions, submits, admitted, inflow, owed, phase }, [
    nativeProtocol(socket.maxMessageBytes),
    ...laneProtocols(deps.dialects.spoken, options.maxBodyBytes),
  ])
  const signIn = new SignIn(deps.signIns, deps.ids, options.fleet)
  const live = new LiveHub(deps, { auth, signIn, phase })
  const page = pageRoutes(new PageFiles(deps.pageFolder))
  const watching = createWatching(deps)
  const parts = { auth, sessions, admitted, submits, runs, jobs, answers, watching, phase, signIn, uses }
  const routes = createRoutes(deps, { ...parts, sockets: hub.routes, live: live.route, page })
  const servers: Server[] = []
  let publicServer: Server | null = null
  let publicPort = 0
  const api = new Router(routes.public)
  const operators = new Router(
    routes.admin,
    adminAdvice(
      (path) => api.methods(path).length > 0,
      () => publicPort,
    ),
  )

  const entries = createEntries(auth, admitted, signIn)
  const ways = { ...deps, owed, inflow, outflow, entries, check: auth.check, phase }
  const onUnreadable = ({ status, code }: SluiceError): void => emit({ type: 'request-ended', ...UNREAD, status, code })

  async function open(
    router: Router,
    host: string,
    port: number,
    origins: readonly string[],
    sockets: Handlers['sockets'],
    forPage: Serve | null = null,
  ): Promise<Address> {
    const own = pipeline(router, normalOrigins(origins), ways)
    const serve: Serve = (request, response) =>
      (forPage !== null && isOfPage(request) ? forPage : own)(request, response)
    const server = await listen(host, port, options, { serve, owed, onUnreadable, sockets })
    servers.push(server)
    if (sockets === hub) publicServer = server
    return { host, port: (server.address() as { port: number }).port }
  }

  let closed: Promise<void> | null = null
  return {
    enter: createEntrance(deps, submits),
    lines: createBatchDoor(deps, submits),
    metrics: [
      ...hub.metrics,
      ...live.metrics,
      gauge('unfinished_bytes', 'Bodies and messages that are still arriving', () => inflow.bytes),
      gauge('unread_bytes', 'Large answers that are not read yet', () => outflow.bytes),
    ],
    async listenPublic(host, port) {
      const address = await open(api, host, port, options.corsOrigins, hub)
      publicPort = address.port
      return address
    },
    ready() {
      if (!phase.open()) return
      runEnds.begin()
      finishRevocations(deps).catch((error: unknown) => deps.onFault(error, 'start'))
    },
    // The dashboard's playground speaks the API on its own origin, by a session
    listenAdmin: (host, port) => open(operators, host, port, [], bothOf(live, hub), pipeline(api, NO_ORIGINS, ways)),
    link: async (role) => `/#code=${(await signIn.code(role)).code}`,
    drain() {
      if (phase.isStopping) return
      phase.stop()
      hub.drain()
      if (!options.isOneOfMany)
        deps.presence.close() // readers leave because we do
      else if (publicServer !== null) {
        const server = publicServer
        const over = answers.hold()
        stopListening(server, clock, over)
        clock.after(KEPT_MS, () => closeIdle(server, clock, over))
      }
    },
    settled: (withinMs) => answers.settled(withinMs),
    close(withinMs = 0) {
      closed ??= (async () => {
        this.drain()
        phase.close()
        runEnds.stop()
        deps.presence.close()
        answers.releaseAll()
        watching.endAll()
        hub.close()
        live.close()
        const all = servers.map((server) => new Promise((done) => server.close(done)))
        for (const server of servers) closeIdle(server, clock)
        const cut = clock.after(withinMs, () => {
          hub.cut()
          live.cut()
          for (const server of servers) server.closeAllConnections()
        })
        await Promise.all([...all, uses.store()])
        admitted.close()
        cut()
      })()
      return closed
    },
  }
}
