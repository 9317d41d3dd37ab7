/**
 * When commits are made safe from power loss, and who is told: those who wait share a sync, and two of them keep a
 * distance, which is longer where the last one was for many.
 */
import type { Clock } from '../../../core/clock.ts'
import type { SluiceError } from '../../../core/errors.ts'

/** Power-safe (null), or the store failed. */
export type Synced = (error: SluiceError | null) => void

export interface SyncsOptions {
  /** Else all that is committed counts as safe. */
  readonly isNeeded: boolean
  /** Begins one; its end is told by `done`. */
  readonly sync: () => void
  /** Why there will be none any more; null: there will. */
  readonly failure: () => SluiceError | null
}

/** Between two syncs that are waited for; where the last one was for many, the next may be for more. */
const SPACING_MS = 2
const BUSY_SPACING_MS = 5
const MANY_WAIT = 8
/** What nobody waits for, as tokens, waits at most as long for its sync. */
const EVERY_MS = 50

export class Syncs {
  readonly #clock: Clock
  readonly #options: SyncsOptions
  /** Commits so far, those a running sync covers (0: none runs), and those synced. */
  #commits = 0
  #syncing = 0
  #synced = 0
  #startedMono = -Infinity
  #spacingMs = SPACING_MS
  #timerMono = Infinity
  #cancelTimer: () => void = () => {}
  /** Who waits for the sync that runs, and for the next one. */
  #covered: Synced[] = []
  #waiting: Synced[] = []

  constructor(clock: Clock, options: SyncsOptions) {
    this.#clock = clock
    this.#options = options
  }

  get commits(): number {
    return this.#commits
  }

  /** There is one more. */
  committed(): void {
    this.#commits++
  }

  /** Calls `told` when all that is committed now is safe. */
  when(told: Synced): void {
    const { isNeeded, failure } = this.#options
    if (!isNeeded || this.#commits === this.#synced) return told(null)
    const failed = failure()
    if (failed !== null) told(failed)
    else if (this.#syncing === this.#commits) this.#covered.push(told)
    else {
      this.#waiting.push(told)
      this.beginIfDue()
    }
  }

  beginIfDue(): void {
    const { isNeeded, failure, sync } = this.#options
    if (this.#syncing > 0 || !isNeeded || this.#commits === this.#synced || failure() !== null) return
    const now = this.#clock.monoMs()
    const since = now - this.#startedMono
    const spacing = this.#waiting.length === 0 ? EVERY_MS : this.#spacingMs
    if (since >= spacing) {
      this.#syncing = this.#commits
      this.#covered = this.#waiting
      this.#waiting = []
      this.#startedMono = now
      sync()
    } else if (now + spacing - since < this.#timerMono) {
      this.#cancelTimer()
      this.#timerMono = now + spacing - since
      this.#cancelTimer = this.#clock.after(spacing - since, () => {
        this.#timerMono = Infinity
        this.beginIfDue()
      })
    }
  }

  /** The one that ran has ended well. */
  done(): void {
    this.#synced = this.#syncing
    this.#syncing = 0
    const covered = this.#covered
    this.#covered = []
    this.#spacingMs = covered.length < MANY_WAIT ? SPACING_MS : BUSY_SPACING_MS
    for (const told of covered) told(null)
  }

  /** Nobody waits any longer. */
  giveUp(error: SluiceError): void {
    for (const told of [...this.#covered.splice(0), ...this.#waiting.splice(0)]) told(error)
  }
}
