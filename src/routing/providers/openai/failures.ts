/** Failures of an upstream, in any of the spellings that they have, as rows of the error table. */
import type { Clock } from '../../../core/clock.ts'
import { type ErrorCode, SluiceError } from '../../../core/errors.ts'
import { isObject } from '../../../core/fold.ts'
import type { ProviderEnd } from '../../../core/ports/provider.ts'
import { type Bytes, toText } from '../../../core/record.ts'
import type { HttpFailure, ResponseHead } from '../http/client.ts'
import { isSomething, plainMembers } from './error-in.ts'
import { parseJson } from './json.ts'
import { type Meaning, meaningOf } from './refusals.ts'

export type Failed = Extract<ProviderEnd, { kind: 'failed' }>

const MAX_MESSAGE_CHARS = 2_048
const MAX_RETRY_AFTER_MS = 5 * 60_000
/** An upstream that refuses is never called again at once, whatever its retry-after says. */
const MIN_RETRY_AFTER_MS = 1_000
/** Statuses of an upstream that is too busy. */
const BUSY = new Set([429, 503, 529])

interface Reason {
  readonly message?: string
  readonly param?: string | null
  readonly retryAfterMs?: number | undefined
  /** Only where the request itself is refused is the upstream's status ours. */
  readonly status?: number
  readonly upstreamCode?: string | null
}

export function failed(code: ErrorCode, retry: Failed['retry'], reason: Reason = {}): Failed {
  const { retryAfterMs, ...details } = reason
  const error = new SluiceError(code, retryAfterMs === undefined ? details : { ...details, retryAfterMs })
  return { kind: 'failed', error, retry }
}

const FAILURE_CODES = {
  unreachable: 'provider_unreachable',
  cut: 'provider_cut',
  garbage: 'provider_garbage',
  local: 'overloaded',
} as const

/** Another attempt here would fail the same way. */
export const unreadable = (coding: string): Failed =>
  failed('provider_garbage', 'elsewhere', {
    message: `The model provider compresses its answer (content-encoding: ${coding}), which it was asked not to do.`,
  })

/** Of what a request asks for, as choices, any other attempt would bring as much; `elsewhere`: of what it can't. */
export const tooMuch = (what: string, retry: Failed['retry'] = false): Failed =>
  failed('provider_garbage', retry, { message: `The model provider sent more than an answer can be: ${what}.` })

/** A failure below the answer: connection or HTTP. */
export function failedTransport(failure: HttpFailure): Failed {
  const code = FAILURE_CODES[failure.kind]
  if (failure.kind === 'local')
    return failed(code, true, {
      retryAfterMs: MIN_RETRY_AFTER_MS,
      message: `This server has no file descriptor, port or buffer left for a call (${failure.detail}).`,
    })
  return failed(code, true, { message: `${new SluiceError(code).message.slice(0, -1)} (${failure.detail}).` })
}

/** An HTTP status that is no success. `body` is what came of it. */
export function failedStatus(head: ResponseHead, body: Bytes, secret: string | null, clock: Clock): Failed {
  const { status } = head
  const text = toText(body)
  const upstream = readError(parseJson(text) ?? plainText(text), secret)
  const { message, param, upstreamCode } = upstream
  const askedMs = retryAfter(head.headers, clock) ?? upstream.retryAfterMs
  const retryAfterMs =
    BUSY.has(status) || askedMs !== undefined ? Math.max(MIN_RETRY_AFTER_MS, askedMs ?? 0) : undefined
  if (status < 400)
    return failed('provider_error', true, {
      message: `The model provider redirects (HTTP ${status}), which is not followed: correct its base URL.`,
    })
  const refused = refusalOf(upstream, status)
  if (refused !== null) return refused
  // Details about our key are for the operator only
  if (status === 401 || status === 402 || status === 403) return failed('provider_auth', 'elsewhere')
  if (status === 429)
    return failed('provider_rate_limited', true, {
      retryAfterMs,
      upstreamCode,
      ...(message === null ? {} : { message: `The model provider is rate limiting: ${message}` }),
    })
  if (status === 408 || status === 409 || status === 425 || status >= 500)
    return failed('provider_error', true, {
      retryAfterMs,
      upstreamCode,
      message: `The model provider failed (HTTP ${status})${message === null ? '.' : `: ${message}`}`,
    })
  // This deployment may lack the model, and another have it
  return failed('provider_rejected', status === 404 || status === 410 ? 'elsewhere' : false, {
    status,
    param,
    upstreamCode,
    message: message ?? `The model provider refused the request (HTTP ${status}).`,
  })
}

