/** Options of a job, as their reader checks them (PROTOCOL.md section 2). */
import {
  CACHE,
  DISCONNECT,
  JOB_ID,
  type JobOptionName,
  MAX_AFTER,
  MAX_DELAY_MS,
  MAX_NAME_CHARS,
  MAX_RUN_CHARS,
  MAX_TAGS,
  MAX_WEBHOOK_CHARS,
  POLICIES,
  PRIORITIES,
  TAG,
  WORKER_LOSS,
} from '../../submit/job-options.ts'
import { described, list, oneOf, type Schema } from './schema.ts'

const name = (what: string, maxLength = MAX_NAME_CHARS): Schema => ({
  type: 'string',
  minLength: 1,
  maxLength,
  description: what,
})
const wait = (minimum: number, description: string): Schema => ({
  type: 'integer',
  minimum,
  maximum: MAX_DELAY_MS,
  description,
})

const JOB: Schema = { type: 'string', pattern: JOB_ID.source }

export const OPTIONS: Readonly<Record<JobOptionName, Schema>> = {
  conversation: name('Id of a conversation: a lane with memory. `messages` has only the new ones.'),
  lane: name('Jobs of one lane run in order, one at a time.'),
  pool: name('Which workers may run it.'),
  priority: described(oneOf(...PRIORITIES), 'Within the tenant.'),
  delay_ms: wait(0, 'It is not started before; less than `deadline_ms`.'),
  deadline_ms: wait(1, 'It must start by then, or it expires.'),
  idempotency_key: name('The same key and request are the same job; another request under it is refused (422).'),
  policy: described(oneOf(...POLICIES), 'Where the limits have no room: be refused at once, or take a place in line.'),
  run: name("An agent's run: all jobs that name the same one share its limits.", MAX_RUN_CHARS),
  parent: described(JOB, 'The job that it stems from: it belongs to the same run.'),
  after: {
    ...list(JOB),
    maxItems: MAX_AFTER,
    description: 'Ids of jobs: it is not started before all of them are done, and fails where one ends otherwise.',
  },
  tags: {
    ...list({ type: 'string', pattern: TAG.source }),
    maxItems: MAX_TAGS,
    description: 'Only deployments that have all of these tags answer it.',
  },
  on_worker_loss: described(oneOf(...WORKER_LOSS), 'What becomes of an answer whose worker is lost in mid-answer.'),
  on_disconnect: described(oneOf(...DISCONNECT), 'What becomes of a job whose last reader left.'),
  cache: {
    anyOf: [{ type: 'boolean' }, oneOf(...CACHE)],
    description: 'Where the operator lets answers be shared: whether this request takes and gives one.',
  },
  webhook: name('Id of a webhook of the tenant (`POST /v1/webhooks`), which is told of its end.', MAX_WEBHOOK_CHARS),
  metadata: {
    type: 'object',
    maxProperties: 16,
    additionalProperties: { type: 'string', maxLength: 512 },
    description: 'Returned with the job.',
  },
}
