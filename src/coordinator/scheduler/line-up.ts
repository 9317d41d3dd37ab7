/** Ready work, and whose turn it is. */
import type { JobKind } from '../../core/job.ts'
import type { Backlog } from '../../core/ports/operations.ts'
import type { Entry } from './entry.ts'
import type { Fairness } from './fairness.ts'
import { Flow, Line, lineIsBefore, type Tenant } from './flow.ts'
import type { Pauses } from './pauses.ts'
import type { Headroom } from './port.ts'

/** Flows without jobs are kept for what they measured, up to this many: a pool's name may come from clients. */
const MOST_IDLE_FLOWS = 256

const NONE: readonly string[] = []

export class LineUp {
  readonly #fairness: Fairness
  readonly #pauses: Pauses
  #flows: Flow<Entry>[] = []
  /** By pool and model, one a kind. */
  readonly #pools = new Map<string, Map<string, Array<Flow<Entry>>>>()
  #readyPools: string[] = []
  #turns = 0
  #calls = 0

  constructor(fairness: Fairness, pauses: Pauses) {
    this.#fairness = fairness
    this.#pauses = pauses
  }

  flow(pool: string, model: string, kind: JobKind): Flow<Entry> {
    const known = this.#pools
      .get(pool)
      ?.get(model)
      ?.find((flow) => flow.kind === kind)
    if (known !== undefined) return known
    if (this.#flows.length >= MOST_IDLE_FLOWS) this.#dropIdle()
    const flow = new Flow<Entry>(pool, model, kind)
    this.#flows.push(flow)
    const models = this.#pools.get(pool) ?? new Map<string, Array<Flow<Entry>>>()
    this.#pools.set(pool, models.set(model, [...(models.get(model) ?? []), flow]))
    return flow
  }

  /** It is ready. `inFront`: as if it had never been away. */
  stand(entry: Entry, inFront: boolean, now: number): void {
    if (this.#pauses.holdsLane(entry.job)) return
    const { flow, tenant } = entry
    flow.throughput.observe(now, flow.waits)
    let line = tenant.lines.find((known) => known.flow === flow)
    if (line === undefined) {
      line = tenant.lastLine?.flow === flow ? tenant.lastLine : new Line(flow, tenant)
      tenant.lastLine = null
      line.turn = ++this.#turns
      line.paused = this.#pauses.holdsLine(tenant.id, flow.model)
      tenant.lines.push(line)
      if (!line.paused) this.#open(line)
    }
    line.add(entry, inFront)
    if (!line.paused) this.#ready(flow.pool)
  }

  /** It is no longer ready. */
  stepOut(entry: Entry, now: number): void {
    const { line } = entry
    if (line === null) return
    line.flow.throughput.observe(now, line.flow.waits)
    line.remove(entry)
    if (line.size === 0) this.#retire(line)
  }

  /** Jobs that were passed over may be leasable again. */
  rouse(): void {
    for (const flow of this.#flows) if (flow.waits) this.#ready(flow.pool)
  }

  /** What is ready, of each pool and model, and not paused; kinds share what serves them. */
  backlog(): readonly Backlog[] {
    const found = new Map<string, Backlog>()
    for (const flow of this.#flows) {
      if (!flow.waits) continue
      const { pool, model, throughput } = flow
      const { jobs, promptTokens } = flow.open()
      const tokens = Math.round(promptTokens + jobs * throughput.meanOutput)
      const waitMs = throughput.rate === null ? null : Math.round(tokens / throughput.rate)
      const name = JSON.stringify([pool, model])
      const other = found.get(name)
      found.set(name, other === undefined ? { pool, model, jobs, tokens, waitMs } : added(other, jobs, tokens, waitMs))
    }
    return [...found.values()]
  }

  #ready(pool: string): void {
    if (!this.#readyPools.includes(pool)) this.#readyPools.push(pool)
  }

  /** Pools for which something became leasable since the last call. */
  takeReadyPools(): readonly string[] {
    if (this.#readyPools.length === 0) return NONE
    const ready = this.#readyPools
    this.#readyPools = []
    return ready
  }

  /** No time was measured while nothing ran. */
  woke(now: number): void {
    for (const flow of this.#flows) flow.throughput.observe(now, false)
  }

  /** The pauses changed: each line is checked again. */
  reconsider(now: number): void {
    for (const tenant of this.#fairness.tenants()) {
      for (const line of tenant.lines) {
        const paused = this.#pauses.holdsLine(tenant.id, line.flow.model)
        if (paused === line.paused) continue
        line.flow.throughput.observe(now, line.flow.waits)
        line.paused = paused
        if (paused) this.#close(line)
        else {
          this.#open(line)
          this.#ready(line.flow.pool)
        }
      }
    }
  }

  /**
   * Gives up to `max` jobs in fair order to `lease`, each with `headroom`'s consent. What is refused keeps its place: a
   * model's kind, a tenant or a job is then passed over for the rest of this call, and asked about again in the next.
   */
  take(
    pools: readonly string[],
    max: number,
    headroom: Headroom,
    now: number,
    lease: (entry: Entry) => void,
    wait: (entry: Entry) => void,
  ): void {
    const open = this.#flows.filter((flow) => flow.waits && (pools.length === 0 || pools.includes(flow.pool)))
    for (const flow of open) flow.throughput.observe(now, true)
    const call = ++this.#calls
    const parked: Line<Entry>[] = []
    const aside: Array<{ readonly entry: Entry; readonly line: Line<Entry> }> = []
    const heldBack: Array<{ readonly what: Flow<Entry> | Tenant<Entry>; readonly leasedBefore: number }> = []
    let leased = 0
    while (leased < max) {
      const line = next(open, call, parked)
      if (line === null) break
      const entry = line.first()!
      const refusal = headroom(entry.job, entry)
      if (refusal === null) {
        leased++
        this.#fairness.serve(line.tenant, line.flow.floor)
        line.turn = ++this.#turns
        line.remove(entry)
        lease(entry)
      } else {
        wait(entry)
        if (refusal.scope === 'job') {
          line.remove(entry)
          aside.push({ entry, line })
        } else if (refusal.scope === 'tenant') {
          line.tenant.refusedIn = call
          heldBack.push({ what: line.tenant, leasedBefore: leased })
        } else {
          for (let i = open.length - 1; i >= 0; i--) {
            if (open[i].model !== entry.job.model || open[i].kind !== entry.job.kind) continue
            heldBack.push({ what: open.splice(i, 1)[0], leasedBefore: leased })
          }
        }
      }
      if (line.size === 0) park(line, parked)
    }
    for (const { entry, line } of aside.reverse()) line.add(entry, true)
    for (const line of parked) {
      if (line.size > 0) line.flow.enter(line)
      else this.#retire(line)
    }
    for (const { what, leasedBefore } of heldBack) if (leased > leasedBefore) what.floor = this.#fairness.virtual
  }

  #open(line: Line<Entry>): void {
    const { tenant, flow } = line
    if (tenant.active++ === 0) this.#fairness.enter(tenant, this.#lowest())
    flow.enter(line)
  }

  #close(line: Line<Entry>): void {
    line.flow.leave(line)
    if (--line.tenant.active === 0) this.#fairness.leave(line.tenant)
  }

  #retire(line: Line<Entry>): void {
    const { lines } = line.tenant
    lines.splice(lines.indexOf(line), 1)
    line.tenant.lastLine = line
    if (!line.paused) this.#close(line)
  }

  /** The smallest counter of tenants with ready work. */
  #lowest(): number | null {
    let lowest: number | null = null
    for (const flow of this.#flows) {
      const counter = flow.first()?.tenant.counter
      if (counter !== undefined && (lowest === null || counter < lowest)) lowest = counter
    }
    return lowest
  }

  #dropIdle(): void {
    this.#flows = this.#flows.filter((flow) => {
      if (flow.jobs > 0) return true
      const models = this.#pools.get(flow.pool)!
      const others = models.get(flow.model)!.filter((other) => other !== flow)
      if (others.length > 0) models.set(flow.model, others)
      else models.delete(flow.model)
      if (models.size === 0) this.#pools.delete(flow.pool)
      return false
    })
  }
}

const added = (one: Backlog, jobs: number, tokens: number, waitMs: number | null): Backlog => ({
  ...one,
  jobs: one.jobs + jobs,
  tokens: one.tokens + tokens,
  waitMs: one.waitMs === null ? waitMs : Math.max(one.waitMs, waitMs ?? 0),
})

/** Takes the line out of its heap until the call is over. */
function park(line: Line<Entry>, parked: Line<Entry>[]): void {
  if (line.heapAt < 0) return
  line.flow.leave(line)
  parked.push(line)
}

/** The line to be served next, of the open flows. */
function next(open: readonly Flow<Entry>[], call: number, parked: Line<Entry>[]): Line<Entry> | null {
  let best: Line<Entry> | null = null
  for (const flow of open) {
    let line = flow.first()
    while (line !== null && line.tenant.refusedIn === call) {
      park(line, parked)
      line = flow.first()
    }
    if (line !== null && (best === null || lineIsBefore(line, best))) best = line
  }
  return best
}
