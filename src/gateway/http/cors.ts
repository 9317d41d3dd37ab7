/** Which pages may call: an allow-list of origins. The API key stays what decides; this only tells browsers. */
import type { IncomingMessage } from 'node:http'
import { SluiceError } from '../../core/errors.ts'
import { isListed } from '../caller/origin.ts'
import { type Answer, empty, type Headers } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { RATE_LIMIT_HEADERS } from './rate-limit.ts'

const METHODS = 'GET, POST, PATCH, DELETE, OPTIONS'
const EXPOSED =
  'x-request-id, request-id, location, sluice-job, retry-after, retry-after-ms, x-should-retry, server-timing, ' +
  'traceparent, x-sluice-cache, ' +
  RATE_LIMIT_HEADERS
const MAX_AGE_SECONDS = '600'
const NONE: Headers = {}
const MAX_SHOWN_CHARS = 128

/** Headers for the answer to this request; `origins` in their normal spelling. */
export function corsOf(request: IncomingMessage, origins: ReadonlySet<string>): Headers {
  const { origin } = request.headers
  if (origin === undefined || !isListed(origin, origins)) return NONE
  return { 'access-control-allow-origin': origin, 'access-control-expose-headers': EXPOSED, vary: 'origin' }
}

export const isPreflight = ({ method, headers }: IncomingMessage): boolean =>
  method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined

export const foreignOrigin = (origin: string): SluiceError =>
  new SluiceError('origin_forbidden', {
    message:
      'This origin is not listed in http.cors_origins: add ' +
      `${JSON.stringify(origin.slice(0, MAX_SHOWN_CHARS))} there.`,
  })

/** Throws origin_forbidden. */
export function answerPreflight({ request, cors }: Exchange): Answer {
  const { headers } = request
  if (cors['access-control-allow-origin'] === undefined) throw foreignOrigin(headers.origin ?? '')
  return empty(204, {
    'access-control-allow-methods': METHODS,
    'access-control-allow-headers':
      headers['access-control-request-headers']?.slice(0, 1_024) ?? 'authorization, content-type',
    'access-control-max-age': MAX_AGE_SECONDS,
  })
}
