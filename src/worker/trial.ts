/**
 * The beginning of an answer, held back until its upstream has shown that it is fast enough: until then a slow one can
 * be left for another without any reader noticing.
 */
import type { Clock } from '../core/clock.ts'
import { textBytes } from '../core/delta.ts'
import { SluiceError } from '../core/errors.ts'
import { BYTES_PER_TOKEN } from '../core/estimate.ts'
import type { MinSpeed } from '../core/ports/provider.ts'
import { type Bytes, kindOf, toText } from '../core/record.ts'

/** Held back at most; what is larger is no slow answer. */
const MOST_BYTES = 1 << 20

export interface TrialEnds {
  /** What was held back goes on; later records are not held. `tokens`: chunks with text among them. */
  readonly passed: (records: readonly Bytes[], tokens: number) => void
  readonly failed: (error: SluiceError) => void
  /** When its time was up: nobody above a timer would catch it. */
  readonly threw: (thrown: unknown) => void
}

export class Trial {
  readonly #speed: MinSpeed
  readonly #enough: number
  readonly #clock: Clock
  readonly #ends: TrialEnds
  readonly #records: Bytes[] = []
  #tokens = 0
  #bytes = 0
  #stopTimer: (() => void) | null = null
  #isOver = false

  constructor(speed: MinSpeed, clock: Clock, ends: TrialEnds) {
    this.#speed = speed
    this.#enough = Math.ceil((speed.tokensPerSecond * speed.overMs) / 1_000)
    this.#clock = clock
    this.#ends = ends
  }

  take(records: readonly Bytes[], tokens: number): void {
    for (const record of records) {
      this.#records.push(record)
      this.#bytes += record.length
    }
    this.#tokens += tokens
    // A chunk may be many tokens: its text is weighed when the time is up
    if (this.#tokens >= this.#enough || this.#bytes > MOST_BYTES) this.pass()
    else if (this.#tokens > 0) this.#stopTimer ??= this.#clock.after(this.#speed.overMs, this.#timeIsUp)
  }

  /** It is fast enough, or at its end. */
  pass(): void {
    if (this.#isOver) return
    this.stop()
    if (this.#records.length > 0) this.#ends.passed(this.#records, this.#tokens)
  }

  /** What is held back is let go. */
  stop(): void {
    this.#isOver = true
    this.#stopTimer?.()
  }

  readonly #timeIsUp = (): void => {
    try {
      this.#judge()
    } catch (thrown) {
      this.stop()
      this.#ends.threw(thrown)
    }
  }

  #judge(): void {
    if (this.#isOver) return
    const tokens = Math.max(this.#tokens, Math.round(sizeOf(this.#records) / BYTES_PER_TOKEN))
    if (tokens >= this.#enough) return this.pass()
    this.stop()
    const { tokensPerSecond, overMs } = this.#speed
    const message =
      `The upstream was too slow: ${tokens} tokens in ${overMs} ms, ` +
      `where min_speed asks for ${tokensPerSecond} a second.`
    this.#ends.failed(new SluiceError('provider_timeout', { message }))
  }
}

const sizeOf = (records: readonly Bytes[]): number =>
  records.reduce((sum, each) => sum + (kindOf(each) === 'chunk' ? textBytes(JSON.parse(toText(each)).choices) : 0), 0)
