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
  const asked = code === null ? { method: 'GET' } : { method: 'POST', body: JSON.stringify({ code }) }
  try {
    const response = await fetch('/admin/session', {
      ...asked,
      headers: { 'x-sluice-page': '1', 'content-type': 'application/json' },
      signal: AbortSignal.timeout(10_000),
    })
    if (response.ok) session.value = { state: 'in', role: ((await response.json()) as { role: Role }).role }
    else if (code !== null && (await isIn())) return
    else lostSession(code === null ? null : 'That link was used already, or is older than ten minutes.')
  } catch {
    // Whoever is in stays in while Sluice is away: figures go grey, nothing is cleared
    if (session.peek().state !== 'in') lostSession('Sluice doesn’t answer here. Is it running?')
  }
}

/** A used link in a browser that is signed in already is no reason to stay outside. */
async function isIn(): Promise<boolean> {
  const response = await fetch('/admin/session', { headers: { 'x-sluice-page': '1' } })
  if (!response.ok) return false
  session.value = { state: 'in', role: ((await response.json()) as { role: Role }).role }
  return true
}

export async function signOut(): Promise<void> {
  await fetch('/admin/session', { method: 'DELETE', headers: { 'x-sluice-page': '1' } }).catch(() => {})
  lostSession()
}
