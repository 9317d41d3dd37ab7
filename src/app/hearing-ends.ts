/**
 * A log that tells of the ends that it hands to whoever follows: in a fleet the facts of ends are told where the
 * coordinator is, and a gateway knows those only that its own readers get.
 */
import type { JobId } from '../core/job.ts'
import type { TokenLog } from '../core/ports/log.ts'
import { type End, isEnd, parseEnd } from '../core/record.ts'

/** `hear` may be told of an end several times: once for each of its followers. */
export const hearingEnds = (log: TokenLog, hear: (job: JobId, end: () => End) => void): TokenLog => ({
  open: (lease) => log.open(lease),
  head: (job) => log.head(job),
  commonWith: (job, epoch) => log.commonWith(job, epoch),
  read: (job, afterSeq, maxBytes) => log.read(job, afterSeq, maxBytes),
  missing: (job, epoch) => log.missing(job, epoch),
  follow: (job, listener, rewritten) =>
    log.follow(
      job,
      (firstSeq, records, epoch) => {
        listener(firstSeq, records, epoch)
        const last = records[records.length - 1]
        if (isEnd(last)) hear(job, () => parseEnd(last))
      },
      rewritten,
    ),
})
