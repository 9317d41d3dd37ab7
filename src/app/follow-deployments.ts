/** Puts what the store has of deployments in force, now and with each change, wherever it is made. */
import type { TenantRecord, Tenants } from '../core/ports/tenants.ts'
import type { Log } from '../observability/report.ts'
import type { ServedBy, Settings } from './in-force.ts'

export interface Follower {
  /** To be called after each change of records. */
  readonly look: () => void
  /** Resolves when all that was seen is in force. */
  readonly settled: () => Promise<void>
}

export function followDeployments(
  settings: Pick<Settings, 'follow'>,
  { tenants, parts, log }: { readonly tenants: Pick<Tenants, 'all'>; readonly parts: ServedBy; readonly log: Log },
): Follower {
  let known = '[]'
  let last: Promise<void> = Promise.resolve()
  const told = new Set<string>()

  async function follow(records: readonly TenantRecord[]): Promise<void> {
    try {
      for (const [deployment, reason] of await settings.follow(records, parts)) {
        if (told.has(`${deployment}\n${reason}`)) continue
        told.add(`${deployment}\n${reason}`)
        log.error({ deployment, reason }, 'a deployment that was added is not in force')
      }
    } catch (error) {
      log.error({ reason: (error as Error).message }, 'what was set of deployments is not in force')
    }
  }

  return {
    look() {
      const records = [...tenants.all()].filter(
        ({ kind, deployment }) => kind === 'deployment' && deployment !== undefined,
      )
      const text = JSON.stringify(records.map(({ id, deployment }) => [id, deployment]).sort())
      if (text === known) return
      known = text
      last = last.then(() => follow(records))
    },
    settled: () => last,
  }
}
