/** Our credentials (a key, or a ticket that becomes a token, which the server renews), and HTTP calls with them. */
import type { Credential, TokenFrame, WireError } from '../../src/core/frames.ts'
import { SluiceError } from './errors.ts'
import { isPage } from './page.ts'

/** A token is not used this shortly before it expires: it must still be valid when it arrives. */
const SPARE_MS = 5_000
/** Longer than the longest wait of the server. */
const ANSWER_WITHIN_MS = 90_000

export interface Session {
  /** For a hello. Requests a ticket only when there is no token. */
  credential(): Promise<Credential>
  /** For an authorization header. */
  bearer(): Promise<string>
  renew(frame: Pick<TokenFrame, 'token' | 'expires_in_ms'>): void
  /** The server refused the credential. False: there is no other to try. */
  discard(): boolean
  /** One call whose answer is JSON; null for an empty answer. Throws SluiceError. */
  http(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<unknown>
  /** The response itself, if its status is 2xx. Throws SluiceError. */
  open(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<Response>
}

export function createSession(
  base: string,
  key: string | undefined,
  ticket: (() => Promise<string>) | undefined,
): Session {
  let token: { readonly text: string; readonly renewAtMs: number; readonly untilMs: number } | null = null
  /** One at a time, however many ask. */
  let entering: Promise<string> | null = null
  let renewing = false

  const current = (): string | null => (token !== null && token.untilMs > performance.now() ? token.text : null)

  async function freshTicket(): Promise<string> {
    if (ticket === undefined)
      throw new SluiceError('missing_api_key', 'connect() needs a key, or a ticket() that asks your backend for one.')
    try {
      return await ticket()
    } catch (cause) {
      if (cause instanceof SluiceError) throw cause
      throw new SluiceError(
        'ticket_failed',
        `ticket() failed: ${cause instanceof Error ? cause.message : String(cause)}`,
        { retryable: true, cause },
      )
    }
  }

  const session: Session = {
    async credential() {
      if (key !== undefined) return { key }
      const known = current()
      return known === null ? { ticket: await freshTicket() } : { token: known }
    },
    async bearer() {
      if (key !== undefined) return key
      const known = current()
      if (known === null) {
        entering ??= enter().finally(() => {
          entering = null
        })
        return entering
      }
      if (performance.now() > token!.renewAtMs && !renewing) void prolong(known)
      return known
    },
    renew({ token: text, expires_in_ms: ms }) {
      const now = performance.now()
      token = { text, renewAtMs: now + ms / 2, untilMs: now + ms - Math.min(SPARE_MS, ms / 4) }
    },
    discard() {
      token = null
      return key === undefined
    },
    async http(method, path, body, headers) {
      const response = await session.open(method, path, body, headers)
      const text = await response.text()
      return text === '' ? null : (JSON.parse(text) as unknown)
    },
    async open(method, path, body, headers = {}, signal = AbortSignal.timeout(ANSWER_WITHIN_MS)) {
      const bearer = await session.bearer()
      const authorized = (by: string) => send(method, path, body, { ...headers, authorization: `Bearer ${by}` }, signal)
      try {
        return await authorized(bearer)
      } catch (error) {
        // A refused token may come from before a restart of the server: once more, with a new ticket
        if (!(error instanceof SluiceError) || error.status !== 401 || key !== undefined) throw error
        if (token?.text === bearer) token = null
        return authorized(await session.bearer())
      }
    },
  }

  async function enter(): Promise<string> {
    const response = await send(
      'POST',
      '/v1/sessions',
      { ticket: await freshTicket() },
      {},
      AbortSignal.timeout(ANSWER_WITHIN_MS),
    )
    session.renew((await response.json()) as TokenFrame)
    return token!.text
  }

  /** Renews the token well before it expires; if that fails there is still the next ticket. */
  async function prolong(known: string): Promise<void> {
    renewing = true
    try {
      const response = await send(
        'POST',
        '/v1/sessions',
        undefined,
        { authorization: `Bearer ${known}` },
        AbortSignal.timeout(ANSWER_WITHIN_MS),
      )
      session.renew((await response.json()) as TokenFrame)
    } catch {
    } finally {
      renewing = false
    }
  }

  async function send(
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    let response: Response
    try {
      response = await fetch(base + path, {
        method,
        headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
        cache: 'no-store',
      })
    } catch (cause) {
      const hint = !isPage ? '' : ' (or the origin of this page is not in its http.cors_origins)'
      throw new SluiceError('connection_lost', `${base} can't be reached${hint}.`, { retryable: true, cause })
    }
    if (response.ok) return response
    throw await errorOf(response)
  }

  return session
}

/** As the server tells it; a proxy doesn't. One that is told to wait for long is not to be sent again by a machine. */
function mayComeBack({ status, headers }: Response): boolean {
  if (headers.has('x-should-retry')) return headers.get('x-should-retry') === 'true' || headers.has('retry-after')
  return status === 408 || status === 429 || status >= 500
}

async function errorOf(response: Response): Promise<SluiceError> {
  const { status } = response
  const after = Number(response.headers.get('retry-after-ms') ?? Number.NaN)
  const details = {
    status,
    retryable: mayComeBack(response),
    retryAfterMs: Number.isFinite(after) ? after : undefined,
  }
  try {
    const { error } = (await response.json()) as { error: WireError }
    return SluiceError.of(error, details)
  } catch {
    return new SluiceError('http_error', `The server answered with HTTP ${status}.`, details)
  }
}
