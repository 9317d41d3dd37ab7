/**
 * What checks tell of a deployment. Two that fail in a row leave it alone as a breaker does, unless it has answered a
 * call meanwhile: what answers is not down. What it has to do beside our calls counts in what is expected of it.
 */
import type { CheckStatus, EngineCheck } from '../../core/engine-check.ts'
import type { Waiting } from './waiting.ts'

/** In a row: one may be an engine that is busy, or a packet that was lost. */
const ENOUGH = 2
/** Figures beyond this are none. */
const MOST_REQUESTS = 100_000

export class Checked implements Waiting {
  readonly seq: number
  /** Since when it is left alone because of them; null: it is not. */
  downMono: number | null = null
  /** Requests there that are not ours: the lesser of the last two counts, as ours come and go while they are made. */
  others = 0
  #counted = 0
  #failures = 0
  /** It was told to be down, and not yet to be back. */
  #isToldDown = false
  #last: EngineCheck | null = null
  #lastMono = 0
  /** When it was last seen to answer a call. */
  #aliveMono = -Infinity
  // Timed: when the last check counts no more
  due = Infinity
  heapAt = -1

  constructor(seq: number) {
    this.seq = seq
  }

  /** `active`: our calls there now. Returns what has changed since that was told last. */
  told(check: EngineCheck, active: number, now: number): 'down' | 'up' | null {
    this.#last = check
    this.#lastMono = now
    this.#count(check, active)
    const isFailed = check.ok === false && this.#aliveMono < now - check.tookMs
    this.#failures = isFailed ? this.#failures + 1 : 0
    if (this.#failures >= ENOUGH) this.downMono ??= now
    else if (!isFailed) this.downMono = null
    const isDown = this.downMono !== null
    if (isDown === this.#isToldDown) return null
    this.#isToldDown = isDown
    return isDown ? 'down' : 'up'
  }

  #count({ running, waiting }: EngineCheck, active: number): void {
    const all = running === null && waiting === null ? 0 : (running ?? 0) + (waiting ?? 0)
    const beside = Math.min(MOST_REQUESTS, Math.max(0, all - active))
    this.others = Math.min(beside, this.#counted)
    this.#counted = beside
  }

  /** A call there was answered, or goes on being. Returns whether it was down until now. */
  answers(now: number): boolean {
    this.#aliveMono = now
    this.#failures = 0
    if (this.downMono === null) return false
    this.downMono = null
    return true
  }

  get untilMono(): number {
    return this.#last === null ? -Infinity : this.#lastMono + this.#last.holdsMs
  }

  /** Nobody has checked it for a while: nothing is known any longer. */
  nextMono(now: number): number {
    if (now < this.untilMono) return this.untilMono
    this.forget()
    return Infinity
  }

  forget(): void {
    this.#last = this.downMono = null
    this.others = this.#counted = this.#failures = 0
    this.#isToldDown = false
  }

  status(now: number): CheckStatus | null {
    if (this.#last === null) return null
    const { ok, why, running, waiting } = this.#last
    return { ok, why, running, waiting, agoMs: now - this.#lastMono, isDown: this.downMono !== null }
  }
}
