/**
 * One WebSocket at a time: opened, greeted, kept alive, and reopened when it is lost (PROTOCOL.md section 6). It knows
 * nothing of jobs.
 */
import type { ClientFrame, Credential, HelloFrame, ServerFrame, WelcomeFrame } from '../../src/core/frames.ts'
import { backoffMs, verdictOf } from './backoff.ts'
import { SluiceError } from './errors.ts'
import type { Session } from './session.ts'
import type { TransportEvents } from './transport.ts'

const SUBPROTOCOL = 'sluice.v1'
/** From the first packet to the welcome. */
const OPEN_WITHIN_MS = 10_000
/** For the first connection: some proxies swallow upgrades, and nobody should look at an empty page for long. */
const FIRST_OPEN_WITHIN_MS = 3_000
/** Right after HTTP got through. */
const PROVEN_OPEN_WITHIN_MS = 1_500
/** When the network seems to be gone, or back. */
const PROVE_WITHIN_MS = 3_000
/** A connection that lasted this long resets the count of failures. */
const HELD_MS = 5_000

export interface ConnectionOptions {
  readonly url: string
  readonly session: Session
  readonly client: { readonly name: string; readonly version: string }
  /** Null: WebSockets only, whatever happens. */
  readonly fallback: Fallback | null
}

/** Where WebSockets may be blocked: an upgrade that fails although HTTP got through a moment before is blocked. */
export interface Fallback {
  /** Does HTTP get through? */
  reachable(): Promise<boolean>
  /** Another transport takes over; this connection is over. */
  take(): void
}

export interface ConnectionEvents {
  /** Members of the hello besides the credentials. */
  hello(): Pick<HelloFrame, 'window' | 'jobs'>
  onWelcome(welcome: WelcomeFrame): void
  /** `bytes`: the frame's size. */
  onFrame(frame: ServerFrame, bytes: number): void
  /** It will be reopened. `code`: of the close. */
  onLost(code: number): void
  /** It will not be reopened. */
  onStop(error: SluiceError): void
}

export interface Connection {
  /** Null before the welcome. */
  readonly welcome: WelcomeFrame | null
  /** The server is about to stop: it accepts nothing new. */
  readonly leaving: boolean
  /** False: there is no connection. */
  send(frame: ClientFrame): boolean
  /** The network seems to be back, or has changed. */
  nudge(): void
  /** The network seems to be gone: check it. */
  doubt(): void
  close(): void
}

/** Length in UTF-8. */
export function bytesOf(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c > 0x7f) bytes += c > 0x7ff ? (c >= 0xd800 && c <= 0xdfff ? 1 : 2) : 1
  }
  return bytes
}

