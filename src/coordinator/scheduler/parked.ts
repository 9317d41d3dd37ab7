/** Jobs that wait for an account, each alone: closed lines, by flow and by the narrow accounts of their jobs. */
import type { Entry } from './entry.ts'
import { type Flow, Line, RANKS, type Rank, type Tenant } from './flow.ts'
import { type Timed, Timers } from './timers.ts'

/** Not a line of the line-up. */
export class ParkedLine extends Line<Entry> {
  readonly accounts: string
  /** The one that they wait for. */
  account: string
  /** In the order of each class. */
  readonly turns: readonly Turn[]

  constructor(flow: Flow<Entry>, tenant: Tenant<Entry>, accounts: string, account: string) {
    super(flow, tenant)
    this.accounts = accounts
    this.account = account
    this.turns = RANKS.map(() => new Turn(this))
  }
}

/** A line's turn among those of its flow, by its first job of one class: `due` is that job's number. */
class Turn implements Timed {
  readonly line: ParkedLine
  readonly seq = 0
  due = Infinity
  heapAt = -1

  constructor(line: ParkedLine) {
    this.line = line
  }
}

/** What waits for one account in one flow. */
export class ParkedFlow {
  readonly flow: Flow<Entry>
  /** The job that was let out: the others of the flow wait until it is leased, or parked again. */
  out: Entry | null = null
  readonly #turns = RANKS.map(() => new Timers<Turn>())
  #lines = 0

  constructor(flow: Flow<Entry>) {
    this.flow = flow
  }

  get isEmpty(): boolean {
    return this.#lines === 0 && this.out === null
  }

  add(line: ParkedLine): void {
    this.#lines++
    for (const rank of RANKS) this.update(line, rank)
  }

  remove(line: ParkedLine): void {
    this.#lines--
    for (const rank of RANKS) this.#turns[rank].clear(line.turns[rank])
  }

  /** Its first job of this class is another one. */
  update(line: ParkedLine, rank: Rank): void {
    this.#turns[rank].set(line.turns[rank], line.headOf(rank)?.seq ?? Infinity)
  }

  /** The oldest job of this class. */
  first(rank: Rank): Entry | null {
    return this.#turns[rank].first()?.line.headOf(rank) ?? null
  }
}
