/** What a job that finds no room holds back in the line. */
import type { LevelKind, Shortfall } from '../core/limits.ts'
import type { HeadroomRefusal } from './scheduler/port.ts'

/** How much of the line is full with it. Of what all tenants share nobody is parked: the fair order decides. */
const SCOPES: Readonly<Record<LevelKind, HeadroomRefusal['scope']>> = {
  run: 'job',
  key: 'job',
  user: 'job',
  tenant_model: 'line',
  tenant: 'tenant',
  model: 'model',
  global: 'model',
}

/** `account`: the level's id. */
export function blockOf({ level, waitMs }: Shortfall, account: string, now: number): HeadroomRefusal {
  const scope = SCOPES[level]
  return scope === 'model'
    ? { scope }
    : { scope, blocked: { account, untilMono: waitMs === null ? Infinity : now + waitMs } }
}