/** Opens at once, and reopens until closed. */
export function createConnection(
  options: ConnectionOptions,
  on: ConnectionEvents,
  events: TransportEvents,
): Connection {
  const { session } = options
  let socket: WebSocket | null = null
  let welcome: WelcomeFrame | null = null
  let failures = 0
  let everOpen = false
  /** HTTP got through since the last upgrade that failed. */
  let httpWorks = false
  let refusedHellos = 0
  let heardAt = 0
  /** When the pong is due, performance.now(); Infinity: none is. */
  let pongDue = Number.POSITIVE_INFINITY
  /** From a goaway: when to reconnect. */
  let slot: readonly [number, number] | null = null
  let stopWaiting: (() => void) | null = null
  let heartbeat: ReturnType<typeof setInterval> | undefined
  let closed = false

  function send(frame: ClientFrame): boolean {
    if (socket === null || welcome === null) return false
    socket.send(JSON.stringify(frame))
    return true
  }

  function ping(withinMs: number): void {
    const due = performance.now() + withinMs
    if (due < pongDue && send({ t: 'ping' })) pongDue = due
  }

  async function open(): Promise<void> {
    stopWaiting = null
    slot = null
    events.onState('connecting')
    try {
      const auth = await session.credential()
      if (!closed) dial(auth)
    } catch (thrown) {
      if (closed) return
      const error = SluiceError.from(thrown)
      events.onError(error)
      if (!error.retryable) return stop(error)
      failures++
      again(error.retryAfterMs)
    }
  }

  function dial(auth: Credential): void {
    let ws: WebSocket
    try {
      ws = new globalThis.WebSocket(options.url, SUBPROTOCOL)
    } catch (cause) {
      // Forbidden here, as ws: is to a page of https:, and would be again
      if (options.fallback !== null) return options.fallback.take()
      const error = new SluiceError('unsupported_runtime', `No WebSocket can be opened here: ${cause}`, { cause })
      events.onError(error)
      return stop(error)
    }
    socket = ws
    let openedAt: number | null = null
    const withinMs =
      everOpen || options.fallback === null ? OPEN_WITHIN_MS : httpWorks ? PROVEN_OPEN_WITHIN_MS : FIRST_OPEN_WITHIN_MS
    const late = setTimeout(() => lost(1006, ''), withinMs)
    const lost = (code: number, reason: string): void => {
      clearTimeout(late)
      if (socket !== ws) return
      ws.onclose = ws.onmessage = ws.onopen = null
      ws.close()
      onLost(openedAt, code, reason)
    }
    ws.onopen = () => {
      everOpen = true
      httpWorks = false
      openedAt = performance.now()
      ws.send(JSON.stringify({ t: 'hello', auth, client: options.client, ...on.hello() } satisfies HelloFrame))
    }
    ws.onmessage = ({ data }) => {
      if (socket !== ws || typeof data !== 'string') return
      heardAt = performance.now()
      pongDue = Number.POSITIVE_INFINITY
      const frame = JSON.parse(data) as ServerFrame
      if (frame.t === 'welcome') {
        clearTimeout(late)
        greet(frame, lost)
      } else if (frame.t === 'token') session.renew(frame)
      else if (frame.t === 'goaway') slot = frame.reconnect_ms
      else if (frame.t === 'error' && welcome === null && frame.error.code === 'invalid_request') {
        // The hello itself was wrong, and would be again
        const error = SluiceError.of(frame.error)
        events.onError(error)
        stop(error)
      } else on.onFrame(frame, bytesOf(data))
    }
    ws.onerror = () => {}
    ws.onclose = ({ code, reason }) => lost(code, reason)
  }

  function greet(frame: WelcomeFrame, lost: (code: number, reason: string) => void): void {
    welcome = frame
    refusedHellos = 0
    const silentMs = frame.heartbeat_ms
    // Timers of a background page run late: only a connection that was pinged and did not answer is lost
    heartbeat = setInterval(
      () => {
        const now = performance.now()
        if (now >= pongDue) lost(4408, 'request_timeout: No sign of life.')
        else if (now - heardAt >= silentMs) ping(silentMs / 2)
      },
      Math.min(1_000, silentMs / 4),
    )
    events.onState('open')
    on.onWelcome(frame)
  }

  function onLost(openedAt: number | null, code: number, reason: string): void {
    clearInterval(heartbeat)
    const greeted = welcome !== null
    socket = null
    welcome = null
    pongDue = Number.POSITIVE_INFINITY
    failures = greeted && performance.now() - openedAt! >= HELD_MS ? 0 : failures + 1
    const verdict = verdictOf(code)
    const lost = openedAt === null ? `${options.url} can't be reached.` : `The connection was lost (${code}).`
    const [, name = 'connection_lost', message = reason || lost] = /^([a-z_]+): (.*)$/s.exec(reason) ?? []
    const error = new SluiceError(name, message, { retryable: verdict !== 'stop' })
    events.onError(error)
    const refused = verdict === 'authenticate' && ((!greeted && ++refusedHellos >= 2) || !session.discard())
    if (verdict === 'stop' || refused) return stop(refused ? new SluiceError(name, message) : error)
    on.onLost(code)
    const { fallback } = options
    if (openedAt !== null || fallback === null) return again()
    if (httpWorks) return fallback.take()
    events.onState('waiting')
    void fallback.reachable().then((reachable) => {
      if (closed) return
      httpWorks = reachable
      if (reachable) void open()
      else again()
    })
  }

  function again(afterMs = slot === null ? backoffMs(failures) : slot[0] + Math.random() * (slot[1] - slot[0])): void {
    if (closed) return
    events.onState('waiting')
    const timer = setTimeout(() => void open(), afterMs)
    stopWaiting = () => clearTimeout(timer)
  }

  function stop(error: SluiceError): void {
    close()
    events.onState('closed')
    on.onStop(error)
  }

  function close(): void {
    closed = true
    stopWaiting?.()
    clearInterval(heartbeat)
    const ws = socket
    socket = null
    welcome = null
    ws?.close(1000)
  }

  void open()
  return {
    get welcome() {
      return welcome
    },
    get leaving() {
      return slot !== null
    },
    send,
    nudge() {
      if (stopWaiting !== null) {
        stopWaiting()
        void open()
      } else ping(PROVE_WITHIN_MS)
    },
    doubt: () => ping(PROVE_WITHIN_MS),
    close,
  }
}
