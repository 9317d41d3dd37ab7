/** Lines of batches, through the door that every request passes: as jobs of the key that made the batch. */
import type { Batch } from '../../core/batch.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Caller } from '../caller/caller.ts'
import type { BatchDoor, GatewayDeps } from '../deps.ts'
import { parseBody } from '../http/body.ts'
import { jobDraft } from './draft.ts'
import type { Submits } from './submit.ts'

export function createBatchDoor(deps: GatewayDeps, submits: Submits): BatchDoor {
  const { keys, ids, clock, delivery, dialects, options } = deps

  function callerOf({ keyId }: Batch): Caller {
    const key = keys.get(keyId)
    if (key === null) throw new SluiceError('invalid_api_key', { message: "The batch's API key is no longer valid." })
    return { key, session: null }
  }

  return {
    async submit({ batch, key, body, deadlineMs }) {
      const caller = callerOf(batch)
      const origin = { requestId: ids.name('line', 8), startedMono: clock.monoMs(), uploadMs: 0, trace: null }
      const draft = submits.drafted(caller, origin, () => {
        const { value, bytes } = parseBody(Buffer.from(body), options)
        const job = {
          ...{ request: value, endpoint: batch.endpoint, priority: 'low', policy: 'wait' },
          ...{ idempotency_key: key, deadline_ms: deadlineMs },
          ...(batch.pool !== null && { pool: batch.pool }),
        }
        return jobDraft(deps, caller, job, bytes, null, origin)
      })
      const taken = await submits.one(caller, draft)
      if (taken.owned === undefined) return taken.job
      // It is with its pool's broker
      const leaving = new AbortController()
      const cancel = clock.after(OWNED_WITHIN_MS, () => leaving.abort())
      const owned = await taken.owned(leaving.signal).finally(cancel)
      if (owned.kind === 'refused') throw owned.error
      return owned.job
    },
    async result(job) {
      const dialect = dialects.spoken.find(({ name }) => name === job.dialect)
      if (dialect === undefined) throw new SluiceError('internal', { message: `No dialect "${job.dialect}".` })
      const { status, body } = await delivery.result(job, dialect)
      const text = Buffer.from(body, 'latin1').toString('utf8')
      try {
        return { status, body: JSON.parse(text) as unknown }
      } catch {
        return { status, body: text }
      }
    },
  }
}

/** Whoever comes again joins it. */
const OWNED_WITHIN_MS = 30_000
