/** Query parameters, by their name; where a route means something else, by "METHOD path name". */
import { WEBHOOK_EVENTS } from '../../../core/ports/webhooks.ts'
import { count, described, oneOf, type Schema, text } from './schema.ts'

const cursor = described(text, '`<epoch>-<n>`: what comes after it. A number means the current epoch.')
const next = described(text, 'As `next` of the page before.')
const number = (maximum: number, description: string): Schema => ({
  type: 'integer',
  minimum: 1,
  maximum,
  description,
})
export const IGNORED = described(text, 'Ignored: some clients send it on their own.')
const conversation = described(text, "The conversation's id, where a path can't carry it.")

export const PARAMETERS: Readonly<Record<string, Schema>> = {
  tree: described(oneOf('true', 'false'), 'True: also all jobs that stem from it (`parent`).'),
  wait_ms: described(count, 'Answers once the job has ended, or after so long; at most `http.max_wait_ms` (50 s).'),
  dialect: described(
    text,
    'How the events are written: `native` (default), `chat`, and others that the server speaks.',
  ),
  index: described(count, 'Of several images: which, from 0.'),
  after: next,
  'GET /v1/jobs/:id/events after': cursor,
  limit: number(1_000, 'Items of a page.'),
  order: oneOf('newest', 'oldest'),
  before: described(text, 'Id of a job: those that were submitted before it.'),
  purpose: described(text, 'Files of this purpose alone.'),
  'GET /v1/files limit': number(10_000, 'Files of a page; all of them unless it is told.'),
  'GET /v1/files after': described(text, 'Id of a file: those that follow it in this order.'),
  'GET /v1/batches limit': number(100, 'Batches of a page; 20 unless it is told.'),
  'GET /v1/batches after': described(text, 'Id of a batch: those that are older.'),
  'GET /v1/files order': oneOf('desc', 'asc'),
  'GET /v1/conversations/:id/items limit': number(100, 'Items of a page; 20 unless it is told.'),
  'GET /v1/conversations/:id/items after': described(text, 'As `last_id` of the page before.'),
  'GET /v1/conversations/:id/items order': oneOf('desc', 'asc'),
  state: described(text, 'One state, or several separated by commas.'),
  'GET /v1/webhooks/:id/deliveries after': described(text, '`last_id` of the page before.'),
  'GET /v1/webhooks/:id/deliveries state': oneOf('pending', 'delivered', 'failed'),
  'GET /v1/webhooks/:id/deliveries type': oneOf(...WEBHOOK_EVENTS),
  lane: text,
  conversation,
  id: conversation,
  'GET /v1/jobs conversation': text,
  run: described(text, "An agent's run."),
  model: text,
  user: described(text, 'The end user.'),
  key: described(text, 'Id of an API key.'),
  from: described({ type: 'string', format: 'date' }, 'First day (UTC).'),
  to: described({ type: 'string', format: 'date' }, 'Last day (UTC).'),
  group_by: described(text, 'day, user, key, model, or several separated by commas.'),
  format: oneOf('json', 'csv'),
  endpoint: described(text, 'Where the request would be posted to.'),
  message: described(text, 'Id of a message of a broker: the jobs that it submitted.'),
  include: IGNORED,
  'include[]': IGNORED,
  after_id: described(text, 'Ignored: all models are one page.'),
  before_id: described(text, 'Ignored: all models are one page.'),
}
