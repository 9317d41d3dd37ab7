/**
 * Lanes: strict first in, first out. The head is the one job of its lane that may run; while it is delayed, retried or
 * leased, the lane waits.
 */
import { Table } from '../../core/table.ts'
/** What a lane needs of a job. The links are its own. */
export interface InLane<E extends InLane<E>> {
  readonly lane: Lane<E> | null
  readonly state: string
  laneBefore: E | null
  laneAfter: E | null
}

export class Lane<E extends InLane<E>> {
  readonly name: string
  head: E | null = null
  tail: E | null = null
  size = 0

  constructor(name: string) {
    this.name = name
  }

  /** Jobs in line: all but a running head. */
  get waiting(): number {
    return this.head?.state === 'leased' ? this.size - 1 : this.size
  }
}

export class Lanes<E extends InLane<E>> {
  readonly #lanes = new Table<string, Lane<E>>()

  find(name: string): Lane<E> | undefined {
    return this.#lanes.get(name)
  }

  /** The lane of that name, made when there is none. */
  open(name: string): Lane<E> {
    const known = this.#lanes.get(name)
    if (known !== undefined) return known
    const lane = new Lane<E>(name)
    this.#lanes.set(name, lane)
    return lane
  }

  append(entry: E): void {
    const lane = entry.lane
    if (lane === null) return
    entry.laneBefore = lane.tail
    if (lane.tail === null) lane.head = entry
    else lane.tail.laneAfter = entry
    lane.tail = entry
    lane.size++
  }

  remove(entry: E): void {
    const lane = entry.lane
    if (lane === null) return
    const { laneBefore: before, laneAfter: after } = entry
    if (before === null) lane.head = after
    else before.laneAfter = after
    if (after === null) lane.tail = before
    else after.laneBefore = before
    entry.laneBefore = entry.laneAfter = null
    if (--lane.size === 0) this.#lanes.delete(lane.name)
  }
}
