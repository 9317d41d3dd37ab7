/** Reports changes of watched jobs' places, a few at a time. */
import type { Clock } from '../../core/clock.ts'
import type { JobId, Place } from '../../core/job.ts'
import { Chain, type Link } from '../../core/table.ts'

const TICK_MS = 250
/** Places that are looked up at once: it must not hold the loop. */
const PLACES_A_TICK = 64
/** How often one job's place is looked up at most. */
const PLACE_EVERY_MS = 1_000

interface Watched {
  readonly job: JobId
  readonly fn: (place: Place) => void
  lookedMono: number
  /** Last reported; -1: not yet. */
  position: number
  readonly link: Link<Watched>
}

export class PlaceWatch {
  readonly #clock: Clock
  readonly #places: (jobs: readonly JobId[]) => ReadonlyMap<JobId, Place>
  /** The one that was looked up longest ago first. */
  readonly #watched = new Chain<Watched>()
  #stopTicks: (() => void) | null = null

  constructor(clock: Clock, places: (jobs: readonly JobId[]) => ReadonlyMap<JobId, Place>) {
    this.#clock = clock
    this.#places = places
  }

  watch(job: JobId, fn: (place: Place) => void): () => void {
    const link = { before: null, after: null }
    const watched: Watched = { job, fn, lookedMono: this.#clock.monoMs(), position: -1, link }
    this.#watched.add(watched)
    this.#stopTicks ??= this.#clock.every(TICK_MS, () => this.#tick())
    return () => {
      this.#watched.delete(watched)
      if (this.#watched.first === null) this.stop()
    }
  }

  stop(): void {
    this.#stopTicks?.()
    this.#stopTicks = null
  }

  #tick(): void {
    const now = this.#clock.monoMs()
    const due: Watched[] = []
    for (const watched of this.#watched) {
      if (due.length === PLACES_A_TICK || now - watched.lookedMono < PLACE_EVERY_MS) break
      due.push(watched)
    }
    const places = this.#places(due.map(({ job }) => job))
    for (const watched of due) {
      // A listener that was called before it may have stopped this one
      if (!this.#watched.delete(watched)) continue
      watched.lookedMono = now
      this.#watched.add(watched)
      const place = places.get(watched.job)
      if (place === undefined || place.position === watched.position) continue
      watched.position = place.position
      watched.fn(place)
    }
  }
}
