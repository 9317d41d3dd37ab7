/** Who asks? Answered from the headers alone, before any body is read. */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Credential } from '../core/frames.ts'
import type { ApiKey, Keys } from '../core/ports.ts'
import { digestOf, isWellFormed, KEY_PREFIX, MAX_KEY_BYTES } from './api-key.ts'
import type { Caller } from './caller.ts'
import type { GatewayOptions } from './deps.ts'
import { type Sessions, TICKET_PREFIX, TOKEN_PREFIX } from './sessions.ts'

/** Addresses remembered within a minute; beyond them all strangers share one count. */
const MAX_ADDRESSES = 10_000
const MINUTE_MS = 60_000
const SECRETS = [KEY_PREFIX, TOKEN_PREFIX, TICKET_PREFIX]

/** Where it was said. */
export interface From {
  readonly address: string
  readonly origin: string | undefined
}

export const fromOf = ({ socket, headers }: IncomingMessage): From => ({
  address: socket.remoteAddress ?? '',
  origin: headers.origin,
})

export interface Auth {
  /** Who says who they are in the authorization header; else throws missing_api_key, invalid_api_key, invalid_token, rate_limited, invalid_request. */
  tenant(request: IncomingMessage): Caller
  /** The same, said in a frame or a body. Throws invalid_ticket too. */
  admit(credential: Credential, from: From): Caller
  /** Is this caller still let in? A key may have been revoked, a session over. */
  isStillValid(caller: Caller): boolean
  /** Throws invalid_api_key, invalid_token for a caller that is let in no more. */
  check(caller: Caller): void
  /** Returns for the operator; throws as above, and `forbidden` for a tenant's key. */
  operator(request: IncomingMessage): void
}

export function createAuth(
  keys: Keys,
  sessions: Sessions,
  clock: Clock,
  options: Pick<GatewayOptions, 'adminKeyDigest' | 'keysHaveChecksums' | 'badKeysPerMinute'>,
): Auth {
  const strangers = new Strangers(clock, options.badKeysPerMinute)
  const adminDigest = options.adminKeyDigest === null ? null : Buffer.from(options.adminKeyDigest)

  const isGood = (key: ApiKey | null): boolean =>
    key !== null && key.revokedAtMs === undefined && (key.expiresAtMs === undefined || key.expiresAtMs > clock.wallMs())
  const find = (digest: string): ApiKey | null => {
    const key = keys.find(digest)
    return isGood(key) ? key : null
  }

  const isStillValid = ({ key, session }: Caller): boolean =>
    session === null ? isGood(keys.get(key.id)) : sessions.isStillValid(session)

  function byKey(text: string, from: From): Caller {
    const asked = text.length <= MAX_KEY_BYTES && (!options.keysHaveChecksums || isWellFormed(text))
    const key = asked ? find(digestOf(text)) : null
    if (key === null) throw strangers.refusal(from.address, 'invalid_api_key')
    return { key, session: null }
  }

  /** What is wrong with a ticket or token counts as a wrong key. */
  function bySession(admit: () => Caller, from: From): Caller {
    try {
      return admit()
    } catch (thrown) {
      if (thrown instanceof SluiceError && (thrown.code === 'invalid_ticket' || thrown.code === 'invalid_token'))
        throw strangers.refusal(from.address, thrown.code)
      throw thrown
    }
  }

  function admit(credential: Credential, from: From): Caller {
    if ('key' in credential) return byKey(credential.key, from)
    if ('ticket' in credential) return bySession(() => sessions.redeem(credential.ticket, from.origin), from)
    return bySession(() => sessions.verify(credential.token, from.origin), from)
  }

  return {
    tenant(request) {
      const text = bearer(request)
      return admit(text.startsWith(TOKEN_PREFIX) ? { token: text } : { key: text }, fromOf(request))
    },
    admit,
    isStillValid,
    check(caller) {
      if (!isStillValid(caller)) throw new SluiceError(caller.session === null ? 'invalid_api_key' : 'invalid_token')
    },
    operator(request) {
      const text = bearer(request)
      if (text.length > MAX_KEY_BYTES) throw strangers.refusal(fromOf(request).address, 'invalid_api_key')
      const digest = digestOf(text)
      const given = Buffer.from(digest)
      if (adminDigest !== null && given.length === adminDigest.length && timingSafeEqual(given, adminDigest)) return
      if (find(digest) !== null)
        throw new SluiceError('forbidden', {
          message: 'This needs the admin key; an API key of a tenant may not do it.',
        })
      throw strangers.refusal(fromOf(request).address, 'invalid_api_key')
    },
  }
}

/** Keys in URLs end up in logs and histories. It is refused even when a good key stands in the header: it must be given up. */
export function refuseSecretInUrl(request: IncomingMessage): void {
  if (SECRETS.some((prefix) => request.url?.includes(prefix))) {
    throw new SluiceError('invalid_api_key', {
      message:
        'A credential stands in the URL, where logs keep it: revoke that key, and send keys in the authorization header, tickets in the first frame.',
    })
  }
}

/** The text behind "Bearer ". */
function bearer(request: IncomingMessage): string {
  refuseSecretInUrl(request)
  const value = request.headers.authorization
  if (value === undefined) throw new SluiceError('missing_api_key')
  let said = 0
  const { rawHeaders } = request
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i].length === 13 && rawHeaders[i].toLowerCase() === 'authorization') said++
  if (said > 1)
    throw new SluiceError('invalid_request', { message: 'The request has more than one authorization header.' })
  if (value.slice(0, 7).toLowerCase() !== 'bearer ') throw new SluiceError('missing_api_key')
  const text = value.slice(7).trim()
  if (text === '') throw new SluiceError('missing_api_key')
  return text
}

/** Counts refused keys by address, a minute at a time. */
class Strangers {
  readonly #clock: Clock
  readonly #perMinute: number
  readonly #refused = new Map<string, number>()
  #minuteEndsAt = 0

  constructor(clock: Clock, perMinute: number) {
    this.#clock = clock
    this.#perMinute = perMinute
  }

  refusal(from: string, code: 'invalid_api_key' | 'invalid_ticket' | 'invalid_token'): SluiceError {
    const now = this.#clock.monoMs()
    if (now >= this.#minuteEndsAt) {
      this.#refused.clear()
      this.#minuteEndsAt = now + MINUTE_MS
    }
    const address = this.#refused.size >= MAX_ADDRESSES && !this.#refused.has(from) ? '' : from
    const refused = (this.#refused.get(address) ?? 0) + 1
    this.#refused.set(address, refused)
    if (refused <= this.#perMinute) return new SluiceError(code)
    return new SluiceError('rate_limited', {
      message: 'Too many wrong credentials from this address.',
      retryAfterMs: this.#minuteEndsAt - now,
    })
  }
}
