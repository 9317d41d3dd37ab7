/** From the log to readers: replay, then live. */
import type { Clock } from '../core/clock.ts'
import { aboutJob, type Emit } from '../core/facts.ts'
import { ttftOfParts } from '../core/goals.ts'
import type { Job, JobId } from '../core/job.ts'
import type { Delivery, FirstText, FoundJob } from '../core/ports/delivery.ts'
import type { TokenLog } from '../core/ports/log.ts'
import { isEnd } from '../core/record.ts'
import { Slots, Table } from '../core/table.ts'
import { whyAbsent } from './absent.ts'
import { EventReader, type ReaderOptions } from './event-reader.ts'
import { Feed } from './feed.ts'
import { Results, Seen } from './results.ts'
import { FollowedJob } from './socket-reader.ts'
import type { Subscription } from './subscription.ts'
import { Turns } from './turns.ts'

const SWEEP_MS = 250
/** Sweeps from one word about readers' progress to the next. */
const TELL_EVERY = 2
/** What a caller that waits holds of its answer: thousands may wait. A longer one is read again. */
const SEEN_BYTES = 32 * 1024

interface Reader {
  readonly subscription: Subscription
  /** Ends it at a record boundary. */
  stop(): void
}

/** One that is open: who it is, and what was told of it. */
interface Open {
  readonly reader: Reader
  readonly job: Job
  readonly dialect: string
  readonly n: number
  readonly openedMono: number
  toldSeq: number
}

export function createDelivery(log: TokenLog, clock: Clock, emit: Emit, options: ReaderOptions): Delivery {
  const feeds = new Table<JobId, Feed>()
  const readers = new Slots<Open>()
  const responses = new Slots<EventReader>()
  const turns = new Turns(clock)
  const results = new Results(log, clock, options.pageBytes)
  /** Of whole answers that are waited for, the first caller of each. */
  const asked = new Table<JobId, Seen>()
  let opened = 0
  let swept = 0
  let stopSweep: (() => void) | null = null
  let closed = false

  function feedOf(job: Job, dialect: string): Feed {
    const { id, epoch } = job
    const open = feeds.get(id)
    if (open) return open
    const feed = new Feed(id, epoch, turns)
    feeds.set(id, feed)
    feed.following = log.follow(
      id,
      (firstSeq, records, of) => {
        feed.push(firstSeq, records, of)
        if (feed.first !== null && !feed.isFirstTold && feed.isRead) tellFirst(feed, feed.first, job, dialect)
      },
      (of) => feed.restart(of),
    )
    return feed
  }

  /** `make` builds the reader from its feed and the function to call when it leaves. */
  function read<R extends Reader>(
    job: Job,
    dialect: string,
    make: (feed: Feed, left: (complete: boolean) => void) => R,
  ): R {
    const feed = feedOf(job, dialect)
    const n = ++opened
    const reader: R = make(feed, (complete) => {
      readers.delete(place, open)
      sweepWhileNeeded()
      feed.delete(reader.subscription)
      if (feed.isEmpty && feeds.get(job.id) === feed) {
        feed.following?.stop()
        feeds.delete(job.id)
      }
      const { seq, began: from } = reader.subscription
      const tookMs = clock.monoMs() - open.openedMono
      emit({ ...aboutJob(job), type: 'reader-closed', dialect, reader: n, complete, seq, from, tookMs })
    })
    const open: Open = { reader, job, dialect, n, openedMono: clock.monoMs(), toldSeq: 0 }
    const place = readers.add(open)
    sweepWhileNeeded()
    feed.add(reader.subscription)
    emit({ ...aboutJob(job), type: 'reader-opened', dialect, reader: n })
    return reader
  }

  /** A live reader has got what just came. */
  function tellFirst(feed: Feed, { receivedMono, parts: before }: FirstText, job: Job, dialect: string): void {
    feed.isFirstTold = true
    const parts = { ...before, delivery: Math.max(0, clock.monoMs() - receivedMono) }
    emit({ ...aboutJob(job), type: 'first-token-delivered', dialect, ttftMs: ttftOfParts(parts), parts })
  }

  function sweep(): void {
    const now = clock.monoMs()
    for (const response of responses) response.beat(now)
    if (++swept % TELL_EVERY === 0) for (const open of readers) tellProgress(open)
  }

  function tellProgress(open: Open): void {
    const { reader, job, dialect, n, toldSeq } = open
    const { seq, began: from } = reader.subscription
    if (seq === toldSeq) return
    open.toldSeq = seq
    emit({ ...aboutJob(job), type: 'reader-progressed', dialect, reader: n, seq, from })
  }

  function sweepWhileNeeded(): void {
    if (readers.size > 0) stopSweep ??= clock.every(SWEEP_MS, sweep)
    else {
      stopSweep?.()
      stopSweep = null
    }
  }

  /**
   * `failed`: it can't be found out whether the job ended. Callers with another way to give up leave it out. `seen` is
   * told what the log tells.
   */
  function ended(job: FoundJob, fn: () => void, failed: (thrown: unknown) => void = () => {}, seen?: Seen): () => void {
    let told = false
    const tell = (): void => {
      if (told) return
      told = true
      following.stop()
      fn()
    }
    const look = async (): Promise<void> => {
      while (!told) {
        const head = await log.head(job.id)
        if (head === null ? (await whyAbsent(log, job)) !== null : head.ended) tell()
        else if (head !== null) return
      }
    }
    const following = log.follow(
      job.id,
      (firstSeq, records) => {
        seen?.take(firstSeq, records)
        if (isEnd(records[records.length - 1])) tell()
      },
      () => {
        seen?.forget()
        look().catch(failed)
      },
    )
    // Where it is known how far the log goes, it has not ended
    following.ready?.then((before) => (before === null ? look() : undefined)).catch(failed)
    return () => {
      told = true
      following.stop()
    }
  }

  return {
    received(job, parts) {
      const feed = feeds.get(job)
      if (feed !== undefined) feed.first ??= { receivedMono: clock.monoMs(), parts }
      const seen = asked.get(job)
      if (seen !== undefined) seen.parts ??= parts
    },
    firstText: (job) => feeds.get(job)?.first ?? null,
    stream(request) {
      const reader = read(request.job, request.form.name, (feed, left) => {
        const response: EventReader = new EventReader(request, feed, log, clock, options, (complete) => {
          responses.delete(place, response)
          left(complete)
        })
        return response
      })
      const place = responses.add(reader)
      if (closed) reader.stop()
    },
    follow(request) {
      const reader = read(
        request.job,
        request.form.name,
        (feed, left) => new FollowedJob(request, feed, log, clock, options.pageBytes, left),
      )
      if (closed) clock.soon(() => reader.stop())
      else void reader.open()
      return reader
    },
    ended,
    result(job, dialect) {
      return new Promise((resolve, reject) => {
        const seen = new Seen(SEEN_BYTES)
        if (asked.get(job.id) === undefined) asked.set(job.id, seen)
        const over = (): void => {
          if (asked.get(job.id) === seen) asked.delete(job.id)
        }
        const tell = (): void => {
          over()
          try {
            resolve(results.of(job, dialect, seen))
          } catch (thrown) {
            reject(thrown as Error)
          }
        }
        const fail = (thrown: unknown): void => {
          over()
          reject(thrown as Error)
        }
        ended(job, tell, fail, seen)
      })
    },
    close() {
      closed = true
      for (const { reader } of readers) reader.stop()
    },
  }
}
