/**
 * What each route does, beside what the table of routes says of it. "npm run docs:check" names a route that is missing
 * here; those of a dialect are described by the dialect.
 */
import type { FileField } from '../../../core/media.ts'
import type { Dialect, RequestForm, Resource } from '../../../core/ports/dialect.ts'
import type { Route } from '../../http/route.ts'
import { anything, described, flag, ref, type Schema, text } from './schema.ts'

export const TAGS = {
  'OpenAI and others': 'Requests in the APIs that clients speak already.',
  Files: 'What is uploaded, and what batches answer.',
  Jobs: 'Submitted once, read at any time, over any number of connections.',
  Runs: 'What an agent does, job by job: one budget, one guard, one cancel.',
  Conversations: 'Lanes with memory: the server keeps their turns.',
  Webhooks: 'Who is told of ends.',
  Sessions: 'For pages, which hold no API key.',
  Server: 'Open to all.',
} as const
export type Tag = keyof typeof TAGS

/** A body by its content type. Null: there is none. */
type Bodies = Readonly<Record<string, Schema>>

export interface Operation {
  readonly tag: Tag
  readonly summary: string
  readonly description?: string
  /** JSON. */
  readonly request?: Schema
  /** multipart/form-data: in place of JSON, or, where there is a `request`, as well. */
  readonly form?: Schema
  /** By status, or "default". */
  readonly responses: Readonly<Record<string, readonly [what: string, bodies: Bodies | null]>>
  /** Takes options of a job as headers. */
  readonly submits?: boolean
  /** Its query parameters are those of another's API. */
  readonly foreign?: boolean
  /** Takes `last-event-id`. */
  readonly resumes?: boolean
}

const JSON_TYPE = 'application/json'
const json = (schema: Schema): Bodies => ({ [JSON_TYPE]: schema })
const answers = (status: number, what: string, schema: Schema): Operation['responses'] => ({
  [status]: [what, json(schema)],
})
const DONE: Operation['responses'] = { 204: ['It is done.', null] }
const EVENTS = described(text, 'Server-sent events; each has an `id`, with which a reader comes back.')
const BINARY: Schema = { type: 'string', format: 'binary' }
const BYTES: Bodies = { '*/*': BINARY }
const NATIVE = described(
  text,
  'Server-sent events: `chunk` (EventChunk), `attempt` (EventAttempt), `reset` (EventReset), `usage` (EventUsage), ' +
    '`end` (EventEnd) with an `id`, and `gap` (EventGap) without.',
)
const WHERE_NO_PATH = 'For ids that a path can\'t carry; as the same under "/v1/conversations/{id}".'

const change: Operation = {
  tag: 'Conversations',
  summary: 'Rename it, or cut it',
  request: ref('ConversationChange'),
  responses: DONE,
}
const noItem = (summary: string): Operation => ({ tag: 'Conversations', summary, responses: {} })
const remove: Operation = {
  tag: 'Conversations',
  summary: 'Delete it, with its jobs that wait or run',
  responses: DONE,
}

