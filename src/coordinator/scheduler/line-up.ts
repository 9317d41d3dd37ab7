/** Ready work, and whose turn it is. */
import type { FailedAt, ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Backlog } from '../../core/ports/operations.ts'
import { Slots } from '../../core/table.ts'
import { type Block, Blocks, NEVER } from './blocks.ts'
import type { Entry } from './entry.ts'
import type { Fairness } from './fairness.ts'
import { Flow, type FlowKind, Line, lineIsBefore, type Tenant } from './flow.ts'
import { ParkedLine } from './parked.ts'
import type { Pauses } from './pauses.ts'
import type { Headroom, HeadroomRefusal, SchedulerOptions } from './port.ts'

/** Flows without jobs are kept for what they measured, up to this many: a pool's name may come from clients. */
const MOST_IDLE_FLOWS = 256

/** Jobs that one call parks at most: each costs a look at its limits, and the event loop is to be free again. */
const MOST_PARKED = 500

/** Of one pool and model. What can go to others still stands together, and is held up by the same tenant's alone. */
const MOST_PLACES = 64
const MIXED = '*'

const NONE: readonly string[] = []
const NOWHERE: FailedAt = []

export class LineUp {
  readonly #fairness: Fairness
  readonly #pauses: Pauses
  #flows: Flow<Entry>[] = []
  /** By pool and model, one a kind. */
  readonly #pools = new Map<string, Map<string, Array<Flow<Entry>>>>()
  readonly #blocks = new Blocks()
  /** Those with a job that may try next. */
  readonly #trying = new Slots<Block>()
  readonly #narrow: NonNullable<SchedulerOptions['narrow']>
  readonly #places: NonNullable<SchedulerOptions['places']>
  #readyPools: string[] = []
  #turns = 0
  #calls = 0

  constructor(
    fairness: Fairness,
    pauses: Pauses,
    { narrow = () => NONE, places = () => '' }: Pick<SchedulerOptions, 'narrow' | 'places'> = {},
  ) {
    this.#fairness = fairness
    this.#pauses = pauses
    this.#narrow = narrow
    this.#places = places
  }

  /** Where a job stands. */
  flowOf(job: ScheduledJob, repeats: boolean, failedAt: FailedAt = NOWHERE): Flow<Entry> {
    const { pool, model, kind } = job
    return repeats ? this.#flow(pool, model, 'repeat', '') : this.#flow(pool, model, kind, this.#places(job, failedAt))
  }

  /** One that is not in line may stand elsewhere now. */
  regroup(entry: Entry): void {
    const flow = this.flowOf(entry.job, entry.repeats, entry.failedAt)
    entry.flow.jobs--
    flow.jobs++
    entry.flow = flow
  }

  #flow(pool: string, model: string, kind: FlowKind, places: string): Flow<Entry> {
    const alike = this.#pools.get(pool)?.get(model) ?? []
    const known = alike.find((flow) => flow.kind === kind && flow.places === places)
    if (known !== undefined) return known
    if (places !== MIXED && alike.length > MOST_PLACES) {
      this.#dropIdle()
      const left = this.#pools.get(pool)?.get(model)?.length ?? 0
      if (left > MOST_PLACES) return this.#flow(pool, model, kind, MIXED)
    }
    if (this.#flows.length >= MOST_IDLE_FLOWS) this.#dropIdle()
    const flow = new Flow<Entry>(pool, model, kind, places)
    this.#flows.push(flow)
    const models = this.#pools.get(pool) ?? new Map<string, Array<Flow<Entry>>>()
    this.#pools.set(pool, models.set(model, [...(models.get(model) ?? []), flow]))
    return flow
  }

