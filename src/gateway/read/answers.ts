/** How a job's answer gets to the caller that waits for it. Whoever waits is in attendance (S2). */
import { SluiceError } from '../../core/errors.ts'
import { isTerminal, type Job, type JobDraft } from '../../core/job.ts'
import type { Cursor } from '../../core/record.ts'
import type { GatewayDeps } from '../deps.ts'
import type { KeyCall } from '../http/call.ts'
import type { Attendance } from './attendance.ts'
import { locationOf } from './location.ts'

export interface Answers {
  /**
   * A plain POST: a stream, or JSON once the job has ended. `job` may be the first one of a retry; `draft` decides how
   * it is rendered. `power`: nothing that names the job may be shown before.
   */
  plain(call: KeyCall, draft: JobDraft, job: Job, power: Promise<void>): void
  /** A job's events after `cursor`; null = from the start. */
  stream(call: KeyCall, job: Job, dialect: 'native' | 'chat', cursor: Cursor | null): void
  /** Waits for the end, `waitMs` at most; tells whether it has come. */
  whenEnded(call: KeyCall, job: Job, waitMs: number): Promise<boolean>
  /** The server stops: nobody waits any longer. Streams are let go by delivery. */
  releaseAll(): void
}

const READY = Promise.resolve()

export function createAnswers(deps: GatewayDeps, attendance: Attendance): Answers {
  const { delivery, options, clock } = deps
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
    plain(call, draft, job, power) {
      const leave = enter(call, job)
      if (leave === null) return
      const { response } = call
      const headers = { location: locationOf(job.id, draft.stream ? 'chat' : 'json'), 'sluice-job': job.id }
      if (draft.stream) {
        const { headersAfterMs } = options
        const as = { ...job, includeUsage: draft.includeUsage }
        delivery.stream(
          {
            job: as,
            dialect: 'chat',
            cursor: null,
            response,
            headersAfterMs,
            ready: power,
            onGone: () => leave(false, call.peerGoneMs),
            onDone: () => leave(true),
          },
          call.headers(headers),
        )
        return
      }
      const over = (complete: boolean): void => {
        waiting.delete(releaseAll)
        leave(complete, call.peerGoneMs)
      }
      const releaseAll = (): void => fail(new SluiceError('draining'))
      const fail = (error: unknown): void => {
        over(true)
        call.fail(error)
      }
      waiting.add(releaseAll)
      response.once('close', () => over(false))
      // The end record is power-safe, so the job is; but a store that failed never gets there
      power.catch(fail)
      delivery.result(job).then(({ status, headers: more, body }) => {
        over(true)
        call.bytes(status, body, {
          ...headers,
          ...more,
          'server-timing': `total;dur=${(clock.monoMs() - call.startedAt).toFixed(1)}`,
        })
      }, fail)
    },

    stream(call, job, dialect, cursor) {
      const leave = enter(call, job)
      if (leave === null) return
      const headersAfterMs = dialect === 'native' ? null : options.headersAfterMs
      delivery.stream(
        {
          job,
          dialect,
          cursor,
          response: call.response,
          headersAfterMs,
          ready: READY,
          onGone: () => leave(false, call.peerGoneMs),
          onDone: () => leave(true),
        },
        call.headers({ location: locationOf(job.id, dialect), 'sluice-job': job.id }),
      )
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
