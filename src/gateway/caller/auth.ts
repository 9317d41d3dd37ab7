/** Authentication, from the headers alone, before any body is read. */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import { ERRORS, SluiceError } from '../../core/errors.ts'
import type { Credential } from '../../core/frames.ts'
import type { ApiKey, Keys } from '../../core/ports/keys.ts'
import type { GatewayOptions } from '../deps.ts'
import { digestOf, isWellFormed, KEY_PREFIX, MAX_KEY_BYTES } from './api-key.ts'
import { type Caller, isValidKey, isValidSecret } from './caller.ts'
import { type Sessions, TICKET_PREFIX, TOKEN_PREFIX } from './sessions.ts'

/** Addresses counted within a minute; beyond them all others share one count. */
const MAX_ADDRESSES = 10_000
const MINUTE_MS = 60_000
/** Keys whose digests are kept, so that they are not computed for each request. */
const MAX_DIGESTS = 1_000
const SECRETS = [KEY_PREFIX, TOKEN_PREFIX, TICKET_PREFIX]

/** Where a credential came from. */
export interface From {
  readonly address: string
  readonly origin: string | undefined
}

export const fromOf = ({ socket, headers }: IncomingMessage): From => ({
  address: socket.remoteAddress ?? '',
  origin: headers.origin,
})

export interface Auth {
  /**
   * The caller that the headers authenticate; of a key that is not known here, once the store was asked. Throws, or
   * rejects with, missing_api_key, invalid_api_key, invalid_token, too_many_auth_failures, invalid_request,
   * storage_unavailable.
   */
  tenant(request: IncomingMessage): Caller | Promise<Caller>
  /** The same for a credential in a frame or a body. Throws invalid_ticket too. */
  admit(credential: Credential, from: From): Promise<Caller>
  /** A key may have been revoked meanwhile, a session may be over. */
  isStillValid(caller: Caller): boolean
  /** Throws invalid_api_key, invalid_token for a caller that is no longer valid. */
  check(caller: Caller): void
  /** Returns for the operator; throws as above, and `forbidden` for a tenant's key. */
  operator(request: IncomingMessage): void
}

export function createAuth(
  keys: Keys,
  sessions: Sessions,
  clock: Clock,
  options: Pick<GatewayOptions, 'adminKeyDigest' | 'keysHaveChecksums' | 'badKeysPerMinute'>,
  used: (key: string) => void = () => {},
): Auth {
  const strangers = new Strangers(clock, options.badKeysPerMinute)
  const adminDigest = options.adminKeyDigest === null ? null : Buffer.from(options.adminKeyDigest)

  /** A secret that was replaced ends no later than its key. */
  const find = (digest: string): ApiKey | null => {
    const key = keys.find(digest)
    const now = clock.wallMs()
    return isValidKey(key, now) && isValidSecret(key, keys.get(key.id), now) ? key : null
  }
  /** May it be a key that is not known here yet? */
  const isPlausible = (text: string): boolean =>
    text.length <= MAX_KEY_BYTES && (!options.keysHaveChecksums || isWellFormed(text))
  /** Digests by the key's text, of keys that were valid when last seen: the only place that keeps such texts. */
  const digests = new Map<string, string>()

  function findByText(text: string): ApiKey | null {
    const known = digests.get(text)
    if (known !== undefined) {
      const key = find(known)
      if (key === null) digests.delete(text)
      return key
    }
    if (!isPlausible(text)) return null
    const digest = digestOf(text)
    const key = find(digest)
    if (key === null) return null
    if (digests.size >= MAX_DIGESTS) digests.clear()
    digests.set(text, digest)
    return key
  }

  const isStillValid = ({ key, session }: Caller): boolean =>
    session === null ? isValidSecret(key, keys.get(key.id), clock.wallMs()) : sessions.isStillValid(session)

  function byKey(text: string, from: From): Caller | Promise<Caller> {
    const key = findByText(text)
    if (key !== null) {
      used(key.id)
      return { key, session: null }
    }
    // Made at another gateway a moment ago, perhaps. Whoever guesses keys is not looked for
    const looking = isPlausible(text) && !strangers.areTooMany(from.address) ? keys.refresh() : null
    if (looking === null) throw strangers.refusal(from.address, 'invalid_api_key')
    return looking.then(() => {
      const found = findByText(text)
      if (found === null) throw strangers.refusal(from.address, 'invalid_api_key')
      used(found.id)
      return { key: found, session: null }
    })
  }

  function byToken(text: string, from: From): Caller | Promise<Caller> {
    const refuse = (thrown: unknown): never => {
      throw strange(thrown, from)
    }
    try {
      const caller = sessions.verify(text, from.origin)
      if (caller instanceof Promise) return caller.then(seen, refuse)
      return seen(caller)
    } catch (thrown) {
      return refuse(thrown)
    }
  }

  /** A session is its key's. */
  const seen = (caller: Caller): Caller => {
    used(caller.key.id)
    return caller
  }

  /** An invalid ticket or token counts like an invalid key. */
  const strange = (thrown: unknown, from: From): unknown =>
    thrown instanceof SluiceError && (thrown.code === 'invalid_ticket' || thrown.code === 'invalid_token')
      ? strangers.refusal(from.address, thrown.code)
      : thrown

  return {
    tenant(request) {
      const text = credentialOf(request)
      const from = fromOf(request)
      return text.startsWith(TOKEN_PREFIX) ? byToken(text, from) : byKey(text, from)
    },
    async admit(credential, from) {
      if ('key' in credential) return byKey(credential.key, from)
      if ('token' in credential) return byToken(credential.token, from)
      try {
        return await sessions.redeem(credential.ticket, from.origin)
      } catch (thrown) {
        throw strange(thrown, from)
      }
    },
    isStillValid,
    check(caller) {
      if (!isStillValid(caller)) throw new SluiceError(caller.session === null ? 'invalid_api_key' : 'invalid_token')
    },
    operator(request) {
      const text = credentialOf(request, NO_ADMIN_KEY)
      if (text.length > MAX_KEY_BYTES) throw strangers.refusal(fromOf(request).address, 'invalid_api_key')
      const digest = digestOf(text)
      const given = Buffer.from(digest)
      if (adminDigest !== null && given.length === adminDigest.length && timingSafeEqual(given, adminDigest)) return
      if (find(digest) !== null)
        throw new SluiceError('forbidden', {
          message: 'This needs the admin key: the API key of a tenant is not enough.',
        })
      throw strangers.refusal(fromOf(request).address, 'invalid_api_key')
    },
  }
}

