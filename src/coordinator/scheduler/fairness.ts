/**
 * Fairness over tenants: the Virtual Token Counter (Sheng et al., "Fairness in Serving Large Language Models",
 * OSDI'24). A tenant's counter grows by the weighted tokens it is served, divided by its weight; of those with ready
 * work the one with the smallest counter is next. The prompt is charged at the lease, output as it streams, and the
 * difference to what the provider reports at the end; what a failed or lost attempt was served stays charged.
 *
 * No credit for having been away: a tenant whose first job becomes ready is lifted to the smallest counter of those
 * that have ready work (or of the one that left last). And none for having been held back: see `Flow.floor`.
 */
import type { TenantId } from '../../core/job.ts'
import type { SchedulerOptions } from '../../core/ports/scheduler.ts'
import type { Hold } from './entry.ts'
import type { Line } from './flow.ts'

/** Kept for ever: tenants are made by the operator, so there are only so many. */
export class Tenant {
  readonly id: TenantId
  /** Breaks ties. */
  readonly order: number
  /** Weighted tokens served ÷ weight. */
  counter = 0
  /** It is lifted to this at its next lease. */
  floor = 0
  /** Its lines with ready jobs, at most one a flow. */
  readonly lines: Line[] = []
  /** Lines that are not paused. */
  active = 0
  /** Jobs in line (ready or not), and bytes of their bodies. */
  queued = 0
  bytes = 0
  leases = 0
  /** The lease call in which it had no headroom. */
  refusedIn = 0

  constructor(id: TenantId, order: number) {
    this.id = id
    this.order = order
  }
}

/** A total order: who is served first. */
export const isBefore = (a: Tenant, b: Tenant): boolean =>
  a.counter < b.counter || (a.counter === b.counter && a.order < b.order)

export class Fairness {
  /** Counter of the last one that was served, at that moment; never falls. */
  virtual = 0
  readonly #tenants = new Map<TenantId, Tenant>()
  readonly #options: SchedulerOptions
  #lastLeft: Tenant | null = null

  constructor(options: SchedulerOptions) {
    this.#options = options
  }

  tenant(id: TenantId): Tenant {
    const known = this.#tenants.get(id)
    if (known !== undefined) return known
    const tenant = new Tenant(id, this.#tenants.size)
    this.#tenants.set(id, tenant)
    return tenant
  }

  tenants(): Iterable<Tenant> {
    return this.#tenants.values()
  }

  weightOf(tenant: Tenant): number {
    return Math.max(this.#options.weight(tenant.id), 1e-6)
  }

  weigh(promptTokens: number, outputTokens: number): number {
    return promptTokens * this.#options.promptWeight + outputTokens * this.#options.outputWeight
  }

  /** Charges what this attempt was served; negative gives back. */
  charge(hold: Hold, promptTokens: number, outputTokens: number): void {
    hold.promptTokens += promptTokens
    hold.outputTokens += outputTokens
    const { tenant } = hold.entry
    const weighted = this.weigh(promptTokens, outputTokens)
    tenant.counter += weighted / this.weightOf(tenant)
    if (weighted < 0) for (const line of tenant.lines) line.flow.moveUp(line)
  }

  /** The chosen one is served: it has caught up with those that were served while it was held back. */
  serve(tenant: Tenant, floor: number): void {
    tenant.counter = Math.max(tenant.counter, tenant.floor, floor)
    tenant.leases++
    this.virtual = Math.max(this.virtual, tenant.counter)
  }

  /** It has ready work again. `lowest`: the smallest counter of the others that have; null when none has. */
  enter(tenant: Tenant, lowest: number | null): void {
    tenant.counter = Math.max(tenant.counter, this.virtual, lowest ?? this.#lastLeft?.counter ?? 0)
  }

  leave(tenant: Tenant): void {
    this.#lastLeft = tenant
  }
}