  /** It is ready. `inFront`: as if it had never been away. */
  stand(entry: Entry, inFront: boolean, now: number): void {
    if (this.#pauses.holdsLane(entry.job)) return
    const { flow, tenant } = entry
    flow.throughput.observe(now, flow.isBusy)
    const holds = entry.hold !== null
    const isIts = (known: Line<Entry>): boolean => known.flow === flow && known.holds === holds
    let line = tenant.lines.find(isIts)
    if (line === undefined) {
      const { lastLine } = tenant
      line = lastLine !== null && isIts(lastLine) ? lastLine : new Line(flow, tenant, holds)
      tenant.lastLine = null
      line.turn = ++this.#turns
      line.paused = this.#pauses.holdsLine(tenant.id, flow.model)
      line.blockedBy = holds ? null : (tenant.lines.find(isBlockedFor(flow.model))?.blockedBy ?? null)
      if (line.blockedBy !== null) this.#blocks.get(line.blockedBy)!.lines.push(line)
      tenant.lines.push(line)
      if (mayOpen(line)) this.#open(line)
    }
    line.add(entry, inFront)
    if (line.isOpen) this.#ready(flow.pool)
  }

  /** It is no longer ready. */
  stepOut(entry: Entry, now: number): void {
    const { line } = entry
    if (line === null) return
    line.flow.throughput.observe(now, line.flow.isBusy)
    if (line instanceof ParkedLine) {
      const block = this.#blocks.get(line.account)!
      block.unpark(entry)
      this.#blocks.forget(block)
      return
    }
    line.remove(entry)
    if (line.size === 0) this.#retire(line)
    if (entry.outOf !== null) this.#letOut(this.#takeBack(entry), now)
  }

  /** Jobs that were passed over may be leasable again. */
  rouse(): void {
    for (const flow of this.#flows) if (flow.waits) this.#ready(flow.pool)
  }

  /** What is ready, of each pool and model, and not paused; kinds share what serves them. */
  backlog(): readonly Backlog[] {
    const found = new Map<string, Backlog>()
    for (const flow of this.#flows) {
      if (!flow.waits || flow.kind === 'repeat') continue
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

  /** Whose turn it is, wherever there is room. */
  next(): Entry | null {
    let best: Line<Entry> | null = null
    for (const flow of this.#flows) {
      const line = flow.first()
      if (line !== null && (best === null || lineIsBefore(line, best))) best = line
    }
    return best?.first() ?? null
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
        line.paused = this.#pauses.holdsLine(tenant.id, line.flow.model)
        this.#update(line, now)
      }
    }
  }

  // ------------------------------------------------------------ what is used up

  /** Something was given back there. */
  freed(account: string, now: number): void {
    const block = this.#blocks.get(account)
    if (block !== undefined) this.#unblock(block, now)
  }

  /** All that waits may try again, in its order. */
  limitsChanged(now: number): void {
    for (const block of this.#blocks.all())
      if (block.account === NEVER) this.#recall(block, now)
      else this.#unblock(block, now)
  }

  tick(now: number): void {
    for (let due = this.#blocks.shift(now); due !== null; due = this.#blocks.shift(now)) this.#unblock(due, now)
  }

  nextAt(): number {
    return this.#blocks.nextAt()
  }

  /** -Infinity: it is not held back by an account. */
  blockedUntil({ line, tenant }: Entry): number {
    const account = line instanceof ParkedLine ? line.account : (line?.blockedBy ?? tenant.blockedBy)
    const block = account === null ? undefined : this.#blocks.get(account)
    return block === undefined || block.heapAt < 0 ? -Infinity : block.due
  }

  /** `parked`: the lines that `take` looks after. */
  #block(
    entry: Entry,
    line: Line<Entry>,
    { scope, blocked }: HeadroomRefusal,
    now: number,
    parked: readonly Line<Entry>[],
  ): void {
    const block = this.#blocks.of(blocked!.account, blocked!.untilMono)
    const { tenant } = line
    if (scope === 'job') {
      const from = entry.outOf === null ? null : this.#takeBack(entry)
      this.#park(entry, line, block, from !== null)
      if (from !== null && from !== block) {
        if (blocked!.alone !== true) this.#takeOver(block, from, this.#narrowOf(entry), parked)
        this.#letOut(from, now)
      }
    } else if (scope === 'tenant') {
      tenant.blockedBy = block.account
      block.tenants.push(tenant)
      for (const one of tenant.lines) this.#update(one, now)
    } else
      for (const one of tenant.lines) {
        if (one.flow.model !== line.flow.model || one.blockedBy !== null || one.holds) continue
        one.blockedBy = block.account
        block.lines.push(one)
        this.#update(one, now)
      }
  }

  /**
   * Those that have the same accounts as one that `block` holds back wait for that one too. Those of other flows that
   * may try, and found no room elsewhere, come first: later ones would overtake them.
   */
  #takeOver(block: Block, from: Block, accounts: string, parked: readonly Line<Entry>[]): void {
    block.takeOver(from, accounts)
    for (const entry of from.mayTry()) {
      if (this.#narrowOf(entry) !== accounts) continue
      const line = entry.line!
      this.#takeBack(entry)
      this.#park(entry, line, block, true)
      if (line.size === 0 && !parked.includes(line)) this.#retire(line)
    }
  }

  /** It can't start: it waits alone, so that it is in nobody's way. */
  #setAside(entry: Entry, line: Line<Entry>, now: number): void {
    const from = entry.outOf === null ? null : this.#takeBack(entry)
    line.remove(entry)
    this.#blocks.of(NEVER, Infinity).park(entry, NEVER, false)
    if (from !== null) this.#letOut(from, now)
  }

  #recall(aside: Block, now: number): void {
    const entries = aside.empty()
    this.#blocks.forget(aside)
    for (const entry of entries.sort((a, b) => b.seq - a.seq)) this.stand(entry, true, now)
  }

  /** All that it held back may try again; of the parked jobs one at a time, as the next may have no room. */
  #unblock(block: Block, now: number): void {
    this.#blocks.open(block)
    const { tenants, lines } = block
    for (const tenant of tenants.splice(0)) {
      tenant.blockedBy = null
      for (const line of tenant.lines) this.#update(line, now)
    }
    for (const line of lines.splice(0)) {
      line.blockedBy = null
      this.#update(line, now)
    }
    this.#letOut(block, now)
  }