const OPERATIONS: Readonly<Record<string, Operation>> = {
  'GET /v1/models': {
    tag: 'OpenAI and others',
    summary: 'The models that this caller may name; in `patterns`, what other names may be like',
    responses: answers(200, 'All of them.', ref('Models')),
  },
  'GET /v1/models/*id': {
    tag: 'OpenAI and others',
    summary: 'One model',
    responses: answers(200, 'The model.', ref('Model')),
  },
  'POST /v1/tokenize': {
    tag: 'OpenAI and others',
    summary: 'Count the tokens of a request, without asking a model',
    request: { ...anything, description: '`model`, and one of `messages`, `input` and `text`.' },
    responses: answers(200, 'How many.', ref('Tokens')),
  },
  'POST /v1/estimate': {
    tag: 'OpenAI and others',
    summary: 'What a request would weigh and cost, without asking a model',
    request: { ...anything, description: 'A request as it would be posted, or a job as for `POST /v1/jobs`.' },
    responses: answers(200, 'The estimate.', ref('Estimate')),
  },
  'GET /v1/usage': {
    tag: 'OpenAI and others',
    summary: 'What was used, and what it cost',
    responses: { 200: ['Sums, by the groups that were asked for.', { ...json(ref('UsageReport')), 'text/csv': text }] },
  },
  'POST /v1/jobs': {
    tag: 'Jobs',
    summary: 'Submit a job, or up to 1,000',
    description: 'Acknowledged once it is stored: from then on it is never lost. Options are members beside `request`.',
    request: { anyOf: [ref('JobRequest'), ref('JobRequests')] },
    submits: true,
    responses: {
      200: ['It existed already, under the same idempotency key.', json({ anyOf: [ref('Job'), ref('SubmittedJobs')] })],
      202: ['It is stored.', json({ anyOf: [ref('Job'), ref('SubmittedJobs')] })],
    },
  },
  'POST /v1/files': {
    tag: 'Files',
    summary: 'Upload a file, as OpenAI publishes it',
    description: 'It is streamed to the store as it comes, up to `files.max_bytes`.',
    form: ref('FileUpload'),
    responses: answers(200, 'The file.', ref('File')),
  },
  'GET /v1/files': { tag: 'Files', summary: 'Files, newest first', responses: answers(200, 'A page.', ref('Files')) },
  'GET /v1/files/:id': { tag: 'Files', summary: 'A file', responses: answers(200, 'The file.', ref('File')) },
  'GET /v1/files/:id/content': {
    tag: 'Files',
    summary: 'Its bytes; with `range` some of them',
    responses: {
      200: ['All that is written.', { 'application/octet-stream': BINARY }],
      206: ['The range.', { 'application/octet-stream': BINARY }],
    },
  },
  'DELETE /v1/files/:id': { tag: 'Files', summary: 'Erase it', responses: answers(200, 'It is gone.', ref('Deleted')) },
  'POST /v1/batches': {
    tag: 'Files',
    summary: 'Answer each line of a file, as OpenAI publishes it',
    description: 'Each line is a job of low priority, of the key that makes the batch. Results are in its files.',
    request: ref('BatchRequest'),
    responses: answers(200, 'The batch.', ref('Batch')),
  },
  'GET /v1/batches': {
    tag: 'Files',
    summary: 'Batches, newest first',
    responses: answers(200, 'A page.', ref('Batches')),
  },
  'GET /v1/batches/:id': { tag: 'Files', summary: 'A batch', responses: answers(200, 'As it is.', ref('Batch')) },
  'POST /v1/batches/:id/cancel': {
    tag: 'Files',
    summary: 'End it; what is done stays',
    responses: answers(200, 'The batch.', ref('Batch')),
  },
  'GET /v1/jobs': { tag: 'Jobs', summary: 'Jobs, newest first', responses: answers(200, 'A page.', ref('Jobs')) },
  'GET /v1/jobs/:id': { tag: 'Jobs', summary: 'A job', responses: answers(200, 'As it is now.', ref('Job')) },
  'GET /v1/jobs/:id/result': {
    tag: 'Jobs',
    summary: 'The whole answer, in the API that it was asked for in',
    responses: {
      200: ['The answer.', json(anything)],
      202: ['It has not ended: the job.', json(ref('Job'))],
      default: ['The error that the job ended with.', json(ref('Error'))],
    },
  },
  'GET /v1/jobs/:id/content': {
    tag: 'Jobs',
    summary: 'The bytes that it made: a sound, while it is made too, or an image',
    description: 'With `range` part of them, once it has ended.',
    responses: {
      200: ['All of them.', BYTES],
      206: ['The part.', BYTES],
      416: ['The range begins beyond their end.', null],
    },
  },
  'GET /v1/jobs/:id/request': {
    tag: 'Jobs',
    summary: 'The request, as it was submitted',
    responses: answers(200, 'The request.', anything),
  },
  'GET /v1/jobs/:id/events': {
    tag: 'Jobs',
    summary: 'Its events: the stored ones, then the live ones',
    resumes: true,
    responses: {
      200: ['Until its end.', { 'text/event-stream': NATIVE }],
      204: ['The cursor is at its end: nothing is left.', null],
    },
  },
  'POST /v1/jobs/:id/cancel': {
    tag: 'Jobs',
    summary: 'End it; any number of times',
    responses: answers(202, 'The job; with `tree=true` also how many were `canceled` and `left`.', ref('Job')),
  },
  'POST /v1/runs': {
    tag: 'Runs',
    summary: 'Begin a run, with a budget of its own',
    description: 'A run without one need not be begun: its first job does.',
    request: ref('RunRequest'),
    responses: {
      200: ['It is there already, with the same budget and metadata.', json(ref('Run'))],
      201: ['The run.', json(ref('Run'))],
    },
  },
  'GET /v1/runs': { tag: 'Runs', summary: 'Runs, newest first', responses: answers(200, 'A page.', ref('Runs')) },
  'GET /v1/runs/:id': {
    tag: 'Runs',
    summary: 'A run: its sums, and a page of its jobs, oldest first',
    responses: answers(200, 'The run.', ref('RunPage')),
  },
  'POST /v1/runs/:id/cancel': {
    tag: 'Runs',
    summary: 'End all of its jobs, and refuse those that come later; any number of times',
    responses: answers(202, 'The run, and how many jobs were `canceled` and `left`.', ref('Run')),
  },
  'POST /v1/jobs/:id/redrive': {
    tag: 'Jobs',
    summary: 'Submit it anew, if it failed or expired',
    responses: answers(202, 'The new job.', ref('Job')),
  },
  'DELETE /v1/jobs/:id': { tag: 'Jobs', summary: 'Erase it and its log', responses: DONE },
  'POST /v1/conversations': {
    tag: 'Conversations',
    summary: "Make one, as OpenAI's API has them, for `conversation` of a response",
    request: ref('KeptConversationRequest'),
    responses: answers(200, 'It.', ref('KeptConversation')),
  },
  'POST /v1/conversations/:id': {
    tag: 'Conversations',
    summary: 'Change the metadata of one that was made',
    request: ref('KeptConversationChange'),
    responses: answers(200, 'It.', ref('KeptConversation')),
  },
  'GET /v1/conversations/:id/items': {
    tag: 'Conversations',
    summary: 'What was said in one that was made, as items of the Responses API, in pages of whole turns',
    responses: answers(200, 'A page.', ref('ConversationItems')),
  },
  'POST /v1/conversations/:id/items': noItem('Refused: items come by responses'),
  'GET /v1/conversations/:id/items/:item': noItem('Refused: items are listed'),
  'DELETE /v1/conversations/:id/items/:item': noItem('Refused: `keep_turns` of a PATCH takes turns out'),
  'GET /v1/conversations': {
    tag: 'Conversations',
    summary: 'Conversations, or with `id` one of them',
    responses: answers(200, 'A page.', { anyOf: [ref('Conversations'), ref('ConversationPage')] }),
  },
  'PATCH /v1/conversations': { ...change, description: WHERE_NO_PATH },
  'DELETE /v1/conversations': { ...remove, description: WHERE_NO_PATH },
  'GET /v1/conversations/:id': {
    tag: 'Conversations',
    summary: 'A conversation, and a page of its turns',
    responses: answers(200, 'It, and the page; of one that was made: it alone.', {
      anyOf: [ref('ConversationPage'), ref('KeptConversation')],
    }),
  },
  'PATCH /v1/conversations/:id': change,
  'POST /v1/conversations/:id/truncate': {
    tag: 'Conversations',
    summary: 'Cut it',
    request: ref('ConversationCut'),
    responses: DONE,
  },
  'DELETE /v1/conversations/:id': {
    ...remove,
    responses: { ...DONE, ...answers(200, 'It is done, of one that was made.', ref('Deleted')) },
  },
  'GET /v1/conversations/:id/events': {
    tag: 'Conversations',
    summary: 'Its state now, and each change to it',
    responses: { 200: ['As of `watch` over a WebSocket.', { 'text/event-stream': EVENTS }] },
  },
  'POST /v1/webhooks': {
    tag: 'Webhooks',
    summary: 'Make one',
    request: ref('WebhookRequest'),
    responses: answers(200, 'It, with its secret, this once.', ref('WebhookWithSecret')),
  },
  'GET /v1/webhooks': {
    tag: 'Webhooks',
    summary: 'All of the tenant',
    responses: answers(200, 'All of them.', ref('Webhooks')),
  },
  'GET /v1/webhooks/:id': { tag: 'Webhooks', summary: 'One', responses: answers(200, 'It.', ref('Webhook')) },
  'PATCH /v1/webhooks/:id': {
    tag: 'Webhooks',
    summary: 'Change it, enable or disable it',
    request: ref('WebhookRequest'),
    responses: answers(200, 'As it is now.', ref('Webhook')),
  },
  'DELETE /v1/webhooks/:id': { tag: 'Webhooks', summary: 'Remove it', responses: DONE },
  'POST /v1/webhooks/:id/rotate': {
    tag: 'Webhooks',
    summary: 'A new secret; the old one signs, too, for a time',
    request: ref('WebhookRotation'),
    responses: answers(200, 'It, with its new secret, this once.', ref('WebhookWithSecret')),
  },
  'GET /v1/webhooks/:id/deliveries': {
    tag: 'Webhooks',
    summary: 'What became of its events, the newest first',
    responses: answers(200, 'A page.', ref('WebhookDeliveries')),
  },
  'POST /v1/webhooks/deliveries/:id/redeliver': {
    tag: 'Webhooks',
    summary: 'Send an event again, to one webhook or to all that it was for',
    request: ref('WebhookRedelivery'),
    responses: answers(200, 'It is on its way.', ref('WebhookRedelivered')),
  },
  'POST /v1/tickets': {
    tag: 'Sessions',
    summary: 'A ticket, with which a page of one user opens a session, once',
    request: ref('TicketRequest'),
    responses: answers(201, 'The ticket.', ref('Ticket')),
  },
  'POST /v1/sessions': {
    tag: 'Sessions',
    summary: 'A token for a ticket, or a new one for a token',
    request: ref('SessionRequest'),
    responses: answers(201, 'The token.', ref('Session')),
  },
  'GET /v1/ws': {
    tag: 'Sessions',
    summary: 'A WebSocket, `sluice.v1`: many jobs and conversations over one connection',
    responses: { 101: ['From here on, frames: PROTOCOL.md section 6.', null] },
  },
  'GET /v1/responses': {
    tag: 'Sessions',
    summary: 'A WebSocket of the Responses API: several responses over one connection',
    responses: { 101: ['From here on, events: PROTOCOL.md section 3.', null] },
  },
  'GET /': {
    tag: 'Server',
    summary: 'Where things are; for browsers a page',
    responses: { 200: ['Where things are.', { ...json(ref('Welcome')), 'text/html': text }] },
  },
  'GET /openapi.json': {
    tag: 'Server',
    summary: 'This document',
    responses: { 200: ['OpenAPI 3.1.', json(anything)], 304: ['It is as it was.', null] },
  },
  'GET /livez': {
    tag: 'Server',
    summary: 'Does the process answer?',
    responses: answers(200, 'It does.', ref('Status')),
  },
  'GET /readyz': {
    tag: 'Server',
    summary: 'Does it take requests?',
    responses: answers(200, 'It does.', ref('Status')),
  },
}

