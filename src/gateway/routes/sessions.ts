/** How a page gets in: PROTOCOL.md section 7. */
import { SluiceError } from '../../core/errors.ts'
import { bad, type Check, checkMembers, checkNames, text, whole } from '../../core/fields.ts'
import type { Credential } from '../../core/frames.ts'
import type { JsonRecord } from '../../core/json.ts'
import { type Auth, fromOf, hasCredential } from '../caller/auth.ts'
import { requireKey } from '../caller/caller.ts'
import { isOrigin } from '../caller/origin.ts'
import type { Sessions } from '../caller/sessions.ts'
import type { GatewayDeps } from '../deps.ts'
import { json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { Route } from '../http/route.ts'

const MAX_BODY_BYTES = 8_192
const MAX_USER_CHARS = 256
const LIMITS = { maxDepth: 4, maxKeys: 16, fixed: true }

const origin: Check = {
  ok: (v) => typeof v === 'string' && isOrigin(v),
  what: 'an origin, e.g. "https://app.example.com"',
}
const TICKET: ReadonlyMap<string, Check> = new Map([
  [
    'user',
    { ok: (v) => text(MAX_USER_CHARS).ok(v) && v !== '', what: `a string of 1 to ${MAX_USER_CHARS} characters` },
  ],
  ['origin', origin],
  ['session_ms', whole(1_000, Number.MAX_SAFE_INTEGER)],
])

export function sessionRoutes(deps: GatewayDeps, auth: Auth, sessions: Sessions): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/tickets',
      auth: 'tenant',
      async run(call) {
        requireKey(call.caller)
        const { value } = await readJson(call, MAX_BODY_BYTES, LIMITS)
        checkNames(value, TICKET.keys())
        checkMembers(value, TICKET)
        const asked = value as {
          readonly user?: string | null
          readonly origin?: string | null
          readonly session_ms?: number | null
        }
        const { ticket, expiresInMs } = await sessions.ticket(
          call.caller.key,
          asked.user ?? null,
          asked.origin ?? null,
          asked.session_ms ?? null,
        )
        return json(201, { ticket, expires_in_ms: expiresInMs })
      },
    },
    {
      method: 'POST',
      path: '/v1/sessions',
      auth: 'ticket',
      async run(call) {
        const caller = hasCredential(call.exchange.request)
          ? await auth.tenant(call.exchange.request)
          : await auth.admit(
              ticketOf((await readJson(call, MAX_BODY_BYTES, LIMITS)).value),
              fromOf(call.exchange.request),
            )
        if (caller.session === null)
          throw bad('ticket', 'An API key needs no session: send the key itself in the authorization header.')
        const { token, expiresInMs } = sessions.token(caller.session)
        deps.emit({ type: 'session-opened', tenant: caller.key.tenant, transport: 'http' })
        return json(201, { token, expires_in_ms: expiresInMs })
      },
    },
  ]
}

function ticketOf(value: JsonRecord): Credential {
  checkNames(value, ['ticket'])
  const { ticket } = value
  if (typeof ticket !== 'string' || ticket === '')
    throw new SluiceError('invalid_ticket', {
      param: 'ticket',
      message: 'Send {"ticket": …}, or a token as "authorization: Bearer …".',
    })
  return { ticket }
}
