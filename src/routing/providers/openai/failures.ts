/** What an upstream says when it does not answer, as rows of the error table. */
import type { Clock } from '../../../core/clock.ts'
import { type ErrorCode, SluiceError } from '../../../core/errors.ts'
import type { ProviderEnd } from '../../../core/ports.ts'
import { type Bytes, toText } from '../../../core/record.ts'
import type { HttpFailure, ResponseHead } from '../http/client.ts'

type Failed = Extract<ProviderEnd, { kind: 'failed' }>

const MAX_MESSAGE_CHARS = 2_048
const MAX_RETRY_AFTER_MS = 5 * 60_000

interface Reason {
  readonly message?: string
  readonly retryAfterMs?: number | undefined
  /** Only where the request itself is refused is the upstream's status ours. */
  readonly status?: number
}

export function failed(code: ErrorCode, retry: boolean, reason: Reason = {}): Failed {
  const { retryAfterMs, ...details } = reason
  const error = new SluiceError(code, retryAfterMs === undefined ? details : { ...details, retryAfterMs })
  return { kind: 'failed', error, retry, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
}

const FAILURE_CODES = { unreachable: 'provider_unreachable', cut: 'provider_cut', garbage: 'provider_garbage' } as const

/** A failure below the answer: connection or HTTP. */
export function failedTransport(failure: HttpFailure): Failed {
  const code = FAILURE_CODES[failure.kind]
  return failed(code, true, { message: `${new SluiceError(code).message.slice(0, -1)} (${failure.detail}).` })
}

/** An HTTP status that is not 200. `body` is what came of it. */
export function failedStatus(head: ResponseHead, body: Bytes, secret: string | null, clock: Clock): Failed {
  const { status } = head
  const upstream = parseError(body)
  const retryAfterMs = retryAfter(head.headers, clock)
  const said = sayMessage(upstream.message, secret)
  if (status < 300)
    return failed('provider_garbage', true, {
      message: `The model provider answered with HTTP ${status} and no answer.`,
    })
  if (status < 400)
    return failed('provider_error', true, {
      message: `The model provider redirects (HTTP ${status}), which is not followed: mend its base URL.`,
    })
  // What the provider says of our key is nobody else's business
  if (status === 401 || status === 402 || status === 403) return failed('provider_auth', false)
  if (status === 429 && isOutOfQuota(upstream))
    return failed('provider_auth', false, {
      message: "The model provider's quota for our key is used up; the operator must mend it.",
    })
  if (status === 429)
    return failed('provider_rate_limited', true, {
      retryAfterMs,
      ...(said === null ? {} : { message: `The model provider is rate limiting: ${said}` }),
    })
  if (status === 408 || status === 409 || status === 425 || status >= 500)
    return failed('provider_error', true, {
      retryAfterMs,
      message: `The model provider failed (HTTP ${status})${said === null ? '.' : `: ${said}`}`,
    })
  return failed('provider_rejected', false, {
    status,
    message: said === null ? `The model provider refused the request (HTTP ${status}).` : said,
  })
}

/** An error object inside an answer whose status was 200. */
export function failedInBand(error: unknown, secret: string | null): Failed {
  const upstream = readError(error)
  const said = sayMessage(upstream.message, secret)
  const message = (start: string): { message?: string } => (said === null ? {} : { message: `${start}: ${said}` })
  if (
    isOutOfQuota(upstream) ||
    upstream.status === 401 ||
    upstream.status === 403 ||
    /authentication|permission/.test(upstream.labels)
  )
    return failed('provider_auth', false)
  if (upstream.status === 429 || /rate_?limit/.test(upstream.labels))
    return failed('provider_rate_limited', true, message('The model provider is rate limiting'))
  const isRefusal =
    upstream.status !== null
      ? upstream.status >= 400 && upstream.status < 500 && upstream.status !== 408 && upstream.status !== 409
      : /invalid_request|context_length|content_filter|bad_request/.test(upstream.labels)
  if (isRefusal)
    return failed('provider_rejected', false, {
      ...(said === null ? {} : { message: said }),
      ...(upstream.status === null ? {} : { status: upstream.status }),
    })
  return failed('provider_error', true, message('The model provider failed'))
}

interface UpstreamError {
  readonly message: string | null
  readonly status: number | null
  /** `type` and `code`, in lower case. */
  readonly labels: string
}

const NO_ERROR: UpstreamError = { message: null, status: null, labels: '' }

function parseError(body: Bytes): UpstreamError {
  try {
    const parsed: unknown = JSON.parse(toText(body))
    const first: unknown = Array.isArray(parsed) ? parsed[0] : parsed
    if (typeof first !== 'object' || first === null) return NO_ERROR
    return readError('error' in first && first.error ? first.error : first)
  } catch {
    return NO_ERROR
  }
}

/** OpenAI's {message, type, code}, a bare text, FastAPI's {detail}, or Google's {message, code, status}. */
function readError(error: unknown): UpstreamError {
  if (typeof error === 'string') return { ...NO_ERROR, message: error }
  if (typeof error !== 'object' || error === null) return NO_ERROR
  const { message, detail, type, code, status } = error as Record<string, unknown>
  const text =
    typeof message === 'string'
      ? message
      : typeof detail === 'string'
        ? detail
        : detail !== undefined && detail !== null
          ? JSON.stringify(detail)
          : null
  const number = [status, code].map(Number).find((n) => Number.isInteger(n) && n >= 400 && n < 600)
  return {
    message: text,
    status: number ?? null,
    labels: [type, code, status]
      .filter((label) => typeof label === 'string')
      .join(' ')
      .toLowerCase(),
  }
}

const isOutOfQuota = (error: UpstreamError): boolean => /insufficient_(quota|balance)|billing_/.test(error.labels)

/** For clients' eyes: without our key, without control characters, and not too long. */
function sayMessage(message: string | null, secret: string | null): string | null {
  if (message === null) return null
  let text = secret === null ? message : message.replaceAll(secret, '[redacted]')
  text = text.replace(/\b(?:sk|pk|rk|gsk|xai)[-_][\w-]{8,}|\bAIza[\w-]{20,}|\bBearer\s+\S+/gi, '[redacted]')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it takes out
  text = text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim()
  if (text === '') return null
  return text.length > MAX_MESSAGE_CHARS ? `${text.slice(0, MAX_MESSAGE_CHARS - 1)}…` : text
}

/** `retry-after-ms`, or `retry-after` in seconds or as a date; at most five minutes, undefined when it is not there. */
export function retryAfter(headers: ReadonlyMap<string, string>, clock: Clock): number | undefined {
  const ms = headers.get('retry-after-ms')
  const after = headers.get('retry-after')
  let wait = Number.NaN
  if (ms !== undefined && /^\d+(\.\d+)?$/.test(ms)) wait = Number(ms)
  else if (after !== undefined)
    wait = /^-?\d+(\.\d+)?$/.test(after) ? Number(after) * 1_000 : Date.parse(after) - clock.wallMs()
  return Number.isNaN(wait) ? undefined : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, Math.ceil(wait)))
}
