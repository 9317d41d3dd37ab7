/** S2: a plain POST that nobody reads any more is canceled, after a grace in which its reader may come back. */
import type { Clock } from '../../core/clock.ts'
import type { Job, JobId } from '../../core/job.ts'

type Attended = Pick<Job, 'id' | 'options'>

export interface Attendance {
  /**
   * Somebody reads, or waits for, this job. Returns the function that ends it; `complete`: they have everything;
   * `goneMs`: how long ago they may have left already.
   */
  enter(job: Attended): (complete: boolean, goneMs?: number) => void
  /** After a restart: its readers are gone, and have the grace to come back. */
  expect(job: Attended): void
  readers(job: JobId): number
  /** From now on no job is canceled. */
  close(): void
}

export function createAttendance(clock: Clock, graceMs: number, cancel: (job: JobId) => void): Attendance {
  const present = new Map<JobId, number>()
  const leaving = new Map<JobId, () => void>()
  let closed = false

  function left({ id, options }: Attended, goneMs = 0): void {
    if (closed || options.onDisconnect !== 'cancel') return
    const stop = clock.after(Math.max(0, graceMs - goneMs), () => {
      leaving.delete(id)
      cancel(id)
    })
    leaving.set(id, stop)
  }

  return {
    enter(job) {
      const { id } = job
      present.set(id, (present.get(id) ?? 0) + 1)
      leaving.get(id)?.()
      leaving.delete(id)
      let here = true
      return (complete, goneMs = 0) => {
        if (!here) return
        here = false
        const others = (present.get(id) ?? 1) - 1
        if (others > 0) {
          present.set(id, others)
          return
        }
        present.delete(id)
        if (!complete) left(job, goneMs)
      }
    },
    expect(job) {
      if (!present.has(job.id)) left(job)
    },
    readers: (job) => present.get(job) ?? 0,
    close() {
      closed = true
      for (const stop of leaving.values()) stop()
      leaving.clear()
    },
  }
}
