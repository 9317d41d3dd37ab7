/** A client: its credentials, its transport, its jobs. */
import type { JobRequest } from '../../src/core/frames.ts'
import { SluiceError } from './errors.ts'
import { Job } from './job.ts'
import { onReturn } from './page.ts'
import { createSession } from './session.ts'
import { createSocket } from './socket.ts'
import { createSse } from './sse.ts'
import type { State, Transport } from './transport.ts'

const WINDOW_BYTES = 256 * 1024
/** What the server takes. */
const SMALLEST_WINDOW = 1_024
const LARGEST_WINDOW = 2 ** 31
const PROBE_WITHIN_MS = 5_000
const CLIENT = { name: '@sluice/client', version: '0.1.0' }

export interface ConnectOptions {
  /** Where Sluice is, e.g. "http://127.0.0.1:4100". */
  readonly url: string
  /** An API key: of servers, never in a page. */
  readonly key?: string
  /** Asks your backend for a ticket (POST /v1/tickets); called again only when there is no token. */
  readonly ticket?: () => Promise<string>
  /** `auto`: WebSocket, and server-sent events where WebSockets are blocked. */
  readonly transport?: 'auto' | 'websocket' | 'sse'
  /** Bytes of a job that may be on their way to a reader that does not take them. */
  readonly window?: number
  /** Who is calling, for the operator's log. */
  readonly client?: { readonly name: string; readonly version: string }
  readonly onState?: (state: State) => void
  /** Why a connection was lost, or could not be had; it is tried again unless the state is `closed`. */
  readonly onError?: (error: SluiceError) => void
}

export interface Sluice {
  readonly state: State
  readonly transport: 'websocket' | 'sse'
  /** Returns at once; the job is sent when there is a connection, and again until it is accepted. */
  submit(request: JobRequest): Job
  /** Any job that is ours. Without a cursor from the start. */
  attach(id: string, from?: { readonly cursor?: string | null }): Job
  /** A call over HTTP with the same credentials, e.g. http('GET', '/v1/conversations/c1'). Throws SluiceError. */
  http(method: string, path: string, body?: unknown): Promise<unknown>
  /** Lets go of all jobs; they go on. */
  close(): void
}

export function connect(options: ConnectOptions): Sluice {
  const base = options.url.replace(/^ws/, 'http').replace(/\/+$/, '')
  if (!URL.canParse(base))
    throw new SluiceError('invalid_url', `"${options.url}" is no address; expected e.g. "http://127.0.0.1:4100".`)
  if ((options.key === undefined) === (options.ticket === undefined))
    throw new SluiceError(
      'missing_api_key',
      'connect() needs either a key, or a ticket() that asks your backend for one.',
    )
  const { transport: wanted = 'auto', window = WINDOW_BYTES } = options
  if (!Number.isInteger(window) || window < SMALLEST_WINDOW || window > LARGEST_WINDOW)
    throw new SluiceError(
      'invalid_window',
      `"window" is a number of bytes, from ${SMALLEST_WINDOW} to ${LARGEST_WINDOW}.`,
    )
  const session = createSession(base, options.key, options.ticket)
  let state: State = 'connecting'
  let closed = false

  /** What an application's callback throws is its own, and must not stop us half-way. */
  const tell = (fn: () => void): void => {
    try {
      fn()
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }
  const events = {
    onState(now: State) {
      if (closed || state === now) return
      state = now
      tell(() => options.onState?.(now))
    },
    onError(error: SluiceError) {
      if (!closed) tell(() => options.onError?.(error))
    },
  }
  let transport: Transport =
    wanted === 'sse'
      ? createSse({ session, window }, events)
      : createSocket(
          {
            url: `${base.replace(/^http/, 'ws')}/v1/ws`,
            session,
            window,
            client: options.client ?? CLIENT,
            isBlocked: wanted === 'auto' ? fallBack : null,
          },
          events,
        )

  /** Upgrades failed. If HTTP gets through, WebSockets are blocked somewhere on the way; else the server is away. */
  async function fallBack(): Promise<boolean> {
    const reachable = await fetch(`${base}/readyz`, {
      cache: 'no-store',
      signal: AbortSignal.timeout(PROBE_WITHIN_MS),
    }).then(
      (r) => r.ok,
      () => false,
    )
    if (closed || !reachable) return closed
    const before = transport
    transport = createSse({ session, window }, events)
    const jobs = before.jobs()
    before.close()
    for (const job of jobs) transport.add(job)
    return true
  }

  /** What was asked of a transport that gave up is asked of the next. */
  async function cancel(job: Job): Promise<void> {
    const asked = transport
    try {
      await asked.cancel(job)
    } catch (error) {
      if (asked === transport || closed) throw error
      await transport.cancel(job)
    }
  }

  // What a job asks of its connection goes to whichever transport there is then
  const wire = {
    credit: (job: Job, bytes: number) => transport.credit(job, bytes),
    cancel,
    detach: (job: Job) => transport.detach(job),
    reattach: (job: Job) => transport.reattach(job),
    report: (job: Job, ttftMs: number) => transport.report(job, ttftMs),
  }
  const add = (job: Job): Job => {
    if (closed) job.fail(new SluiceError('closed', 'This client was closed.'))
    else transport.add(job)
    return job
  }

  const stopListening = onReturn(() => transport.nudge())

  return {
    get state() {
      return state
    },
    get transport() {
      return transport.name
    },
    submit: (request) =>
      add(new Job(wire, window, { ...request, idempotency_key: request.idempotency_key ?? mintKey() }, null, null)),
    attach: (id, from) => add(new Job(wire, window, null, id, from?.cursor ?? null)),
    http: (method, path, body) => session.http(method, path, body),
    close() {
      if (closed) return
      const jobs = transport.jobs()
      transport.close()
      events.onState('closed')
      closed = true
      for (const job of jobs) job.fail(new SluiceError('closed', 'This client was closed; the job goes on.'))
      stopListening()
    },
  }
}

/** Pages without TLS have no crypto.randomUUID. */
const mintKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
