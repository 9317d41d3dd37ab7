/** Workers, and how many leases each holds. */
import type { WorkerSeat } from '../core/ports/coordinator.ts'

interface Seat extends WorkerSeat {
  /** Leases that are not over. */
  readonly held: number
  /** Until then it comes after the others: it could not run what it was given. */
  readonly lastUntilMono: number
}

export class Seats {
  /** Includes workers that hold adopted leases and have not attached again yet. */
  readonly #seats = new Map<string, WorkerSeat & { held: number; lastUntilMono: number }>()

  attach({ id, pools, slots }: WorkerSeat): void {
    const { held = 0, lastUntilMono = 0 } = this.#seats.get(id) ?? {}
    this.#seats.set(id, { id, pools, slots, held, lastUntilMono })
  }

  /** From now on it gets nothing more. */
  leave(id: string): void {
    const seat = this.#seats.get(id)
    if (seat === undefined) return
    if (seat.held === 0) this.#seats.delete(id)
    else this.attach({ ...seat, slots: 0 })
  }

  take(id: string): void {
    const seat = this.#seats.get(id)
    if (seat === undefined) this.#seats.set(id, { id, pools: [], slots: 0, held: 1, lastUntilMono: 0 })
    else seat.held++
  }

  /** True: it was full, and has room again. */
  giveBack(id: string): boolean {
    const seat = this.#seats.get(id)!
    const wasFull = seat.held-- >= seat.slots
    if (seat.held === 0 && seat.slots === 0) this.#seats.delete(id)
    return wasFull
  }

  /** Others come first until then. */
  last(id: string, untilMono: number): void {
    const seat = this.#seats.get(id)
    if (seat !== undefined) seat.lastUntilMono = untilMono
  }

  /** Of all workers. */
  get slots(): number {
    let slots = 0
    for (const seat of this.#seats.values()) slots += seat.slots
    return slots
  }

  /** Those with room, the least loaded first. */
  free(now: number): readonly Seat[] {
    const isLast = ({ lastUntilMono }: Seat): number => (now < lastUntilMono ? 1 : 0)
    const free = [...this.#seats.values()].filter(({ held, slots }) => held < slots)
    return free.length < 2 ? free : free.sort((a, b) => isLast(a) - isLast(b) || a.held / a.slots - b.held / b.slots)
  }
}
