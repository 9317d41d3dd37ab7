/** From the log to readers over HTTP: replay, then live. */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Emit } from '../core/facts.ts'
import type { Job, JobId } from '../core/job.ts'
import type { Delivery, TokenLog } from '../core/ports.ts'
import { type Bytes, isEnd } from '../core/record.ts'
import { renderCompletion } from './dialects/completion.ts'
import { Feed } from './feed.ts'
import { Reader, type ReaderOptions } from './reader.ts'

const SWEEP_MS = 250

export function createDelivery(log: TokenLog, clock: Clock, emit: Emit, options: ReaderOptions): Delivery {
  const feeds = new Map<JobId, Feed>()
  const readers = new Set<Reader>()
  let stopSweep: (() => void) | null = null
  let closed = false

  function feedOf(job: Job): Feed {
    const open = feeds.get(job.id)
    if (open) return open
    const feed = new Feed(job.epoch)
    feeds.set(job.id, feed)
    feed.unfollow = log.follow(job.id, (firstSeq, records) => feed.push(firstSeq, records, isEnd(records[records.length - 1])))
    return feed
  }

  function sweep(): void {
    const now = clock.monoMs()
    for (const reader of readers) reader.beat(now)
  }

  function ended(job: JobId, fn: () => void): () => void {
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
    void log.read(job, 0, 0).then((page) => {
      if (page === null || page.ended) tell()
    })
    return () => {
      told = true
      unfollow()
    }
  }

  return {
    stream(request, headers) {
      const { job, dialect } = request
      const feed = feedOf(job)
      const reader = new Reader(request, headers, feed, log, clock, options, (complete) => {
        readers.delete(reader)
        feed.readers.delete(reader)
        if (feed.readers.size === 0) {
          feed.unfollow()
          feeds.delete(job.id)
        }
        if (readers.size === 0) {
          stopSweep?.()
          stopSweep = null
        }
        emit({ type: 'reader-closed', job: job.id, dialect, complete })
      })
      readers.add(reader)
      feed.readers.add(reader)
      stopSweep ??= clock.every(SWEEP_MS, sweep)
      emit({ type: 'reader-opened', job: job.id, dialect })
      if (closed) reader.leave()
    },
    ended,
    result: (job) =>
      new Promise((resolve, reject) => {
        ended(job.id, () => void wholeLog(log, job.id, options.pageBytes).then((records) => resolve(renderCompletion(job.kind, records)), reject))
      }),
    readers: (job) => feeds.get(job)?.readers.size ?? 0,
    close() {
      closed = true
      for (const reader of [...readers]) reader.leave()
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
