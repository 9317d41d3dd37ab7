/** Jobs, with those that are published and not owned yet: who looks for one waits for it a little. */
import { SluiceError } from '../core/errors.ts'
import { jobOrder } from '../core/ids.ts'
import type { Job, JobDraft, JobId, JobOptions } from '../core/job.ts'
import type { Intake } from '../core/ports/intake.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Submissions } from '../core/ports/submissions.ts'
import type { Envelopes } from './envelope.ts'
import type { Issued } from './issued.ts'
import type { Published } from './published.ts'

export interface ArrivingDeps {
  readonly inner: Jobs
  readonly submissions: Pick<Submissions, 'refuse'>
  readonly published: Published
  readonly issued: Issued
  readonly intakeOf: (pool: string) => Intake | null
  readonly envelopes: Envelopes
  /** Others may have published it. */
  readonly isOneOfMany: boolean
}

/** For a job that another process has published. */
const WAIT_MS = 2_000
/** Callers that wait for jobs that nobody here knows: those who look for one, and those who have asked to wait. */
const MOST_WAITING = 500
/** For one of our own, which is shown as it is then. */
const OWN_WAIT_MS = 250

export function arriving({
  inner,
  submissions,
  published,
  issued,
  intakeOf,
  envelopes,
  isOneOfMany,
}: ArrivingDeps): Jobs {
  const looking = { now: 0 }
  const waiting = { now: 0 }

  async function unknown(
    among: { now: number },
    id: JobId,
    withinMs: number,
    signal?: AbortSignal,
  ): Promise<Job | null> {
    if (jobOrder(id) === null || among.now >= MOST_WAITING) return null
    among.now++
    try {
      return await published.arrived(id, withinMs, signal)
    } finally {
      among.now--
    }
  }

  async function get(id: JobId): Promise<Job | null> {
    const job = await inner.get(id)
    if (job !== null) return job
    const told = published.get(id)
    if (told === null) return isOneOfMany ? unknown(looking, id, WAIT_MS) : null
    await published.outcome(told, OWN_WAIT_MS)
    // Another process may have taken it, and the store lost it
    if (isOneOfMany && issued.isOver(told.job)) published.forget(id)
    return (await inner.get(id)) ?? (published.get(id) === null ? null : told.job)
  }

  return {
    get,
    arrived: (id, withinMs, signal) =>
      published.get(id) === null ? unknown(waiting, id, withinMs, signal) : published.arrived(id, withinMs, signal),
    mayCome: (id, tenant, user) => !published.isOver(id) && issued.mayCome(id, tenant, user),
    async withdraw(id, by) {
      const stored = await submissions.refuse(unknownOf(by), id, CANCELED)
      if (stored.kind === 'refused') throw stored.error
      await inner.cancel(id)
      published.settle(id, stored)
    },
    request: (id) => inner.request(id),
    byKey: (tenant, key) => inner.byKey(tenant, key),
    list: (filter) => inner.list(filter),
    places: (ids) => inner.places(ids),
    watchPlace: (id, listener) => inner.watchPlace(id, listener),
    async cancel(id) {
      const found = await inner.cancel(id)
      const told = published.get(id)
      if (found.kind !== 'unknown' || told === null) return found
      // Here at once
      told.isCanceled = true
      // In the store: whoever takes it from the broker finds it there, and runs nothing
      const stored = await submissions.refuse(draftOf(told.job), id, CANCELED).catch(() => null)
      if (stored?.kind === 'accepted') {
        // Where it has come meanwhile it is canceled there; else it has ended so already
        const { kind } = await inner.cancel(id)
        published.settle(id, stored)
        return { kind: kind === 'ended' && (await inner.get(id))?.state === 'canceled' ? 'canceled' : kind }
      }
      // Behind it, where the store does not take it now
      const { pool } = told.job.options
      const payload = envelopes.seal({ type: 'cancel', id, order: told.order })
      await intakeOf(pool)?.publish({ pool, key: envelopes.keyOf(told.order), id: `cancel_${id}`, payload })
      return { kind: 'canceling' }
    },
    async erase(id) {
      if (await inner.erase(id)) {
        published.forget(id)
        return true
      }
      if (published.get(id) === null) return false
      throw new SluiceError('not_arrived', { retryAfterMs: WAIT_MS })
    },
  }
}

const CANCELED = new SluiceError('job_canceled')

/** Nobody reads what it asked for. */
function draftOf({
  id: _id,
  state: _state,
  epoch: _epoch,
  attempts: _attempts,
  acceptedAtMs: _at,
  ...draft
}: Job): JobDraft {
  return { ...draft, body: NO_REQUEST, isRetry: false }
}

/** In the place of one of which nothing but its id is known. */
function unknownOf(by: Pick<Job, 'tenant' | 'keyId' | 'user'>): JobDraft {
  return {
    ...by,
    kind: 'chat',
    model: 'unknown',
    body: NO_REQUEST,
    bodyHash: '',
    options: NOTHING,
    isRetry: false,
    dialect: 'openai',
    takesBack: false,
    promptTokens: 0,
  }
}

const NOTHING: JobOptions = {
  pool: 'unknown',
  priority: 'normal',
  deadlineMs: 1,
  policy: 'wait',
  onWorkerLoss: 'restart',
  onDisconnect: 'continue',
}

const NO_REQUEST = Buffer.from('{}')
