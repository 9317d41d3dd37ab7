/** How much of its tenant's share each session has queued. A session is remembered while it has something queued. */
import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import { Table } from '../../core/table.ts'

export interface Share {
  /** Queued jobs, and bytes of their bodies. */
  readonly queued: number
  readonly bytes: number
}

const NOTHING: Share = { queued: 0, bytes: 0 }

export class Shares {
  readonly #shares = new Table<string, Share>()

  /** Null: no session's. */
  of({ tenant, session }: ScheduledJob): Share | null {
    return session === null ? null : (this.#shares.get(`${tenant}\n${session}`) ?? NOTHING)
  }

  /** `change`: 1 when a job is queued, -1 when it leaves. */
  count(job: ScheduledJob, change: number): void {
    const share = this.of(job)
    if (share === null || change === 0) return
    const name = `${job.tenant}\n${job.session}`
    const queued = share.queued + change
    if (queued === 0) this.#shares.delete(name)
    else this.#shares.set(name, { queued, bytes: share.bytes + change * job.bodyBytes })
  }
}
