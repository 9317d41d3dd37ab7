/**
 * Who reads which job in this process. The coordinator counts processes, not readers: it is told when the first reader
 * of a plain POST is here and when the last has left, one at a time and the newest only, so that it ends with what is
 * so, whatever was lost on the way. What this process submitted it counts as read here, until it is told otherwise.
 */
import { sleep } from '../../../core/clock.ts'
import type { Job, JobId } from '../../../core/job.ts'
import type { Presence } from '../../../core/ports/presence.ts'
import { Table } from '../../../core/table.ts'
import { Readers } from '../../shared/readers.ts'
import type { Ground } from '../bus/ground.ts'

/** A reader of what was submitted comes at once, or not at all. */
const SUBMITTED_MS = 60_000
/** The bus has tried for some seconds before each. */
const MAX_TRIES = 20
const RETRY_MS = 500

/** What the coordinator is to know of a job, and does not know yet. */
interface News {
  here: boolean
  /** When the last reader left, by Redis's clock. */
  leftAtMs: number
}

export class RedisPresence implements Presence {
  readonly #ground: Ground
  readonly #readers = new Readers()
  /** Of plain POSTs that have a reader here. */
  readonly #watched = new Table<JobId, true>()
  readonly #news = new Table<JobId, News>()
  /** Submitted here and not read yet: in two generations. */
  #submitted = new Table<JobId, true>()
  #submittedEarlier = new Table<JobId, true>()
  readonly #stopGenerations: () => void
  #closed = false

  constructor(ground: Ground) {
    this.#ground = ground
    this.#stopGenerations = ground.clock.every(SUBMITTED_MS, () => {
      this.#submittedEarlier = this.#submitted
      this.#submitted = new Table()
    })
  }

  /** A plain POST of this process was accepted. */
  submitted(job: JobId): void {
    this.#submitted.set(job, true)
  }

  enter({ id, options }: Pick<Job, 'id' | 'options'>): (complete: boolean, goneMs?: number) => void {
    const isPlain = options.onDisconnect === 'cancel'
    if (this.readers(id) === 0 && isPlain) {
      this.#watched.set(id, true)
      if (!this.#takeSubmitted(id)) this.#tell(id, true, 0)
    }
    return this.#readers.enter(id, (complete, goneMs) => {
      this.#watched.delete(id)
      if (isPlain && !complete) this.#tell(id, false, goneMs)
    })
  }

  readers(job: JobId): number {
    return this.#readers.of(job)
  }

  /** Of these a new coordinator must know that they are read. */
  reading(): readonly JobId[] {
    return [...this.#watched.keys(), ...this.#submitted.keys(), ...this.#submittedEarlier.keys()]
  }

  close(): void {
    this.#closed = true
    this.#stopGenerations()
  }

  #takeSubmitted(id: JobId): boolean {
    return this.#submitted.delete(id) || this.#submittedEarlier.delete(id)
  }

  #tell(id: JobId, here: boolean, goneMs: number): void {
    if (this.#closed) return
    const leftAtMs = this.#ground.time.nowMs() - goneMs
    const waiting = this.#news.get(id)
    if (waiting !== undefined) {
      waiting.here = here
      waiting.leftAtMs = leftAtMs
      return
    }
    const news = { here, leftAtMs }
    this.#news.set(id, news)
    // One that comes and goes within a turn of the event loop is no news
    this.#ground.clock.soon(() => void this.#settle(id, news))
  }

  async #settle(id: JobId, news: News): Promise<void> {
    for (
      let tries = 0, told: boolean | null = null;
      told !== news.here && tries < MAX_TRIES && !this.#closed;
      tries++
    ) {
      const { here, leftAtMs } = news
      try {
        const { bus, time } = this.#ground
        await bus.ask({ type: 'reading', id, here, ...(here ? {} : { leftAtMs, atMs: time.nowMs() }) })
        told = here
      } catch {
        await sleep(this.#ground.clock, RETRY_MS)
      }
    }
    this.#news.delete(id)
  }
}
