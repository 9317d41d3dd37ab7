/**
 * How much of Redis's memory is left, and whether it takes writes at all. New work has no use of its last fifth: that
 * is kept for what is on its way, whose ends, cancels and removals are never refused (lua/room.lua). Above that, no
 * further work is started either.
 */
import type { Clock } from '../../../core/clock.ts'
import type { SluiceError } from '../../../core/errors.ts'
import { replyError } from './errors.ts'
import type { Scripts } from './scripts.ts'

/** Of maxmemory: above them ended jobs go before their time, nothing is accepted, nothing is leased. */
const TIGHT = 0.7
const FULL = 0.8
const CRITICAL = 0.95
const READ_MS = 500

export class Room {
  readonly #scripts: Scripts
  readonly #clock: Clock
  #stopReads = (): void => {}
  #isStopped = false
  #usedBytes = 0
  #maxBytes = Infinity
  #refusal: SluiceError | null = null
  /** Taken since it was read. */
  #takenBytes = 0

  constructor(scripts: Scripts, clock: Clock) {
    this.#scripts = scripts
    this.#clock = clock
  }

  /** Rejects with what Redis or its client throws. */
  async start(): Promise<void> {
    await this.read()
    if (this.#isStopped) return
    this.#stopReads = this.#clock.every(READ_MS, () => void this.read().catch(() => {})) // away: the last one counts
  }

  stop(): void {
    this.#isStopped = true
    this.#stopReads()
  }

  async read(): Promise<void> {
    const [used, max, refusal] = (await this.#scripts.run('memory', [])) as readonly [number, number, string]
    this.#refusal = refusal === '' ? null : replyError(refusal)
    this.#usedBytes = used
    this.#maxBytes = max === 0 ? Infinity : max
    this.#takenBytes = 0
  }

  /** Why Redis takes no writes, although it can be reached. */
  get refusal(): SluiceError | null {
    return this.#refusal
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Infinity: there is no limit. */
  get maxBytes(): number {
    return this.#maxBytes
  }

  /** For new work. */
  get leftBytes(): number {
    return FULL * this.#maxBytes - this.#usedBytes - this.#takenBytes
  }

  take(bytes: number): void {
    this.#takenBytes += bytes
  }

  get isFull(): boolean {
    return this.leftBytes <= 0
  }

  /** Even what waits in line would not fit. */
  get isCritical(): boolean {
    return this.#usedBytes > CRITICAL * this.#maxBytes
  }

  /** Bytes that should be freed. */
  get excessBytes(): number {
    return Math.max(0, this.#usedBytes - TIGHT * this.#maxBytes)
  }
}
