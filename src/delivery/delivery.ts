/** From the log to readers: replay, then live. */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { aboutJob, type Emit } from '../core/facts.ts'
import type { Job, JobId } from '../core/job.ts'
import type { Delivery } from '../core/ports/delivery.ts'
import type { TokenLog } from '../core/ports/log.ts'
import { type Bytes, isEnd } from '../core/record.ts'
import { renderCompletion } from './dialects/completion.ts'
import { Feed } from './feed.ts'
import type { Place } from './place.ts'
import { FollowedJob } from './socket-reader.ts'
import { type ReaderOptions, SseReader } from './sse-reader.ts'

const SWEEP_MS = 250

interface Reader {
  readonly place: Place
  /** Lets go of it where it stands. */
  stop(): void
}

export function createDelivery(log: TokenLog, clock: Clock, emit: Emit, options: ReaderOptions): Delivery {
  const feeds = new Map<JobId, Feed>()
  const readers = new Set<Reader>()
  const responses = new Set<SseReader>()
  let stopSweep: (() => void) | null = null
  let closed = false

  function feedOf(job: Job): Feed {
    const open = feeds.get(job.id)
    if (open) return open
    const feed = new Feed(job.id, job.epoch)
    feeds.set(job.id, feed)
    feed.unfollow = log.follow(job.id, (firstSeq, records) => feed.push(firstSeq, records))
    return feed
  }

  /** `make` builds the reader around the feed and the call that tells of its leave. */
  function read<R extends Reader>(
    job: Job,
    dialect: string,
    make: (feed: Feed, left: (complete: boolean) => void) => R,
  ): R {
    const feed = feedOf(job)
    const reader = make(feed, (complete) => {
      readers.delete(reader)
      feed.readers.delete(reader.place)
      if (feed.readers.size === 0 && feeds.get(job.id) === feed) {
        feed.unfollow()
        feeds.delete(job.id)
      }
      emit({ type: 'reader-closed', ...aboutJob(job), dialect, complete })
    })
    readers.add(reader)
    feed.readers.add(reader.place)
    emit({ type: 'reader-opened', ...aboutJob(job), dialect })
    return reader
  }

  function sweep(): void {
    const now = clock.monoMs()
    for (const response of responses) response.beat(now)
  }

  function sweepWhileNeeded(): void {
    if (responses.size > 0) stopSweep ??= clock.every(SWEEP_MS, sweep)
    else {
      stopSweep?.()
      stopSweep = null
    }
  }

  /** `failed`: whether it ended can't be read. Who has another way to give up need not know. */
  function ended(job: JobId, fn: () => void, failed: (thrown: unknown) => void = () => {}): () => void {
    let told = false
    const tell = (): void => {
      if (told) return
      told = true
      unfollow()
      fn()
    }
    const unfollow = log.follow(job, (_firstSeq, records) => {
      if (isEnd(records[records.length - 1])) tell()
    })
    log
      .read(job, 0, 0)
      .then((page) => {
        if (page === null || page.ended) tell()
      })
      .catch(failed)
    return () => {
      told = true
      unfollow()
    }
  }

  return {
    stream(request, headers) {
      const { job, dialect } = request
      const reader = read(job, dialect, (feed, left) => {
        const response: SseReader = new SseReader(request, headers, feed, log, clock, options, (complete) => {
          responses.delete(response)
          sweepWhileNeeded()
          left(complete)
        })
        return response
      })
      responses.add(reader)
      sweepWhileNeeded()
      if (closed) reader.stop()
    },
    follow(request) {
      const reader = read(
        request.job,
        'socket',
        (feed, left) => new FollowedJob(request, feed, log, options.pageBytes, left),
      )
      if (closed) clock.soon(() => reader.stop())
      else void reader.open()
      return reader
    },
    ended,
    async result(job) {
      await new Promise<void>((done, failed) => void ended(job.id, done, failed))
      return renderCompletion(job.kind, await wholeLog(log, job.id, options.pageBytes))
    },
    readers: (job) => feeds.get(job)?.readers.size ?? 0,
    close() {
      closed = true
      for (const reader of [...readers]) reader.stop()
    },
  }
}

async function wholeLog(log: TokenLog, job: JobId, pageBytes: number): Promise<readonly Bytes[]> {
  let records: readonly Bytes[] = []
  for (;;) {
    const page = await log.read(job, records.length, pageBytes)
    if (page === null) throw new SluiceError('job_gone')
    records = records.length === 0 ? page.records : records.concat(page.records)
    if (records.length >= page.head) return records
  }
}
