/** Who looks: signed in by a one-time code in the fragment, which is exchanged for a cookie that no script can read. */
import { computed, signal } from '@preact/signals'
import type { Role } from '../../src/core/live.ts'

export type Session =
  | { readonly state: 'asking' }
  | { readonly state: 'none'; readonly why: string | null }
  | { readonly state: 'in'; readonly role: Role }

export const session = signal<Session>({ state: 'asking' })
export const role = computed<Role>(() => (session.value.state === 'in' ? session.value.role : 'viewer'))

const RANKS: Readonly<Record<Role, number>> = { viewer: 0, operator: 1, admin: 2 }

/** Why this role may not do it, for the disabled button; null: it may. */
export function forbids(needed: Role, given: Role = role.value): string | null {
  if (RANKS[given] >= RANKS[needed]) return null
  return `Needs the role ${needed}; you are signed in as ${given}.`
}

export const lostSession = (why: string | null = null): void => {
  session.value = { state: 'none', why }
}

/** The code goes from the address before anything else happens, so that it is in no screenshot and no bookmark. */
export async function signIn(): Promise<void> {
  const code = new URLSearchParams(location.hash.slice(1)).get('code')
  if (code !== null) history.replaceState(null, '', location.pathname + location.search)
  const wasIn = session.peek().state === 'in'
  const answer = (code !== null && (await enter('POST', { code }))) || (await enter('GET'))
  if (typeof answer === 'object') session.value = { state: 'in', role: answer.role }
  // Whoever is in stays in while Sluice is away: figures go grey, nothing is cleared
  else if (answer === 'refused') lostSession(code !== null ? USED : wasIn ? RESTARTED : null)
  else if (!wasIn) lostSession(code === null ? AWAY : `${AWAY} The link is not used up: open it again.`)
}

const USED = 'That link was used already, or is older than ten minutes.'
const RESTARTED = 'Sluice was started again, or you were signed in for twelve hours: the session has ended.'
const AWAY = 'Sluice doesn’t answer here, or is stopping.'

/** False: this code is not, or no longer, valid; a browser that is signed in already stays so. */
async function enter(method: 'GET' | 'POST', body?: { readonly code: string }) {
  try {
    const response = await fetch('/admin/session', {
      method,
      ...(body && { body: JSON.stringify(body) }),
      headers: { 'x-sluice-page': '1', 'content-type': 'application/json' },
      signal: AbortSignal.timeout(10_000),
    })
    if (response.ok) return (await response.json()) as { readonly role: Role }
    // Whoever stands between, or one that stops, knows nothing of sessions
    if (response.status >= 500) return 'away'
    return body === undefined ? 'refused' : false
  } catch {
    return 'away'
  }
}

export async function signOut(): Promise<void> {
  await fetch('/admin/session', { method: 'DELETE', headers: { 'x-sluice-page': '1' } }).catch(() => {})
  lostSession()
}
