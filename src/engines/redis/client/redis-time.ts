/**
 * Redis's clock, carried on by this process's monotonic one and compared each minute, as the two drift apart: all
 * processes of a fleet mean the same by a time, whatever their own wall clocks show.
 */
import type { Clock } from '../../../core/clock.ts'
import type { Scripts } from './scripts.ts'

/** How Redis tells the time: TIME, as ms. */
export type AskTime = () => Promise<number>

const READ_MS = 60_000

export class RedisTime {
  readonly #clock: Clock
  readonly #ask: AskTime
  /** Redis's clock when the monotonic one was 0. */
  #offsetMs = NaN
  #stopReads = (): void => {}
  #isStopped = false

  constructor(clock: Clock, ask: AskTime) {
    this.#clock = clock
    this.#ask = ask
  }

  /** Resolves when it is known. Rejects with what Redis or its client throws. */
  async start(): Promise<void> {
    await this.#read()
    if (!this.#isStopped) this.#stopReads = this.#clock.every(READ_MS, () => this.readAgain())
  }

  /** After a reconnect: it may be another server. */
  readAgain(): void {
    this.#read().catch(() => {}) // away: the next reconnect or minute reads it
  }

  stop(): void {
    this.#isStopped = true
    this.#stopReads()
  }

  async #read(): Promise<void> {
    const askedMono = this.#clock.monoMs()
    const redisMs = await this.#ask()
    const answeredMono = this.#clock.monoMs()
    const offsetMs = redisMs - (askedMono + answeredMono) / 2
    // An answer that was long under way tells no more than what is known
    if (Math.abs(offsetMs - this.#offsetMs) <= (answeredMono - askedMono) / 2) return
    this.#offsetMs = offsetMs
  }

  nowMs(): number {
    return this.#offsetMs + this.#clock.monoMs()
  }

  /** What this process's monotonic clock shows, or showed, at a time of Redis's. */
  mono(atMs: number): number {
    return atMs - this.#offsetMs
  }

  atMs(mono: number): number {
    return this.#offsetMs + mono
  }
}

/** TIME, of the shard's server. */
export async function timeOf(scripts: Scripts): Promise<number> {
  const [seconds, micros] = (await scripts.run('time', [])) as readonly [string, string]
  return Number(seconds) * 1_000 + Number(micros) / 1_000
}
