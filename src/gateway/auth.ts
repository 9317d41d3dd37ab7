/** Who asks? Answered from the headers alone, before any body is read. */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { ApiKey, Keys } from '../core/ports.ts'
import { digestOf, isWellFormed, KEY_PREFIX, MAX_KEY_BYTES } from './api-key.ts'
import type { GatewayOptions } from './deps.ts'

/** Addresses remembered within a minute; beyond them all strangers share one count. */
const MAX_ADDRESSES = 10_000
const MINUTE_MS = 60_000

export interface Auth {
  /** The tenant's key, or throws missing_api_key, invalid_api_key, rate_limited, invalid_request. */
  tenant(request: IncomingMessage): ApiKey
  /** Returns for the operator; throws as above, and `forbidden` for a tenant's key. */
  operator(request: IncomingMessage): void
}

export function createAuth(keys: Keys, clock: Clock, options: Pick<GatewayOptions, 'adminKeyDigest' | 'keysHaveChecksums' | 'badKeysPerMinute'>): Auth {
  const strangers = new Strangers(clock, options.badKeysPerMinute)
  const adminDigest = options.adminKeyDigest === null ? null : Buffer.from(options.adminKeyDigest)

  const find = (digest: string): ApiKey | null => {
    const key = keys.find(digest)
    if (key === null || key.revokedAtMs !== undefined) return null
    return key.expiresAtMs !== undefined && key.expiresAtMs <= clock.wallMs() ? null : key
  }

  return {
    tenant(request) {
      const text = bearer(request)
      const asked = text.length <= MAX_KEY_BYTES && (!options.keysHaveChecksums || isWellFormed(text))
      const key = asked ? find(digestOf(text)) : null
      if (key === null) throw strangers.refusal(request)
      return key
    },
    operator(request) {
      const text = bearer(request)
      if (text.length > MAX_KEY_BYTES) throw strangers.refusal(request)
      const digest = digestOf(text)
      const given = Buffer.from(digest)
      if (adminDigest !== null && given.length === adminDigest.length && timingSafeEqual(given, adminDigest)) return
      if (find(digest) !== null) throw new SluiceError('forbidden', { message: 'This needs the admin key; an API key of a tenant may not do it.' })
      throw strangers.refusal(request)
    },
  }
}

/** The text behind "Bearer ". */
function bearer(request: IncomingMessage): string {
  // Keys in URLs end up in logs and histories. It is refused even when a good key stands in the header: it must be given up.
  if (request.url?.includes(KEY_PREFIX)) {
    throw new SluiceError('invalid_api_key', { message: 'An API key stands in the URL, where logs keep it: revoke that key, and send keys in the authorization header.' })
  }
  const value = request.headers.authorization
  if (value === undefined) throw new SluiceError('missing_api_key')
  let said = 0
  const { rawHeaders } = request
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i].length === 13 && rawHeaders[i].toLowerCase() === 'authorization') said++
  if (said > 1) throw new SluiceError('invalid_request', { message: 'The request has more than one authorization header.' })
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

  refusal(request: IncomingMessage): SluiceError {
    const now = this.#clock.monoMs()
    if (now >= this.#minuteEndsAt) {
      this.#refused.clear()
      this.#minuteEndsAt = now + MINUTE_MS
    }
    let address = request.socket.remoteAddress ?? ''
    if (this.#refused.size >= MAX_ADDRESSES && !this.#refused.has(address)) address = ''
    const refused = (this.#refused.get(address) ?? 0) + 1
    this.#refused.set(address, refused)
    if (refused <= this.#perMinute) return new SluiceError('invalid_api_key')
    return new SluiceError('rate_limited', { message: 'Too many wrong API keys from this address.', retryAfterMs: this.#minuteEndsAt - now })
  }
}
