/** Opens the connection under a request: TCP or TLS, directly or through a proxy. */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import type { ConnectionOptions, SecureContext } from 'node:tls'
import type { Bytes } from '../../../core/record.ts'
import type { Origin, OutboundProxy } from './origin.ts'

/**
 * With the first connection that needs it. An import by name would read each export, and one lists all authorities that
 * Node brings.
 */
const tls = () => process.getBuiltinModule('node:tls')

export interface ConnectionEvents {
  /** One read. False: leave the socket unread until `resume`. */
  bytes(text: Bytes, isFull: boolean): boolean
  connected(): void
  /** The peer will send no more. */
  ended(): void
  /** Nothing follows. `error`: null when it was closed properly. */
  closed(error: Error | null): void
}

export interface Route {
  readonly origin: Origin
  readonly proxy: OutboundProxy | null
  /** PEM; instead of the system's authorities. */
  readonly ca: string | null
}

/** A socket that can be written to at once, and left unread. */
export interface Wire {
  write(request: Uint8Array): void
  /** Resolves once there is room for more, or nobody is left to take it. */
  taken(): Promise<void>
  pause(): void
  resume(): void
  /** Closes within this turn. */
  destroy(): void
  /** Is there data that the peer has not taken yet? */
  readonly isWriting: boolean
}

const READ_BYTES = 64 * 1024
/** All sockets read into one buffer: what a read brought is copied out before the next. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES)
const MAX_PROXY_HEAD_BYTES = 16 * 1024

export function createConnector(route: Route): (events: ConnectionEvents) => Wire {
  let context: SecureContext | null = null
  const secure = (): SecureContext => (context ??= tls().createSecureContext(route.ca === null ? {} : { ca: route.ca }))
  const { origin, proxy } = route
  return (events) => {
    if (proxy === null || !origin.secure) {
      const to = proxy ?? origin
      return new DirectWire(
        to.secure ? tlsOptions(to.host, to.port, proxy === null ? secure() : null) : { host: to.host, port: to.port },
        events,
      )
    }
    return new TunnelWire(origin, proxy, secure, events)
  }
}

interface TlsTarget {
  readonly host: string
  readonly port: number
  readonly servername?: string
  readonly secureContext?: SecureContext
  readonly ALPNProtocols: string[]
  readonly rejectUnauthorized: true
}

function tlsOptions(host: string, port: number, context: SecureContext | null): TlsTarget {
  return {
    host,
    port,
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: true,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(context === null ? {} : { secureContext: context }),
  }
}

class DirectWire implements Wire {
  readonly #socket: Socket

  constructor(target: { readonly host: string; readonly port: number } | TlsTarget, events: ConnectionEvents) {
    const onread = {
      buffer: shared,
      callback: (length: number, buffer: Uint8Array): boolean =>
        events.bytes((buffer as Buffer).toString('latin1', 0, length), length === READ_BYTES),
    }
    const isTls = 'ALPNProtocols' in target
    // Node hands `onread` of tls.connect to its socket; the types do not know it
    this.#socket = isTls ? tls().connect({ ...target, onread } as ConnectionOptions) : connectTcp({ ...target, onread })
    watch(this.#socket, isTls ? 'secureConnect' : 'connect', events)
  }

  get isWriting(): boolean {
    return this.#socket.writableLength > 0
  }
  write(request: Uint8Array) {
    this.#socket.write(request)
  }
  taken(): Promise<void> {
    return room(this.#socket)
  }
  pause() {
    this.#socket.pause()
  }
  resume() {
    this.#socket.resume()
  }
  destroy() {
    this.#socket.destroy()
  }
}

const DONE = Promise.resolve()

function room(socket: Socket): Promise<void> {
  if (socket.destroyed || !socket.writableNeedDrain) return DONE
  return new Promise((done) => {
    const over = (): void => {
      socket.off('drain', over)
      socket.off('close', over)
      done()
    }
    socket.on('drain', over)
    socket.on('close', over)
  })
}

function watch(socket: Socket, connected: 'connect' | 'secureConnect', events: ConnectionEvents) {
  let error: Error | null = null
  socket.setNoDelay(true)
  socket.setKeepAlive(true, 30_000)
  socket.once(connected, () => events.connected())
  socket.on('error', (cause) => {
    error = cause
  })
  socket.on('end', () => events.ended())
  socket.on('close', () => events.closed(error))
}

/** TLS inside a CONNECT tunnel. Node reads such sockets its usual way, so they cost more a read. */
class TunnelWire implements Wire {
  readonly #outer: Socket
  readonly #events: ConnectionEvents
  #inner: Socket | null = null
  #waiting: Uint8Array | null = null
  #over = false

  constructor(origin: Origin, proxy: OutboundProxy, secure: () => SecureContext, events: ConnectionEvents) {
    this.#events = events
    const outer = proxy.secure
      ? tls().connect(tlsOptions(proxy.host, proxy.port, null))
      : connectTcp({ host: proxy.host, port: proxy.port })
    this.#outer = outer
    outer.setNoDelay(true)
    const target = `${origin.host.includes(':') ? `[${origin.host}]` : origin.host}:${origin.port}`
    const authorization = proxy.authorization === null ? '' : `proxy-authorization: ${proxy.authorization}\r\n`
    outer.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n${authorization}\r\n`, 'latin1')
    let head = ''
    const onData = (data: Buffer) => {
      head += data.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0 && head.length <= MAX_PROXY_HEAD_BYTES) return
      outer.off('data', onData)
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]
      // After its answer the proxy is silent until we speak TLS
      if (status === undefined || !status.startsWith('2') || end + 4 !== head.length)
        return this.#fail(new Error(`the proxy refused the tunnel (${status ?? 'not HTTP'})`))
      this.#secure(origin, secure())
    }
    outer.on('data', onData)
    outer.on('error', (error) => this.#fail(error))
    outer.on('close', () => this.#fail(new Error('the proxy closed the connection')))
  }

  #secure(origin: Origin, context: SecureContext) {
    const inner = tls().connect({
      ...tlsOptions(origin.host, origin.port, context),
      socket: this.#outer,
      host: origin.host,
    })
    this.#inner = inner
    let error: Error | null = null
    inner.once('secureConnect', () => this.#events.connected())
    inner.on('data', (data: Buffer) => {
      if (!this.#over && !this.#events.bytes(data.toString('latin1'), false)) inner.pause()
    })
    inner.on('error', (cause) => {
      error = cause
    })
    inner.on('end', () => this.#events.ended())
    inner.on('close', () => this.#close(error))
    if (this.#waiting !== null) inner.write(this.#waiting)
    this.#waiting = null
  }

  #fail(error: Error) {
    if (this.#inner === null) this.#close(error)
  }

  #close(error: Error | null) {
    this.#outer.destroy()
    if (this.#over) return
    this.#over = true
    this.#events.closed(error)
  }

  get isWriting(): boolean {
    return this.#waiting !== null || (this.#inner?.writableLength ?? 0) > 0
  }
  write(request: Uint8Array) {
    if (this.#inner === null) this.#waiting = request
    else this.#inner.write(request)
  }
  taken(): Promise<void> {
    return this.#inner === null ? DONE : room(this.#inner)
  }
  pause() {
    this.#inner?.pause()
  }
  resume() {
    this.#inner?.resume()
  }
  destroy() {
    this.#inner?.destroy()
    this.#outer.destroy()
    if (this.#over) return
    this.#over = true
    // As a socket's own close: not within this turn's call stack
    queueMicrotask(() => this.#events.closed(null))
  }
}
