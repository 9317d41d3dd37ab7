/**
 * Redis's clock, read once and then followed by this process's monotonic one: all processes of a fleet mean the same
 * by a time, whatever their own wall clocks say.
 */
import type { Clock } from '../../../core/clock.ts'
import type { Scripts } from './scripts.ts'

/** How Redis tells the time: TIME, as ms. */
export type AskTime = () => Promise<number>

export class RedisTime {
  readonly #clock: Clock
  readonly #ask: AskTime
  /** Redis's clock when the monotonic one was 0. */
  #offsetMs = 0

  constructor(clock: Clock, ask: AskTime) {
    this.#clock = clock
    this.#ask = ask
  }

  /** Again after a reconnect: it may be another server. Rejects with what Redis or its client throws. */
  async read(): Promise<void> {
    const askedMono = this.#clock.monoMs()
    const redisMs = await this.#ask()
    this.#offsetMs = redisMs - (askedMono + this.#clock.monoMs()) / 2
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
