/** How a job's answer gets to the caller that waits for it. Whoever waits is in attendance (S2). */
import { SluiceError } from '../../core/errors.ts'
import { isTerminal, type Job } from '../../core/job.ts'
import type { Dialect, StreamForm } from '../../core/ports/dialect.ts'
import type { Cursor } from '../../core/record.ts'
import type { GatewayDeps } from '../deps.ts'
import type { KeyCall } from '../http/call.ts'
import { EventStream } from '../http/event-stream.ts'
import type { Attendance } from './attendance.ts'
import { resultOf, streamOf } from './location.ts'

export interface StreamOptions {
  /** Null: from the start. */
  readonly cursor: Cursor | null
  /** Its request submits the job. */
  readonly submits: boolean
  /** Nothing that names the job may be shown before. */
  readonly ready: Promise<void>
}

export interface Answers {
  /** A job's events. */
  stream(call: KeyCall, job: Job, form: StreamForm, options: StreamOptions): void
  /** The answer in one piece, to whoever submitted the job, once it has ended. */
  whole(call: KeyCall, job: Job, dialect: Dialect): void
  /** Waits for the end, `waitMs` at most; tells whether it has come. */
  whenEnded(call: KeyCall, job: Job, waitMs: number): Promise<boolean>
  /** The server stops: nobody waits any longer. Streams are let go by delivery. */
  releaseAll(): void
}

export function createAnswers(deps: GatewayDeps, attendance: Attendance): Answers {
  const { delivery, options, clock, dialects } = deps
  const waiting = new Set<() => void>()

  /** The reader's leave; null when it left while its job was looked up: then it came and went. */
  function enter(call: KeyCall, job: Job): ((complete: boolean, goneMs?: number) => void) | null {
    if (attendance.readers(job.id) >= options.maxReadersPerJob) throw new SluiceError('too_many_subscribers')
    const leave = attendance.enter(job)
    if (!call.response.destroyed) return leave
    leave(false)
    return null
  }

  return {
    stream(call, job, form, { cursor, submits, ready }) {
      const leave = enter(call, job)
      if (leave === null) return
      delivery.stream({
        job,
        form,
        cursor,
        sink: new EventStream(call, { location: streamOf(job.id, form, dialects), 'sluice-job': job.id }),
        submits,
        headersAfterMs: form.failure === null ? null : options.headersAfterMs,
        ready,
        onGone: () => leave(false, call.peerGoneMs),
        onDone: () => leave(true),
      })
    },

    whole(call, job, dialect) {
      const leave = enter(call, job)
      if (leave === null) return
      const over = (complete: boolean): void => {
        waiting.delete(releaseAll)
        leave(complete, call.peerGoneMs)
      }
      const fail = (error: unknown): void => {
        over(true)
        call.fail(error)
      }
      const releaseAll = (): void => fail(new SluiceError('draining'))
      waiting.add(releaseAll)
      call.response.once('close', () => over(false))
      // The end is power-safe before it is told, and so is the job
      delivery.result(job, dialect).then(({ status, headers, body }) => {
        over(true)
        call.bytes(status, body, {
          location: resultOf(job.id),
          'sluice-job': job.id,
          ...headers,
          'server-timing': `total;dur=${(clock.monoMs() - call.startedAt).toFixed(1)}`,
        })
      }, fail)
    },

    async whenEnded(call, job, waitMs) {
      if (isTerminal(job.state)) return true
      if (waitMs === 0) return false
      const leave = enter(call, job)
      if (leave === null) return false
      return new Promise((resolve) => {
        const done = (ended: boolean): void => {
          stopWaiting()
          unwatch()
          waiting.delete(giveUp)
          call.response.off('close', giveUp)
          leave(ended, call.peerGoneMs)
          resolve(ended)
        }
        const giveUp = (): void => done(false)
        const stopWaiting = clock.after(waitMs, giveUp)
        const unwatch = delivery.ended(job.id, () => done(true))
        waiting.add(giveUp)
        call.response.once('close', giveUp)
      })
    },

    releaseAll() {
      for (const go of [...waiting]) go()
    },
  }
}
