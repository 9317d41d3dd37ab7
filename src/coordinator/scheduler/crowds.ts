/**
 * All that is in line, ready or not: a crowd for each tenant and model, with its sums, so that a look at the line costs
 * a step for each crowd and none for each job. The order within a crowd is that of its tenant's line, as far as one can
 * know it of jobs that are not ready.
 */
import type { JobKind, Priority, TenantId } from '../../core/job.ts'
import { Table } from '../../core/table.ts'
import { CLASS, RANKS, type Rank } from './flow.ts'

/** What it needs of a job. `bound`, `crowd` and the links are its own. */
export interface Crowding<E extends Crowding<E>> {
  readonly job: {
    readonly tenant: TenantId
    readonly model: string
    readonly kind: JobKind
    readonly promptTokens: number
    readonly maxOutputTokens: number | null
    readonly priority: Priority
  }
  readonly hold: { readonly amounts: { readonly outputTokens: number } | null } | null
  readonly flow: { readonly throughput: { readonly meanOutput: number } }
  /** Tokens that it may come to, prompt and answer; the same for as long as it is in line. */
  bound: number
  crowd: Crowd<E> | null
  crowdBefore: E | null
  crowdAfter: E | null
}

/** Of an answer of unknown length, before any was seen. */
const UNKNOWN_OUTPUT_TOKENS = 1_024

export class Crowd<E extends Crowding<E>> {
  readonly tenant: TenantId
  readonly model: string
  jobs = 0
  /** Sum of the bounds. */
  tokens = 0
  /** By class. */
  readonly #heads: Array<E | null> = RANKS.map(() => null)
  readonly #tails: Array<E | null> = RANKS.map(() => null)

  constructor(tenant: TenantId, model: string) {
    this.tenant = tenant
    this.model = model
  }

  /** The first one; null: nobody is there. */
  get first(): E | null {
    return this.#firstFrom(0)
  }

  after(entry: E): E | null {
    return entry.crowdAfter ?? this.#firstFrom(CLASS[entry.job.priority] + 1)
  }

  add(entry: E, inFront: boolean): void {
    const rank: Rank = CLASS[entry.job.priority]
    const [before, after] = inFront ? [null, this.#heads[rank]] : [this.#tails[rank], null]
    entry.crowd = this
    entry.crowdBefore = before
    entry.crowdAfter = after
    if (before === null) this.#heads[rank] = entry
    else before.crowdAfter = entry
    if (after === null) this.#tails[rank] = entry
    else after.crowdBefore = entry
    this.jobs++
    this.tokens += entry.bound
  }

  remove(entry: E): void {
    const rank = CLASS[entry.job.priority]
    const { crowdBefore: before, crowdAfter: after } = entry
    if (before === null) this.#heads[rank] = after
    else before.crowdAfter = after
    if (after === null) this.#tails[rank] = before
    else after.crowdBefore = before
    entry.crowd = entry.crowdBefore = entry.crowdAfter = null
    this.jobs--
    this.tokens -= entry.bound
  }

  #firstFrom(rank: number): E | null {
    for (let at = rank; at < RANKS.length; at++) if (this.#heads[at] !== null) return this.#heads[at]
    return null
  }
}

/** Empty crowds of a tenant that are kept: most jobs find no other of their kind in line, and need theirs again. */
const MOST_EMPTY = 16

export class Crowds<E extends Crowding<E>> {
  readonly #tenants = new Table<TenantId, Array<Crowd<E>>>()

  /** `inFront`: as if it had never been away. */
  add(entry: E, inFront: boolean): void {
    const { tenant, model } = entry.job
    let crowds = this.#tenants.get(tenant)
    if (crowds === undefined) {
      crowds = []
      this.#tenants.set(tenant, crowds)
    }
    let crowd = crowds.find((one) => one.model === model)
    if (crowd === undefined) {
      crowd = new Crowd(tenant, model)
      crowds.push(crowd)
    }
    entry.bound = boundOf(entry)
    crowd.add(entry, inFront)
  }

  remove(entry: E): void {
    const crowd = entry.crowd!
    crowd.remove(entry)
    if (crowd.jobs > 0) return
    const crowds = this.#tenants.get(crowd.tenant)!
    if (crowds.length > MOST_EMPTY) crowds.splice(crowds.indexOf(crowd), 1)
  }

  /** It weighs something else now, in its place. */
  reweigh(entry: E): void {
    const before = entry.bound
    entry.bound = boundOf(entry)
    entry.crowd!.tokens += entry.bound - before
  }

  /** In no order; some are empty. */
  *[Symbol.iterator](): Generator<Crowd<E>> {
    for (const crowds of this.#tenants.values()) yield* crowds
  }
}

function boundOf<E extends Crowding<E>>({ job, hold, flow }: E): number {
  const { promptTokens, maxOutputTokens, kind } = job
  if (kind !== 'chat') return promptTokens
  const expected = Math.round(flow.throughput.meanOutput) || UNKNOWN_OUTPUT_TOKENS
  return promptTokens + (hold?.amounts?.outputTokens ?? Math.min(maxOutputTokens ?? Infinity, expected))
}
