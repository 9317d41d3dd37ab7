/**
 * What is used up, and who waits for it: an account blocks a tenant, some of its lines, or single jobs, until there is
 * room again. What is blocked is not asked about in each call.
 */
import { Table } from '../../core/table.ts'
import type { Entry } from './entry.ts'
import { CLASS, type Flow, isAged, type Line, RANKS, type Tenant } from './flow.ts'
import { ParkedFlow, ParkedLine } from './parked.ts'
import { type Timed, Timers } from './timers.ts'

/** Not an account: for what can't start at all as the limits are. */
export const NEVER = ''

/** An account that is used up, or was: some that wait for it may still be there. */
export class Block implements Timed {
  readonly account: string
  readonly seq: number
  readonly tenants: Array<Tenant<Entry>> = []
  readonly lines: Array<Line<Entry>> = []
  /** Nobody may try until there is room. */
  isUsedUp = true
  /** The job that may try next. While there is one the others wait, so that they don't overtake it. */
  out: Entry | null = null
  /** The lease call after which it was let out. */
  outSince = 0
  /** Index among the blocks that have such a job. */
  outAt = -1
  due = Infinity
  heapAt = -1
  #flows: ParkedFlow[] = []
  readonly #byAccounts = new Table<string, ParkedLine[]>()

  constructor(account: string, seq: number) {
    this.account = account
    this.seq = seq
  }

  get isEmpty(): boolean {
    return this.tenants.length === 0 && this.lines.length === 0 && this.#flows.length === 0
  }

  /** Must this job wait, so that it overtakes nobody? */
  holdsUp(entry: Entry): boolean {
    if (entry.outOf !== this.account)
      return this.isUsedUp || this.out !== null || this.#flows.some(({ flow }) => flow === entry.flow)
    const next = this.isUsedUp ? this.next() : null
    return next !== null && isBefore(next, entry)
  }

  /**
   * The next of the parked ones: the better class first, then the older. Where one of its flow is out and could not
   * even try, it would be of no use.
   */
  next(): Entry | null {
    let best: Entry | null = null
    let oldest: Entry | null = null
    for (const flow of this.#flows) {
      if (flow.out !== null) continue
      for (const rank of RANKS) {
        const first = flow.first(rank)
        if (first === null) continue
        if (best === null || isBefore(first, best)) best = first
        if (oldest === null || first.seq < oldest.seq) oldest = first
      }
    }
    return best !== null && isAged(best.tenant) ? oldest : best
  }

  isAwaitedBy(accounts: string, flow: Flow<Entry>): boolean {
    return this.#byAccounts.get(accounts)?.some((line) => line.flow === flow) === true
  }

  /** `accounts`: its narrow ones. `inFront`: it was there before. */
  park(entry: Entry, accounts: string, inFront: boolean): void {
    const { flow, tenant } = entry
    const alike = this.#byAccounts.get(accounts)
    let line = alike?.find((one) => one.flow === flow && one.tenant === tenant)
    if (line === undefined) {
      line = new ParkedLine(flow, tenant, accounts, this.account)
      this.#add(line)
    }
    line.add(entry, inFront)
    this.#flowOf(flow).update(line, CLASS[entry.job.priority])
  }

  /** It is parked here, and leaves. */
  unpark(entry: Entry): void {
    const line = entry.line as ParkedLine
    line.remove(entry)
    if (line.size === 0) this.#remove(line)
    else this.#flowOf(line.flow).update(line, CLASS[entry.job.priority])
  }

  /** All leave. */
  empty(): Entry[] {
    const entries: Entry[] = []
    for (const lines of this.#byAccounts.values())
      for (const line of [...lines])
        for (let entry = line.first(); entry !== null; entry = line.first()) {
          this.unpark(entry)
          entries.push(entry)
        }
    return entries
  }

  /** Those that have the same accounts as one that another account holds back wait for that one too. */
  takeOver(from: Block, accounts: string): void {
    for (const line of [...(from.#byAccounts.get(accounts) ?? [])]) {
      from.#remove(line)
      line.account = this.account
      this.#add(line)
    }
  }

  // ------------------------------------------------------------ those that are let out

  letOut(entry: Entry, call: number): void {
    this.unpark(entry)
    this.#flowOf(entry.flow).out = entry
    this.out = entry
    this.outSince = call
    entry.outOf = this.account
  }

  /** Those that are let out: at most one a flow. */
  mayTry(): readonly Entry[] {
    return this.#flows.flatMap(({ out }) => out ?? [])
  }

  takeBack(entry: Entry): void {
    const flow = this.#flowOf(entry.flow)
    flow.out = null
    this.#drop(flow)
    if (this.out === entry) this.out = null
    entry.outOf = null
  }

  // ------------------------------------------------------------ its lines

  #flowOf(flow: Flow<Entry>): ParkedFlow {
    const known = this.#flows.find((one) => one.flow === flow)
    if (known !== undefined) return known
    const parked = new ParkedFlow(flow)
    this.#flows.push(parked)
    return parked
  }

  #drop(flow: ParkedFlow): void {
    if (flow.isEmpty) this.#flows = this.#flows.filter((one) => one !== flow)
  }

  #add(line: ParkedLine): void {
    this.#flowOf(line.flow).add(line)
    const alike = this.#byAccounts.get(line.accounts)
    if (alike === undefined) this.#byAccounts.set(line.accounts, [line])
    else alike.push(line)
  }

  #remove(line: ParkedLine): void {
    const flow = this.#flowOf(line.flow)
    flow.remove(line)
    this.#drop(flow)
    const alike = this.#byAccounts.get(line.accounts)!
    if (alike.length === 1) this.#byAccounts.delete(line.accounts)
    else alike.splice(alike.indexOf(line), 1)
  }
}

const isBefore = (a: Entry, b: Entry): boolean =>
  CLASS[a.job.priority] === CLASS[b.job.priority] ? a.seq < b.seq : CLASS[a.job.priority] < CLASS[b.job.priority]

export class Blocks {
  readonly #byAccount = new Table<string, Block>()
  readonly #timers = new Timers<Block>()
  #made = 0

  get(account: string): Block | undefined {
    return this.#byAccount.get(account)
  }

  /** There is no room before `untilMono`, unless something is given back. */
  of(account: string, untilMono: number): Block {
    const block = this.#byAccount.get(account) ?? new Block(account, ++this.#made)
    this.#byAccount.set(account, block)
    block.isUsedUp = true
    this.#timers.set(block, untilMono)
    return block
  }

  all(): readonly Block[] {
    return [...this.#byAccount.values()]
  }

  nextAt(): number {
    return this.#timers.next()
  }

  /** One for which there may be room by now; no longer timed. */
  shift(now: number): Block | null {
    return this.#timers.shift(now)
  }

  /** There may be room. */
  open(block: Block): void {
    block.isUsedUp = false
    this.#timers.clear(block)
  }

  /** If nobody waits for it any more. */
  forget(block: Block): void {
    if (!block.isEmpty) return
    this.#timers.clear(block)
    this.#byAccount.delete(block.account)
  }
}