  /** `inFront`: it was there before. */
  #park(entry: Entry, line: Line<Entry>, block: Block, inFront: boolean): void {
    line.remove(entry)
    block.park(entry, this.#narrowOf(entry), inFront)
  }

  #narrowOf(entry: Entry): string {
    return this.#narrow(entry.job, entry).join('\n')
  }

  /**
   * The next one may try. One whose line is closed can't: it keeps its place there, and the next of another flow, where
   * it is in nobody's way, may try instead.
   */
  #letOut(block: Block, now: number): void {
    while (block.out === null && !block.isUsedUp) {
      const entry = block.next()
      if (entry === null) break
      block.letOut(entry, this.#calls)
      this.stand(entry, true, now)
      if (entry.line?.isOpen !== true) block.out = null
    }
    if (block.out === null) this.#trying.delete(block.outAt, block)
    else if (this.#trying.get(block.outAt) !== block) block.outAt = this.#trying.add(block)
    this.#blocks.forget(block)
  }

  /** Those that may try next and were not even asked in this call, where all were who could be. */
  #passOver(call: number, now: number): void {
    for (const block of [...this.#trying]) {
      if (block.outSince >= call) continue
      block.out = null
      this.#letOut(block, now)
    }
  }

  #takeBack(entry: Entry): Block {
    const block = this.#blocks.get(entry.outOf!)!
    block.takeBack(entry)
    if (block.out === null) this.#trying.delete(block.outAt, block)
    return block
  }

  /**
   * The account for which others of its kind wait already, and which it must not overtake: that of those with the same
   * accounts, if they wait for one.
   */
  #waitsBehind(entry: Entry): Block | null {
    const accounts = entry.outOf === null ? this.#narrow(entry.job, entry) : [entry.outOf]
    let first: Block | null = null
    for (const account of accounts) {
      const block = this.#blocks.get(account)
      if (block?.holdsUp(entry) !== true) continue
      if (accounts.length === 1 || this.#hasAlike(block, entry)) return block
      first ??= block
    }
    return first
  }

  #hasAlike(block: Block, entry: Entry): boolean {
    const accounts = this.#narrowOf(entry)
    return (
      block.isAwaitedBy(accounts, entry.flow) ||
      block.mayTry().some((other) => other.flow === entry.flow && this.#narrowOf(other) === accounts)
    )
  }

  /** It is open if nothing holds it back. */
  #update(line: Line<Entry>, now: number): void {
    const isToOpen = mayOpen(line)
    if (isToOpen === line.isOpen) return
    line.flow.throughput.observe(now, line.flow.isBusy)
    if (isToOpen) {
      this.#open(line)
      this.#ready(line.flow.pool)
    } else this.#close(line)
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
    for (const flow of open) flow.throughput.observe(now, flow.isBusy)
    const call = ++this.#calls
    const parked: Line<Entry>[] = []
    const astray: Entry[] = []
    const aside: Array<{ readonly entry: Entry; readonly line: Line<Entry> }> = []
    const heldBack: Array<{ readonly what: Flow<Entry> | Tenant<Entry>; readonly leasedBefore: number }> = []
    let leased = 0
    let waiting = 0
    let isThrough = false
    while (leased < max && waiting < MOST_PARKED) {
      const line = next(open, call, parked)
      isThrough = line === null
      if (line === null) break
      const entry = line.first()!
      const behind = this.#waitsBehind(entry)
      const refusal = behind === null ? headroom(entry.job, entry) : null
      if (behind !== null) {
        wait(entry)
        waiting++
        const wasOut = entry.outOf !== null
        if (wasOut) this.#takeBack(entry)
        this.#park(entry, line, behind, wasOut)
      } else if (refusal === null) {
        leased++
        this.#fairness.serve(line.tenant, line.flow.floor)
        line.turn = ++this.#turns
        line.remove(entry)
        const block = entry.outOf === null ? null : this.#takeBack(entry)
        lease(entry)
        if (block !== null) this.#letOut(block, now)
      } else {
        wait(entry)
        if (refusal.scope === 'never') {
          waiting++
          this.#setAside(entry, line, now)
        } else if (refusal.blocked !== undefined) {
          if (refusal.scope === 'job') waiting++
          else heldBack.push({ what: line.tenant, leasedBefore: leased })
          this.#block(entry, line, refusal, now, parked)
        } else if (refusal.scope === 'job') {
          line.remove(entry)
          aside.push({ entry, line })
        } else if (refusal.scope === 'tenant') {
          line.tenant.refusedIn = call
          heldBack.push({ what: line.tenant, leasedBefore: leased })
        } else if (refusal.scope === 'line' || (refusal.scope === 'places' && line.flow.places === MIXED)) {
          park(line, parked)
        } else if (refusal.scope === 'places') {
          if (this.#isAstray(entry)) {
            waiting++
            line.remove(entry)
            astray.push(entry)
          } else {
            heldBack.push({ what: line.flow, leasedBefore: leased })
            open.splice(open.indexOf(line.flow), 1)
          }
        } else {
          for (let i = open.length - 1; i >= 0; i--) {
            const flow = open[i]
            if (flow.model !== line.flow.model || flow.kind !== line.flow.kind) continue
            heldBack.push({ what: flow, leasedBefore: leased })
            if (refusal.scope === 'weight') flow.refusedIn = call
            else open.splice(i, 1)
          }
        }
      }
      if (line.size === 0) park(line, parked)
    }
    for (const { entry, line } of aside.reverse()) line.add(entry, true)
    for (const line of parked) {
      if (line.size === 0) this.#retire(line)
      else if (line.isOpen) line.flow.enter(line)
    }
    for (const { what, leasedBefore } of heldBack) if (leased > leasedBefore) what.floor = this.#fairness.virtual
    for (const entry of astray.reverse()) {
      const block = entry.outOf === null ? null : this.#takeBack(entry)
      this.regroup(entry)
      this.stand(entry, true, now)
      if (block !== null) this.#letOut(block, now)
    }
    if (isThrough) this.#passOver(call, now)
    else if (waiting >= MOST_PARKED) this.rouse()
  }

  /** Other settings since it came in line, or a failure: it can go to others now. */
  #isAstray({ job, failedAt, flow }: Entry): boolean {
    return this.#places(job, failedAt) !== flow.places
  }

  #open(line: Line<Entry>): void {
    const { tenant, flow } = line
    if (tenant.active++ === 0) this.#fairness.enter(tenant, this.#lowest())
    line.isOpen = true
    flow.enter(line)
  }

  #close(line: Line<Entry>): void {
    line.flow.leave(line)
    line.isOpen = false
    if (--line.tenant.active === 0) this.#fairness.leave(line.tenant)
  }

  #retire(line: Line<Entry>): void {
    remove(line.tenant.lines, line)
    line.tenant.lastLine = line
    if (line.isOpen) this.#close(line)
    if (line.blockedBy === null) return
    const block = this.#blocks.get(line.blockedBy)!
    remove(block.lines, line)
    this.#blocks.forget(block)
    line.blockedBy = null
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

const mayOpen = ({ paused, holds, blockedBy, tenant }: Line<Entry>): boolean =>
  !paused && (holds || (blockedBy === null && tenant.blockedBy === null))

const isBlockedFor =
  (model: string) =>
  ({ blockedBy, flow }: Line<Entry>): boolean =>
    blockedBy !== null && flow.model === model

function remove<T>(from: T[], one: T): void {
  from.splice(from.indexOf(one), 1)
}

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
    const onlyHolding = flow.refusedIn === call
    let line = flow.first(onlyHolding)
    while (line !== null && line.tenant.refusedIn === call) {
      park(line, parked)
      line = flow.first(onlyHolding)
    }
    if (line !== null && (best === null || lineIsBefore(line, best))) best = line
  }
  return best
}
