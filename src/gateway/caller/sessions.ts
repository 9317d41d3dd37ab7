/**
 * How a page gets in without a key: PROTOCOL.md section 7. A ticket is known to this process only, and works once. A
 * token carries its session, signed, so that a storm of reconnects needs no store, even after a restart.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Ids } from '../../core/ids.ts'
import type { ApiKey, Keys } from '../../core/ports/keys.ts'
import type { Session, Tickets } from '../../core/ports/tickets.ts'
import type { SessionOptions } from '../deps.ts'
import { type Caller, isValidKey } from './caller.ts'
import { normalOrigin } from './origin.ts'

export const TOKEN_PREFIX = 'sluice-token-'
export const TICKET_PREFIX = 'sluice-ticket-'
/** Longer texts are refused before they are hashed. */
const MAX_TOKEN_BYTES = 2_048

export interface Token {
  readonly token: string
  readonly expiresInMs: number
}

export interface Sessions {
  /** `sessionMs` null = the longest. Rejects with rate_limit_exceeded. */
  ticket(
    key: ApiKey,
    user: string | null,
    origin: string | null,
    sessionMs: number | null,
  ): Promise<{ readonly ticket: string; readonly expiresInMs: number }>
  /** Uses the ticket up. Rejects with invalid_ticket, origin_forbidden. */
  redeem(ticket: string, origin: string | undefined): Promise<Caller>
  /** A new token for an open session. */
  token(session: Session): Token
  /** Throws, or rejects with, invalid_token, origin_forbidden, storage_unavailable; see Auth.tenant. */
  verify(token: string, origin: string | undefined): Caller | Promise<Caller>
  /** The session is not over, and its key is valid. */
  isStillValid(session: Session): boolean
}

interface Claims {
  /**
   * Id of the session (tokens of older servers have none), key id, user, origin, ms of the session's end and of the
   * token's.
   */
  readonly i?: string
  readonly k: string
  readonly u: string | null
  readonly o: string | null
  readonly s: number
  readonly e: number
}

type Invalid = 'invalid_ticket' | 'invalid_token'

const foreign = (): SluiceError =>
  new SluiceError('origin_forbidden', { message: 'This ticket or token is bound to a different origin.' })

export function createSessions(
  keys: Keys,
  tickets: Tickets,
  clock: Clock,
  ids: Ids,
  options: SessionOptions,
): Sessions {
  const { secret, ticketMs, tokenMs } = options

  const sign = (text: string): Buffer => createHmac('sha256', secret()).update(text).digest()

  /** Its key may have been made at another gateway a moment ago. */
  function admit(session: Session, origin: string | undefined, code: Invalid): Caller | Promise<Caller> {
    const looking = keys.get(session.keyId) === null ? keys.refresh() : null
    return looking === null ? admitKnown(session, origin, code) : looking.then(() => admitKnown(session, origin, code))
  }

  function admitKnown(session: Session, origin: string | undefined, code: Invalid): Caller {
    const key = keys.get(session.keyId)
    const now = clock.wallMs()
    if (!isValidKey(key, now) || session.endsAtMs <= now) throw new SluiceError(code)
    // A page's requests to its own origin may lack the header; those of all other pages have it
    if (session.origin !== null && origin !== undefined && normalOrigin(session.origin) !== normalOrigin(origin))
      throw foreign()
    return { key, session }
  }

  return {
    async ticket(key, user, origin, sessionMs) {
      const ticket = TICKET_PREFIX + Buffer.from(ids.random(32)).toString('base64url')
      const endsAtMs = clock.wallMs() + Math.min(sessionMs ?? options.sessionMs, options.sessionMs)
      const id = Buffer.from(ids.random(8)).toString('base64url')
      await tickets.issue(ticket, { id, keyId: key.id, user, origin, endsAtMs }, ticketMs)
      return { ticket, expiresInMs: ticketMs }
    },
    async redeem(ticket, origin) {
      const session = await tickets.redeem(ticket)
      if (session === null) throw new SluiceError('invalid_ticket')
      // Every page sends it with what may carry a ticket: a POST, or an upgrade
      if (session.origin !== null && origin === undefined) throw foreign()
      return admit(session, origin, 'invalid_ticket')
    },
    token({ id, keyId, user, origin, endsAtMs }) {
      const now = clock.wallMs()
      const expiresAtMs = Math.min(now + tokenMs, endsAtMs)
      const claims: Claims = { i: id, k: keyId, u: user, o: origin, s: endsAtMs, e: expiresAtMs }
      const text = Buffer.from(JSON.stringify(claims)).toString('base64url')
      return {
        token: `${TOKEN_PREFIX}${text}.${sign(text).toString('base64url')}`,
        expiresInMs: Math.max(0, expiresAtMs - now),
      }
    },
    verify(token, origin) {
      const [text, signature, ...rest] = token.slice(TOKEN_PREFIX.length).split('.')
      if (
        token.length > MAX_TOKEN_BYTES ||
        !token.startsWith(TOKEN_PREFIX) ||
        signature === undefined ||
        rest.length > 0 ||
        !/^[\w-]+$/.test(signature)
      )
        throw new SluiceError('invalid_token')
      const given = Buffer.from(signature, 'base64url')
      const right = sign(text)
      if (given.length !== right.length || !timingSafeEqual(given, right)) throw new SluiceError('invalid_token')
      const { i = '', k, u, o, s, e } = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Claims
      if (e <= clock.wallMs()) throw new SluiceError('invalid_token')
      return admit({ id: i, keyId: k, user: u, origin: o, endsAtMs: s }, origin, 'invalid_token')
    },
    isStillValid({ endsAtMs, keyId }) {
      const now = clock.wallMs()
      return endsAtMs > now && isValidKey(keys.get(keyId), now)
    },
  }
}
