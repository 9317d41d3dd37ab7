/** Eases blocks from where they are to where they belong. Pure: time is given. */
import type { Placed } from './layout.ts'

export interface Drawn extends Placed {
  /** 0 to 1: a new one fades in. */
  readonly alpha: number
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] }

interface Moving {
  readonly from: Drawn
  readonly to: Placed
  readonly startMs: number
  readonly tookMs: number
  /** As it was drawn last, made once: a frame of 800 blocks leaves no garbage. */
  readonly drawn: Mutable<Drawn>
}

const moving = (from: Drawn, to: Placed, startMs: number, tookMs: number): Moving => ({
  ...{ from, to, startMs, tookMs },
  drawn: { ...to, alpha: 1 },
})

/** Through the gate; closing up; filling. */
const LEASE_MS = 220
const CLOSE_MS = 160
const FILL_MS = 250
/** More leases a second than this are swapped: nobody could follow them. */
const MOST_LEASES = 20

export class Motion {
  #blocks = new Map<string, Moving>()
  #leases: number[] = []
  /** When all stand still. */
  #untilMs = 0

  /** `isStill`: reduced motion, a hidden tab, or another scale. */
  move(placed: readonly Placed[], nowMs: number, isStill = false): void {
    for (const { job, isRunning } of placed)
      if (isRunning && this.#blocks.get(job)?.to.isRunning === false) this.#leases.push(nowMs)
    this.#leases = this.#leases.filter((atMs) => nowMs - atMs < 1_000)
    const isSwapped = isStill || this.#leases.length > MOST_LEASES
    const isFirst = this.#blocks.size === 0
    const next = new Map<string, Moving>()
    for (const to of placed) {
      const before = this.#blocks.get(to.job)
      if (before === undefined) {
        const tookMs = isSwapped || isFirst ? 0 : CLOSE_MS
        next.set(to.job, moving({ ...to, alpha: tookMs === 0 ? 1 : 0 }, to, nowMs, tookMs))
        continue
      }
      const from = at(before, nowMs)
      const isLease = to.isRunning !== before.to.isRunning
      const isFill = to.isRunning && !isLease && to.x === before.to.x
      const tookMs = isStill || (isSwapped && !isFill) ? 0 : isLease ? LEASE_MS : isFill ? FILL_MS : CLOSE_MS
      next.set(to.job, moving(from, to, nowMs, tookMs))
    }
    this.#blocks = next
    this.#untilMs = nowMs
    for (const { startMs, tookMs } of next.values()) this.#untilMs = Math.max(this.#untilMs, startMs + tookMs)
  }

  isMoving(nowMs: number): boolean {
    return nowMs < this.#untilMs
  }

  /** Good until the next call. */
  *drawn(nowMs: number): Generator<Drawn> {
    for (const each of this.#blocks.values()) yield at(each, nowMs)
  }
}

const eased = (t: number): number => 1 - (1 - t) ** 3

function at({ from, to, startMs, tookMs, drawn }: Moving, nowMs: number): Drawn {
  const t = tookMs === 0 ? 1 : Math.min(1, Math.max(0, (nowMs - startMs) / tookMs))
  const so = eased(t)
  drawn.x = from.x + (to.x - from.x) * so
  drawn.y = from.y + (to.y - from.y) * so
  drawn.width = from.width + (to.width - from.width) * so
  drawn.read = from.read + (to.read - from.read) * so
  drawn.made = from.made + (to.made - from.made) * so
  drawn.alpha = from.alpha + (1 - from.alpha) * so
  return drawn
}
