/** How long files of jobs are kept: as long as the jobs. */
import type { TenantId } from '../core/job.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Settings } from './in-force.ts'

/** When what is made now for a job that ends within so long may go, wall clock of the store; null: it stays. */
export const mediaExpiry =
  (settings: Settings, engine: Pick<Engine, 'wallMs'>) =>
  (tenant: TenantId, withinMs: number): number | null => {
    const { retention } = settings.config
    const keepMs = settings.tenant(tenant)?.retention.logsMs ?? retention.logsMs
    const at = engine.wallMs() + withinMs + Math.max(keepMs, retention.atLeastMs)
    return Number.isFinite(at) ? Math.round(at) : null
  }
