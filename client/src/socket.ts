/** Jobs over one WebSocket: said hello to, resumed, kept alive, and opened again when it is lost (PROTOCOL.md section 6). */
import type { ClientFrame, ServerFrame, WelcomeFrame } from '../../src/core/frames.ts'
import { backoffMs, verdictOf } from './backoff.ts'
import { SluiceError } from './errors.ts'
import type { Job } from './job.ts'
import type { Session } from './session.ts'
import type { Transport, TransportEvents } from './transport.ts'

const SUBPROTOCOL = 'sluice.v1'
const OPEN_WITHIN_MS = 10_000
/** A connection that held this long clears the count of failures. */
const HELD_MS = 5_000
/** Upgrades that fail one after the other before it is asked whether WebSockets are to blame. */
const TRIES_BEFORE_FALLBACK = 2

export interface SocketOptions {
  readonly url: string
  readonly session: Session
  readonly window: number
  readonly client: { readonly name: string; readonly version: string }
  /** Null: stays with WebSockets, whatever happens. */
  readonly onBlocked: (() => void) | null
}

const bytesOf = (text: string): number => {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c > 0x7f) bytes += c > 0x7ff ? (c >= 0xd800 && c <= 0xdfff ? 1 : 2) : 1
  }
  return bytes
}

export function createSocket(options: SocketOptions, events: TransportEvents): Transport {
  const { session, window } = options
  /** Jobs that are not over; those that have an id, by it. */
  const jobs = new Set<Job>()
  const byId = new Map<string, Job>()
  /** Submits on their way, by frame id. */
  const submits = new Map<string, { readonly job: Job; readonly follow: boolean }>()
  const acks = new Map<string, { resolve: () => void; reject: (error: SluiceError) => void }>()
  /** Jobs beyond what one connection may follow. */
  const unfollowed: Job[] = []
  let following = new Set<string>()
  let socket: WebSocket | null = null
  let welcome: WelcomeFrame | null = null
  let serial = 0
  let failures = 0
  let failedUpgrades = 0
  let refusedHellos = 0
  let openedAt = 0
  let heardAt = 0
  let pinged = false
  let slot: readonly [number, number] | null = null
  let stopWaiting: (() => void) | null = null
  let heartbeat: ReturnType<typeof setInterval> | undefined
  let opening = false
  let closed = false
  /** Why no connection is tried any more. */
  let stopped: SluiceError | null = null

  const send = (frame: ClientFrame): boolean => {
    if (socket === null || welcome === null) return false
    socket.send(JSON.stringify(frame))
    return true
  }
  const ask = (frame: (id: string) => ClientFrame): Promise<void> =>
    new Promise((resolve, reject) => {
      const id = `a${++serial}`
      acks.set(id, { resolve, reject })
      if (!send(frame(id))) {
        acks.delete(id)
        reject(new SluiceError('connection_lost', 'There is no connection.', { retryable: true }))
      }
    })

  // ---------------------------------------------------------------- connect

  async function open(): Promise<void> {
    if (closed || opening || socket !== null) return
    opening = true
    stopWaiting = null
    slot = null
    events.onState('connecting')
    let credential: Awaited<ReturnType<Session['credential']>>
    try {
      credential = await session.credential()
    } catch (thrown) {
      const error = thrown instanceof SluiceError ? thrown : new SluiceError('ticket_failed', String(thrown), { retryable: true })
      events.onError(error)
      return error.retryable ? again(error.retryAfterMs) : stop(error)
    } finally {
      opening = false
    }
    if (closed) return
    const ws = new globalThis.WebSocket(options.url, SUBPROTOCOL)
    socket = ws
    welcome = null
    let wasOpen = false
    const late = setTimeout(() => lost(1006, ''), OPEN_WITHIN_MS)
    const lost = (code: number, reason: string): void => {
      clearTimeout(late)
      if (socket !== ws) return
      ws.onclose = ws.onmessage = ws.onopen = null
      ws.onerror = () => {}
      ws.close()
      onLost(wasOpen, code, reason)
    }
    ws.onopen = () => {
      wasOpen = true
      failedUpgrades = 0
      heardAt = openedAt = performance.now()
      const known = [...byId.values()].slice(0, 1_000)
      following = new Set(known.map((job) => job.id!))
      ws.send(
        JSON.stringify({
          t: 'hello',
          auth: credential,
          client: options.client,
          window,
          ...(known.length === 0 ? {} : { jobs: known.map((job) => ({ job: job.id!, ...(job.cursor === null ? {} : { cursor: job.cursor }) })) }),
        } satisfies ClientFrame),
      )
    }
    ws.onmessage = ({ data }) => {
      heardAt = performance.now()
      pinged = false
      if (typeof data !== 'string') return
      const frame = JSON.parse(data) as ServerFrame
      if (frame.t === 'welcome') {
        clearTimeout(late)
        greet(frame)
      } else handle(frame, data)
    }
    ws.onerror = () => {}
    ws.onclose = ({ code, reason }) => lost(code, reason)
    heartbeat = setInterval(() => {
      if (welcome === null) return
      const silentMs = performance.now() - heardAt
      if (silentMs > welcome.heartbeat_ms * 1.5) lost(4408, 'no sign of life')
      else if (silentMs > welcome.heartbeat_ms && !pinged) pinged = send({ t: 'ping' })
    }, 1_000)
  }

  function greet(frame: WelcomeFrame): void {
    welcome = frame
    refusedHellos = 0
    events.onState('open')
    for (const job of jobs) if (job.id === null) submit(job)
  }

  function onLost(wasOpen: boolean, code: number, reason: string): void {
    clearInterval(heartbeat)
    const held = welcome !== null && performance.now() - openedAt >= HELD_MS
    const greeted = welcome !== null
    socket = null
    welcome = null
    submits.clear()
    for (const { reject } of acks.values()) reject(new SluiceError('connection_lost', 'The connection was lost before the answer came.', { retryable: true }))
    acks.clear()
    if (closed) return
    failures = held ? 0 : failures + 1
    const verdict = verdictOf(code)
    const error = new SluiceError(/^[a-z_]+(?=:)/.exec(reason)?.[0] ?? 'connection_lost', reason.replace(/^[a-z_]+: /, '') || `The connection was lost (${code}).`, {
      retryable: verdict !== 'stop',
    })
    events.onError(error)
    if (verdict === 'stop') return stop(error)
    if (verdict === 'authenticate' && ((!greeted && ++refusedHellos >= 2) || !session.discard())) return stop(error)
    if (!wasOpen && ++failedUpgrades >= TRIES_BEFORE_FALLBACK && options.onBlocked !== null) return options.onBlocked()
    again(slot === null ? undefined : slot[0] + Math.random() * (slot[1] - slot[0]))
  }

  function again(afterMs = backoffMs(failures)): void {
    events.onState('waiting')
    const timer = setTimeout(() => void open(), afterMs)
    stopWaiting = () => clearTimeout(timer)
  }

  function stop(error: SluiceError): void {
    closed = true
    stopped = error
    events.onState('closed')
    for (const job of [...jobs]) job.fail(error)
    jobs.clear()
    byId.clear()
  }

  // ---------------------------------------------------------------- frames

  function handle(frame: ServerFrame, data: string): void {
    const job = 'job' in frame && frame.job !== undefined ? byId.get(frame.job) : undefined
    switch (frame.t) {
      case 'token':
        return session.renew(frame)
      case 'goaway':
        slot = frame.reconnect_ms
        return
      case 'accepted': {
        const submitted = submits.get(frame.id)
        submits.delete(frame.id)
        if (submitted === undefined) return
        submitted.job.accept(frame)
        byId.set(frame.job, submitted.job)
        if (submitted.follow) following.add(frame.job)
        else unfollowed.push(submitted.job)
        return
      }
      case 'ev':
        return job?.run(frame, bytesOf(data))
      case 'end':
        job?.end(frame)
        return drop(job)
      case 'attached':
        // At the end of the log nothing more is sent
        if (job !== undefined && job.cursor === frame.cursor && ['done', 'failed', 'canceled', 'expired'].includes(frame.state)) {
          job.fail(new SluiceError('already_read', 'The cursor stands at the end of this job: there is nothing more to read.'))
          drop(job)
        } else if (frame.queue !== null) job?.waits(frame.queue)
        return
      case 'queue':
        return job?.waits(frame)
      case 'live':
        return job?.live()
      case 'gap':
        return job?.gap(frame.reason)
      case 'ok':
        acks.get(frame.id)?.resolve()
        acks.delete(frame.id)
        return
      case 'error':
        return refused(frame, job)
    }
  }

  function refused(frame: Extract<ServerFrame, { t: 'error' }>, followed: Job | undefined): void {
    const error = SluiceError.of(frame.error, { retryable: frame.retryable, retryAfterMs: frame.retry_after_ms })
    const ack = frame.id === undefined ? undefined : acks.get(frame.id)
    if (ack !== undefined) {
      acks.delete(frame.id!)
      return ack.reject(error)
    }
    const job = frame.id === undefined ? followed : submits.get(frame.id)?.job
    if (job === undefined) return events.onError(error)
    submits.delete(frame.id ?? '')
    if (frame.error.code === 'draining') return // it is sent again over the next connection
    if (frame.retryable && frame.retry_after_ms !== undefined) {
      setTimeout(() => (job.id === null ? submit(job) : attach(job)), frame.retry_after_ms)
      return
    }
    job.fail(error)
    drop(job)
  }

  function drop(job: Job | undefined): void {
    if (job === undefined) return
    jobs.delete(job)
    if (job.id === null) return
    byId.delete(job.id)
    following.delete(job.id)
    const next = unfollowed.shift()
    if (next !== undefined && !next.over) attach(next)
  }

  function submit(job: Job): void {
    if (welcome === null || job.over) return
    const id = `s${++serial}`
    const follow = following.size + submits.size < welcome.max_jobs
    const text = JSON.stringify({ t: 'submit', id, ...(follow ? {} : { follow: false }), ...job.request! } satisfies ClientFrame)
    if (bytesOf(text) > welcome.max_message_bytes) return void submitByHttp(job)
    submits.set(id, { job, follow })
    socket!.send(text)
  }

  /** Too large for a message here; the same job by the other door. */
  async function submitByHttp(job: Job): Promise<void> {
    try {
      const made = (await session.http('POST', '/v1/jobs', job.request)) as { id: string; queue: never }
      job.accept({ job: made.id, joined: false, queue: made.queue })
      byId.set(made.id, job)
      attach(job)
    } catch (thrown) {
      const error = thrown as SluiceError
      if (!error.retryable) {
        job.fail(error)
        drop(job)
      } else setTimeout(() => submit(job), error.retryAfterMs ?? backoffMs(1))
    }
  }

  function attach(job: Job): void {
    if (job.over || job.id === null) return
    byId.set(job.id, job)
    if (welcome === null) return
    if (following.size >= welcome.max_jobs && !following.has(job.id)) {
      unfollowed.push(job)
      return
    }
    following.add(job.id)
    send({ t: 'attach', job: job.id, cursor: job.cursor ?? '0' })
  }

  return {
    name: 'websocket',
    add(job) {
      if (stopped !== null) return job.fail(stopped)
      jobs.add(job)
      if (job.id === null) submit(job)
      else attach(job)
      if (socket === null && stopWaiting === null) void open()
    },
    jobs: () => [...jobs],
    credit: (job, bytes) => void (job.id !== null && send({ t: 'credit', job: job.id, bytes })),
    cancel: (job) => ask((id) => ({ t: 'cancel', id, job: job.id! })),
    detach(job) {
      if (job.id !== null) send({ t: 'detach', job: job.id })
      drop(job)
    },
    reattach: attach,
    report: (job, ttftMs) => void (job.id !== null && send({ t: 'report', job: job.id, ttft_ms: ttftMs })),
    nudge() {
      if (stopWaiting === null) return
      stopWaiting()
      stopWaiting = null
      void open()
    },
    close() {
      closed = true
      stopWaiting?.()
      clearInterval(heartbeat)
      const ws = socket
      socket = null
      welcome = null
      ws?.close(1000)
    },
  }
}
