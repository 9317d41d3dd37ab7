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

export const sleep = (clock: Clock, ms: number): Promise<void> => new Promise((done) => clock.after(ms, done))

/** The farthest that something may be due, beats; and slots enough that none is used twice. */
const MAX_BEATS = 63
const SLOTS = 128

/**
 * The wheel of the stream path: one 5 ms beat for all streams, kept where something is due. On a beat the upstream
 * sockets whose gathering is over are read again; at the end of that turn of the event loop, when they have been read,
 * the log commits what came in and readers are written to. So a gathered token does not wait for another beat.
 */
export class Wheel {
  readonly beatMs: number
  readonly #clock: Clock
  readonly #onBeat: Array<() => void> = []
  #afterReads: Array<() => void> = []
  /** What is due on beat n is in slot n modulo their number. */
  readonly #slots: Array<Array<() => void>> = Array.from({ length: SLOTS }, () => [])
  #pending = 0
  /** The last beat that was kept, and when. */
  #beat = 0
  #beatMono = 0
  /** The next one; 0: none is due. */
  #next = 0
  #cancel: () => void = () => {}
  /** The turn of a beat is not over. */
  #isReading = false

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
    const now = this.#now()
    this.#put(now + this.#beats(ms), now, fn)
  }

  /** Runs `fn` after at most about `ms`, on the beat of all others that ask for the same `ms`. */
  together(ms: number, fn: () => void): void {
    const now = this.#now()
    const every = this.#beats(ms)
    this.#put(now - (now % every) + every, now, fn)
  }

  /** On a beat: runs `fn` in its turn's end, before `onBeat`, when sockets have been read. */
  afterReads(fn: () => void): void {
    this.#afterReads.push(fn)
  }

  /** Does a beat's turn end within so many beats? */
  isDueIn(beats: number): boolean {
    return this.#isReading || (this.#next > 0 && this.#next - this.#now() <= beats)
  }

  #beats(ms: number): number {
    return Math.min(MAX_BEATS, Math.max(1, Math.round(ms / this.beatMs)))
  }

  /** The number of the beat that it is. A beat that is late comes all the same before those that follow it. */
  #now(): number {
    const nowMono = this.#clock.monoMs()
    if (this.#next === 0) this.#beatMono = nowMono
    const passed = Math.floor((nowMono - this.#beatMono) / this.beatMs)
    return this.#next === 0 ? this.#beat : Math.min(this.#beat + passed, this.#next - 1)
  }

  #put(beat: number, now: number, fn: () => void): void {
    this.#slots[beat % SLOTS].push(fn)
    this.#pending++
    if (this.#next > 0 && this.#next <= beat) return
    this.#cancel()
    this.#wait(beat, now)
  }

  #wait(beat: number, now: number): void {
    this.#next = beat
    this.#cancel = this.#clock.after((beat - now) * this.beatMs, this.#keep)
  }

  readonly #keep = (): void => {
    const beat = this.#next
    const due = this.#slots[beat % SLOTS]
    this.#slots[beat % SLOTS] = []
    this.#pending -= due.length
    this.#beat = beat
    this.#beatMono = this.#clock.monoMs()
    this.#next = 0
    if (this.#pending > 0) {
      let next = beat + 1
      while (this.#slots[next % SLOTS].length === 0) next++
      this.#wait(next, beat)
    }
    this.#isReading = true
    for (const fn of due) fn()
    this.#clock.soon(this.#endTurn)
  }

  readonly #endTurn = (): void => {
    this.#isReading = false
    const afterReads = this.#afterReads
    this.#afterReads = []
    for (const fn of afterReads) fn()
    for (const fn of this.#onBeat) fn()
  }
}
