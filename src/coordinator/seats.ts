/** Workers, and how many leases each holds. */
import type { WorkerSeat } from '../core/ports/coordinator.ts'

interface Seat extends WorkerSeat {
  /** Leases that are not over. */
  readonly held: number
}

export class Seats {
  /** Includes workers that hold adopted leases and have not attached again yet. */
  readonly #seats = new Map<string, WorkerSeat & { held: number }>()

  attach({ id, pools, slots }: WorkerSeat): void {
    this.#seats.set(id, { id, pools, slots, held: this.#seats.get(id)?.held ?? 0 })
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
    if (seat === undefined) this.#seats.set(id, { id, pools: [], slots: 0, held: 1 })
    else seat.held++
  }

  /** True: it was full, and has room again. */
  giveBack(id: string): boolean {
    const seat = this.#seats.get(id)!
    const wasFull = seat.held-- >= seat.slots
    if (seat.held === 0 && seat.slots === 0) this.#seats.delete(id)
    return wasFull
  }

  /** Of all workers. */
  get slots(): number {
    let slots = 0
    for (const seat of this.#seats.values()) slots += seat.slots
    return slots
  }

  /** Those with room, the least loaded first. */
  free(): readonly Seat[] {
    const free = [...this.#seats.values()].filter(({ held, slots }) => held < slots)
    return free.length < 2 ? free : free.sort((a, b) => a.held / a.slots - b.held / b.slots)
  }
}
