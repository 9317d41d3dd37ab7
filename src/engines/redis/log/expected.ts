/**
 * Logs of jobs that this process is submitting, and will read at once: the commit that accepts such a job makes the
 * process its follower, so that following it takes no call of its own. What arrives before its reader is held.
 */
import type { JobId } from '../../../core/job.ts'
import { Table } from '../../../core/table.ts'
import { type Arrival, FollowedLog } from './followed.ts'

interface Expected {
  readonly log: FollowedLog
  isGranted: boolean
}

export class ExpectedLogs {
  /** In two generations: a reader comes at once, or not at all. */
  #logs = new Table<JobId, Expected>()
  #earlier = new Table<JobId, Expected>()

  add(job: JobId, nowMono: number): void {
    this.#logs.set(job, { log: new FollowedLog(job, nowMono), isGranted: false })
  }

  /** The commit that accepted the job made this process its follower. */
  grant(job: JobId, epoch: number): void {
    const expected = this.#get(job)
    if (expected === undefined) return
    expected.isGranted = true
    expected.log.since = epoch
  }

  /** False: it is not expected. */
  hold(job: JobId, arrival: Arrival): boolean {
    const expected = this.#get(job)
    expected?.log.hold(arrival)
    return expected !== undefined
  }

  /** For its reader, from the log's start on; null: the process may not be its follower. */
  take(job: JobId): FollowedLog | null {
    const expected = this.#get(job)
    if (expected === undefined) return null
    this.#logs.delete(job)
    this.#earlier.delete(job)
    return expected.isGranted ? expected.log : null
  }

  /** Called now and then: returns jobs that are followed here, and whose reader never came. */
  expire(): readonly JobId[] {
    const unread: JobId[] = []
    for (const [job, { isGranted }] of this.#earlier.entries()) if (isGranted) unread.push(job)
    this.#earlier = this.#logs
    this.#logs = new Table()
    return unread
  }

  /** What was published may have been missed: their readers join their logs. */
  clear(): void {
    this.#logs = new Table()
    this.#earlier = new Table()
  }

  #get(job: JobId): Expected | undefined {
    return this.#logs.get(job) ?? this.#earlier.get(job)
  }
}
