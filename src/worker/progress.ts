/** Tells how an answer goes on: how much there is, twice a second at most, and when it brings nothing. No clock. */
import { STALL_MS } from '../core/measure.ts'
import type { Meter } from './meter.ts'

/** Progress is told this often, at most. */
const PROGRESS_MS = 500

export type Told =
  | { readonly type: 'attempt-progressed'; readonly tokens: number }
  | { readonly type: 'answer-stalled'; readonly ms: number }
  | { readonly type: 'answer-resumed'; readonly ms: number }

/** `silentMs`, here and below: since text came last. */
export class Progress {
  readonly #meter: Pick<Meter, 'attemptTokens'>
  readonly #tell: (told: Told) => void
  #toldMono = 0
  /** Tokens, as they were told last. */
  #told = 0
  /** Its pause was told, and lasts. */
  #isStalled = false

  constructor(meter: Pick<Meter, 'attemptTokens'>, tell: (told: Told) => void) {
    this.#meter = meter
    this.#tell = tell
  }

  /** More text came; `silentMs` null: the first. `isDocument`: all of it, so that its end is told next. */
  came(now: number, silentMs: number | null, isDocument: boolean): void {
    const isResumed = silentMs !== null && silentMs >= STALL_MS
    if (isResumed) this.#resumed(silentMs)
    if (isResumed || (!isDocument && now - this.#toldMono >= PROGRESS_MS)) this.#tellTokens(now)
  }

  /** From time to time, once text came: one that brings nothing has nobody else to tell of it. */
  look(now: number, silentMs: number): void {
    if (this.#told !== this.#meter.attemptTokens && now - this.#toldMono >= PROGRESS_MS) this.#tellTokens(now)
    if (silentMs >= STALL_MS) this.#stalled(silentMs)
  }

  /** Nothing more comes. */
  ended(silentMs: number | null): void {
    if (this.#isStalled && silentMs !== null) this.#resumed(silentMs)
  }

  get isStalled(): boolean {
    return this.#isStalled
  }

  #tellTokens(now: number): void {
    this.#toldMono = now
    this.#told = this.#meter.attemptTokens
    this.#tell({ type: 'attempt-progressed', tokens: this.#told })
  }

  #stalled(ms: number): void {
    if (this.#isStalled) return
    this.#isStalled = true
    this.#tell({ type: 'answer-stalled', ms })
  }

  #resumed(ms: number): void {
    this.#stalled(ms)
    this.#isStalled = false
    this.#tell({ type: 'answer-resumed', ms })
  }
}
