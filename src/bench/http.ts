/** Calls over HTTP, each measured: kept connections, and stamps as soon as bytes leave the socket. */
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Clock } from '../core/clock.ts'
import { PATHS } from './apis.ts'
import type { Api } from './run.ts'
import { type StreamMarks, StreamMeasure } from './stream.ts'
import { keeper } from './told.ts'

/** What a caller is to send. */
export interface Call {
  readonly id: string
  readonly body: string
  readonly stream: boolean
  readonly scheduledMono: number
}

/** What came of it. */
export interface Called {
  readonly marks: StreamMarks
  /** When its new connection was ready; null: on a kept one, or none was made. */
  readonly connectedMono: number | null
  readonly status: number | null
  /** Null: it ended well. */
  readonly errorCode: string | null
  readonly serverId: string | null
  readonly cache: string | null
}

/** How requests reach a target: over HTTP, a WebSocket, or in a simulation. */
export interface Caller {
  /** Never rejects. An abort ends it as "aborted". */
  call(call: Call, signal: AbortSignal): Promise<Called>
  /** So many connections are open and waiting. */
  warm(connections: number): Promise<void>
  close(): void
}

export interface HttpOptions {
  readonly clock: Clock
  /** Without a trailing slash and "/v1". */
  readonly base: string
  readonly api: Api
  readonly headers: Readonly<Record<string, string>>
  /** An answer that brings nothing for this long is given up, and so is one that takes this long in all. */
  readonly silenceMs: number
  readonly answerMs: number
}

const MAX_ERROR_BYTES = 64 * 1024
const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024

export function httpCaller({ clock, base, api, headers, silenceMs, answerMs }: HttpOptions): Caller {
  const kept = keeper(headers)
  const url = new URL(base)
  const isTls = url.protocol === 'https:'
  const pool = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: Number.POSITIVE_INFINITY }
  const agent = isTls ? new HttpsAgent(pool) : new HttpAgent(pool)
  const send = (path: string, method: string, more: Record<string, string>): ClientRequest =>
    (isTls ? httpsRequest : httpRequest)({
      agent,
      method,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (isTls ? 443 : 80) : url.port,
      path: `${url.pathname.replace(/\/$/, '')}${path}`,
      headers: { ...headers, ...more },
    })

  const call: Caller['call'] = ({ id, body, stream, scheduledMono }, signal) =>
    new Promise((resolve) => {
      const sentMono = clock.monoMs()
      const measure = new StreamMeasure(sentMono, scheduledMono, api)
      let connectedMono: number | null = null
      let status: number | null = null
      let head: IncomingMessage['headers'] = {}
      let isOver = false
      let sent: ClientRequest | null = null
      let heardMono = sentMono
      const patience = clock.every(Math.min(silenceMs, answerMs, 1_000), () => {
        const nowMono = clock.monoMs()
        if (nowMono - heardMono >= silenceMs || nowMono - sentMono >= answerMs) finish('timeout')
      })
      const aborted = (): void => finish('aborted')
      signal.addEventListener('abort', aborted, { once: true })

      const finish = (code: string | null): void => {
        if (isOver) return
        isOver = true
        patience()
        signal.removeEventListener('abort', aborted)
        if (code === null) measure.end(clock.monoMs())
        else {
          measure.fail(code, code, clock.monoMs())
          sent?.destroy()
        }
        const marks = measure.marks()
        resolve({
          marks: { ...marks, error: null, finishReason: kept(marks.finishReason) },
          connectedMono,
          status,
          errorCode: codeOf(marks, kept),
          serverId: kept(one(head['x-sluice-job'] ?? head['x-request-id'])),
          cache: kept(one(head['x-sluice-cache'] ?? head['x-cache'])),
        })
      }
      const lost = (error: NodeJS.ErrnoException): void => finish(shortCode(error.code ?? 'connection_lost'))

      /** `follow`: where a job's events are, once it was accepted. */
      const exchange = (request: ClientRequest, follow: boolean): void => {
        sent = request
        request.on('socket', (socket) => {
          if (!socket.connecting) return
          socket.once(isTls ? 'secureConnect' : 'connect', () => {
            connectedMono ??= clock.monoMs()
          })
        })
        request.on('error', lost)
        request.on('response', (answer) => {
          head = { ...head, ...answer.headers }
          status = answer.statusCode ?? null
          heardMono = clock.monoMs()
          if (!follow) measure.began(heardMono)
          const timing = one(answer.headers['server-timing'])
          if (timing !== null) measure.serverTiming(timing)
          const isStream = String(answer.headers['content-type'] ?? '').startsWith('text/event-stream')
          const isOk = status !== null && status < 400
          const parts: Buffer[] = []
          let size = 0
          answer.on('data', (part: Buffer) => {
            heardMono = clock.monoMs()
            if (isOk && isStream) {
              measure.feed(part, heardMono)
              if (measure.isUnreadable) finish('garbage')
              return
            }
            size += part.length
            if (size <= (isOk ? MAX_DOCUMENT_BYTES : MAX_ERROR_BYTES)) parts.push(part)
          })
          answer.on('error', lost)
          answer.on('end', () => {
            const text = isStream ? '' : Buffer.concat(parts).toString('utf8')
            if (!isOk) return finish(errorCodeIn(text, status!))
            if (follow) return followJob(text)
            if (!isStream) measure.document(text, clock.monoMs())
            finish(null)
          })
          answer.on('close', () => {
            if (sent === request) finish('connection_lost')
          })
        })
      }

      const followJob = (text: string): void => {
        const job = jobIn(text)
        if (job === null) return finish('no_job')
        head = { ...head, 'x-sluice-job': job }
        const request = send(`/v1/jobs/${job}/events`, 'GET', { accept: 'text/event-stream' })
        exchange(request, false)
        request.end()
      }

      const post = send(PATHS[api], 'POST', {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
        accept: stream && api !== 'jobs' ? 'text/event-stream' : 'application/json',
        'x-request-id': id,
      })
      exchange(post, api === 'jobs')
      post.end(body)
    })

  return {
    call,
    warm: (connections) => warm(send, connections),
    close: () => agent.destroy(),
  }
}

