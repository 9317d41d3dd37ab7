/** How a job's answer gets to the caller that waits for it. Whoever waits is in attendance (S2). */
import { SluiceError } from '../core/errors.ts'
import { isTerminal, type Job, type JobDraft } from '../core/job.ts'
import type { Cursor } from '../core/record.ts'
import type { Headers, KeyCall } from './call.ts'
import type { GatewayDeps } from './deps.ts'
import type { Attendance } from './disconnect.ts'

/**
 * A plain POST: a stream, or JSON once the job has ended. `job` may be the first one of a retry; how it is rendered is said
 * by `draft`. `power`: nothing that names the job may be shown before.
 */
export function answerPlain(deps: GatewayDeps, attendance: Attendance, call: KeyCall, draft: JobDraft, job: Job, power: Promise<void>): void {
  const { delivery, options, clock } = deps
  const leave = enter(deps, attendance, call, job)
  if (leave === null) return
  const headers = { location: `/v1/jobs/${job.id}/events`, 'sluice-job': job.id }
  if (draft.stream) {
    delivery.stream(
      {
        job: { ...job, includeUsage: draft.includeUsage },
        dialect: 'chat',
        cursor: null,
        response: call.response,
        headersAfterMs: options.headersAfterMs,
        ready: power,
        onGone: () => leave(false),
        onDone: () => leave(true),
      },
      call.headers(headers),
    )
    return
  }
  call.response.once('close', () => leave(false))
  const fail = (error: unknown): void => {
    leave(true)
    call.fail(error)
  }
  // The end record is power-safe, so the job is; but a store that failed never gets there
  power.catch(fail)
  delivery.result(job).then(({ status, body }) => {
    leave(true)
    call.bytes(status, body, { ...headers, 'server-timing': `total;dur=${(clock.monoMs() - call.startedAt).toFixed(1)}` })
  }, fail)
}

const READY = Promise.resolve()

/** A job's events behind `cursor`; null = from the start. */
export function streamEvents(deps: GatewayDeps, attendance: Attendance, call: KeyCall, job: Job, dialect: 'native' | 'chat', cursor: Cursor | null): void {
  const leave = enter(deps, attendance, call, job)
  if (leave === null) return
  deps.delivery.stream(
    {
      job,
      dialect,
      cursor,
      response: call.response,
      headersAfterMs: dialect === 'native' ? null : deps.options.headersAfterMs,
      ready: READY,
      onGone: () => leave(false),
      onDone: () => leave(true),
    },
    call.headers({ 'sluice-job': job.id }),
  )
}

/** Waits for the end at most so long; says whether it has come. */
export async function whenEnded(deps: GatewayDeps, attendance: Attendance, call: KeyCall, job: Job, waitMs: number): Promise<boolean> {
  if (isTerminal(job.state)) return true
  if (waitMs === 0) return false
  const leave = enter(deps, attendance, call, job)
  if (leave === null) return false
  return new Promise((resolve) => {
    const done = (ended: boolean): void => {
      stopWaiting()
      unwatch()
      call.response.off('close', gone)
      leave(ended)
      resolve(ended)
    }
    const gone = (): void => done(false)
    const stopWaiting = deps.clock.after(waitMs, () => done(false))
    const unwatch = deps.delivery.ended(job.id, () => done(true))
    call.response.once('close', gone)
  })
}

/** The reader's leave; null when it left while its job was looked up: then it came and went. */
function enter(deps: GatewayDeps, attendance: Attendance, call: KeyCall, job: Job): ((complete: boolean) => void) | null {
  if (attendance.readers(job.id) >= deps.options.maxReadersPerJob) throw new SluiceError('too_many_subscribers')
  const leave = attendance.enter(job)
  if (!call.response.destroyed) return leave
  leave(false)
  return null
}

/** Headers of a stream, for who asks for no more. */
export const STREAM_HEADERS: Headers = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' }
