/** The jobs that one connection follows. */
import { SluiceError } from '../../core/errors.ts'
import type { ServerFrame } from '../../core/frames.ts'
import { isSamePlace, isTerminal, type Job, type JobId, type Place } from '../../core/job.ts'
import type { SocketReader } from '../../core/ports/delivery.ts'
import type { StreamForm } from '../../core/ports/dialect.ts'
import type { Cursor } from '../../core/record.ts'
import { Table } from '../../core/table.ts'
import { placeView } from '../read/views.ts'
import type { About } from './about.ts'
import type { SocketContext } from './context.ts'
import type { Outgoing } from './outgoing.ts'

/** How a job is followed in another form than the protocol's own: without its place in line. */
export interface Shown {
  readonly form: StreamForm
  /** What an error of it names. */
  readonly about: About
  /** Nothing more of it comes. */
  over(): void
}

export interface Following {
  readonly job: Job
  readonly reader: SocketReader
  /** Its reader is gone. */
  readonly leave: (complete: boolean) => void
  /** Stops sending its place in line. */
  readonly unwatch: () => void
  readonly over: () => void
}

/** The connection that follows them. */
export interface Follower {
  readonly context: SocketContext
  readonly out: Outgoing
  /** Bytes of `ev` frames of a job before its reader waits for credit. */
  readonly window: number
  readonly closing: boolean
  send(frame: ServerFrame): void
  refuse(error: SluiceError, about: About): void
}

export class FollowedJobs {
  readonly #follower: Follower
  /** Made with the first: most connections are idle. */
  #all: Table<JobId, Following> | null = null
  /** Jobs that are waited for before they can be followed. */
  readonly #awaited = new Set<AbortController>()
  /** Frames under way that will follow a job. */
  #toFollow = 0

  constructor(follower: Follower) {
    this.#follower = follower
  }

  get size(): number {
    return this.#all?.size ?? 0
  }

  get(job: JobId): Following | undefined {
    return this.#all?.get(job)
  }

  /** Takes a place among the followed jobs before anything is waited for: a burst of frames comes in one turn. */
  async withPlace(work: () => Promise<void>): Promise<void> {
    const { maxJobs } = this.#follower.context.deps.options.socket
    if (this.size + this.#toFollow >= maxJobs) throw tooManyJobs(maxJobs)
    this.#toFollow++
    try {
      await work()
    } finally {
      this.#toFollow--
    }
  }

  /** What is waited for no longer than this connection lives. */
  async whileHere<T>(wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const leaving = new AbortController()
    this.#awaited.add(leaving)
    if (this.#follower.closing) leaving.abort()
    try {
      return await wait(leaving.signal)
    } finally {
      this.#awaited.delete(leaving)
    }
  }

  /** Throws too_many_subscribers. */
  checkReaders(job: JobId): void {
    const { deps } = this.#follower.context
    if (deps.presence.readers(job) >= deps.options.maxReadersPerJob) throw new SluiceError('too_many_subscribers')
  }

  /** From `cursor`, or the start; instead of where it was followed before. Throws too_many_subscribers. */
  add(job: Job, cursor: Cursor | null, tellsLive: boolean, place: Place | null, shown?: Shown): void {
    const { context, out, window, closing } = this.#follower
    if (closing) return
    this.drop(job.id, false)
    this.checkReaders(job.id)
    const leave = context.deps.presence.enter(job)
    const reader = context.deps.delivery.follow({
      job,
      form: shown?.form ?? context.deps.dialects.frames,
      cursor,
      sink: out,
      window,
      tellsLive,
      onFail: (error) => {
        this.drop(job.id, false)
        this.#follower.refuse(error, shown?.about ?? { job: job.id })
      },
      onOver: (complete) => this.drop(job.id, complete),
    })
    const following: Following = {
      job,
      reader,
      leave,
      unwatch: shown !== undefined || isTerminal(job.state) ? () => {} : this.#tellPlaces(job.id, place, reader),
      over: shown?.over ?? (() => {}),
    }
    this.#all ??= new Table()
    this.#all.set(job.id, following)
  }

  /** Until it has shown something. `place`: what the client knows. */
  #tellPlaces(job: JobId, place: Place | null, reader: SocketReader): () => void {
    let told = place
    const unwatch = this.#follower.context.deps.jobs.watchPlace(job, (place) => {
      if (reader.started) return unwatch()
      const shown = placeView(place)
      if (shown === null || isSamePlace(place, told)) return
      told = place
      this.#follower.send({ t: 'queue', job, ...shown })
    })
    return unwatch
  }

  /** Safe to repeat. `complete`: its reader has all there is. */
  drop(job: JobId, complete: boolean): void {
    const following = this.#all?.get(job)
    if (following === undefined) return
    this.#all?.delete(job)
    following.reader.leave()
    this.#follower.out.forget(following.reader)
    following.unwatch()
    following.leave(complete)
    following.over()
  }

  dropAll(): void {
    for (const leaving of this.#awaited) leaving.abort()
    if (this.#all === null) return
    for (const { job } of [...this.#all.values()]) this.drop(job.id, false)
  }
}

export const tooManyJobs = (most: number): SluiceError =>
  new SluiceError('too_many_jobs', {
    message:
      `A connection follows at most ${most} jobs (websocket.max_jobs): ` +
      'detach from some, or submit with "follow": false.',
  })
