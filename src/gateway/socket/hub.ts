/** All WebSockets of this process: their upgrade, their heartbeat, what they share, and their farewell. */
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { WebSocketServer } from 'ws'
import { SluiceError } from '../../core/errors.ts'
import { aboutJob } from '../../core/facts.ts'
import type { Job, JobId } from '../../core/job.ts'
import { gauge, type Metric } from '../../core/numbers.ts'
import { errorJson } from '../../core/wire.ts'
import { fromOf } from '../caller/auth.ts'
import type { Caller } from '../caller/caller.ts'
import { normalOrigins } from '../caller/origin.ts'
import type { GatewayDeps } from '../deps.ts'
import { errorHeaders, rawAnswer } from '../http/exchange.ts'
import type { Route } from '../http/route.ts'
import { Connection } from './connection.ts'
import type { SocketContext, SocketParts } from './context.ts'
import type { Protocol } from './protocol.ts'
import { createSocketServer } from './server.ts'
import { checkUpgrade, type Entering, wantsSocket } from './upgrade.ts'

const TICK_MS = 250
/** Ticks from one look at all connections to the next. */
const TICKS_A_SWEEP = 4
/** After such a silence the process itself was stopped: what peers sent meanwhile is yet to be read. */
const STOPPED_MS = 2_000
/** Reconnects a second that a start should have to take. */
const RECONNECTS_PER_SECOND = 500
/** From a client's submit to its acceptance here: a slow upload, or a clock of another process that accepted it. */
const BEFORE_MS = 10_000
/** Later reports of older jobs count again. */
const MAX_SHOWN = 10_000
const RECONNECT_FROM_MS = 200
const RECONNECT_WITHIN_MS = 1_000

export class Hub {
  readonly #deps: GatewayDeps
  readonly #context: SocketContext
  readonly #protocols: readonly Protocol[]
  readonly #servers = new Map<Protocol, WebSocketServer>()
  readonly #connections = new Set<Connection>()
  /** Why a request was not upgraded; its route answers with that. */
  readonly #refused = new WeakMap<IncomingMessage, unknown>()
  readonly #upgrades = new WeakMap<IncomingMessage, Entering>()
  readonly #origins: ReadonlySet<string>
  /** Jobs whose first token was reported as shown. */
  readonly #shown = new Set<JobId>()
  #unflushed: Array<{ flush(): void }> = []
  #ticks = 0
  #tickedMono = Infinity
  #stopTicks: (() => void) | null = null

  constructor(deps: GatewayDeps, parts: SocketParts, protocols: readonly Protocol[]) {
    this.#deps = deps
    this.#protocols = protocols
    this.routes = protocols.map((protocol) => this.#routeOf(protocol))
    this.#origins = normalOrigins(deps.options.corsOrigins)
    this.#context = {
      ...parts,
      deps,
      flushSoon: (connection) => this.#flushSoon(connection),
      noteTtft: (job, ttftMs) => this.#noteTtft(job, ttftMs),
    }
  }

  /** They answer what was not upgraded. */
  readonly routes: readonly Route[]

