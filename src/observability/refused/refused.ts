/** How often each tenant was refused over the last day, and why: counted from facts, in a bounded number of entries. */
import type { ErrorCode } from '../../core/errors.ts'
import type { Fact } from '../../core/facts.ts'
import type { TenantId } from '../../core/job.ts'
import type { RefusalKind, Refusals } from '../../core/ports/observed.ts'
import type { Observe } from '../emit.ts'

const STEP_MS = 300_000
const HOUR_STEPS = 12
const DAY_STEPS = 288
/** About 150 bytes each; beyond, the oldest five minutes are forgotten. */
const MOST_ENTRIES = 20_000

type Refused = Extract<Fact, { type: 'job-refused' }>
type OutOfLimit = Extract<Fact, { type: 'limit-refused' }>

interface Entry {
  readonly code: ErrorCode
  readonly limit: RefusalKind['limit']
  count: number
  lastAtMs: number
  lastKeyId: string | null
}

/** Five minutes: by tenant, and by what it was. */
interface Step {
  readonly n: number
  readonly tenants: Map<TenantId, Map<string, Entry>>
  entries: number
}

export class RefusedOfLate {
  /** The oldest first. */
  readonly #steps: Step[] = []
  #entries = 0
  #sinceMs: number

  constructor(nowMs: number) {
    this.#sinceMs = nowMs
  }

  readonly observe: Observe = (fact) => {
    if (fact.type === 'job-refused') this.#add(fact, null)
    else if (fact.type === 'limit-refused') this.#add(fact, { level: fact.limitLevel, unit: fact.unit })
  }

  /** Each refusal by a limit is told twice: as one of its code, and as one of its limit. */
  #add({ tenant, code, atMs, keyId }: Refused | OutOfLimit, limit: RefusalKind['limit']): void {
    if (tenant === null) return
    const step = this.#stepAt(atMs)
    const kinds = step.tenants.get(tenant) ?? new Map<string, Entry>()
    if (kinds.size === 0) step.tenants.set(tenant, kinds)
    const name = limit === null ? code : `${code} ${limit.level} ${limit.unit}`
    const known = kinds.get(name)
    if (known === undefined) {
      kinds.set(name, { code, limit, count: 1, lastAtMs: atMs, lastKeyId: keyId })
      step.entries++
      this.#entries++
      return
    }
    known.count++
    known.lastAtMs = atMs
    known.lastKeyId = keyId
  }

  /** A clock that was set back counts on in the newest. */
  #stepAt(atMs: number): Step {
    const n = Math.floor(atMs / STEP_MS)
    const last = this.#steps.at(-1)
    if (last !== undefined && last.n >= n) return last
    const step: Step = { n, tenants: new Map(), entries: 0 }
    this.#steps.push(step)
    while (this.#steps[0].n <= n - DAY_STEPS || (this.#entries > MOST_ENTRIES && this.#steps.length > 1)) this.#forget()
    return step
  }

  #forget(): void {
    const { n, entries } = this.#steps.shift()!
    this.#entries -= entries
    this.#sinceMs = Math.max(this.#sinceMs, (n + 1) * STEP_MS)
  }

  /** In the last day, by tenant. Each is told by its code, and again by its limit. */
  sums(nowMs: number): ReadonlyMap<TenantId, number> {
    const now = Math.floor(nowMs / STEP_MS)
    const sums = new Map<TenantId, number>()
    for (const { n, tenants } of this.#steps) {
      if (n <= now - DAY_STEPS) continue
      for (const [tenant, kinds] of tenants)
        for (const { limit, count } of kinds.values())
          if (limit === null) sums.set(tenant, (sums.get(tenant) ?? 0) + count)
    }
    return sums
  }

  of(tenant: TenantId, nowMs: number): Refusals {
    const now = Math.floor(nowMs / STEP_MS)
    const kinds = new Map<string, { -readonly [K in keyof RefusalKind]: RefusalKind[K] }>()
    for (const { n, tenants } of this.#steps) {
      if (n <= now - DAY_STEPS) continue
      for (const [name, { code, limit, count, lastAtMs, lastKeyId }] of tenants.get(tenant) ?? []) {
        const before = kinds.get(name) ?? { code, limit, lastHour: 0, lastDay: 0, lastAtMs, lastKeyId }
        const lastHour = before.lastHour + (n > now - HOUR_STEPS ? count : 0)
        kinds.set(name, { ...before, lastHour, lastDay: before.lastDay + count, lastAtMs, lastKeyId })
      }
    }
    // What was told of limits is not to be counted again, by its code alone
    for (const { code, limit, lastHour, lastDay } of kinds.values()) {
      const all = limit === null ? undefined : kinds.get(code)
      if (all === undefined) continue
      all.lastHour -= lastHour
      all.lastDay -= lastDay
    }
    const told = [...kinds.values()].filter(({ lastDay }) => lastDay > 0)
    return { sinceMs: this.#sinceMs, kinds: told.sort((one, other) => other.lastDay - one.lastDay) }
  }
}
