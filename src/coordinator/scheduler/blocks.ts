/**
 * What is used up, and who waits for it: an account blocks a tenant, some of its lines, or single jobs, until there is
 * room again. What is blocked is not asked about in each call.
 */
import { Table } from '../../core/table.ts'
import type { Entry } from './entry.ts'
import { CLASS, Line, type Tenant } from './flow.ts'
import { type Timed, Timers } from './timers.ts'

/** Not an account: for what can't start at all as the limits are. */
export const NEVER = ''

/** An account that is used up. */
export class Block implements Timed {
  readonly account: string
  readonly seq: number
  readonly tenants: Array<Tenant<Entry>> = []
  readonly lines: Array<Line<Entry>> = []
  /** Single jobs that wait for it, by flow and by their narrow accounts; closed lines. */
  readonly parked: Array<Line<Entry>> = []
  /** The job that may try next. While there is one the others wait, so that they don't overtake it. */
  out: Entry | null = null
  due = Infinity
  heapAt = -1

  constructor(account: string, seq: number) {
    this.account = account
    this.seq = seq
  }

  get isEmpty(): boolean {
    return this.tenants.length === 0 && this.lines.length === 0 && this.parked.length === 0 && this.out === null
  }

  /** The next of the parked ones: the better class first, then the older. */
  next(): Entry | null {
    let best: Entry | null = null
    for (const line of this.parked) {
      const first = line.first()!
      if (best === null || isBefore(first, best)) best = first
    }
    return best
  }

  /** The closed line for parked jobs of this one's flow, whose accounts are the same. */
  lineOf({ flow, tenant }: Entry, accounts: string): Line<Entry> {
    const known = this.parked.find(
      (line) => line.flow === flow && line.tenant === tenant && line.parkedFor === accounts,
    )
    if (known !== undefined) return known
    const line = new Line(flow, tenant)
    line.parkedBy = this.account
    line.parkedFor = accounts
    this.parked.push(line)
    return line
  }

  /** Those that have the same accounts as one that another account holds back wait for that one too. */
  takeOver(from: Block, accounts: string): void {
    for (const line of from.parked.filter(({ parkedFor }) => parkedFor === accounts)) {
      from.parked.splice(from.parked.indexOf(line), 1)
      line.parkedBy = this.account
      this.parked.push(line)
    }
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

  disarm(block: Block): void {
    this.#timers.clear(block)
  }

  /** If nobody waits for it any more. */
  forget(block: Block): void {
    if (!block.isEmpty) return
    this.#timers.clear(block)
    this.#byAccount.delete(block.account)
  }
}
