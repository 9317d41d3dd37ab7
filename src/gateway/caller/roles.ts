/** What a role may do at the admin listener. The admin key may do all of it. */
import type { Role } from '../../core/live.ts'

const RANK: Readonly<Record<Role, number>> = { viewer: 0, operator: 1, admin: 2 }

export const ROLES = Object.keys(RANK) as readonly Role[]

export const suffices = (role: Role, needed: Role): boolean => RANK[role] >= RANK[needed]

/** Whoever may look may read what is no secret; the rest is an admin's, unless it is named here. */
const OTHERS: Readonly<Record<string, Role>> = {
  // Everything that is stored, texts included
  'GET /admin/backup': 'admin',
  'GET /admin/keys': 'operator',
  'GET /admin/tenants/:id/provider-keys': 'operator',
  // Takes and changes nothing
  'POST /admin/route/explain': 'viewer',
  'GET /admin/jobs/:id/text': 'operator',
  // Everybody may sign out
  'DELETE /admin/session': 'viewer',
  'POST /admin/jobs/:id/cancel': 'operator',
  'POST /admin/jobs/:id/redrive': 'operator',
  'POST /admin/runs/:tenant/:run/cancel': 'operator',
  'POST /admin/pause': 'operator',
  'POST /admin/resume': 'operator',
  'POST /admin/benchmarks': 'operator',
  'DELETE /admin/benchmarks/:id': 'operator',
}
const OPERATORS = ['/admin/deployments/', '/admin/playground/']

export function roleOf({ method, path }: { readonly method: string; readonly path: string }): Role {
  const named = `${method} ${path}`
  if (Object.hasOwn(OTHERS, named)) return OTHERS[named]
  if (method === 'GET') return 'viewer'
  return OPERATORS.some((prefix) => path.startsWith(prefix)) ? 'operator' : 'admin'
}
