/** A client: its credentials, its transport, its jobs. */
import type { JobRequest } from '../../src/core/frames.ts'
import { type Conversation, type ConversationOptions, createConversation } from './conversation.ts'
import { SluiceError } from './errors.ts'
import { Job } from './job.ts'
import { fetchMade } from './made.ts'
import { mintKey } from './mint-key.ts'
import { watchNetwork } from './page.ts'
import { isReady, type Submission, withIds } from './related.ts'
import { createRuns, type Runs } from './runs.ts'
import { createSession } from './session.ts'
import { createSocket } from './socket.ts'
import { createSse } from './sse.ts'
import type { State, Transport, Watcher } from './transport.ts'

const WINDOW_BYTES = 256 * 1024
/** The largest window that the server accepts. */
const SMALLEST_WINDOW = 1_024
const LARGEST_WINDOW = 2 ** 31
const PROBE_WITHIN_MS = 5_000
/** Inside /v1: some proxies pass on nothing else. */
const PROBE = '/v1/models'
const CLIENT = { name: '@sluice/client', version: '0.1.0' }

export interface ConnectOptions {
  /** Where Sluice is, e.g. "http://127.0.0.1:4100". */
  readonly url: string
  /** An API key: for servers, never in a page. */
  readonly key?: string
  /** Gets a ticket from your backend (POST /v1/tickets); called again only when there is no token. */
  readonly ticket?: () => Promise<string>
  /** `auto`: WebSocket, and server-sent events where WebSockets are blocked. */
  readonly transport?: 'auto' | 'websocket' | 'sse'
  /** Bytes of a job that may be in flight to a reader that does not take them. */
  readonly window?: number
  /** Who is calling, for the operator's log. */
  readonly client?: { readonly name: string; readonly version: string }
  readonly onState?: (state: State) => void
  /** Why a connection was lost or could not be opened; it is retried unless the state is `closed`. */
  readonly onError?: (error: SluiceError) => void
}

export interface Sluice {
  readonly state: State
  readonly transport: 'websocket' | 'sse'
  /**
   * Returns at once; the job is sent when there is a connection, and again until it is accepted. It may name jobs that
   * are not accepted yet: it waits for their ids.
   */
  submit(request: Submission): Job
  /** Any job that is ours. Without a cursor from the start. */
  attach(id: string, from?: { readonly cursor?: string | null }): Job
  /** A conversation's turns, past and present: what a chat shows. Close it when it is no longer shown. */
  conversation(id: string, options: ConversationOptions): Conversation
  /** The current state of a conversation, then its updates, whoever made them. Returns a function that stops it. */
  watch(conversation: string, watcher: Watcher): () => void
  /** Agents' runs: `run` of a job, and what all jobs of one may use. */
  readonly runs: Runs
  /** A call over HTTP with the same credentials, e.g. http('GET', '/v1/conversations/c1'). Throws SluiceError. */
  http(method: string, path: string, body?: unknown): Promise<unknown>
  /** Calls `fn` after each change of `state`. Returns its stop. */
  subscribe(fn: () => void): () => void
  /** Skips the wait before the next try: the user asks for it, or the server is known to be back. */
  reconnect(): void
  /** Detaches from all jobs; they keep running. */
  close(): void
}

