/**
 * Who is signed in at the dashboard: a one-time code, from a link, becomes a cookie. The store has both, by their
 * digests alone (core/ports/sign-ins.ts), so that they hold at every process on one store.
 */
import { createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { SluiceError } from '../../core/errors.ts'
import type { Ids } from '../../core/ids.ts'
import type { Role } from '../../core/live.ts'
import type { SignIns } from '../../core/ports/sign-ins.ts'
import { digestOf } from './api-key.ts'
import { suffices } from './roles.ts'

const CODE_MS = 600_000
const SESSION_MS = 12 * 3_600_000
/** Longer texts are refused before they are hashed. */
const MAX_CHARS = 128
/** No page of another origin can send it without a preflight, which the admin listener refuses. */
const PAGE_HEADER = 'x-sluice-page'

export interface Signed {
  readonly role: Role
  /** The session of its cookie. */
  readonly digest: string
}

export class SignIn {
  readonly #store: SignIns
  readonly #ids: Ids
  readonly #fleet: () => string | null

  /** `fleet`: tells it from other fleets, at all of its processes; null: there is only this process. */
  constructor(store: SignIns, ids: Ids, fleet: () => string | null) {
    this.#store = store
    this.#ids = ids
    this.#fleet = fleet
  }

  /** Good for one sign-in. */
  async code(role: Role): Promise<{ readonly code: string; readonly expiresInMs: number }> {
    const code = this.#secret()
    await this.#store.issue(digestOf(code), role, CODE_MS)
    return { code, expiresInMs: CODE_MS }
  }

  /** Uses the code up; whoever was signed in by this request's cookie is not any more. Rejects with invalid_ticket. */
  async redeem(request: IncomingMessage, code: string): Promise<{ readonly cookie: string; readonly role: Role }> {
    const cookie = this.#secret()
    const role = code.length > MAX_CHARS ? null : await this.#store.redeem(digestOf(code), digestOf(cookie), SESSION_MS)
    if (role === null)
      throw new SluiceError('invalid_ticket', {
        param: 'code',
        message: 'This link was used already, or is too old: print another one with "sluice dashboard".',
      })
    await this.signOut(request)
    return { cookie, role }
  }

  /** Does it bring a cookie that may be ours? */
  mayBeSigned(request: IncomingMessage): boolean {
    return this.#digestIn(request) !== null
  }

  /** Who sends this request; it stays signed in for as long again. Null: nobody who is signed in. */
  async find(request: IncomingMessage): Promise<Signed | null> {
    const digest = this.#digestIn(request)
    const role = digest === null ? null : await this.#store.keep(digest, SESSION_MS)
    return digest === null || role === null ? null : { role, digest }
  }

  /** Throws forbidden for a request that another page may have caused, and for a role that does not suffice. */
  check(request: IncomingMessage, { role }: Signed, needed: Role): void {
    if (request.headers[PAGE_HEADER] !== '1')
      throw new SluiceError('forbidden', { message: `A page must send the header "${PAGE_HEADER}: 1".` })
    if (!suffices(role, needed))
      throw new SluiceError('forbidden', { message: `This needs the role "${needed}"; you have signed in as ${role}.` })
  }

  /** As long as its page is open, nobody has to sign in again. False: it was signed out, at whichever process. */
  async keep({ digest, role }: Signed): Promise<boolean> {
    return (await this.#store.keep(digest, SESSION_MS)) === role
  }

  async signOut(request: IncomingMessage): Promise<void> {
    const digest = this.#digestIn(request)
    if (digest !== null) await this.#store.end(digest)
  }

  /** For `set-cookie`. `value` null: it is taken away. */
  cookieOf(request: IncomingMessage, value: string | null): string {
    const isSecure = request.headers['x-forwarded-proto'] === 'https'
    const life = value === null ? 0 : SESSION_MS / 1_000
    const secure = isSecure ? '; Secure' : ''
    return `${this.#cookieName(request)}=${value ?? ''}; Path=/; Max-Age=${life}; HttpOnly; SameSite=Strict${secure}`
  }

  /**
   * Browsers send a host's cookies to all its ports: two servers on one machine must not sign each other out, and
   * gateways of one fleet must know each other's.
   */
  #cookieName({ socket }: IncomingMessage): string {
    return `sluice_page_${this.#fleet() ?? socket.localPort}`
  }

  #digestIn(request: IncomingMessage): string | null {
    const name = `${this.#cookieName(request)}=`
    for (const pair of (request.headers.cookie ?? '').split(';')) {
      const text = pair.trim()
      if (!text.startsWith(name)) continue
      const value = text.slice(name.length)
      return value === '' || value.length > MAX_CHARS ? null : digestOf(value)
    }
    return null
  }

  #secret(): string {
    return Buffer.from(this.#ids.random(32)).toString('base64url')
  }
}

const NAME_CHARS = 8

/** Of a fleet's shared secret. */
export const fleetName = (secret: Uint8Array): string =>
  createHmac('sha256', secret).update('dashboard').digest('hex').slice(0, NAME_CHARS)
