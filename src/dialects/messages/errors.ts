/** Errors as Anthropic's API spells them. */
import { codeOf, statusOf, type WireError } from '../../core/errors.ts'
import { type Bytes, toBytes } from '../../core/record.ts'

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  410: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
}

const typeOf = (status: number): string =>
  TYPES[status] ?? (status >= 500 || status === 499 ? 'api_error' : 'invalid_request_error')

/** Agents shorten their conversation when they read this. */
const TOO_LONG = 'prompt is too long'

/** `code` is Sluice's own, which Anthropic's clients leave unread. */
export function errorOf(error: WireError): Bytes {
  const { message, code, param } = error
  const isTooLong = code === 'context_length_exceeded' && !message.toLowerCase().includes(TOO_LONG)
  const told = isTooLong ? `${TOO_LONG}: ${message}` : message
  const type = typeOf(statusOf(error))
  return toBytes(JSON.stringify({ type: 'error', error: { type, message: told, code: codeOf(error), param } }))
}
