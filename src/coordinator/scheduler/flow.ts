/**
 * A flow holds the ready jobs of one pool, model and kind that can go to the same places, so that a model without
 * headroom is skipped at once, however many jobs want it. In a flow each tenant has a line; heaps of lines give the
 * tenant to be served next.
 */
import type { JobKind, Priority, TenantId } from '../../core/job.ts'
import { type Rankable, Ranked } from './ranked.ts'
import { Throughput } from './throughput.ts'

/** What repeats another job's answer needs no deployment: it stands apart from what waits for one. */
export type FlowKind = JobKind | 'repeat'

/** What a line needs of a job. The links are its own. */
export interface Queueable<E extends Queueable<E>> extends Rankable<E> {
  readonly job: { readonly promptTokens: number; readonly priority: Priority }
  /** Order of acceptance. */
  readonly seq: number
  line: Line<E> | null
}

/**
 * One lease of a tenant in this many takes its oldest ready job of any class, so that many `high` ones do not starve
 * `low`.
 */
const AGING = 8
export type Rank = 0 | 1 | 2
export const CLASS: Readonly<Record<Priority, Rank>> = { high: 0, normal: 1, low: 2 }
export const RANKS: readonly Rank[] = [0, 1, 2]

/** Kept forever: only the operator makes tenants, so their number is limited. */
export class Tenant<E extends Queueable<E>> {
  readonly id: TenantId
  /** Breaks ties. */
  readonly order: number
  /** Weighted tokens served ÷ weight. */
  counter = 0
  /** It is lifted to this at its next lease. */
  floor = 0
  /** Its lines with ready jobs, in each flow at most one for those that hold what they weigh, and one for others. */
  readonly lines: Array<Line<E>> = []
  /** The last one that was emptied: most jobs find no other in line, and need it again. */
  lastLine: Line<E> | null = null
  /** Lines that are open. */
  active = 0
  /** The account that it is out of. */
  blockedBy: string | null = null
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

/**
 * One tenant's ready jobs in one flow: three classes, each in the order in which they became ready, so that lanes take
 * turns.
 */
export class Line<E extends Queueable<E>> {
  readonly flow: Flow<E>
  readonly tenant: Tenant<E>
  /** Its jobs hold what they weigh: no account that is used up holds them back. */
  readonly holds: boolean
  size = 0
  promptTokens = 0
  paused = false
  /** The account that its tenant is out of for this model. */
  blockedBy: string | null = null
  /** Is it in the line-up, or held back? */
  isOpen = false
  /** The tenant's counter when last looked at, never above the true one. */
  key = 0
  /** Index in the flow's heap; -1 = not in it. */
  heapAt = -1
  /** When it was created or last served, in turns of the scheduler: lines of one tenant take turns. */
  turn = 0
  /** Created when first used. */
  readonly #classes: Array<Ranked<E> | undefined> = [undefined, undefined, undefined]

  constructor(flow: Flow<E>, tenant: Tenant<E>, holds = false) {
    this.flow = flow
    this.tenant = tenant
    this.holds = holds
  }

  add(entry: E, inFront: boolean): void {
    this.#classes[CLASS[entry.job.priority]] ??= new Ranked<E>()
    const ranked = this.#classes[CLASS[entry.job.priority]]!
    if (inFront) ranked.unshift(entry)
    else ranked.push(entry)
    entry.line = this
    this.#count(entry, 1)
  }

  remove(entry: E): void {
    this.#classes[CLASS[entry.job.priority]]!.remove(entry)
    entry.line = null
    this.#count(entry, -1)
  }

  /** The next job; null when the line is empty. */
  first(): E | null {
    return isAged(this.tenant) ? this.#oldest() : (this.#top()?.head ?? null)
  }

  headOf(rank: Rank): E | null {
    return this.#classes[rank]?.head ?? null
  }

  /** Does this line of a tenant go before another of the same tenant? The better class first, then by turns. */
  goesBefore(other: Line<E>): boolean {
    if (isAged(this.tenant)) return (this.#oldest()?.seq ?? Infinity) < (other.#oldest()?.seq ?? Infinity)
    const [mine, its] = [this.#topClass(), other.#topClass()]
    return mine < its || (mine === its && this.turn < other.turn)
  }

  /** What is ahead of a job of this line: earlier jobs of its class, and all of better classes. Ignores aging. */
  ahead(entry: E): { jobs: number; promptTokens: number } {
    const at = CLASS[entry.job.priority]
    const ahead = this.before(entry.job.priority, false)
    const own = this.#classes[at]!.ahead(entry)
    return { jobs: ahead.jobs + own.jobs, promptTokens: ahead.promptTokens + own.promptTokens }
  }

  /**
   * All of the better classes, with `alike` also of the class itself: what would be ahead of a job that came now.
   */
  before(priority: Priority, alike: boolean): { jobs: number; promptTokens: number } {
    const sum = { jobs: 0, promptTokens: 0 }
    for (let i = 0; i < CLASS[priority] + (alike ? 1 : 0); i++) {
      sum.jobs += this.#classes[i]?.size ?? 0
      sum.promptTokens += this.#classes[i]?.promptTokens ?? 0
    }
    return sum
  }

  #count(entry: E, sign: 1 | -1): void {
    this.size += sign
    this.promptTokens += sign * entry.job.promptTokens
    this.flow.ready += sign
    this.flow.promptTokens += sign * entry.job.promptTokens
  }

  #topClass(): number {
    return this.#classes.findIndex((ranked) => ranked !== undefined && ranked.size > 0)
  }