const keyOf = ({ method, path }: Pick<Route, 'method' | 'path'>): string => `${method} ${path}`

/** All that is known; undefined: nothing. */
export function operationOf(route: Route, dialects: readonly Dialect[]): Operation | undefined {
  for (const dialect of dialects) {
    for (const form of dialect.requests) {
      if (route.method !== 'POST') break
      else if (route.path === form.path) return posted(dialect, form)
      else if (route.path === form.counts?.path) return counts(form)
    }
    const { resource } = dialect
    const own = resource === undefined ? undefined : kept(resource, dialect.requests[0].path)[keyOf(route)]
    if (own !== undefined) return own
  }
  return OPERATIONS[keyOf(route)]
}

/** A form's other members are texts. */
const formOf = (files: readonly FileField[]): Schema => ({
  type: 'object',
  required: ['model', ...files.filter(({ isOptional }) => isOptional !== true).map(({ name }) => name)],
  properties: {
    model: text,
    ...Object.fromEntries(
      files.map(({ name, most }) => [name, most === 1 ? BINARY : { type: 'array', items: BINARY, maxItems: most }]),
    ),
  },
  additionalProperties: true,
})

function posted({ name, stream }: Dialect, form: RequestForm): Operation {
  const refers = stream?.wire?.refers === 'bytes'
  const isStreamed = stream !== null && !refers
  const sent = refers ? BYTES : { ...json(anything), ...(isStreamed && { 'text/event-stream': EVENTS }) }
  return {
    tag: 'OpenAI and others',
    summary: `A request ${askedOf(form)}`,
    description:
      `Members are those of this API (dialect "${name}"); what only the provider can judge is passed on. Options of ` +
      'a job are in `sluice`, or in headers. With `prefer: respond-async` the answer is the job.',
    request: {
      type: 'object',
      required: ['model'],
      properties: {
        model: text,
        ...(isStreamed && { stream: described(flag, 'Answer with events as they come.') }),
        sluice: ref('JobOptions'),
      },
      additionalProperties: true,
    },
    ...(form.uploads !== undefined && { form: formOf(form.uploads) }),
    submits: true,
    responses: {
      200: ['The answer.', sent],
      202: ['The job, where that was preferred.', json(ref('Job'))],
    },
  }
}

