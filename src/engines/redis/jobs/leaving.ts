/**
 * Of a tenant that keeps nothing, an ended job stays until its last reader has gone. It is removed at a time that each
 * process puts off as long as somebody reads the job there: a process that died puts off nothing.
 */
import type { JobId } from '../../../core/job.ts'
import type { Following, TokenLog } from '../../../core/ports/log.ts'
import { Table } from '../../../core/table.ts'
import type { Ground } from '../bus/ground.ts'

const LOOK_MS = 500
/** As lua/jobs.lua gives it at the end. */
const PUT_OFF_MS = 3_000
const JOBS_AT_ONCE = 5_000

export class LeavingJobs {
  readonly #ground: Pick<Ground, 'commands' | 'names' | 'scripts' | 'clock' | 'time'>
  readonly #readers = new Table<JobId, number>()
  readonly #stop: () => void
  #looking = false

  constructor(ground: Pick<Ground, 'commands' | 'names' | 'scripts' | 'clock' | 'time'>) {
    this.#ground = ground
    this.#stop = ground.clock.every(LOOK_MS, () => void this.#look())
  }

  /** The log, whose readers count. */
  of(log: TokenLog): TokenLog {
    return {
      open: (lease) => log.open(lease),
      head: (job) => log.head(job),
      commonWith: (job, epoch) => log.commonWith(job, epoch),
      read: (job, afterSeq, maxBytes) => log.read(job, afterSeq, maxBytes),
      missing: (job, epoch) => log.missing(job, epoch),
      follow: (...how) => this.#follow(log, how),
    }
  }

  close(): void {
    this.#stop()
  }

  #follow(log: TokenLog, how: Parameters<TokenLog['follow']>): Following {
    const [job] = how
    const { ready, stop } = log.follow(...how)
    this.#readers.set(job, (this.#readers.get(job) ?? 0) + 1)
    let isHere = true
    return {
      ready,
      stop: () => {
        stop()
        if (!isHere) return
        isHere = false
        const others = this.#readers.get(job)! - 1
        if (others > 0) this.#readers.set(job, others)
        else this.#readers.delete(job)
      },
    }
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#readers.size === 0) return
    this.#looking = true
    const { commands, names, scripts, time } = this.#ground
    try {
      const leaving = await commands.client.zrange(names.leaving(), 0, String(JOBS_AT_ONCE - 1))
      const untilMs = time.nowMs() + PUT_OFF_MS
      const read = leaving.filter((job) => this.#readers.has(job))
      if (read.length > 0) await scripts.run('leaving', [untilMs, ...read])
    } catch {
      // Away: whoever removes them can't either
    } finally {
      this.#looking = false
    }
  }
}
