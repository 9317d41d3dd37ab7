/**
 * Lanes: strict first in, first out. The head is the one job of its lane that may run; while it is delayed, retried or
 * leased, the lane waits.
 */
import type { Entry } from './entry.ts'

export class Lane {
  readonly name: string
  head: Entry | null = null
  tail: Entry | null = null
  size = 0

  constructor(name: string) {
    this.name = name
  }

  /** Jobs in line: all but a running head. */
  get waiting(): number {
    return this.head?.state === 'leased' ? this.size - 1 : this.size
  }
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>()

  find(name: string): Lane | undefined {
    return this.#lanes.get(name)
  }

  /** The lane of that name, made when there is none. */
  open(name: string): Lane {
    const known = this.#lanes.get(name)
    if (known !== undefined) return known
    const lane = new Lane(name)
    this.#lanes.set(name, lane)
    return lane
  }

  append(entry: Entry): void {
    const lane = entry.lane
    if (lane === null) return
    entry.laneBefore = lane.tail
    if (lane.tail === null) lane.head = entry
    else lane.tail.laneAfter = entry
    lane.tail = entry
    lane.size++
  }

  remove(entry: Entry): void {
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
