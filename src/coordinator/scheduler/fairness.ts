/**
 * Fairness over tenants: the Virtual Token Counter (Sheng et al., "Fairness in Serving Large Language Models",
 * OSDI'24). A tenant's counter grows by the weighted tokens it is served, divided by its weight; of those with ready
 * work the one with the smallest counter is next. The prompt is charged at the lease, output as it streams, and the
 * difference to what the provider reports at the end; what a failed or lost attempt was served stays charged.
 *
 * There is no credit for having been away: a tenant whose first job becomes ready is lifted to the smallest counter of
 * those that have ready work (or of the one that left last). Nor for having been held back: see `Flow.floor`.
 */
import type { TenantId } from '../../core/job.ts'
import type { ActiveLease, Entry } from './entry.ts'
import { Tenant } from './flow.ts'
import type { SchedulerOptions } from './port.ts'

export class Fairness {
  /** Counter of the last one that was served, at that moment; never falls. */
  virtual = 0
  readonly #tenants = new Map<TenantId, Tenant<Entry>>()
  readonly #options: SchedulerOptions
  #lastLeft: Tenant<Entry> | null = null

  constructor(options: SchedulerOptions) {
    this.#options = options
  }

  tenant(id: TenantId): Tenant<Entry> {
    const known = this.#tenants.get(id)
    if (known !== undefined) return known
    const tenant = new Tenant<Entry>(id, this.#tenants.size)
    this.#tenants.set(id, tenant)
    return tenant
  }

  tenants(): Iterable<Tenant<Entry>> {
    return this.#tenants.values()
  }

  weightOf(tenant: Tenant<Entry>): number {
    return Math.max(this.#options.weight(tenant.id), 1e-6)
  }

  weigh(promptTokens: number, outputTokens: number): number {
    return promptTokens * this.#options.promptWeight + outputTokens * this.#options.outputWeight
  }

  get size(): number {
    return this.#tenants.size
  }

  /** Charges what this attempt was served; negative gives back. Returns it weighted. */
  charge(lease: ActiveLease, promptTokens: number, outputTokens: number): number {
    lease.promptTokens += promptTokens
    lease.outputTokens += outputTokens
    const { tenant } = lease.entry
    const weighted = this.weigh(promptTokens, outputTokens)
    tenant.counter += weighted / this.weightOf(tenant)
    if (weighted < 0) for (const line of tenant.lines) line.flow.moveUp(line)
    return weighted
  }

  /** The chosen one is served: it has caught up with those that were served while it was held back. */
  serve(tenant: Tenant<Entry>, floor: number): void {
    tenant.counter = Math.max(tenant.counter, tenant.floor, floor)
    tenant.leases++
    this.virtual = Math.max(this.virtual, tenant.counter)
  }

  /** It has ready work again. `lowest`: the smallest counter of the others that have; null when none has. */
  enter(tenant: Tenant<Entry>, lowest: number | null): void {
    tenant.counter = Math.max(tenant.counter, this.virtual, lowest ?? this.#lastLeft?.counter ?? 0)
  }

  leave(tenant: Tenant<Entry>): void {
    this.#lastLeft = tenant
  }
}
