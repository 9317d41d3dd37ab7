/**
 * Time of a simulated fleet: events in order of their time, one after the other, each with all that it leads to before
 * the next. A process has a clock of its own; what is due while it is stopped happens when it goes on, and never when
 * it is dead.
 */
import type { Clock } from '../../../src/core/clock.ts'
import type { Random } from '../random.ts'

/** What an event may belong to. */
export class SimProcess {
  readonly name: string
  isDead = false
  /** Stopped, as by SIGSTOP. */
  isPaused = false
  /** Due, and waiting for it to go on. */
  deferred: Event[] = []

  constructor(name: string) {
    this.name = name
  }
}

interface Event {
  at: number
  /** Among those of the same time. */
  order: number
  readonly process: SimProcess | null
  readonly fn: () => void
  isCanceled: boolean
}

const turn = (): Promise<void> => new Promise((done) => setImmediate(done))

export class Timeline {
  /** Ms since the simulation began. */
  now = 0
  /** Events that happened. */
  events = 0
  #failure: { readonly error: unknown } | null = null
  #order = 0
  readonly #heap: Event[] = []

  at(at: number, process: SimProcess | null, fn: () => void): () => void {
    const event: Event = { at: Math.max(at, this.now), order: this.#order++, process, fn, isCanceled: false }
    this.#push(event)
    return () => {
      event.isCanceled = true
    }
  }

  /** Ends the simulation: what was promised does not hold. */
  fail(error: unknown): void {
    this.#failure ??= { error }
  }

  /** Runs what is due until `until`, or until `isOver` after an event. Rejects with the first failure. */
  async run(until: number, isOver: () => boolean = () => false): Promise<void> {
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.at > until) break
      this.#pop()
      const { process } = next
      if (next.isCanceled || process?.isDead === true) continue
      if (process?.isPaused === true) {
        process.deferred.push(next)
        continue
      }
      this.now = next.at
      this.events++
      next.fn()
      await turn()
      if (this.#failure !== null) throw this.#failure.error
      if (isOver()) return
    }
    this.now = until
  }

  pause(process: SimProcess): void {
    process.isPaused = true
  }

  /** What was due meanwhile happens now: timers and messages in the order in which they were due, more or less. */
  resume(process: SimProcess, draw: Random): void {
    process.isPaused = false
    const isShifted = draw.chance(0.5)
    for (const event of process.deferred.splice(0)) {
      event.at = this.now + (isShifted ? event.at / 1e9 : 0)
      event.order = this.#order++
      this.#push(event)
    }
  }

  // ------------------------------------------------------------ a heap

  #push(event: Event): void {
    const heap = this.#heap
    let i = heap.push(event) - 1
    while (i > 0) {
      const above = (i - 1) >> 1
      if (!isBefore(event, heap[above])) break
      heap[i] = heap[above]
      i = above
    }
    heap[i] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let below = 2 * i + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1], heap[below])) below++
      if (!isBefore(heap[below], last)) break
      heap[i] = heap[below]
      i = below
    }
    heap[i] = last
  }
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

/** A machine's clocks: the monotonic one began some time ago, and the wall clock shows anything. */
export function clockOf(timeline: Timeline, process: SimProcess, monoBase: number, wallBase: number): Clock {
  const after = (ms: number, fn: () => void): (() => void) =>
    ms === Infinity ? () => {} : timeline.at(timeline.now + Math.max(0, ms || 0), process, fn)
  return {
    monoMs: () => monoBase + timeline.now,
    wallMs: () => wallBase + timeline.now,
    after,
    soon: (fn) => void after(0, fn),
    every(ms, fn) {
      const again = (): void => {
        cancel = after(Math.max(1, ms), again)
        fn()
      }
      let cancel = after(Math.max(1, ms), again)
      return () => cancel()
    },
  }
}