/** An error inside an answer whose status was 200. */
export function failedInBand(error: unknown, secret: string | null): Failed {
  const upstream = readError(error, secret)
  const { status, labels, message, param, upstreamCode } = upstream
  const refused = refusalOf(upstream, status)
  if (refused !== null) return refused
  const told = (start: string): { message?: string } => (message === null ? {} : { message: `${start}: ${message}` })
  if (status === 401 || status === 402 || status === 403 || /authentication|permission/.test(labels))
    return failed('provider_auth', 'elsewhere')
  if (status === 429 || /rate[-_ ]?limit|resource_exhausted|too many requests/.test(labels))
    return failed('provider_rate_limited', true, {
      retryAfterMs: Math.max(MIN_RETRY_AFTER_MS, upstream.retryAfterMs ?? 0),
      upstreamCode,
      ...told('The model provider is rate limiting'),
    })
  const isRefusal =
    status !== null
      ? status >= 400 && status < 500 && status !== 408 && status !== 409
      : /invalid_?(request|argument)|context_length|content_filter|bad_?request/.test(labels)
  if (isRefusal)
    return failed('provider_rejected', false, {
      param,
      upstreamCode,
      ...(message === null ? {} : { message }),
      ...(status === null ? {} : { status }),
    })
  return failed('provider_error', true, {
    upstreamCode,
    ...told('The model provider failed'),
    ...(status !== null && BUSY.has(status)
      ? { retryAfterMs: Math.max(MIN_RETRY_AFTER_MS, upstream.retryAfterMs ?? 0) }
      : {}),
  })
}

/** A refusal whose meaning is known, in the codes of OpenAI's dialect; null: it is judged by its status. */
function refusalOf(upstream: UpstreamError, status: number | null): Failed | null {
  const { names, labels, message, param, upstreamCode } = upstream
  // It counts what one request asks for: no waiting mends that
  if (status === 429 && TOO_LARGE.test(message ?? ''))
    return failed('provider_rejected', 'elsewhere', {
      status: 413,
      upstreamCode: 'context_length_exceeded',
      message: message!,
    })
  // A text may quote the request
  if (OUT_OF_QUOTA.test(status === 429 || status === null ? labels : names)) return outOfCredit()
  const means = status === 429 || status === 401 || status === 402 ? null : meaningOf(names, message ?? '')
  if (means === null && status !== 413) return null
  if (means === 'bad_key') return failed('provider_auth', 'elsewhere')
  if (means === 'no_credit') return outOfCredit()
  return failed('provider_rejected', means === 'unable' ? 'elsewhere' : false, {
    status: status !== null && status < 500 ? status : 400,
    param,
    upstreamCode: codeOf(means ?? 'context_length_exceeded', upstreamCode),
    ...(message !== null && { message }),
  })
}

/** Its own code, where clients know that. */
const codeOf = (means: Meaning, own: string | null): string | null =>
  means === 'unable' || own === 'content_policy_violation' ? own : means

const outOfCredit = (): Failed =>
  failed('provider_auth', 'elsewhere', {
    message: "The model provider's quota for our key is used up; the operator must raise it.",
  })

/** Does a refusal blame the way we asked: `stream_options`, or streaming at all? Its whole text is searched. */
export function blames(body: Bytes): 'stream_options' | 'stream' | null {
  if (/stream_?options|include_?usage/i.test(body)) return 'stream_options'
  // Not "upstream"
  return /(?<![a-z])stream(?:s|ed|ing)?(?![a-z])/i.test(body) ? 'stream' : null
}

interface UpstreamError {
  readonly message: string | null
  readonly param: string | null
  /** Its own code, where that is more than a number. */
  readonly upstreamCode: string | null
  readonly status: number | null
  /** `type`, `code`, `status` and Google's reasons, in lower case. */
  readonly names: string
  /** The same, else the message. */
  readonly labels: string
  readonly retryAfterMs: number | undefined
}

/**
 * OpenAI's {message, type, param, code}, a bare text, FastAPI's {detail}, Google's {message, code, status, details}, or
 * one of these under `error`.
 */
function readError(value: unknown, secret: string | null): UpstreamError {
  const first: unknown = Array.isArray(value) ? value[0] : value
  const members = isObject(first) ? plainMembers(first) : NONE
  const inner = INNER.map((name) => members.get(name)).find((each) => isSomething(each))
  if (typeof inner === 'string' || (typeof inner === 'object' && inner !== null)) return readError(inner, secret)
  const [type, code, status, errorCode, statusCode] = LABELS.map((name) => members.get(name))
  const text = textOf(first)
  const number = [status, code, statusCode, errorCode]
    .map(Number)
    .find((n) => Number.isInteger(n) && n >= 400 && n < 600)
  const names = [type, code, status, errorCode, ...reasonsIn(members.get('details'))]
    .filter((label) => typeof label === 'string')
    .join(' ')
    .slice(0, MAX_MESSAGE_CHARS)
    .toLowerCase()
  return {
    message: sayMessage(text === '' ? null : text, secret),
    param: labelOf(members.get('param'), secret),
    upstreamCode:
      [code, status, errorCode]
        .map((label) => labelOf(label, secret))
        .find((label) => label !== null && !/^\d+$/.test(label)) ?? null,
    status: number ?? null,
    names,
    // Where there is nothing but a text, that is all there is to go by
    labels: names === '' && number === undefined ? text.slice(0, MAX_MESSAGE_CHARS).toLowerCase() : names,
    retryAfterMs: retryInfo(members.get('details')),
  }
}

