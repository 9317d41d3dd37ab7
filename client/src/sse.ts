/** Jobs over plain HTTP, where WebSockets are blocked: submitted by POST, read as server-sent events (PROTOCOL.md sections 4 and 5). */
import type { EndFrame, WireEvent } from '../../src/core/frames.ts'
import { backoffMs } from './backoff.ts'
import { nothingLeft, SluiceError } from './errors.ts'
import type { Job } from './job.ts'
import { isPage } from './page.ts'
import { placeOf } from './place.ts'
import type { Session } from './session.ts'
import type { Transport, TransportEvents } from './transport.ts'

/** A server says something every 15 s; nothing for as long as this, and the connection is lost. */
const SILENT_MS = 45_000
/** Browsers open six connections to one origin; one is left for all else. */
const STREAMS_IN_BROWSER = 5
/** A stream whose reader takes nothing for so long makes room for another; it is read on behind its cursor. */
const PATIENCE_MS = 2_000
const SUBMIT_WITHIN_MS = 30_000

export interface SseEvent {
  readonly id: string
  readonly event: string
  readonly data: string
}

/** Events of a text/event-stream, however its bytes were cut (WHATWG HTML, section 9.2.6). */
export function sseParser(on: (event: SseEvent) => void): (text: string) => void {
  let rest = ''
  let id = ''
  let event = ''
  let data: string[] = []
  return (text) => {
    rest += text
    for (;;) {
      const end = rest.search(/\r\n|\n|\r/)
      // A CR at the very end may be half of a CRLF
      if (end < 0 || (rest[end] === '\r' && end === rest.length - 1)) return
      const line = rest.slice(0, end)
      rest = rest.slice(end + (rest[end] === '\r' && rest[end + 1] === '\n' ? 2 : 1))
      if (line === '') {
        if (data.length > 0) on({ id, event: event || 'message', data: data.join('\n') })
        event = ''
        data = []
        continue
      }
      const colon = line.indexOf(':')
      const name = colon < 0 ? line : line.slice(0, colon)
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (name === 'id') id = value
      else if (name === 'event') event = value
      else if (name === 'data') data.push(value)
    }
  }
}

export interface SseOptions {
  readonly session: Session
  /** Bytes. */
  readonly window: number
  /** Event streams that are open at once. */
  readonly streams?: number
}

/** A job, as it is read here. */
interface Stream {
  readonly job: Job
  /** Bytes that its reader would take now. */
  room: number
  /** Of the request that is on its way. */
  request: AbortController
  /** What else comes on this response is of no use: it is to be read again. */
  stale: boolean
}

