/**
 * Ids of published jobs. Half of what makes such an id a secret is signed, so that every process of the store can tell
 * that it was given to a job of this tenant's, and in which hour, though nothing of the job is stored yet.
 */
import { jobOrder } from '../core/ids.ts'
import type { Job, JobDraft, JobId } from '../core/job.ts'
import type { Envelopes } from './envelope.ts'

export interface IssuedDeps {
  readonly envelopes: Pick<Envelopes, 'markOf'>
  /** On which all processes of the store agree. */
  readonly wallMs: () => number
  /** How long jobs of a tenant are kept, ms; Infinity: for ever. */
  readonly keptMs: (tenant: string) => number
}

const HOUR_MS = 3_600_000
/** What is not there by then is taken for lost. */
const LONGEST_WAIT_MS = 24 * HOUR_MS
/** "job_", and the order number. */
const ORDER_END = 15
const [TENANT_CHARS, USER_CHARS] = [8, 7]

export class Issued {
  readonly #deps: IssuedDeps

  constructor(deps: IssuedDeps) {
    this.#deps = deps
  }

  /** In place of an id that the store gave. */
  sign(id: JobId, { tenant, user }: Pick<JobDraft, 'tenant' | 'user'>): JobId {
    const order = id.slice(0, ORDER_END)
    const hour = this.#hour()
    return order + this.#ofTenant(order, tenant, hour) + this.#ofUser(order, tenant, hour, user)
  }

  /**
   * May a job of this id, of which nothing is stored, still come? Within `keptMs` of its submit one that was owned is
   * there, unless it was erased, or lost by the store. `user` null: whoever it is for.
   */
  mayCome(id: JobId, tenant: string, user: string | null): boolean {
    if (jobOrder(id) === null) return false
    const order = id.slice(0, ORDER_END)
    const hours = Math.floor(Math.min(this.#deps.keptMs(tenant), LONGEST_WAIT_MS) / HOUR_MS)
    const now = this.#hour()
    // Clocks differ a little
    for (let hour = now + Math.min(hours, 1); hour > now - hours; hour--) {
      const ofTenant = order + this.#ofTenant(order, tenant, hour)
      if (id.startsWith(ofTenant)) return user === null || id === ofTenant + this.#ofUser(order, tenant, hour, user)
    }
    return false
  }

  /** Was it told so long ago that it comes no more? */
  isOver({ acceptedAtMs }: Pick<Job, 'acceptedAtMs'>): boolean {
    return this.#deps.wallMs() - acceptedAtMs > LONGEST_WAIT_MS
  }

  #hour(): number {
    return Math.floor(this.#deps.wallMs() / HOUR_MS)
  }

  #ofTenant(order: string, tenant: string, hour: number): string {
    return this.#deps.envelopes.markOf(JSON.stringify(['id', order, tenant, hour]), TENANT_CHARS)
  }

  #ofUser(order: string, tenant: string, hour: number, user = ''): string {
    return this.#deps.envelopes.markOf(JSON.stringify(['id', order, tenant, hour, user]), USER_CHARS)
  }
}
