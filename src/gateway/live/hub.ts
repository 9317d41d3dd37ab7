/** All open pages of the dashboard: `/admin/live`, on the admin listener. */
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { WebSocketServer } from 'ws'
import { SluiceError } from '../../core/errors.ts'
import type { Role } from '../../core/live.ts'
import { gauge, type Metric } from '../../core/numbers.ts'
import { errorJson } from '../../core/wire.ts'
import { type Auth, hasCredential, refuseSecretInUrl } from '../caller/auth.ts'
import type { Signed, SignIn } from '../caller/sign-in.ts'
import type { GatewayDeps } from '../deps.ts'
import { errorHeaders, rawAnswer } from '../http/exchange.ts'
import type { Route } from '../http/route.ts'
import type { Phase } from '../phase.ts'
import { createSocketServer } from '../socket/server.ts'
import { checkHandshake, checkOrigin, wantsSocket } from '../socket/upgrade.ts'
import { MAX_ASK_BYTES, Page } from './page.ts'

const LIVE_PATH = '/admin/live'
const SUBPROTOCOL = 'sluice.live.v1'
export const MAX_PAGES = 32
const LOOK_MS = 1_000
const SILENT_MS = 20_000
const UNANSWERED_MS = 10_000
const NO_ORIGINS: ReadonlySet<string> = new Set()

interface Entering {
  readonly role: Role
  /** Null: by the admin key. */
  readonly signed: Signed | null
}

export interface LiveParts {
  readonly auth: Pick<Auth, 'operator'>
  readonly signIn: SignIn
  readonly phase: Phase
}

export class LiveHub {
  readonly #deps: Pick<GatewayDeps, 'clock' | 'live' | 'onFault'>
  readonly #parts: LiveParts
  readonly #pages = new Set<Page>()
  /** Of these the store is being asked. */
  readonly #keeping = new WeakSet<Page>()
  /** Why a request was not upgraded; its route answers with that. */
  readonly #refused = new WeakMap<IncomingMessage, unknown>()
  readonly #entering = new WeakMap<IncomingMessage, Promise<Entering>>()
  #wss: WebSocketServer | null = null
  #stopLooking: (() => void) | null = null

  constructor(deps: Pick<GatewayDeps, 'clock' | 'live' | 'onFault'>, parts: LiveParts) {
    this.#deps = deps
    this.#parts = parts
  }

  readonly metrics: readonly Metric[] = [
    gauge('dashboard_pages', 'Open pages of the dashboard', () => this.#pages.size),
  ]

  /** Answers what was not upgraded. */
  readonly route: Route = {
    method: 'GET',
    path: LIVE_PATH,
    query: 'any',
    auth: 'ticket',
    run: ({ exchange }) => {
      throw this.#refused.get(exchange.request) ?? new SluiceError('upgrade_required')
    },
  }

  readonly shouldUpgrade = (request: IncomingMessage): boolean => {
    if (!wantsSocket(request, LIVE_PATH)) return false
    try {
      this.#entering.set(request, this.#enter(request))
      return true
    } catch (error) {
      this.#refused.set(request, error)
      return false
    }
  }

  /** Throws; whether a cookie is known, the store tells later. */
  #enter(request: IncomingMessage): Promise<Entering> {
    const { auth, signIn, phase } = this.#parts
    const refusal = phase.unready()
    if (refusal !== null) throw refusal
    checkHandshake(request, SUBPROTOCOL)
    // A cookie goes along with what any page of this host starts, whatever its port
    checkOrigin(request, NO_ORIGINS)
    refuseSecretInUrl(request)
    const byCookie = !hasCredential(request) && signIn.mayBeSigned(request)
    if (!byCookie) auth.operator(request)
    else if (request.headers.origin === undefined) throw new SluiceError('origin_forbidden')
    this.#checkRoom()
    return byCookie ? this.#signed(request) : Promise.resolve({ role: 'admin', signed: null })
  }

  async #signed(request: IncomingMessage): Promise<Entering> {
    const signed = await this.#parts.signIn.find(request)
    if (signed !== null) return { role: signed.role, signed }
    // Refused as whoever brings nothing
    this.#parts.auth.operator(request)
    return { role: 'admin', signed }
  }

  #checkRoom(): void {
    if (this.#pages.size < MAX_PAGES) return
    throw new SluiceError('too_many_connections', {
      message: `${MAX_PAGES} pages of the dashboard are open: close one.`,
    })
  }

  listenOn(server: Server): void {
    server.on('upgrade', (request, socket, head) => {
      const entering = this.#entering.get(request)
      if (entering === undefined) return
      const onError = (): void => void socket.destroy()
      socket.on('error', onError)
      entering
        .then((known) => {
          this.#checkRoom()
          socket.off('error', onError)
          this.#upgrade(request, socket as Socket, head, known)
        })
        .catch((thrown: unknown) => {
          const error = SluiceError.from(thrown)
          socket.end(rawAnswer(error.status, errorJson(error.wire), errorHeaders(error)), 'latin1')
        })
    })
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer, { role, signed }: Entering): void {
    const { clock, live, onFault } = this.#deps
    this.#wss ??= createSocketServer(SUBPROTOCOL, MAX_ASK_BYTES)
    this.#wss.handleUpgrade(request, socket, head, (ws) => {
      const deps = { clock, live, onFault: (error: unknown) => onFault(error, LIVE_PATH) }
      this.#pages.add(new Page(ws, socket, deps, role, signed, this.#onClosed))
      this.#stopLooking ??= clock.every(LOOK_MS, () => this.#look())
    })
  }

  readonly #onClosed = (page: Page): void => {
    this.#pages.delete(page)
    if (this.#pages.size === 0) this.#stop()
  }

  #stop(): void {
    this.#stopLooking?.()
    this.#stopLooking = null
  }

  #look(): void {
    const now = this.#deps.clock.monoMs()
    const { signIn, phase } = this.#parts
    for (const page of this.#pages) {
      if (phase.isStopping) page.close(new SluiceError('draining'))
      else if (now - page.pingedMono >= UNANSWERED_MS) page.cut()
      else if (now - page.heardMono >= SILENT_MS && page.pingedMono === Infinity) page.ping(now)
      if (page.signed !== null) this.#keep(page, page.signed, signIn)
    }
  }

  /** One that was signed out at any process is closed here. While the store is away, nobody is. */
  #keep(page: Page, signed: Signed, signIn: SignIn): void {
    if (this.#keeping.has(page)) return
    this.#keeping.add(page)
    signIn
      .keep(signed)
      .then(
        (isSigned) => {
          if (!isSigned) page.close(new SluiceError('invalid_token'))
        },
        () => {},
      )
      .finally(() => this.#keeping.delete(page))
  }

  close(): void {
    for (const page of this.#pages) page.close(new SluiceError('draining'))
  }

  /** Whoever did not answer our close. */
  cut(): void {
    for (const page of this.#pages) page.cut()
    this.#stop()
  }
}
