/** S2: a plain POST that nobody reads any more is canceled, after a grace in which its reader may come back. */
import type { Clock } from '../core/clock.ts'
import type { Job, JobId } from '../core/job.ts'

export interface Attendance {
  /** Somebody reads, or waits for, this job. Returns their leave; `complete`: they have it all. */
  enter(job: Job): (complete: boolean) => void
  readers(job: JobId): number
  close(): void
}

export function createAttendance(clock: Clock, graceMs: number, cancel: (job: JobId) => void): Attendance {
  const present = new Map<JobId, number>()
  const leaving = new Map<JobId, () => void>()

  return {
    enter(job) {
      const { id } = job
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
        if (complete || job.wishes.onDisconnect !== 'cancel') return
        const stop = clock.after(graceMs, () => {
          leaving.delete(id)
          cancel(id)
        })
        leaving.set(id, stop)
      }
    },
    readers: (job) => present.get(job) ?? 0,
    close() {
      for (const stop of leaving.values()) stop()
      leaving.clear()
    },
  }
}