/** Without a `/v1` at the end, which base URLs of SDKs have. */
function baseOf(url: unknown): string {
  const text = String(url ?? '').trim()
  const expected = 'expected the address of Sluice, such as "http://127.0.0.1:4100".'
  if (text === '') throw new SluiceError('invalid_url', `connect() needs a "url": ${expected}`)
  // "localhost:4100" is a URL, too, with the scheme "localhost"
  if (!/^(?:http|ws)s?:\/\//i.test(text) || !URL.canParse(text))
    throw new SluiceError('invalid_url', `"${text}" is not an absolute http(s) URL; ${expected}`)
  const { protocol, host, pathname, search, hash, username, password } = new URL(text)
  if (search + hash + username + password !== '')
    throw new SluiceError('invalid_url', `"url" may have no query, fragment or user; ${expected}`)
  return `${protocol.replace('ws', 'http')}//${host}${pathname.replace(/\/+$/, '').replace(/\/v1$/, '')}`
}

/** Trimmed: it was read from a file, perhaps. */
function keyOf({ key, ticket }: ConnectOptions): string | undefined {
  if ((key !== undefined) === (ticket !== undefined) || (ticket !== undefined && typeof ticket !== 'function'))
    throw new SluiceError(
      'missing_api_key',
      'connect() needs either a "key" (is its environment variable set?), or a "ticket" function that asks your ' +
        'backend for a ticket.',
    )
  if (key === undefined) return undefined
  const trimmed = String(key).trim()
  if (!/^[\x21-\x7e]+$/.test(trimmed))
    throw new SluiceError('invalid_api_key', 'The "key" is empty, or has characters that no API key has.')
  return trimmed
}

/** Is it there? Node 18 and 20, and some edge runtimes, have no WebSocket of their own. */
const has = (name: 'WebSocket' | 'fetch'): boolean => typeof globalThis[name] === 'function'

export function connect(options: ConnectOptions): Sluice {
  const base = baseOf(options?.url)
  const key = keyOf(options)
  const { transport: asked = 'auto', window = WINDOW_BYTES } = options
  if (!has('fetch') || (asked === 'websocket' && !has('WebSocket')))
    throw new SluiceError(
      'unsupported_runtime',
      `There is no ${has('fetch') ? 'WebSocket' : 'fetch'} here; Node has it from version 22 on. ` +
        'Without a WebSocket, the transports "auto" and "sse" work.',
    )
  const wanted = has('WebSocket') ? asked : 'sse'
  if (!Number.isInteger(window) || window < SMALLEST_WINDOW || window > LARGEST_WINDOW)
    throw new SluiceError(
      'invalid_window',
      `"window" is a number of bytes, from ${SMALLEST_WINDOW} to ${LARGEST_WINDOW}.`,
    )
  const watches = new Map<Watcher, string>()
  const listeners = new Set<() => void>()
  const session = createSession(base, key, options.ticket)
  let state: State = 'connecting'
  let closed = false

  /** An error thrown by an application's callback must not stop us half-way. */
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
      for (const listener of [...listeners]) tell(listener)
    },
    onError(error: SluiceError) {
      if (!closed) tell(() => options.onError?.(error))
    },
  }
  /** Any answer of the server proves that it can be reached; a proxy whose server is away answers 502 to 504. */
  const reachable = (): Promise<boolean> =>
    session.open('GET', PROBE, undefined, {}, AbortSignal.timeout(PROBE_WITHIN_MS)).then(
      () => true,
      ({ status = 500 }: SluiceError) => status < 500,
    )

  let transport: Transport =
    wanted === 'sse'
      ? createSse({ session, window }, events)
      : createSocket(
          {
            url: `${base.replace(/^http/, 'ws')}/v1/ws`,
            session,
            window,
            client: options.client ?? CLIENT,
            fallback: wanted === 'auto' ? { reachable, take: fallBack } : null,
          },
          events,
        )

  function fallBack(): void {
    if (closed) return
    const before = transport
    transport = createSse({ session, window }, events)
    const jobs = before.jobs()
    before.close()
    for (const job of jobs) transport.add(job)
    for (const [watcher, conversation] of watches) transport.watch(conversation, watcher)
  }

  /** Requests to a transport that gave up go to the next one. */
  async function cancel(job: Job): Promise<void> {
    const asked = transport
    try {
      await asked.cancel(job)
    } catch (error) {
      if (asked === transport || closed) throw error
      await transport.cancel(job)
    }
  }

  // A job's requests go to the transport of that moment
  const wire = {
    credit: (job: Job, bytes: number) => transport.credit(job, bytes),
    cancel,
    detach: (job: Job) => transport.detach(job),
    reattach: (job: Job) => transport.reattach(job),
    report: (job: Job, ttftMs: number) => transport.report(job, ttftMs),
    fetch: <T>(job: Job, path: string, take: (response: Response) => Promise<T>, method?: 'POST') =>
      fetchMade(session, `/v1/jobs/${job.id}${path}`, take, method),
  }
  const add = (job: Job): Job => {
    if (closed) job.fail(new SluiceError('closed', 'This client was closed.'))
    else transport.add(job)
    return job
  }

  const stopListening = watchNetwork(
    () => transport.nudge(),
    () => transport.doubt(),
  )

  const sluice: Sluice = {
    get state() {
      return state
    },
    get transport() {
      return transport.name
    },
    submit(submission) {
      const keyed = { ...submission, idempotency_key: submission.idempotency_key ?? mintKey() }
      const job = new Job(wire, window, keyed as JobRequest, null, null)
      if (isReady(keyed)) return add(job)
      withIds(keyed).then(
        (request) => {
          job.asks(request)
          if (!job.over) add(job)
        },
        (error: unknown) => job.fail(SluiceError.from(error)),
      )
      return job
    },
    attach: (id, from) => add(new Job(wire, window, null, id, from?.cursor ?? null)),
    conversation: (id, options) => createConversation(sluice, id, options),
    watch(conversation, on) {
      const watcher: Watcher = (frame) => tell(() => on(frame)) // its own: the same callback may watch twice
      watches.set(watcher, conversation)
      if (!closed) transport.watch(conversation, watcher)
      return () => {
        if (watches.delete(watcher)) transport.unwatch(conversation, watcher)
      }
    },
    runs: createRuns(session),
    http: (method, path, body) => session.http(method, path, body),
    subscribe(fn) {
      const listener = (): void => fn() // its own: the same function may subscribe twice
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    reconnect: () => transport.nudge(),
    close() {
      if (closed) return
      const jobs = transport.jobs()
      transport.close()
      events.onState('closed')
      closed = true
      for (const job of jobs) job.fail(new SluiceError('closed', 'This client was closed; the job keeps running.'))
      stopListening()
    },
  }
  return sluice
}
