/** Tells connections the places in the queue of the jobs that they follow, a few at a time. */
import type { Clock } from '../../core/clock.ts'
import type { QueueFrame } from '../../core/frames.ts'
import type { Job } from '../../core/job.ts'
import type { Jobs } from '../../core/ports/jobs.ts'
import { Chain, type Link } from '../../core/table.ts'
import { placeView } from '../read/views.ts'

/** Places looked up at once: this must not hold the loop. */
const PLACES_A_ROUND = 64
/** Shortest time between two places of one job. */
const PLACE_EVERY_MS = 1_000

/** A job that a connection follows. */
export interface InLine {
  readonly job: Job
  /** Once it has shown something, it has no place any more. */
  readonly reader: { readonly started: boolean }
  readonly send: (frame: QueueFrame) => void
  /** The place that was last sent, and when. */
  toldPlace: number
  toldMono: number
  readonly link: Link<InLine>
}

export class Places {
  readonly #jobs: Jobs
  readonly #clock: Clock
  /** Jobs that have shown nothing yet, the one whose place was sent longest ago first. */
  readonly #inLine = new Chain<InLine>()

  constructor(jobs: Jobs, clock: Clock) {
    this.#jobs = jobs
    this.#clock = clock
  }

  /** Its place has just been sent. */
  add(followed: InLine): void {
    this.#inLine.add(followed)
  }

  delete(followed: InLine): void {
    this.#inLine.delete(followed)
  }

  /** To be called again and again. */
  tell(): void {
    const now = this.#clock.monoMs()
    for (let looked = 0; looked < PLACES_A_ROUND; looked++) {
      const followed = this.#inLine.first
      if (followed === null || now - followed.toldMono < PLACE_EVERY_MS) return
      this.#inLine.delete(followed)
      if (followed.reader.started) continue
      followed.toldMono = now
      this.#inLine.add(followed)
      const { id } = followed.job
      const shown = placeView(this.#jobs.place(id))
      if (shown === null || shown.position === followed.toldPlace) continue
      followed.toldPlace = shown.position
      followed.send({ t: 'queue', job: id, ...shown })
    }
  }
}
