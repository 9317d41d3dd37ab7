/**
 * Who is signed in at the dashboard: a one-time code, from a link, becomes a cookie. Both are known by their digests
 * alone, and in memory alone: a restart signs everybody out.
 */
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Ids } from '../../core/ids.ts'
import type { Role } from '../../core/live.ts'
import { digestOf } from './api-key.ts'
import { suffices } from './roles.ts'

const CODE_MS = 600_000
const SESSION_MS = 12 * 3_600_000
const MAX_CODES = 32
const MAX_SESSIONS = 256
/** Longer texts are refused before they are hashed. */
const MAX_CHARS = 128
/** No page of another origin can send it without a preflight, which the admin listener refuses. */
const PAGE_HEADER = 'x-sluice-page'

interface Entitled {
  readonly role: Role
  endsMono: number
}

export interface Signed {
  readonly role: Role
  /** The session of its cookie. */
  readonly digest: string
}

export class SignIn {
  readonly #clock: Clock
  readonly #ids: Ids
  readonly #codes = new Map<string, Entitled>()
  /** The one that was used last is the last. */
  readonly #sessions = new Map<string, Entitled>()

  constructor(clock: Clock, ids: Ids) {
    this.#clock = clock
    this.#ids = ids
  }

  /** Good for one sign-in. Where there are too many, the oldest is void. */
  code(role: Role): { readonly code: string; readonly expiresInMs: number } {
    const code = this.#secret()
    makeRoom(this.#codes, MAX_CODES)
    this.#codes.set(digestOf(code), { role, endsMono: this.#clock.monoMs() + CODE_MS })
    return { code, expiresInMs: CODE_MS }
  }

  /** Uses the code up. Throws invalid_ticket. */
  redeem(code: string): { readonly cookie: string; readonly role: Role } {
    const digest = code.length > MAX_CHARS ? '' : digestOf(code)
    const found = this.#codes.get(digest)
    this.#codes.delete(digest)
    if (found === undefined || found.endsMono <= this.#clock.monoMs())
      throw new SluiceError('invalid_ticket', {
        param: 'code',
        message: 'This link was used already, or is too old: print another one with "sluice dashboard".',
      })
    const cookie = this.#secret()
    makeRoom(this.#sessions, MAX_SESSIONS)
    this.#sessions.set(digestOf(cookie), { role: found.role, endsMono: this.#clock.monoMs() + SESSION_MS })
    return { cookie, role: found.role }
  }

  /** Who sends this request; it stays signed in for as long again. Null: nobody who is signed in. */
  find(request: IncomingMessage): Signed | null {
    const digest = digestIn(request)
    const session = digest === null ? undefined : this.#sessions.get(digest)
    if (digest === null || session === undefined) return null
    this.#sessions.delete(digest)
    const now = this.#clock.monoMs()
    if (session.endsMono <= now) return null
    session.endsMono = now + SESSION_MS
    this.#sessions.set(digest, session)
    return { role: session.role, digest }
  }

  /** Throws forbidden for a request that another page may have caused, and for a role that does not suffice. */
  check(request: IncomingMessage, { role }: Signed, needed: Role): void {
    if (request.headers[PAGE_HEADER] !== '1')
      throw new SluiceError('forbidden', { message: `A page must send the header "${PAGE_HEADER}: 1".` })
    if (!suffices(role, needed))
      throw new SluiceError('forbidden', { message: `This needs the role "${needed}"; you have signed in as ${role}.` })
  }

  isStillSigned({ digest }: Signed): boolean {
    const session = this.#sessions.get(digest)
    return session !== undefined && session.endsMono > this.#clock.monoMs()
  }

  /** As long as its page is open, nobody has to sign in again. */
  keep({ digest }: Signed): void {
    const session = this.#sessions.get(digest)
    if (session !== undefined) session.endsMono = this.#clock.monoMs() + SESSION_MS
  }

  signOut(request: IncomingMessage): void {
    const digest = digestIn(request)
    if (digest !== null) this.#sessions.delete(digest)
  }

  #secret(): string {
    return Buffer.from(this.#ids.random(32)).toString('base64url')
  }
}

function makeRoom(entries: Map<string, Entitled>, most: number): void {
  for (const [digest] of entries) {
    if (entries.size < most) return
    entries.delete(digest)
  }
}

/** Browsers send a host's cookies to all its ports: two servers on one machine must not sign each other out. */
const cookieName = ({ socket }: IncomingMessage): string => `sluice_page_${socket.localPort}`

function digestIn(request: IncomingMessage): string | null {
  const name = `${cookieName(request)}=`
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const text = pair.trim()
    if (!text.startsWith(name)) continue
    const value = text.slice(name.length)
    return value.length > MAX_CHARS ? null : digestOf(value)
  }
  return null
}

/** For `set-cookie`. `value` null: it is taken away. */
export function cookieOf(request: IncomingMessage, value: string | null): string {
  const isSecure = request.headers['x-forwarded-proto'] === 'https'
  const life = value === null ? 0 : SESSION_MS / 1_000
  const secure = isSecure ? '; Secure' : ''
  return `${cookieName(request)}=${value ?? ''}; Path=/; Max-Age=${life}; HttpOnly; SameSite=Strict${secure}`
}
