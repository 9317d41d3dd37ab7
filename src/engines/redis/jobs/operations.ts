/** What operators do to queued work is the coordinator's to do: asked of it over the bus. */
import type { TenantId } from '../../../core/job.ts'
import type { LimitUse, RunUse, TenantStanding } from '../../../core/limits.ts'
import type { Line, RowKind } from '../../../core/live.ts'
import {
  type Backlog,
  type DeploymentStatus,
  type LineBounds,
  MOST_STANDING,
  type Operations,
  type QueueDepth,
  type RouteAsk,
  type RouteTrace,
  type Selector,
} from '../../../core/ports/operations.ts'
import { laneNames } from '../../shared/scheduled.ts'
import type { Ground } from '../bus/ground.ts'

/** Jobs that are purged in one commit. */
const PURGED_AT_ONCE = 250

export class RedisOperations implements Operations {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  async pause(selector: Selector): Promise<void> {
    laneNames(selector) // throws for a lane without its tenant
    await this.#ground.bus.ask({ type: 'pause', selector })
  }

  async resume(selector: Selector): Promise<void> {
    laneNames(selector)
    await this.#ground.bus.ask({ type: 'resume', selector })
  }

  paused(): Promise<readonly Selector[]> {
    return this.#ground.bus.ask({ type: 'paused' })
  }

  async purge(selector: Selector): Promise<number> {
    laneNames(selector)
    const { queued, delayed, waiting } = await this.depth()
    let purged = 0
    // What comes in meanwhile is not meant
    for (let left = queued + delayed + waiting; left > 0; ) {
      const most = Math.min(left, PURGED_AT_ONCE)
      const some = await this.#ground.bus.ask({ type: 'purge', selector, most })
      purged += some
      left -= some
      if (some < most) break
    }
    return purged
  }

  depth(): Promise<QueueDepth> {
    return this.#ground.bus.ask({ type: 'depth' })
  }

  backlog(): Promise<readonly Backlog[]> {
    return this.#ground.bus.ask({ type: 'backlog' })
  }

  line(by: RowKind, most: LineBounds): Promise<Line> {
    return this.#ground.bus.ask({ type: 'line', by, most })
  }

  standing(tenant: TenantId): Promise<TenantStanding> {
    return this.#ground.bus.ask({ type: 'standing', tenant })
  }

  runUse(tenant: TenantId, run: string): Promise<RunUse | null> {
    return this.#ground.bus.ask({ type: 'run', tenant, run })
  }

  fullest(tenants: readonly TenantId[]): Promise<ReadonlyArray<LimitUse | null>> {
    return this.#ground.bus.ask({ type: 'fullest', tenants: tenants.slice(0, MOST_STANDING) })
  }

  explain(ask: RouteAsk): Promise<RouteTrace> {
    return this.#ground.bus.ask({ type: 'explain', ask })
  }

  async deployments(): Promise<readonly DeploymentStatus[]> {
    const deployments = await this.#ground.bus.ask({ type: 'deployments' })
    // JSON has no Infinity
    return deployments.map((one) => ({ ...one, concurrent: one.concurrent ?? Infinity }))
  }
}
