/** S2: a plain POST that nobody reads any more is canceled, after a grace in which its reader may come back. */
import type { Clock } from '../core/clock.ts'
import type { Job, JobId } from '../core/job.ts'
import type { Queue } from '../core/ports.ts'

type Attended = Pick<Job, 'id' | 'options'>

export interface Attendance {
  /** Somebody reads, or waits for, this job. Returns their leave; `complete`: they have it all. */
  enter(job: Attended): (complete: boolean) => void
  readers(job: JobId): number
  /** No job is canceled any more. */
  close(): void
}

export function createAttendance(clock: Clock, graceMs: number, cancel: (job: JobId) => void): Attendance {
  const present = new Map<JobId, number>()
  const leaving = new Map<JobId, () => void>()
  let closed = false

  return {
    enter({ id, options }) {
      present.set(id, (present.get(id) ?? 0) + 1)
      leaving.get(id)?.()
      leaving.delete(id)
      let here = true
      return (complete) => {
        if (!here) return
        here = false
        const left = (present.get(id) ?? 1) - 1
        if (left > 0) {
          present.set(id, left)
          return
        }
        present.delete(id)
        if (closed || complete || options.onDisconnect !== 'cancel') return
        const stop = clock.after(graceMs, () => {
          leaving.delete(id)
          cancel(id)
        })
        leaving.set(id, stop)
      }
    },
    readers: (job) => present.get(job) ?? 0,
    close() {
      closed = true
      for (const stop of leaving.values()) stop()
      leaving.clear()
    },
  }
}

const PAGE = 100

/** After a restart: readers of unfinished jobs are gone, and have the grace to come back. */
export async function expectReaders(queue: Pick<Queue, 'list'>, attendance: Attendance): Promise<void> {
  let before: JobId | undefined
  for (;;) {
    const jobs = await queue.list({
      states: ['queued', 'delayed', 'waiting', 'leased'],
      limit: PAGE,
      ...(before === undefined ? {} : { before }),
    })
    for (const job of jobs) if (attendance.readers(job.id) === 0) attendance.enter(job)(false)
    if (jobs.length < PAGE) return
    before = jobs[PAGE - 1].id
  }
}
