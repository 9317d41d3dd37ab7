/** Jobs over plain HTTP: submitted by POST, read as server-sent events (PROTOCOL.md sections 4 and 5). */
import type { AcceptedFrame, EndFrame, WireEvent } from '../../src/core/frames.ts'
import { backoffMs } from './backoff.ts'
import { nothingLeft, SluiceError } from './errors.ts'
import type { Job } from './job.ts'
import { isPage } from './page.ts'
import { placeOf } from './place.ts'
import { createPlaces } from './places.ts'
import type { Session } from './session.ts'
import { readEvents, type SseEvent } from './sse-read.ts'
import { createSseWatches } from './sse-watch.ts'
import type { Transport, TransportEvents } from './transport.ts'

/** Browsers open six connections to one origin: four read jobs, one watches, and one is left for everything else. */
const STREAMS_IN_BROWSER = 4
const WATCHES_IN_BROWSER = 1
/** A stream whose reader takes nothing for this long makes room for another; later it resumes at its cursor. */
const PATIENCE_MS = 2_000
const SUBMIT_WITHIN_MS = 30_000
/** Time limit of the small request that tests whether the server can be reached. */
const PROVE_WITHIN_MS = 3_000

export interface SseOptions {
  readonly session: Session
  /** Bytes. */
  readonly window: number
  /** Event streams that are open at once. */
  readonly streams?: number
}

/** A job that is being read. */
interface Stream {
  readonly job: Job
  /** Bytes that its reader can take now. */
  room: number
  /** Of the request in flight. */
  request: AbortController
  /** The rest of this response is useless: the job is to be read again. */
  stale: boolean
}

export function createSse(
  { session, window, streams: most = isPage ? STREAMS_IN_BROWSER : Number.POSITIVE_INFINITY }: SseOptions,
  events: TransportEvents,
): Transport {
  const streams = new Map<Job, Stream>()
  const places = createPlaces(most)
  /** Waiting to try again, or for their reader. */
  const resting = new Set<() => void>()
  const parked = new Set<() => void>()
  let stopped: SluiceError | null = null

  /** Waits at most this long, or until all are woken. */
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

  const watches = createSseWatches(session, isPage ? WATCHES_IN_BROWSER : Number.POSITIVE_INFINITY, {
    isOver: () => stopped !== null,
    onOpen: () => events.onState('open'),
    onFailed: hopeless,
  })

  const isOpen = ({ job }: Stream): boolean => stopped === null && (job.id === null || !job.over)

  /** Submits the job, then reads it to its end, over any number of connections. */
  async function follow(stream: Stream): Promise<void> {
    const { job } = stream
    for (let failures = 0; isOpen(stream); ) {
      const before = job.cursor
      try {
        if (job.id === null) await submit(job)
        else {
          while (stream.room <= 0 && isOpen(stream)) await pause(parked)
          await places.take(async () => {
            if (isOpen(stream)) await read(stream)
          })
        }
        failures = 0
      } catch (thrown) {
        if (!isOpen(stream)) return
        job.cut()
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
    const { id, queue, limits } = (await response.json()) as Pick<AcceptedFrame, 'id' | 'queue' | 'limits'>
    job.accept({ job: id, joined: response.status === 200, queue, ...(limits && { limits }) })
  }

  /** Reads one response. Throws when it is cut. */
  async function read(stream: Stream): Promise<void> {
    const { job } = stream
    const request = new AbortController()
    stream.request = request
    stream.stale = false
    const read = await readEvents(session, {
      path: `/v1/jobs/${job.id}/events`,
      headers: job.cursor === null ? {} : { 'last-event-id': job.cursor },
      request,
      onOpen() {
        job.resumed()
        events.onState('open')
      },
      onEvent: (event) => apply(stream, event),
      wantsMore: () => stream.room > 0 || roomWithin(stream, PATIENCE_MS),
      isOver: () => stream.stale || job.over,
    })
    if (read === 'empty') job.fail(nothingLeft())
  }

  async function roomWithin(stream: Stream, ms: number): Promise<boolean> {
    const until = performance.now() + ms
    while (stream.room <= 0 && isOpen(stream)) {
      const leftMs = until - performance.now()
      if (leftMs <= 0) return false
      await pause(parked, leftMs)
    }
    return true
  }

  function stop(error: SluiceError): void {
    stopped = error
    for (const { job, request } of streams.values()) {
      job.fail(error)
      request.abort()
    }
    watches.abort()
    wakeAll()
    events.onState('closed')
  }

  /** Waits until the server can be reached, so that this is known before anything is read. */
  async function greet(): Promise<void> {
    for (let failures = 0; stopped === null; ) {
      try {
        await session.http('GET', '/v1/models')
        events.onState('open')
        return
      } catch (thrown) {
        const error = SluiceError.from(thrown)
        if (stopped !== null || (await hopeless(error, failures++))) return
      }
    }
  }

  /** Waits before the next attempt. True: there is no use in one. */
  async function hopeless(error: SluiceError, failures: number): Promise<boolean> {
    events.onError(error)
    if (error.status === 401) stop(error)
    if (!error.retryable) return true
    events.onState('waiting')
    await pause(resting, error.retryAfterMs ?? backoffMs(failures))
    return false
  }

  void greet()
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
    watch: watches.add,
    unwatch: watches.remove,
    nudge: () => wake(resting),
    doubt() {
      session.open('GET', '/v1/models', undefined, {}, AbortSignal.timeout(PROVE_WITHIN_MS)).catch(() => {
        for (const { request } of streams.values()) request.abort()
        watches.abort()
        if (stopped === null) {
          events.onState('waiting')
          void greet()
        }
      })
    },
    close() {
      stopped = new SluiceError('connection_lost', 'The connection was closed.', { retryable: true })
      for (const { request } of streams.values()) request.abort()
      watches.abort()
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
