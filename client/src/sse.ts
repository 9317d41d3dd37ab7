/** Jobs over plain HTTP, where WebSockets are blocked: submitted by POST, read as server-sent events (PROTOCOL.md sections 4 and 5). */
import type { EndFrame, WireEvent } from '../../src/core/frames.ts'
import { backoffMs } from './backoff.ts'
import { SluiceError } from './errors.ts'
import type { Job } from './job.ts'
import { isPage } from './page.ts'
import { placeOf } from './place.ts'
import type { Session } from './session.ts'
import type { Transport, TransportEvents } from './transport.ts'

/** A server says something every 15 s; nothing for as long as this, and the connection is lost. */
const SILENT_MS = 45_000
/** Browsers open six connections to one origin; one is left for all else. */
const STREAMS_IN_BROWSER = 5

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

export function createSse(session: Session, events: TransportEvents): Transport {
  const streams = new Map<Job, AbortController>()
  const most = isPage ? STREAMS_IN_BROWSER : Number.POSITIVE_INFINITY
  const inLine: Array<() => void> = []
  const wakes = new Set<() => void>()
  let open = 0
  let closed = false

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        wakes.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      wakes.add(wake)
    })

  async function turn<T>(work: () => Promise<T>): Promise<T> {
    if (open >= most) await new Promise<void>((go) => inLine.push(go))
    open++
    try {
      return await work()
    } finally {
      open--
      inLine.shift()?.()
    }
  }

  /** Submits, then reads to the end, over any number of connections. */
  async function follow(job: Job, controller: AbortController): Promise<void> {
    for (let failures = 0; !job.over && !closed; ) {
      try {
        if (job.id === null) {
          const made = (await session.http('POST', '/v1/jobs', job.request)) as { id: string; queue: never }
          job.accept({ job: made.id, joined: false, queue: made.queue })
        }
        events.onState('open')
        const before = job.cursor
        await turn(() => read(job, controller.signal))
        if (job.over) return
        failures = job.cursor === before ? failures + 1 : 0
      } catch (thrown) {
        if (job.over || closed) return
        const error = thrown instanceof SluiceError ? thrown : new SluiceError('connection_lost', String(thrown), { retryable: true })
        if (!error.retryable) return job.fail(error)
        events.onError(error)
        events.onState('waiting')
        await pause(error.retryAfterMs ?? backoffMs(failures++))
      }
    }
  }

  async function read(job: Job, signal: AbortSignal): Promise<void> {
    const silence = new AbortController()
    let timer = setTimeout(() => silence.abort(), SILENT_MS)
    const heard = (): void => {
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), SILENT_MS)
    }
    try {
      const headers = { accept: 'text/event-stream', ...(job.cursor === null ? {} : { 'last-event-id': job.cursor }) }
      const response = await session.open('GET', `/v1/jobs/${job.id}/events`, undefined, headers, AbortSignal.any([signal, silence.signal]))
      if (response.status === 204 || response.body === null) {
        job.fail(new SluiceError('already_read', 'The cursor stands at the end of this job: there is nothing more to read.'))
        return
      }
      const feed = sseParser((event) => apply(job, event))
      const decoder = new TextDecoder()
      const reader = response.body.getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        heard()
        feed(decoder.decode(value, { stream: true }))
      }
    } catch (cause) {
      if (cause instanceof SluiceError) throw cause
      throw new SluiceError('connection_lost', 'The stream was cut.', { retryable: true, cause })
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    name: 'sse',
    add(job) {
      const controller = new AbortController()
      streams.set(job, controller)
      void follow(job, controller).finally(() => streams.delete(job))
    },
    jobs: () => [...streams.keys()],
    credit() {}, // the connection's own back-pressure is all there is
    cancel: async (job) => void (await session.http('POST', `/v1/jobs/${job.id}/cancel`)),
    detach(job) {
      streams.get(job)?.abort()
    },
    reattach(job) {
      // The stream is read again behind the cursor
      streams.get(job)?.abort()
      const controller = new AbortController()
      streams.set(job, controller)
      void follow(job, controller)
    },
    report() {},
    nudge() {
      for (const wake of [...wakes]) wake()
    },
    close() {
      closed = true
      for (const controller of streams.values()) controller.abort()
      for (const wake of [...wakes]) wake()
    },
  }
}

function apply(job: Job, { id, event, data }: SseEvent): void {
  const value = JSON.parse(data) as never
  if (event === 'gap') return job.gap((value as { reason: string }).reason)
  const place = placeOf(id)
  if (place === null) return
  if (event === 'end') job.end({ ...(value as Omit<EndFrame, 'seq' | 'cursor'>), seq: place.seq, cursor: id })
  else job.run({ seq: place.seq, cursor: id, e: [{ [event]: value } as unknown as WireEvent] }, 0)
}