  #routeOf({ path, errors }: Protocol): Route {
    return {
      method: 'GET',
      path,
      query: 'any',
      auth: 'ticket',
      ...(errors !== undefined && { errors }),
      run: (call) => {
        throw this.#refused.get(call.exchange.request) ?? new SluiceError('upgrade_required')
      },
    }
  }

  #protocolOf(request: IncomingMessage): Protocol | undefined {
    return this.#protocols.find(({ path }) => wantsSocket(request, path))
  }

  /** Asked by node for each request that wants another protocol; any other than ours is ignored, as HTTP allows. */
  readonly shouldUpgrade = (request: IncomingMessage): boolean => {
    const protocol = this.#protocolOf(request)
    if (protocol === undefined) return false
    try {
      const refusal = this.#context.phase.unready()
      if (refusal !== null) throw refusal
      if (this.#context.owed.isPending(request.socket))
        throw new SluiceError('invalid_request', {
          message: 'An upgrade must wait for the answers to the requests before it: send it again after them.',
        })
      const caller = checkUpgrade(request, protocol, this.#context.auth, this.#origins)
      if (caller !== null && !(caller instanceof Promise)) this.#context.admitted.checkRoom(caller, 'socket')
      if (caller !== null) this.#upgrades.set(request, caller)
      return true
    } catch (error) {
      this.#refused.set(request, error)
      return false
    }
  }

  listenOn(server: Server): void {
    server.on('upgrade', (request, socket, head) => {
      const protocol = this.#protocolOf(request)
      if (protocol === undefined) return
      const entering = this.#upgrades.get(request) ?? null
      if (!(entering instanceof Promise)) return this.#upgrade(protocol, request, socket as Socket, head, entering)
      const onError = (): void => void socket.destroy()
      socket.on('error', onError)
      entering
        .then((caller) => {
          this.#context.admitted.checkRoom(caller, 'socket')
          socket.off('error', onError)
          this.#upgrade(protocol, request, socket as Socket, head, caller)
        })
        .catch((thrown: unknown) => {
          const error = SluiceError.from(thrown)
          socket.end(rawAnswer(error.status, errorJson(error.wire), errorHeaders(error)), 'latin1')
        })
    })
  }

  #upgrade(protocol: Protocol, request: IncomingMessage, socket: Socket, head: Buffer, caller: Caller | null): void {
    const from = fromOf(request)
    this.#serverOf(protocol).handleUpgrade(request, socket, head, (ws) => {
      const id = this.#deps.ids.name('conn', 8)
      const connection = new Connection(this.#context, protocol, ws, socket, from, id, this.#onClosed)
      this.#connections.add(connection)
      if (caller !== null) connection.enter(caller, null)
      this.#stopTicks ??= this.#deps.clock.every(TICK_MS, () => this.#tick())
      if (this.#context.phase.isStopping) connection.close(new SluiceError('draining'))
    })
  }

  #serverOf(protocol: Protocol): WebSocketServer {
    const { subprotocol, maxMessageBytes } = protocol
    const server = this.#servers.get(protocol) ?? createSocketServer(subprotocol, maxMessageBytes)
    this.#servers.set(protocol, server)
    return server
  }

  readonly #onClosed = (connection: Connection, closeCode: number): void => {
    if (!this.#connections.delete(connection)) return
    const tenant = connection.caller?.key.tenant ?? null
    this.#deps.emit({ type: 'socket-closed', conn: connection.id, tenant, closeCode })
    if (this.#connections.size === 0) {
      this.#stopTicks?.()
      this.#stopTicks = null
      this.#tickedMono = Infinity
    }
  }

  #flushSoon(connection: { flush(): void }): void {
    if (this.#unflushed.push(connection) === 1) queueMicrotask(this.#flush)
  }

  readonly #flush = (): void => {
    const all = this.#unflushed
    this.#unflushed = []
    for (const connection of all) connection.flush()
  }

  // ---------------------------------------------------------------- time

  #tick(): void {
    const now = this.#deps.clock.monoMs()
    if (now - this.#tickedMono >= STOPPED_MS) for (const connection of this.#connections) connection.forgive(now)
    this.#tickedMono = now
    if (++this.#ticks % TICKS_A_SWEEP !== 0) return
    for (const connection of this.#connections) this.#look(connection, now)
  }

  #look(connection: Connection, now: number): void {
    const { heartbeatMs, helloTimeoutMs } = this.#deps.options.socket
    const { caller } = connection
    if (connection.closing) return
    if (caller === null) {
      if (now - connection.openedMono >= helloTimeoutMs)
        connection.close(new SluiceError('request_timeout', { message: 'No hello arrived in time.' }))
      return
    }
    if (now - connection.pingedMono >= heartbeatMs / 2)
      return connection.close(
        new SluiceError('request_timeout', { message: 'The connection did not answer a ping in time.' }),
      )
    if (now - connection.heardMono >= heartbeatMs && connection.pingedMono === Infinity) connection.ping(now)
    if (this.#context.phase.isStopping && connection.isIdle) return connection.close(new SluiceError('draining'))
    if (now >= connection.renewMono) connection.renewToken()
  }

  // ---------------------------------------------------------------- for the operator

  /** Once a job, whoever follows it, and no more than can be: it is one client's word in the figures of all. */
  #noteTtft(job: Job, ttftMs: number): void {
    const { clock } = this.#deps
    if (this.#shown.has(job.id) || ttftMs > clock.wallMs() - job.acceptedAtMs + BEFORE_MS) return
    this.#shown.add(job.id)
    if (this.#shown.size > MAX_SHOWN) this.#shown.delete(this.#shown.values().next().value!)
    this.#deps.emit({ ...aboutJob(job), type: 'first-token-shown', ttftMs })
  }

  readonly metrics: readonly Metric[] = [
    gauge('sockets', 'WebSockets that are open', () => this.#connections.size),
    gauge('followed_jobs', 'Jobs that they follow', () => {
      let followed = 0
      for (const connection of this.#connections) followed += connection.following.size
      return followed
    }),
  ]

  // ---------------------------------------------------------------- farewell

  /**
   * Nothing new is taken. Those who follow nothing leave; the others are told until when they may stay, and when to
   * come back: not all at once.
   */
  drain(): void {
    const spreadMs = Math.ceil((this.#connections.size / RECONNECTS_PER_SECOND) * 1_000)
    for (const connection of this.#connections) {
      connection.leave({
        t: 'goaway',
        reason: 'draining',
        by_ms: this.#deps.options.socket.drainMs,
        reconnect_ms: [RECONNECT_FROM_MS, RECONNECT_WITHIN_MS + spreadMs],
      })
    }
  }

  /** After `drain`. */
  close(): void {
    for (const connection of this.#connections) connection.close(new SluiceError('draining'))
  }

  /** Whoever did not answer our close. */
  cut(): void {
    for (const connection of this.#connections) connection.cut()
    this.#stopTicks?.()
    this.#stopTicks = null
  }
}