export function createSse(
  { session, window, streams: most = isPage ? STREAMS_IN_BROWSER : Number.POSITIVE_INFINITY }: SseOptions,
  events: TransportEvents,
): Transport {
  const streams = new Map<Job, Stream>()
  const inLine: Array<() => void> = []
  /** Those that wait to try again, and those whose reader takes nothing. */
  const resting = new Set<() => void>()
  const parked = new Set<() => void>()
  let open = 0
  let stopped: SluiceError | null = null

  /** Until somebody wakes all of them, at most so long. */
  const pause = (among: Set<() => void>, ms?: number): Promise<void> =>
    new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        among.delete(wake)
        resolve()
      }
      const timer = ms === undefined ? undefined : setTimeout(wake, ms)
      among.add(wake)
    })
  const wake = (among: Set<() => void>): void => {
    for (const one of [...among]) one()
  }
  const wakeAll = (): void => {
    wake(resting)
    wake(parked)
  }

  async function turn(work: () => Promise<void>): Promise<void> {
    if (open < most) open++
    else await new Promise<void>((go) => inLine.push(go))
    try {
      await work()
    } finally {
      // The place is handed on, so that nobody slips in between
      const next = inLine.shift()
      if (next === undefined) open--
      else next()
    }
  }

  const isOpen = ({ job }: Stream): boolean => stopped === null && (job.id === null || !job.over)

  /** Submits, then reads to the end, over any number of connections. */
  async function follow(stream: Stream): Promise<void> {
    const { job } = stream
    for (let failures = 0; isOpen(stream); ) {
      const before = job.cursor
      try {
        if (job.id === null) await submit(job)
        else {
          while (stream.room <= 0 && isOpen(stream)) await pause(parked)
          await turn(async () => {
            if (isOpen(stream)) await read(stream)
          })
        }
        failures = 0
      } catch (thrown) {
        if (!isOpen(stream)) return
        const error = SluiceError.from(thrown)
        events.onError(error)
        if (error.status === 401) return stop(error)
        if (!error.retryable || (job.id === null && job.request?.policy === 'reject')) return job.fail(error)
        events.onState('waiting')
        if (job.cursor !== before) failures = 0
        await pause(resting, error.retryAfterMs ?? backoffMs(failures++))
      }
    }
  }

  async function submit(job: Job): Promise<void> {
    const response = await session.open('POST', '/v1/jobs', job.request, {}, AbortSignal.timeout(SUBMIT_WITHIN_MS))
    const made = (await response.json()) as { id: string; queue: never }
    job.accept({ job: made.id, joined: response.status === 200, queue: made.queue })
  }

  /** One response. Throws when it was cut. */
  async function read(stream: Stream): Promise<void> {
    const { job } = stream
    const request = new AbortController()
    stream.request = request
    stream.stale = false
    let silence: ReturnType<typeof setTimeout> | undefined
    const listen = (): void => {
      clearTimeout(silence)
      silence = setTimeout(() => request.abort(), SILENT_MS)
    }
    try {
      listen()
      const headers = { accept: 'text/event-stream', ...(job.cursor === null ? {} : { 'last-event-id': job.cursor }) }
      const response = await session.open('GET', `/v1/jobs/${job.id}/events`, undefined, headers, request.signal)
      events.onState('open')
      if (response.status === 204 || response.body === null) return job.fail(nothingLeft())
      const feed = sseParser((event) => {
        if (stream.stale) return
        apply(stream, event)
      })
      const decoder = new TextDecoder()
      const reader = response.body.getReader()
      for (;;) {
        if (stream.room <= 0) {
          clearTimeout(silence)
          const until = performance.now() + PATIENCE_MS
          while (stream.room <= 0 && isOpen(stream)) {
            const leftMs = until - performance.now()
            if (leftMs <= 0) return
            await pause(parked, leftMs)
          }
          listen()
        }
        const { done, value } = await reader.read()
        if (stream.stale || job.over) return
        if (done) throw new SluiceError('connection_lost', 'The stream ended before its job.', { retryable: true })
        listen()
        feed(decoder.decode(value, { stream: true }))
        if (stream.stale || job.over) return
      }
    } catch (cause) {
      if (stream.stale || cause instanceof SluiceError) throw SluiceError.from(cause)
      throw new SluiceError('connection_lost', 'The stream was cut.', { retryable: true, cause })
    } finally {
      clearTimeout(silence)
      request.abort()
    }
  }

  function stop(error: SluiceError): void {
    stopped = error
    for (const { job, request } of streams.values()) {
      job.fail(error)
      request.abort()
    }
    wakeAll()
    events.onState('closed')
  }

  return {
    name: 'sse',
    add(job) {
      if (stopped !== null) return job.fail(stopped)
      const stream: Stream = { job, room: window, request: new AbortController(), stale: false }
      streams.set(job, stream)
      void follow(stream).finally(() => streams.delete(job))
    },
    jobs: () => [...streams.keys()],
    credit(job, bytes) {
      const stream = streams.get(job)
      if (stream === undefined) return
      const waits = stream.room <= 0
      stream.room += bytes
      if (waits && stream.room > 0) wake(parked)
    },
    cancel: async (job) => void (await session.http('POST', `/v1/jobs/${job.id}/cancel`)),
    detach(job) {
      streams.get(job)?.request.abort()
      wakeAll()
    },
    reattach(job) {
      const stream = streams.get(job)
      if (stream !== undefined) stream.stale = true
    },
    report() {},
    nudge: () => wake(resting),
    close() {
      stopped = new SluiceError('connection_lost', 'The connection was closed.', { retryable: true })
      for (const { request } of streams.values()) request.abort()
      wakeAll()
    },
  }
}

function apply(stream: Stream, { id, event, data }: SseEvent): void {
  const { job } = stream
  const value = JSON.parse(data) as never
  if (event === 'gap') return job.gap((value as { reason: string }).reason)
  const place = placeOf(id)
  if (place === null) return
  if (event === 'end') return job.end({ ...(value as Omit<EndFrame, 'seq' | 'cursor'>), seq: place.seq, cursor: id })
  stream.room -= data.length
  job.run({ seq: place.seq, cursor: id, e: [{ [event]: value } as unknown as WireEvent] }, data.length)
}
