/** What an operator holds back. Paused work keeps its order; it is not leased while a selector matches it. */

import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Selector } from '../../core/ports/operations.ts'

const same = (a: Selector, b: Selector): boolean => a.tenant === b.tenant && a.lane === b.lane && a.model === b.model
const has = (wanted: string | undefined, is: string | null): boolean => wanted === undefined || wanted === is

export const matches = (selector: Selector, job: Pick<ScheduledJob, 'tenant' | 'lane' | 'model'>): boolean =>
  has(selector.tenant, job.tenant) && has(selector.lane, job.lane) && has(selector.model, job.model)

export class Pauses {
  #selectors: readonly Selector[] = []

  get list(): readonly Selector[] {
    return this.#selectors
  }

  add(selector: Selector): void {
    if (!this.#selectors.some((known) => same(known, selector))) this.#selectors = [...this.#selectors, selector]
  }

  remove(selector: Selector): void {
    this.#selectors = this.#selectors.filter((known) => !same(known, selector))
  }

  /** Is this job's lane held back? */
  holdsLane(job: ScheduledJob): boolean {
    return (
      job.lane !== null &&
      this.#selectors.length > 0 &&
      this.#selectors.some((s) => s.lane !== undefined && matches(s, job))
    )
  }

  /** Is all that this tenant wants of this model held back? */
  holdsLine(tenant: string, model: string): boolean {
    return this.#selectors.length > 0 && this.#selectors.some((s) => matches(s, { tenant, lane: null, model }))
  }
}
