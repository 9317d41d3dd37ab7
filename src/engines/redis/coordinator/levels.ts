/**
 * What the levels of the limits have used, and the windows that budgets go by, between the machine and the store: put
 * back before any job at a takeover, and in each commit as they are after all of it.
 */
import type { Clock } from '../../../core/clock.ts'
import type { LevelState } from '../../../core/limits.ts'
import type { Coordinator } from '../../../core/ports/coordinator.ts'
import { BudgetWindows } from '../../shared/calendar.ts'
import type { RedisTime } from '../client/redis-time.ts'
import { readLevel, readWindows, WINDOWS, writeLevelName, writeLevelUse, writeWindows } from '../protocol/levels.ts'
import type { Commit } from './commit.ts'

export class StoredLevels {
  readonly #coordinator: Pick<Coordinator, 'openLimits' | 'takeLevels'>
  readonly #clock: Clock
  readonly #time: RedisTime
  #windows: BudgetWindows | null = null
  /** Of the windows that are stored. */
  #turns = 0

  constructor(coordinator: Pick<Coordinator, 'openLimits' | 'takeLevels'>, clock: Clock, time: RedisTime) {
    this.#coordinator = coordinator
    this.#clock = clock
    this.#time = time
  }

  /** First of all. Returns how many rows are damaged: what they had used is forgotten. */
  open(rows: ReadonlyMap<string, string>): number {
    const now = this.#clock.monoMs()
    const nowMs = this.#time.atMs(now)
    const levels: LevelState[] = []
    let damaged = 0
    for (const [name, row] of rows) {
      if (name === WINDOWS) continue
      const level = readLevel(name, row, (atMs) => this.#time.mono(atMs))
      if (level === null) damaged++
      else levels.push(level)
    }
    // Within a term a clock that is set ends no window
    const steady = (mono: number): number => nowMs + mono - now
    const windows = new BudgetWindows(steady, (mono) => this.#time.atMs(mono), readWindows(rows.get(WINDOWS) ?? ''))
    this.#windows = windows
    this.#coordinator.openLimits(levels, windows.calendar, now)
    return damaged
  }

  /** Those whose use has changed since the last commit. */
  into(commit: Commit): void {
    for (const level of this.#coordinator.takeLevels(this.#clock.monoMs()))
      commit.level(writeLevelName(level), level.used && writeLevelUse(level.used, (mono) => this.#time.atMs(mono)))
    if (this.#windows === null || this.#windows.turns === this.#turns) return
    this.#turns = this.#windows.turns
    commit.level(WINDOWS, writeWindows(this.#windows.open))
  }
}
