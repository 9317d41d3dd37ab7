/**
 * How many tries run at once: of this process, and of each endpoint. One whose last try failed has one place, so that
 * receivers that hang hold few; what finds no place is put off by how fast the endpoint was of late, so that thousands
 * of events that wait for it are not all looked at again and again.
 */
import type { Clock } from '../core/clock.ts'

const MOST = 256
const MOST_OF_ENDPOINT = 8
/** Endpoints that are remembered while nothing is sent to them. */
const MOST_KNOWN = 10_000
const MOST_WAITING = 1_000
const FIRST_MS = 250
const SHORTEST_MS = 1_000
const LONGEST_MS = 60_000

interface Lane {
  running: number
  isFailing: boolean
  /** The last try's. */
  tookMs: number
  /** When those that were put off have had their turns. */
  busyUntilMono: number
  /** Events that are taken up as soon as there is a place; the others when they are due. */
  readonly waiting: Set<string>
}

export class Lanes {
  readonly #clock: Pick<Clock, 'monoMs'>
  readonly #lanes = new Map<string, Lane>()
  #running = 0

  constructor(clock: Pick<Clock, 'monoMs'>) {
    this.#clock = clock
  }

  get running(): number {
    return this.#running
  }

  /** False: there is no place now. */
  take(endpoint: string): boolean {
    const lane = this.#of(endpoint)
    if (this.#running >= MOST || lane.running >= places(lane)) return false
    this.#running++
    lane.running++
    return true
  }

  /** `tried`: null where it was not. */
  free(endpoint: string, tried: { readonly tookMs: number; readonly isFailing: boolean } | null): void {
    const lane = this.#of(endpoint)
    this.#running--
    lane.running--
    if (tried === null) return
    const { tookMs, isFailing } = tried
    lane.tookMs = tookMs
    if (lane.isFailing && !isFailing) lane.busyUntilMono = 0
    lane.isFailing = isFailing
  }

  /** Of those that found no place, the next one; null: none waits. */
  next(endpoint: string): string | null {
    const { waiting } = this.#of(endpoint)
    for (const event of waiting) {
      waiting.delete(event)
      return event
    }
    return null
  }

  /** For how long an event is put off that found no place, unless one is free before. */
  waitMs(endpoint: string, event: string): number {
    const lane = this.#of(endpoint)
    if (lane.waiting.size < MOST_WAITING) lane.waiting.add(event)
    const now = this.#clock.monoMs()
    lane.busyUntilMono = Math.max(now, lane.busyUntilMono) + lane.tookMs / places(lane)
    return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, lane.busyUntilMono - now))
  }

  #of(endpoint: string): Lane {
    const known = this.#lanes.get(endpoint)
    if (known !== undefined) return known
    if (this.#lanes.size >= MOST_KNOWN)
      for (const [name, { running }] of this.#lanes)
        if (running === 0) {
          this.#lanes.delete(name)
          break
        }
    const lane = { running: 0, isFailing: false, tookMs: FIRST_MS, busyUntilMono: 0, waiting: new Set<string>() }
    this.#lanes.set(endpoint, lane)
    return lane
  }
}

const places = ({ isFailing }: Lane): number => (isFailing ? 1 : MOST_OF_ENDPOINT)
