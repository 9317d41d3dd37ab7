/** One POST to a collector, with a bound on its time and on what is read of its answer. */
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import { type Partial, partialOf } from './partial.ts'

/** `why`: for the log; it has nothing of what was sent, and no text of the collector's but a sentence. */
export type Posted =
  | { readonly kind: 'taken'; readonly partial: Partial | null }
  /** Another try may help; `afterMs`: not before, where the collector told that. */
  | { readonly kind: 'later'; readonly why: string; readonly afterMs: number | null }
  | { readonly kind: 'refused'; readonly why: string }

export interface Post {
  (path: 'v1/traces' | 'v1/metrics', body: Uint8Array): Promise<Posted>
  /** Open connections end. */
  close(): void
}

export interface PostOptions {
  readonly endpoint: string
  readonly headers: Readonly<Record<string, string>>
  /** PEM; null: those that Node trusts. */
  readonly ca: string | null
  readonly clock: Clock
}

const TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 64 * 1024
/** By the OTLP specification. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504])

export function createPost({ endpoint, headers, ca, clock }: PostOptions): Post {
  const base = new URL(endpoint)
  const isTls = base.protocol === 'https:'
  const kept = { keepAlive: true, maxSockets: 2, keepAliveMsecs: 30_000 }
  // Not by name: an import reads every export of a built-in module, undici and all certificates among them
  const { Agent, request } = process.getBuiltinModule(isTls ? 'node:https' : 'node:http')
  const trusted = (): readonly string[] => process.getBuiltinModule('node:tls').rootCertificates
  const agent = new Agent({ ...kept, ...(isTls && ca !== null && { ca: [...trusted(), ca] }) })

  const post = (path: string, body: Uint8Array): Promise<Posted> =>
    new Promise((done) => {
      const url = new URL(base)
      url.pathname = `${base.pathname.replace(/\/$/, '')}/${path}`
      let sent: ClientRequest | null = null
      const end = (posted: Posted): void => {
        cancel()
        done(posted)
      }
      const cancel = clock.after(TIMEOUT_MS, () => {
        end({ kind: 'later', why: `no answer within ${TIMEOUT_MS / 1_000} s`, afterMs: null })
        sent?.destroy()
      })
      try {
        sent = request(url, {
          method: 'POST',
          agent,
          headers: { ...headers, 'content-type': 'application/x-protobuf', 'content-length': body.length },
        })
        sent.on('error', (error: NodeJS.ErrnoException) =>
          end({ kind: 'later', why: error.code ?? 'no connection', afterMs: null }),
        )
        sent.on('response', (response) => read(response, clock.wallMs(), end))
        sent.end(body)
      } catch {
        // A header that Node does not send, say: its message may have the value
        end({ kind: 'refused', why: 'the request can’t be made: check endpoint and headers' })
      }
    })
  return Object.assign(post, { close: () => agent.destroy() })
}

function read(response: IncomingMessage, wallMs: number, end: (posted: Posted) => void): void {
  const { statusCode: status = 0, headers } = response
  const parts: Buffer[] = []
  let bytes = 0
  response.on('data', (part: Buffer) => {
    bytes += part.length
    if (bytes <= MAX_ANSWER_BYTES) parts.push(part)
    else response.destroy()
  })
  // Closed before its end: what is known is its status
  response.on('error', () => {})
  response.on('close', () => {
    if (status >= 200 && status < 300) {
      const isProtobuf = headers['content-type']?.startsWith('application/x-protobuf') === true
      return end({ kind: 'taken', partial: isProtobuf ? partialOf(Buffer.concat(parts)) : null })
    }
    const why = `HTTP ${status}`
    if (!RETRYABLE.has(status)) return end({ kind: 'refused', why })
    end({ kind: 'later', why, afterMs: retryAfterMs(headers['retry-after'], wallMs) })
  })
}

const MAX_RETRY_AFTER_MS = 300_000

/** Seconds, or a date; null: none, or malformed. */
export function retryAfterMs(given: string | undefined, wallMs: number): number | null {
  if (given === undefined) return null
  const ms = /^\d{1,9}$/.test(given.trim()) ? Number(given) * 1_000 : Date.parse(given) - wallMs
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS)
}
