/** Lines of batches, through the door that every request passes: as jobs of the key that made the batch. */
import { type Batch, LINE_REQUEST } from '../../core/batch.ts'
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import { editObject, isRecord, type JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Caller } from '../caller/caller.ts'
import type { BatchDoor, GatewayDeps } from '../deps.ts'
import { parseBody } from '../http/body.ts'
import { type Draft, jobDraft, spokenAt } from './draft.ts'
import { referencesIn } from './recall.ts'
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
      const spoken = spokenAt(deps, batch.endpoint)
      const references =
        spoken.form.refersTo === undefined
          ? undefined
          : await referencesIn(deps, caller, spoken, parseBody(Buffer.from(body), options).value, {})
      const origin = { requestId: ids.name(LINE_REQUEST, 8), startedMono: clock.monoMs(), uploadMs: 0, trace: null }
      const draft = submits.drafted(caller, origin, () => {
        const { value, bytes, members } = parseBody(Buffer.from(body), options)
        const { sluice, ...request } = value
        const job = {
          ...optionsOf(sluice, batch),
          ...{ request, endpoint: batch.endpoint, priority: 'low', policy: 'wait' },
          ...{ idempotency_key: key, deadline_ms: deadlineMs },
        }
        const sent = sluice === undefined ? bytes : editObject(bytes, { sluice: null }, members)
        return untold(jobDraft(deps, caller, job, sent, null, origin, references))
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
    refusal({ endpoint }, error) {
      const body = spokenAt(deps, endpoint).dialect.error(error.wire)
      return { status: error.status, body: JSON.parse(Buffer.from(body, 'latin1').toString('utf8')) as unknown }
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

/** What a line may say of its job; the rest is its batch's. */
const OPTIONS = ['run', 'parent', 'after', 'tags', 'cache', 'metadata', 'webhook', 'pool', 'conversation', 'lane']
/** Where there is room: by it a batch's jobs, and what they cost, are found. */
const LABEL = 'batch'
const MAX_LABELS = 16

/** Throws invalid_request. */
function optionsOf(sluice: unknown, { id, pool }: Batch): JsonRecord {
  if (sluice !== undefined && !isRecord(sluice)) throw bad('sluice', '"sluice" must be an object of job options.')
  const { metadata, ...given } = sluice ?? {}
  for (const name of Object.keys(given)) if (!OPTIONS.includes(name)) throw bad(`sluice.${name}`, notOfLine(name))
  // What is no object is refused as such
  const labels = metadata ?? {}
  const isRoom = isRecord(labels) && !Object.hasOwn(labels, LABEL) && Object.keys(labels).length < MAX_LABELS
  return { ...(pool !== null && { pool }), ...given, metadata: isRoom ? { ...labels, [LABEL]: id } : labels }
}

const notOfLine = (name: string): string =>
  `"${name}" is not an option of a batch's line: it may have ${OPTIONS.map((each) => `"${each}"`).join(', ')}.` +
  didYouMean(name, OPTIONS)

/** Its batch's end is told. Of a line's, who is named in it. */
function untold({ job: { tells: _, ...job }, ...draft }: Draft): Draft {
  return { ...draft, job }
}

/** Whoever comes again joins it. */
const OWNED_WITHIN_MS = 30_000