  #top(): Ranked<E> | undefined {
    return this.#classes.find((ranked) => ranked !== undefined && ranked.size > 0)
  }

  #oldest(): E | null {
    let oldest: E | null = null
    for (const ranked of this.#classes) {
      const head = ranked?.head ?? null
      if (head !== null && (oldest === null || head.seq < oldest.seq)) oldest = head
    }
    return oldest
  }
}

export const isAged = (tenant: { readonly leases: number }): boolean => tenant.leases % AGING === AGING - 1

export class Flow<E extends Queueable<E>> {
  readonly pool: string
  readonly model: string
  readonly kind: FlowKind
  /** Where its jobs can go (SchedulerOptions). */
  readonly places: string
  readonly throughput = new Throughput()
  /** Jobs of it that have not ended. */
  jobs = 0
  /** Of these, those that run. */
  leased = 0
  /** Ready jobs, and their prompt tokens; those held back included. */
  ready = 0
  promptTokens = 0
  /**
   * Counter floor for the tenants of this model. While the model had no headroom, other tenants' counters grew; without
   * the floor its tenants would be served first until they had caught up.
   */
  floor = 0
  /** The lease call in which there was no room for jobs that hold nothing. */
  refusedIn = 0
  readonly #holding = new Heap<E>()
  readonly #others = new Heap<E>()

  constructor(pool: string, model: string, kind: FlowKind, places = '') {
    this.places = places
    this.pool = pool
    this.model = model
    this.kind = kind
  }

  /** Is there work that may be leased? */
  get waits(): boolean {
    return this.tenants > 0
  }

  /** Work waits while some runs: what is achieved now is what can be. Where nothing runs nobody's capacity is seen. */
  get isBusy(): boolean {
    return this.leased > 0 && this.waits
  }

  /** Open lines: one a tenant, or two. */
  get tenants(): number {
    return this.#holding.lines.length + this.#others.lines.length
  }

  /** Of all open lines. */
  open(): { readonly jobs: number; readonly promptTokens: number } {
    const sum = { jobs: 0, promptTokens: 0 }
    for (let i = 0; i < this.tenants; i++) {
      const { size, promptTokens } = this.lineAt(i)
      sum.jobs += size
      sum.promptTokens += promptTokens
    }
    return sum
  }

  /** In no order. */
  lineAt(i: number): Line<E> {
    const { lines } = this.#holding
    return i < lines.length ? lines[i] : this.#others.lines[i - lines.length]
  }

  /** The line to be served next. `onlyHolding`: of those whose jobs hold what they weigh. */
  first(onlyHolding = false): Line<E> | null {
    const holding = this.#holding.first()
    const other = onlyHolding ? null : this.#others.first()
    if (holding === null || other === null) return holding ?? other
    return lineIsBefore(holding, other) ? holding : other
  }

  enter(line: Line<E>): void {
    this.#heapOf(line).enter(line)
  }

  leave(line: Line<E>): void {
    this.#heapOf(line).leave(line)
  }

  /** Its tenant's counter fell. */
  moveUp(line: Line<E>): void {
    this.#heapOf(line).moveUp(line)
  }

  #heapOf({ holds }: Line<E>): Heap<E> {
    return holds ? this.#holding : this.#others
  }
}

/**
 * By (key, tenant), at most one line a tenant. Keys of all but the first may lag behind the counters, which mostly
 * grow.
 */
class Heap<E extends Queueable<E>> {
  readonly lines: Array<Line<E>> = []

  first(): Line<E> | null {
    const heap = this.lines
    if (heap.length === 0) return null
    for (let top = heap[0]; top.key < top.tenant.counter; top = heap[0]) {
      top.key = top.tenant.counter
      this.#down(top)
    }
    return heap[0]
  }

  enter(line: Line<E>): void {
    line.key = line.tenant.counter
    line.heapAt = this.lines.push(line) - 1
    this.#up(line)
  }

  leave(line: Line<E>): void {
    const at = line.heapAt
    if (at < 0) return
    line.heapAt = -1
    const last = this.lines.pop()!
    if (last === line) return
    this.#put(last, at)
    this.#up(last)
    this.#down(last)
  }

  moveUp(line: Line<E>): void {
    if (line.heapAt < 0 || line.key <= line.tenant.counter) return
    line.key = line.tenant.counter
    this.#up(line)
  }

  #put(line: Line<E>, at: number): void {
    this.lines[at] = line
    line.heapAt = at
  }

  #up(line: Line<E>): void {
    let at = line.heapAt
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!keyIsBefore(line, this.lines[parent])) break
      this.#put(this.lines[parent], at)
      at = parent
    }
    this.#put(line, at)
  }

  #down(line: Line<E>): void {
    const heap = this.lines
    let at = line.heapAt
    for (let child = 2 * at + 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && keyIsBefore(heap[child + 1], heap[child])) child++
      if (!keyIsBefore(heap[child], line)) break
      this.#put(heap[child], at)
      at = child
    }
    this.#put(line, at)
  }
}

const keyIsBefore = <E extends Queueable<E>>(a: Line<E>, b: Line<E>): boolean =>
  a.key < b.key || (a.key === b.key && a.tenant.order < b.tenant.order)

/** Is `a` to be served before `b`, two first lines of different flows? A total order. */
export const lineIsBefore = <E extends Queueable<E>>(a: Line<E>, b: Line<E>): boolean =>
  a.tenant === b.tenant
    ? a.goesBefore(b)
    : a.tenant.counter < b.tenant.counter || (a.tenant.counter === b.tenant.counter && a.tenant.order < b.tenant.order)
