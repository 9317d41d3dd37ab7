/** May this request become a WebSocket? What is wrong is answered by HTTP, with the status of its own. */
import type { IncomingMessage } from 'node:http'
import { SluiceError } from '../../core/errors.ts'
import { type Auth, hasCredential, refuseSecretInUrl } from '../caller/auth.ts'
import type { Caller } from '../caller/caller.ts'
import { isListed, isOwnOrigin } from '../caller/origin.ts'
import { foreignOrigin } from '../http/cors.ts'
import { checkForm } from '../http/form.ts'
import type { Protocol } from './protocol.ts'

const VERSION = '13'
/** 16 bytes, base64: RFC 6455 section 4.1. */
const KEY = /^[+/0-9A-Za-z]{22}==$/

export const wantsSocket = ({ url, headers }: IncomingMessage, path: string): boolean =>
  headers.upgrade?.toLowerCase() === 'websocket' && (url === path || url?.startsWith(`${path}?`) === true)

/** As Auth.tenant tells; null: it will be known by the first frame. */
export type Entering = Caller | null | Promise<Caller>

/**
 * The caller, if the upgrade authenticates; null: the first frame will. Throws what checkForm and Auth.tenant throw,
 * and upgrade_required, invalid_request, origin_forbidden.
 */
export function checkUpgrade(
  request: IncomingMessage,
  { subprotocol, letsStrangersIn }: Pick<Protocol, 'subprotocol' | 'letsStrangersIn'>,
  auth: Auth,
  origins: ReadonlySet<string>,
): Entering {
  checkHandshake(request, subprotocol)
  checkOrigin(request, origins)
  refuseSecretInUrl(request)
  return letsStrangersIn && !hasCredential(request) ? null : auth.tenant(request)
}

/** `subprotocol` null: none has to be offered. Throws what checkForm throws, and upgrade_required, invalid_request. */
export function checkHandshake(request: IncomingMessage, subprotocol: string | null): void {
  checkForm(request)
  const { headers, method } = request
  if (method !== 'GET') throw new SluiceError('method_not_allowed')
  if (headers['sec-websocket-version'] !== VERSION) throw new SluiceError('upgrade_required')
  if (!KEY.test(headers['sec-websocket-key'] ?? ''))
    throw new SluiceError('invalid_request', {
      param: 'sec-websocket-key',
      message: '"sec-websocket-key" must be 16 bytes in base64.',
    })
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0)
    throw new SluiceError('invalid_request', { message: 'An upgrade has no body.' })
  if (subprotocol === null) return
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  if (!offered.includes(subprotocol))
    throw new SluiceError('invalid_request', {
      param: 'sec-websocket-protocol',
      message: `Offer the subprotocol: "sec-websocket-protocol: ${subprotocol}".`,
    })
}

/** Browsers let any page open a WebSocket, and send its origin. */
export function checkOrigin({ headers }: IncomingMessage, origins: ReadonlySet<string>): void {
  const { origin, host } = headers
  if (origin === undefined || isListed(origin, origins) || isOwnOrigin(origin, host)) return
  throw foreignOrigin(origin)
}
