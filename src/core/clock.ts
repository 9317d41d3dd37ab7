/** The only place that reads time or sets timers. Everything else is handed a Clock. */
export interface Clock {
  /** Wall clock, ms since 1970; only for people and for what outlives the process. May jump. */
  wallMs(): number
  /** Monotonic ms; every order, lease and limit uses this one. */
  monoMs(): number
  /**
   * Calls `fn` once after `ms`, however long; never for Infinity; what is negative or NaN is 0. Returns its cancel.
   * A timer does not keep the process alive.
   */
  after(ms: number, fn: () => void): () => void
  /** Calls `fn` every `ms`, at least 1. Durations as for `after`. Returns its cancel. */
  every(ms: number, fn: () => void): () => void
  /** Calls `fn` at the end of this turn of the event loop. */
  soon(fn: () => void): void
}

/** The longest that setTimeout waits: it fires at once for more. */
const MAX_TIMER_MS = 0x7fffffff

const atLeast0 = (ms: number): number => Math.max(0, ms || 0)

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monoMs: () => performance.now(),
  after(ms, fn) {
    if (ms > MAX_TIMER_MS) return afterLong(ms, fn)
    const timer = setTimeout(fn, atLeast0(ms))
    timer.unref()
    return () => clearTimeout(timer)
  },
  every(ms, fn) {
    if (ms > MAX_TIMER_MS) return everyLong(ms, fn)
    const timer = setInterval(fn, atLeast0(ms))
    timer.unref()
    return () => clearInterval(timer)
  },
  soon: (fn) => void setImmediate(fn),
}

/** One whose wall clock is another's. */
export const withWall = (clock: Clock, wallMs: () => number): Clock => ({
  wallMs,
  monoMs: () => clock.monoMs(),
  after: (ms, fn) => clock.after(ms, fn),
  every: (ms, fn) => clock.every(ms, fn),
  soon: (fn) => clock.soon(fn),
})

/** In steps that setTimeout can wait for. */
function afterLong(ms: number, fn: () => void): () => void {
  if (ms === Infinity) return () => {}
  let cancel = systemClock.after(MAX_TIMER_MS, () => {
    cancel = systemClock.after(ms - MAX_TIMER_MS, fn)
  })
  return () => cancel()
}

function everyLong(ms: number, fn: () => void): () => void {
  let cancel = afterLong(ms, function again() {
    cancel = afterLong(ms, again)
    fn()
  })
  return () => cancel()
}

/** Rejects with the reason of `stopped` as soon as that is aborted. */
export function sleep(clock: Clock, ms: number, stopped?: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    stopped?.throwIfAborted()
    const stop = (): void => {
      cancel()
      fail(stopped?.reason)
    }
    const cancel = clock.after(ms, () => {
      stopped?.removeEventListener('abort', stop)
      done()
    })
    stopped?.addEventListener('abort', stop, { once: true })
  })
}

/**
 * The wheel of the stream path: one 5 ms beat for all streams. On each beat the upstream sockets whose gathering is
 * over are read again; at the end of that turn of the event loop, when they have been read, the log commits what came
 * in and readers are written to. So a gathered token does not wait for another beat. It turns while
 * sockets are left unread.
 */
export class Wheel {
  readonly beatMs: number
  readonly #clock: Clock
  #stop: (() => void) | null = null
  #idleBeats = 0
  readonly #onBeat: Array<() => void> = []
  /** Slot i holds what is due when `#now % slots === i`. */
  readonly #slots: Array<Array<() => void>> = Array.from({ length: 64 }, () => [])
  #now = 0
  #pending = 0

  constructor(clock: Clock, beatMs = 5) {
    this.#clock = clock
    this.beatMs = beatMs
  }

  /** `fn` runs at the end of each beat's turn, in order of registration. */
  onBeat(fn: () => void): void {
    this.#onBeat.push(fn)
  }

  /** Runs `fn` after about `ms` (at most 63 beats). Cannot be canceled: check in `fn`. */
  in(ms: number, fn: () => void): void {
    const beats = Math.min(63, Math.max(1, Math.round(ms / this.beatMs)))
    this.#slots[(this.#now + beats) & 63].push(fn)
    this.#pending++
    this.#idleBeats = 0
    this.#stop ??= this.#clock.every(this.beatMs, () => this.#beat())
  }

  /** Is there a beat to come? */
  get turning(): boolean {
    return this.#stop !== null
  }

  #beat(): void {
    this.#now++
    const slot = this.#slots[this.#now & 63]
    if (slot.length > 0) {
      this.#slots[this.#now & 63] = []
      this.#pending -= slot.length
      for (const fn of slot) fn()
    }
    this.#clock.soon(this.#turned)
  }

  readonly #turned = (): void => {
    for (const fn of this.#onBeat) fn()
    if (this.#pending > 0) this.#idleBeats = 0
    else if (++this.#idleBeats > 20) {
      this.#stop?.()
      this.#stop = null
    }
  }
}