/** As many small requests at once as there are to be connections; whatever they are answered. */
async function warm(
  send: (path: string, method: string, more: Record<string, string>) => ClientRequest,
  count: number,
) {
  const one = (): Promise<void> =>
    new Promise((done) => {
      const sent = send('/v1/models', 'GET', {})
      sent.setTimeout(5_000, () => sent.destroy())
      sent.on('response', (answer) => answer.resume())
      sent.on('error', () => {})
      sent.on('close', () => done())
      sent.end()
    })
  await Promise.all(Array.from({ length: count }, one))
}

const one = (value: string | string[] | undefined): string | null => {
  const text = Array.isArray(value) ? value.join(', ') : value
  return text === undefined ? null : text.slice(0, 4_096)
}

/** Null: it ended well. */
export function codeOf({ error, isComplete }: StreamMarks, kept: ReturnType<typeof keeper>): string | null {
  if (error === null) return isComplete ? null : 'incomplete'
  return shortCode(kept(error.code) ?? 'error')
}

/** No text of an answer can hide in it. */
export const shortCode = (code: string): string => (/^[\w.:-]{1,64}$/.test(code) ? code.toLowerCase() : 'error')

/** A job's id, as it goes into a path. */
function jobIn(text: string): string | null {
  try {
    const { id } = JSON.parse(text) as { id?: unknown }
    return typeof id === 'string' && /^[\w-]{1,100}$/.test(id) ? id : null
  } catch {
    return null
  }
}

function errorCodeIn(text: string, status: number): string {
  try {
    const { error } = JSON.parse(text) as { error?: { code?: unknown; type?: unknown } | null }
    const code = error?.code ?? error?.type
    if (typeof code === 'string' || typeof code === 'number') return shortCode(String(code))
  } catch {
    // Proxies answer with HTML
  }
  return `http_${status}`
}
