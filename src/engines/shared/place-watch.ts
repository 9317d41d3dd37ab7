/** Reports changes of watched jobs' places, a few at a time. */
import type { Clock } from '../../core/clock.ts'
import { isSamePlace, type JobId, type Place } from '../../core/job.ts'
import { Chain, type Link } from '../../core/table.ts'

const TICK_MS = 250
/** Places that are looked up at once, unless an engine has another number: it must not hold the loop. */
const PLACES_A_TICK = 64
/** How often one job's place is looked up at most. */
const PLACE_EVERY_MS = 1_000

interface Watched {
  readonly job: JobId
  readonly fn: (place: Place) => void
  lookedMono: number
  /** Last reported; null: not yet. */
  told: Place | null
  readonly link: Link<Watched>
}

type Places = ReadonlyMap<JobId, Place>

export class PlaceWatch {
  readonly #clock: Clock
  readonly #places: (jobs: readonly JobId[]) => Places | Promise<Places>
  readonly #placesATick: number
  /** The one that was looked up longest ago first. */
  readonly #watched = new Chain<Watched>()
  #stopTicks: (() => void) | null = null

  constructor(
    clock: Clock,
    places: (jobs: readonly JobId[]) => Places | Promise<Places>,
    placesATick: number = PLACES_A_TICK,
  ) {
    this.#clock = clock
    this.#places = places
    this.#placesATick = placesATick
  }

  watch(job: JobId, fn: (place: Place) => void): () => void {
    const link = { before: null, after: null }
    const watched: Watched = { job, fn, lookedMono: this.#clock.monoMs(), told: null, link }
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
      if (due.length === this.#placesATick || now - watched.lookedMono < PLACE_EVERY_MS) break
      due.push(watched)
    }
    if (due.length === 0) return
    for (const watched of due) {
      this.#watched.delete(watched)
      watched.lookedMono = now
      this.#watched.add(watched)
    }
    const places = this.#places(due.map(({ job }) => job))
    // Where they can't be had, the next tick asks again
    if (places instanceof Promise)
      places.then(
        (found) => this.#tell(due, found),
        () => {},
      )
    else this.#tell(due, places)
  }

  #tell(looked: readonly Watched[], places: Places): void {
    for (const watched of looked) {
      // A listener that was called before it may have stopped this one
      if (!this.#watched.has(watched)) continue
      const place = places.get(watched.job)
      if (place === undefined || isSamePlace(place, watched.told)) continue
      watched.told = place
      watched.fn(place)
    }
  }
}