const NONE: ReadonlyMap<string, unknown> = new Map()
/** Members that hold the error itself, and those that label it, by their plain names. */
const INNER = ['error', 'errors', 'fault', 'baseresp']
const LABELS = ['type', 'code', 'status', 'errorcode', 'statuscode']

/** An error body that is not JSON is quoted, unless it is a page, or JSON that is too long or too deep. */
const plainText = (body: string): string => (/^\s*[<{[]/.test(body) ? '' : body)

const TEXT_MEMBERS = [
  'message',
  'msg',
  'detail',
  'errormessage',
  'errormsg',
  'errmsg',
  'statusmsg',
  'faultstring',
  'error',
  'errors',
  'exception',
  'description',
  'title',
]

/**
 * Whatever a message is: a text, FastAPI's list of {loc, msg}, or an object around it. Its depth is bounded by the
 * parser.
 */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value.trim()
  if (Array.isArray(value)) return value.slice(0, 16).map(textOf).filter(Boolean).join('; ')
  if (!isObject(value)) return ''
  const members = plainMembers(value)
  const text = TEXT_MEMBERS.map((name) => textOf(members.get(name))).find((found) => found !== '') ?? ''
  const { loc } = value
  return text !== '' && Array.isArray(loc) ? `${loc.map(String).join('.')}: ${text}` : text
}

/** OpenAI: "Request too large for gpt-4.1 … on tokens per min (TPM): Limit 30000, Requested 42000." */
const TOO_LARGE = /^request too large\b/i
const OUT_OF_QUOTA = /insufficient[-_ ](quota|balance)|billing_/

/** A code or a parameter for clients' eyes; null where it is none. */
const labelOf = (value: unknown, secret: string | null): string | null =>
  typeof value === 'string' && /^[\w.:/[\]$-]{1,128}$/.test(value) && value !== secret ? value : null

/** For clients' eyes: without our key, without control characters, and not too long. */
function sayMessage(message: string | null, secret: string | null): string | null {
  if (message === null) return null
  let text = message.slice(0, 4 * MAX_MESSAGE_CHARS)
  if (secret !== null) text = text.replaceAll(secret, '[redacted]')
  text = text.replace(/\b(?:sk|pk|rk|gsk|xai)[-_][\w-]{8,}|\bAIza[\w-]{20,}|\bBearer\s+\S+/gi, '[redacted]')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it takes out
  text = text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim()
  if (text === '') return null
  return text.length > MAX_MESSAGE_CHARS ? `${text.slice(0, MAX_MESSAGE_CHARS - 1)}…` : text
}

const within = (ms: number): number | undefined => (ms > 0 ? Math.min(MAX_RETRY_AFTER_MS, Math.ceil(ms)) : undefined)

/** Google's ErrorInfo among the details: "API_KEY_INVALID". */
const reasonsIn = (details: unknown): unknown[] =>
  Array.isArray(details) ? details.slice(0, 16).map((each) => (isObject(each) ? each['reason'] : undefined)) : []

/** Google's RetryInfo among the details: "13s", "0.5s", or {seconds, nanos}. */
function retryInfo(details: unknown): number | undefined {
  if (!Array.isArray(details)) return undefined
  const info: unknown = details.find((d) => isObject(d) && String(d['@type']).endsWith('RetryInfo'))
  const delay = isObject(info) ? info['retryDelay'] : undefined
  if (typeof delay === 'string' && /^\d{1,9}(\.\d+)?s$/.test(delay)) return within(Number(delay.slice(0, -1)) * 1_000)
  if (isObject(delay)) return within(Number(delay['seconds'] ?? 0) * 1_000 + Number(delay['nanos'] ?? 0) / 1e6)
  return undefined
}

/** What `retryAfter` reads. */
export const RETRY_HEADERS: readonly string[] = ['retry-after-ms', 'retry-after', 'date']

/**
 * `retry-after-ms`, or `retry-after` in seconds or as a date; at most five minutes. Undefined when it is not there, or
 * asks for nothing: zero, a negative number, a date gone by. A date is read beside the upstream's own clock, where it
 * tells that.
 */
function retryAfter(headers: ReadonlyMap<string, string>, clock: Clock): number | undefined {
  const ms = headers.get('retry-after-ms')
  if (ms !== undefined && /^\d+(\.\d+)?$/.test(ms) && Number(ms) > 0) return within(Number(ms))
  const after = headers.get('retry-after')
  if (after === undefined) return undefined
  if (/^-?\d+(\.\d+)?$/.test(after)) return within(Number(after) * 1_000)
  const now = Date.parse(headers.get('date') ?? '')
  return within(Date.parse(after) - (Number.isNaN(now) ? clock.wallMs() : now))
}