const askedOf = ({ api, what }: RequestForm): string => (api === undefined ? `for ${what}` : `of ${api}`)

const counts = (form: RequestForm): Operation => ({
  tag: 'OpenAI and others',
  summary: `Count the tokens of a request ${askedOf(form)}`,
  request: { ...anything, description: 'The request, as it would be posted.' },
  responses: answers(200, 'How many.', anything),
})

function kept({ what, streamed, after }: Resource, path: string): Readonly<Record<string, Operation>> {
  const tag: Tag = 'OpenAI and others'
  return {
    [`GET ${path}/:id`]: {
      tag,
      foreign: true,
      summary: `A ${what}, as it stands; or its events`,
      description: `\`${streamed}=true\`: its events, after number \`${after}\` or after \`last-event-id\`.`,
      resumes: true,
      responses: { 200: [`The ${what}.`, { ...json(anything), 'text/event-stream': EVENTS }] },
    },
    [`GET ${path}/:id/input_items`]: {
      tag,
      foreign: true,
      summary: `What a ${what} was asked`,
      responses: answers(200, 'A page.', anything),
    },
    [`POST ${path}/:id/cancel`]: {
      tag,
      summary: `End a ${what}; any number of times`,
      responses: answers(200, `The ${what}.`, anything),
    },
    [`DELETE ${path}/:id`]: { tag, summary: `Erase a ${what}`, responses: answers(200, 'It is gone.', anything) },
  }
}
