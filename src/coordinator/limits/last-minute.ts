/**
 * What was used in the last 60 s, as providers count it, and a little before: a call is counted when it is decided on,
 * and at its provider when it arrives, which on a busy machine is later for some than for others. Not a leaking bucket:
 * whatever its burst and its rate, one that lets a minute's worth in at once lets twice as much in within a minute, and
 * one that never does leaves a share of the minute unused, or refuses requests that are heavier than that share. Half a
 * second counts as one. Pure.
 */
const SLOT_MS = 500
const WINDOW_MS = 60_000
/** So much later than others may a call arrive: a fortieth of what could be used is not. */
const ARRIVAL_MS = 1_500
/** The present one included. */
const SLOTS = (WINDOW_MS + ARRIVAL_MS) / SLOT_MS + 1

export class LastMinute {
  readonly #slots = new Float64Array(SLOTS)
  /** The newest slot: half seconds of the monotonic clock. */
  #at = -Infinity
  #sum = 0

  used(now: number): number {
    this.#pass(now)
    return this.#sum
  }

  /** Negative: it was not used after all. `slot`: as `slotOf` told when it was counted; one that is over is left. */
  add(amount: number, now: number, slot = slotOf(now)): void {
    this.#pass(now)
    if (slot <= this.#at - SLOTS) return
    this.#slots[indexOf(slot)] += amount
    this.#sum += amount
  }

  /** How long until `amount` of it is no longer counted, ms; Infinity: there is not as much. */
  freedInMs(amount: number, now: number): number {
    this.#pass(now)
    if (amount <= 0) return 0
    let left = amount
    for (let slot = this.#at - SLOTS + 1; slot <= this.#at; slot++) {
      left -= this.#slots[indexOf(slot)]
      if (left <= 0) return (slot + SLOTS) * SLOT_MS - now
    }
    return Infinity
  }

  #pass(now: number): void {
    const at = slotOf(now)
    if (at <= this.#at) return
    if (at - this.#at >= SLOTS) {
      this.#slots.fill(0)
      this.#sum = 0
    } else
      for (let slot = this.#at + 1; slot <= at; slot++) {
        this.#sum -= this.#slots[indexOf(slot)]
        this.#slots[indexOf(slot)] = 0
      }
    this.#at = at
  }
}

export const slotOf = (now: number): number => Math.floor(now / SLOT_MS)

/** Monotonic times may be negative. */
const indexOf = (slot: number): number => ((slot % SLOTS) + SLOTS) % SLOTS
