/**
 * One POST to a receiver, which is nobody's friend: it is bounded in time, its answer is read to a bound and thrown
 * away, and no redirect is followed. A name is resolved here, each address is looked at, and the connection goes to
 * that very address: what the name is said to be a moment later (DNS rebinding) does not matter.
 */
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import { isIP } from 'node:net'
import type { Clock } from '../core/clock.ts'
import { bare, isPublic, type Target } from './address.ts'
import { type Resolve, resolveBy } from './names.ts'
import { readRetryAfter } from './tries.ts'

type Why = 'timeout' | 'name' | 'address' | 'connection'

export type Posted =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfterMs: number | null }
  /** A short sentence for the endpoint's owner; no address that its name resolved to. */
  | { readonly kind: 'failed'; readonly why: Why; readonly reason: string }

export interface PostOptions {
  readonly clock: Clock
  readonly timeoutMs: number
  readonly resolve?: Resolve
}

const MAX_ANSWER_BYTES = 65_536
const USER_AGENT = 'Sluice-Webhooks/1'

const byDns = resolveBy()

/** Never rejects. */
export function post(
  target: Target,
  headers: Readonly<Record<string, string>>,
  body: string,
  { clock, timeoutMs, resolve = byDns }: PostOptions,
  signal: AbortSignal,
): Promise<Posted> {
  return new Promise((done) => {
    let request: ClientRequest | null = null
    let isOver = false
    const over = new AbortController()
    const end = (posted: Posted): void => {
      if (isOver) return
      isOver = true
      cancel()
      over.abort()
      signal.removeEventListener('abort', stopped)
      request?.destroy()
      done(posted)
    }
    const failed = (reason: string, why: Why = 'connection'): void => end({ kind: 'failed', why, reason })
    const stopped = (): void => failed('This server stopped.')
    const cancel = clock.after(timeoutMs, () => failed(`No answer within ${timeoutMs} ms.`, 'timeout'))
    signal.addEventListener('abort', stopped)
    if (signal.aborted) return stopped()
    const call = ([address, ...others]: readonly string[]): void => {
      request = send(target, address, headers, body)
      request.on('error', (error) => {
        if (isOver) return
        if (others.length > 0 && isUnreachable(error)) call(others)
        else failed(reasonOf(error))
      })
      request.on('response', (response) => read(response, clock, end))
      request.end(body)
    }
    addressesOf(target, (host) => resolve(host, { isAllowed: target.isAllowed, timeoutMs, signal: over.signal })).then(
      (addresses) => {
        if (isOver) return
        if (addresses === null)
          return failed('Its name resolves to an address that is not on the public internet.', 'address')
        call(addresses)
      },
      () => failed('Its name could not be resolved.', 'name'),
    )
  })
}

/** One of each family at most; null: it is none that may be called. Rejects where there is none. */
async function addressesOf(
  { url, isAllowed }: Target,
  resolve: (host: string) => Promise<readonly string[]>,
): Promise<readonly string[] | null> {
  const host = bare(url.hostname)
  const addresses = isIP(host) === 0 ? await resolve(host) : [host]
  if (addresses.length === 0) throw new Error('no address')
  // One that is inside tells what the name is for
  if (!isAllowed && !addresses.every(isPublic)) return null
  const [first] = addresses
  const other = addresses.find((address) => isIP(address) !== isIP(first))
  return other === undefined ? [first] : [first, other]
}

/** This machine has no way to addresses of this family: nothing was sent. */
const isUnreachable = ({ code }: Error & { readonly code?: string }): boolean =>
  code === 'ENETUNREACH' || code === 'EHOSTUNREACH' || code === 'EADDRNOTAVAIL'

function send(
  { url, port }: Target,
  address: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): ClientRequest {
  const isTls = url.protocol === 'https:'
  // Not by name: an import reads every export of a built-in module
  const { request } = process.getBuiltinModule(isTls ? 'node:https' : 'node:http')
  const name = bare(url.hostname)
  const options: RequestOptions & { readonly servername?: string } = {
    method: 'POST',
    host: address,
    port,
    path: `${url.pathname}${url.search}`,
    agent: false,
    setHost: false,
    headers: {
      host: url.host,
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
      'user-agent': USER_AGENT,
      ...headers,
    },
    ...(isTls && isIP(name) === 0 && { servername: name }),
  }
  return request(options)
}

/** Its status counts, once its answer has come, or as much of it as is read. */
function read(response: IncomingMessage, clock: Clock, end: (posted: Posted) => void): void {
  const status = response.statusCode ?? 0
  const retryAfterMs = readRetryAfter(response.headers['retry-after'], clock.wallMs())
  let bytes = 0
  const answered = (): void => end({ kind: 'answered', status, retryAfterMs })
  response.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length
    if (bytes > MAX_ANSWER_BYTES) answered()
  })
  response.on('end', answered)
  response.on('error', () =>
    end({ kind: 'failed', why: 'connection', reason: 'The connection was cut in mid-answer.' }),
  )
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'The connection was refused.',
  ECONNRESET: 'The connection was cut.',
  EHOSTUNREACH: 'It can not be reached.',
  ENETUNREACH: 'It can not be reached.',
  ETIMEDOUT: 'The connection timed out.',
  HPE_HEADER_OVERFLOW: 'The headers of its answer are too large.',
}

function reasonOf(error: Error & { readonly code?: string }): string {
  const code = error.code ?? ''
  if (Object.hasOwn(REASONS, code)) return REASONS[code]
  return /CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO/.test(code) ? `Its certificate was refused (${code}).` : 'It failed.'
}
