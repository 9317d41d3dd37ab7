/** How a job's answer gets to the caller that waits for it. */
import { SluiceError } from '../core/errors.ts'
import { isTerminal, type Job, type JobDraft } from '../core/job.ts'
import type { Cursor } from '../core/record.ts'
import type { KeyCall } from './call.ts'
import type { GatewayDeps } from './deps.ts'
import type { Attendance } from './disconnect.ts'

/** A plain POST: a stream, or JSON once the job has ended. */
export function answerPlain(deps: GatewayDeps, attendance: Attendance, call: KeyCall, draft: JobDraft, job: Job, power: Promise<void>): void {
  const location = { location: `/v1/jobs/${job.id}/events`, 'sluice-job': job.id }
  if (attendance.readers(job.id) >= deps.options.maxReadersPerJob) throw new SluiceError('too_many_subscribers')
  const leave = attendance.enter(job)
  if (draft.stream) {
    deps.delivery.stream(
      { job: { ...job, includeUsage: draft.includeUsage }, dialect: 'chat', cursor: null, response: call.response, headersAfterMs: deps.options.headersAfterMs, ready: power, onGone: () => leave(false), onDone: () => leave(true) },
      call.headers(location),
    )
    return
  }
  call.response.once('close', () => leave(call.response.writableFinished))
  deps.delivery.result(job).then(
    ({ status, body }) => {
      leave(true)
      call.bytes(status, body, location)
    },
    (error: unknown) => {
      leave(true)
      call.error(SluiceError.from(error))
    },
  )
}

export function streamEvents(deps: GatewayDeps, attendance: Attendance, call: KeyCall, job: Job, dialect: 'native' | 'chat', cursor: Cursor | null): void {
  if (attendance.readers(job.id) >= deps.options.maxReadersPerJob) throw new SluiceError('too_many_subscribers')
  const leave = attendance.enter(job)
  deps.delivery.stream({ job, dialect, cursor, response: call.response, headersAfterMs: dialect === 'native' ? null : deps.options.headersAfterMs, ready: Promise.resolve(), onGone: () => leave(false), onDone: () => leave(true) }, call.headers({ 'sluice-job': job.id }))
}

/** Waits for the end at most so long; says whether it has come. */
export async function whenEnded(deps: GatewayDeps, call: KeyCall, job: Job, waitMs: number): Promise<boolean> {
  if (isTerminal(job.state)) return true
  if (waitMs === 0) return false
  return new Promise((resolve) => {
    const done = (ended: boolean): void => {
      stopWaiting()
      unwatch()
      call.response.off('close', gone)
      resolve(ended)
    }
    const gone = (): void => done(false)
    const stopWaiting = deps.clock.after(waitMs, () => done(false))
    const unwatch = deps.delivery.ended(job.id, () => done(true))
    call.response.once('close', gone)
  })
}
