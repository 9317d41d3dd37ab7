/** What a job that finds no room holds back in the line. */
import type { LevelKind, Shortfall } from '../core/limits.ts'
import { overRun } from './limits/refusal.ts'
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

/**
 * `account`: the level's id. A job that `holds` its weight lacks but a place among those that run: it is in the way of
 * none that hold nothing, nor they in its way.
 */
export function blockOf(short: Shortfall, account: string, holds: boolean, now: number): HeadroomRefusal {
  // Nothing gives a run back what it has used
  if (short.waitMs === null)
    return short.window === 'run' ? { scope: 'never', ends: overRun(short) } : { scope: 'never' }
  const scope = SCOPES[short.level]
  if (holds && scope !== 'model') return { scope: 'job', blocked: { account: placesOf(account), untilMono: Infinity } }
  if (scope === 'model') return { scope: short.unit === 'running' ? 'model' : 'weight' }
  return { scope, blocked: { account, untilMono: roomAt(short, now) } }
}

/** What jobs wait for that hold their weight already. */
export const placesOf = (account: string): string => `places\n${account}`

/** Infinity: it has room when one that runs has ended, which tells. */
export const roomAt = ({ unit, window, waitMs }: Shortfall, now: number): number =>
  unit === 'running' || window === 'run' || waitMs === null ? Infinity : now + waitMs
