/** What the operator's log is told of a collector: when it fails, when it works again, and nothing in between. */
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../report.ts'
import type { Partial } from './partial.ts'

/** A collector that comes and goes: no more than a line in this time. */
const QUIET_MS = 60_000
const MAX_MESSAGE_CHARS = 200

export class Outage {
  readonly #what: string
  readonly #endpoint: string
  readonly #hidden: readonly string[]
  readonly #log: Pick<Log, 'info' | 'warn'>
  readonly #clock: Pick<Clock, 'monoMs'>
  #isTold = false
  #isRejecting = false
  #quietUntilMono = Number.NEGATIVE_INFINITY

  /** `hidden`: values that no line may have, whatever a collector answers. */
  constructor(
    what: string,
    endpoint: string,
    hidden: readonly string[],
    log: Pick<Log, 'info' | 'warn'>,
    clock: Pick<Clock, 'monoMs'>,
  ) {
    this.#what = what
    // Its path or query may have a key
    this.#endpoint = new URL(endpoint).origin
    this.#hidden = hidden.filter((value) => value !== '')
    this.#log = log
    this.#clock = clock
  }

  failed(why: string, dropped: number): void {
    if (this.#isTold || this.#isQuiet()) return
    this.#isTold = true
    this.#log.warn(
      { endpoint: this.#endpoint, reason: why, dropped },
      `${this.#what} can't be sent to the OpenTelemetry collector: see docs/operations.md`,
    )
  }

  worked(dropped: number): void {
    if (!this.#isTold) return
    this.#isTold = false
    this.#log.info({ endpoint: this.#endpoint, dropped }, `${this.#what} reach the OpenTelemetry collector again`)
  }

  /** It took a request, but for some of it; null: all of it. */
  took(partial: Partial | null): void {
    if (partial === null || partial.rejected === 0) this.#isRejecting = false
    if (partial === null || this.#isRejecting || this.#isQuiet()) return
    this.#isRejecting = true
    const { rejected, message } = partial
    this.#log.warn(
      { endpoint: this.#endpoint, rejected, reason: this.#shown(message) },
      `the OpenTelemetry collector did not take all ${this.#what}`,
    )
  }

  #isQuiet(): boolean {
    const now = this.#clock.monoMs()
    if (now < this.#quietUntilMono) return true
    this.#quietUntilMono = now + QUIET_MS
    return false
  }

  #shown(message: string): string {
    let shown = message.replaceAll(/\p{Cc}/gu, ' ')
    for (const value of this.#hidden) shown = shown.replaceAll(value, '…')
    return shown.slice(0, MAX_MESSAGE_CHARS)
  }
}