/** Keys in URLs end up in logs and histories: refused even beside a valid key in a header, so that they are noticed. */
export function refuseSecretInUrl(request: IncomingMessage): void {
  if (SECRETS.some((prefix) => request.url?.includes(prefix))) {
    throw new SluiceError('invalid_api_key', {
      message:
        'There is a credential in the URL, which logs keep: revoke it. Send keys in the authorization header, and ' +
        'tickets in the first frame.',
    })
  }
}

/** Where clients of other APIs send the key, and can't do otherwise. */
const KEY_HEADERS = ['x-api-key', 'api-key']
/** Where a key was probably meant to be: named in the refusal, never read. */
const MISPLACED = ['x-goog-api-key', 'ocp-apim-subscription-key', 'x-auth-token', 'x-sluice-key', 'apikey', 'token']
const MISPLACED_IN_URL = /[?&](?:key|api[-_]?key|access_token|token|auth)=/i

/** Is there any credential in the headers? */
export const hasCredential = ({ headers }: IncomingMessage): boolean =>
  headers.authorization !== undefined || KEY_HEADERS.some((name) => headers[name] !== undefined)

/** The text after "Bearer ", or of a key header. Two different ones are refused: a proxy may use the other one. */
function credentialOf(request: IncomingMessage, missing = ERRORS.missing_api_key.message): string {
  refuseSecretInUrl(request)
  const { headers, rawHeaders } = request
  let headersSeen = 0
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i].length === 13 && rawHeaders[i].toLowerCase() === 'authorization') headersSeen++
  if (headersSeen > 1)
    throw new SluiceError('invalid_request', { message: 'The request has more than one authorization header.' })
  const value = headers.authorization ?? ''
  let found = value.slice(0, 7).toLowerCase() === 'bearer ' ? value.slice(7).trim() : ''
  for (const name of KEY_HEADERS) {
    const text = headers[name] === undefined ? '' : String(headers[name]).trim()
    if (text === '' || text === found) continue
    if (found !== '')
      throw new SluiceError('invalid_request', {
        message: `The request has two different credentials: send one, as "authorization: Bearer …".`,
      })
    found = text
  }
  if (found === '') throw noKey(request, missing)
  return found
}

const NO_ADMIN_KEY = 'No admin key: send "authorization: Bearer …" with that of admin.key, or of SLUICE_ADMIN_KEY.'

/** Names what was seen, never what it holds. */
function noKey({ headers, url }: IncomingMessage, message: string): SluiceError {
  const seen =
    headers.authorization === undefined ? MISPLACED.find((name) => headers[name] !== undefined) : 'authorization'
  if (seen === 'authorization')
    return new SluiceError('missing_api_key', {
      message: `${message} The authorization header has no "Bearer " prefix.`,
    })
  if (seen !== undefined)
    return new SluiceError('missing_api_key', { message: `${message} The header "${seen}" is not read.` })
  if (MISPLACED_IN_URL.test(url ?? ''))
    return new SluiceError('missing_api_key', {
      message: `${message} A key in the URL is never read, because logs keep URLs.`,
    })
  return new SluiceError('missing_api_key', { message })
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

  /** Is the next invalid key from there one too many? */
  areTooMany(from: string): boolean {
    this.#turn()
    return (this.#refused.get(this.#addressOf(from)) ?? 0) >= this.#perMinute
  }

  refusal(from: string, code: 'invalid_api_key' | 'invalid_ticket' | 'invalid_token'): SluiceError {
    const now = this.#turn()
    const address = this.#addressOf(from)
    const refused = (this.#refused.get(address) ?? 0) + 1
    this.#refused.set(address, refused)
    if (refused <= this.#perMinute) return new SluiceError(code)
    return new SluiceError('too_many_auth_failures', { retryAfterMs: this.#minuteEndsAt - now })
  }

  #addressOf(from: string): string {
    return this.#refused.size >= MAX_ADDRESSES && !this.#refused.has(from) ? '' : from
  }

  /** Begins another minute when the last is over. */
  #turn(): number {
    const now = this.#clock.monoMs()
    if (now >= this.#minuteEndsAt) {
      this.#refused.clear()
      this.#minuteEndsAt = now + MINUTE_MS
    }
    return now
  }
}
