/** Jobs, with those that are published and not owned yet: who looks for one waits for it a little. */
import { type Clock, sleep } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { jobOrder } from '../core/ids.ts'
import type { Job, JobId } from '../core/job.ts'
import type { Intake } from '../core/ports/intake.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Envelopes } from './envelope.ts'
import type { Published } from './published.ts'

export interface ArrivingDeps {
  readonly inner: Jobs
  readonly published: Published
  readonly intakeOf: (pool: string) => Intake | null
  readonly envelopes: Envelopes
  readonly clock: Clock
  /** Others may have published it. */
  readonly isOneOfMany: boolean
}

/** For a job that another process has published; more callers than these don't wait. */
const WAIT_MS = 2_000
const FIRST_LOOK_MS = 25
const MOST_WAITING = 500
/** For one of our own, which is shown as it is then. */
const OWN_WAIT_MS = 250

export function arriving({ inner, published, intakeOf, envelopes, clock, isOneOfMany }: ArrivingDeps): Jobs {
  let waiting = 0

  async function look(id: JobId): Promise<Job | null> {
    if (!isOneOfMany || jobOrder(id) === null || waiting >= MOST_WAITING) return null
    waiting++
    try {
      const until = clock.monoMs() + WAIT_MS
      for (let wait = FIRST_LOOK_MS; clock.monoMs() < until; wait *= 2) {
        await sleep(clock, wait)
        const job = await inner.get(id)
        if (job !== null) return job
      }
      return null
    } finally {
      waiting--
    }
  }

  async function get(id: JobId): Promise<Job | null> {
    const job = await inner.get(id)
    if (job !== null) return job
    const told = published.get(id)
    if (told === null) return look(id)
    await published.outcome(told, OWN_WAIT_MS)
    return (await inner.get(id)) ?? (published.get(id) === null ? null : told.job)
  }

  return {
    get,
    request: (id) => inner.request(id),
    byKey: (tenant, key) => inner.byKey(tenant, key),
    list: (filter) => inner.list(filter),
    places: (ids) => inner.places(ids),
    watchPlace: (id, listener) => inner.watchPlace(id, listener),
    async cancel(id) {
      const found = await inner.cancel(id)
      const told = published.get(id)
      if (found.kind !== 'unknown' || told === null) return found
      // Here at once; and with the broker, for whoever takes it
      told.isCanceled = true
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
