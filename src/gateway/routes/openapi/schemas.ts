/** What is sent and answered, by name: PROTOCOL.md sections 2 to 5, 7 and 9. Clients must expect further members. */
import { ERRORS } from '../../../core/errors.ts'
import type { JobState } from '../../../core/job.ts'
import { WEBHOOK_EVENTS } from '../../../core/ports/webhooks.ts'
import { OPTIONS } from './options.ts'
import {
  anything,
  count,
  described,
  flag,
  list,
  ms,
  nullable,
  object,
  oneOf,
  orNull,
  ref,
  type Schema,
  seconds,
  text,
} from './schema.ts'

const STATES: readonly JobState[] = ['queued', 'delayed', 'waiting', 'leased', 'done', 'failed', 'canceled', 'expired']
const ENDS: readonly JobState[] = ['done', 'failed', 'canceled', 'expired']
const traceparent = described(text, 'W3C Trace Context, passed on to the provider.')

const webhook = {
  id: text,
  object: oneOf('webhook'),
  created_at: seconds,
  url: text,
  name: text,
  events: list(oneOf(...WEBHOOK_EVENTS)),
  enabled: flag,
  'disabled_for?': described(text, 'Why it is not enabled, where nobody has disabled it.'),
  old_secrets_end_at: list(seconds),
}
const limit = {
  level: oneOf('run', 'key', 'user', 'tenant', 'tenant_model', 'model', 'global'),
  unit: text,
  'window?': oneOf('hour', 'day', 'month'),
}
const errorObject = object({
  message: text,
  type: described(text, "OpenAI's kind of error, which SDKs map to their classes."),
  param: described(nullable('string'), 'What of the request is wrong, such as "messages[0].role".'),
  code: described(text, "The row of the error table (docs/errors.md); or the provider's own, or OpenAI's for it."),
  'sluice_code?': described(oneOf(...Object.keys(ERRORS)), 'The row of the error table, if `code` is another.'),
  'upstream_code?': described(text, "The provider's own code, if `code` is ours."),
  'limit?': ref('Limit'),
})
const queue = object({
  position: described({ type: 'integer', minimum: 1 }, '1 is next.'),
  tokens_ahead: count,
  eta_ms: described(nullable('number'), 'Null while nothing has been measured.'),
  'waiting_for?': described(object({ ...limit, reset_ms: nullable('number') }), 'The limit that has no room for it.'),
})
const job = object({
  id: text,
  object: { const: 'job' },
  state: oneOf(...STATES),
  model: text,
  user: nullable('string'),
  lane: nullable('string'),
  conversation: nullable('string'),
  pool: text,
  priority: text,
  created_at: seconds,
  ended_at: nullable('integer'),
  attempts: count,
  metadata: { type: 'object', additionalProperties: text },
  'redrive_of?': text,
  'message?': described(anything, 'The message of a broker that submitted it.'),
  'cache?': oneOf('hit', 'joined', 'miss'),
  queue: orNull(ref('Place')),
  usage: orNull(ref('Usage')),
  timing: orNull(ref('Timing')),
  error: orNull(ref('ErrorObject')),
  'cut?': described(ref('Limit'), 'The limit that ended a done answer early.'),
  cursor: described(text, 'Of the last event that is stored.'),
  events: described(text, 'Where its events are.'),
  'limits?': described(list(ref('Room')), 'What is left of the limits that it is under, as of its acceptance.'),
})
const conversation = {
  id: text,
  object: { const: 'conversation' },
  name: nullable('string'),
  turns: count,
  created_at: seconds,
  updated_at: seconds,
}
const turn = object({ job: text, state: text, messages: list(anything), answer: orNull(anything) })
const usageCounts = {
  attempts: count,
  repeats: count,
  estimated: count,
  unpriced: count,
  prompt_tokens: count,
  cached_tokens: count,
  completion_tokens: count,
  reasoning_tokens: count,
  dollars: text,
  nano_dollars: { type: 'integer' },
}
const page = (items: Schema): Schema =>
  object({ object: { const: 'list' }, data: list(items), 'has_more?': flag, 'next?': nullable('string') })

export const SCHEMAS: Readonly<Record<string, Schema>> = {
  Error: object({ error: ref('ErrorObject') }),
  ErrorObject: errorObject,
  Limit: object(
    {
      ...limit,
      'name?': text,
      'limit?': { type: 'number' },
      'remaining?': { type: 'number' },
      requested: { type: 'number' },
      reset_ms: described(nullable('number'), 'Until it fits, if nothing else comes; null: never.'),
    },
    'What a limit had no room for.',
  ),
  Room: object({ level: text, unit: text, limit: count, remaining: count, reset_ms: ms }),
  Place: queue,
  JobOptions: { type: 'object', properties: OPTIONS, additionalProperties: false },
  JobRequest: {
    type: 'object',
    required: ['request'],
    properties: {
      request: { ...anything, description: 'The body of a POST to `endpoint`.' },
      endpoint: described(text, 'Where such a request is posted, if not to /v1/chat/completions.'),
      ...OPTIONS,
      traceparent,
    },
    additionalProperties: false,
  },
  JobRequests: {
    type: 'object',
    required: ['jobs'],
    properties: { jobs: { ...list(ref('JobRequest')), minItems: 1, maxItems: 1_000 } },
    additionalProperties: false,
  },
  Job: job,
  Jobs: page(ref('Job')),
  SubmittedJobs: object({ object: { const: 'list' }, data: list({ anyOf: [ref('Job'), ref('RefusedJob')] }) }),
  RefusedJob: object({ object: { const: 'error' }, error: ref('ErrorObject') }),
  Usage: object({
    prompt_tokens: count,
    completion_tokens: count,
    total_tokens: count,
    estimated: described(flag, 'Counted here, because the provider did not tell.'),
    'prompt_tokens_details?': anything,
    'completion_tokens_details?': anything,
  }),
  Timing: object({
    queued_ms: nullable('number'),
    ttft_ms: nullable('number'),
    tpot_ms: nullable('number'),
    total_ms: nullable('number'),
    attempts: count,
    'ttft?': object({
      admission_ms: ms,
      queue_ms: ms,
      retries_ms: ms,
      routing_ms: ms,
      connect_ms: ms,
      upstream_ms: ms,
    }),
  }),
  EventChunk: described(anything, 'One `chat.completion.chunk`, as the provider sent it.'),
  EventAttempt: object({ n: count, mode: oneOf('first', 'continue', 'restart'), deployment: text }),
  EventReset: object({ reason: text }, 'All text so far is withdrawn; the answer begins anew.'),
  EventGap: object({ reason: text }, 'All text so far is void, as the log was rewritten; all of it follows.'),
  EventUsage: described(anything, "The provider's usage chunk."),
  EventEnd: object(
    {
      state: oneOf(...ENDS),
      'error?': ref('ErrorObject'),
      'cut?': ref('Limit'),
      'usage?': ref('Usage'),
      'timing?': ref('Timing'),
    },
    'Nothing follows.',
  ),
  Model: object({
    id: text,
    object: { const: 'model' },
    created: { type: 'integer' },
    owned_by: text,
    type: { const: 'model' },
    display_name: text,
    created_at: { type: 'string', format: 'date-time' },
  }),
  Models: object({
    object: { const: 'list' },
    data: list(ref('Model')),
    has_more: flag,
    first_id: nullable('string'),
    last_id: nullable('string'),
  }),
  Tokens: object({ object: { const: 'tokens' }, model: text, tokens: count, exact: flag }),
  Estimate: object({
    object: { const: 'estimate' },
    model: text,
    input_tokens: count,
    exact: flag,
    max_output_tokens: nullable('integer'),
    cost: orNull(
      object({
        currency: { const: 'usd' },
        input: { type: 'number' },
        output_max: nullable('number'),
        nano_dollars: object({ input: { type: 'integer' }, output_max: nullable('integer') }),
        price_version: text,
      }),
    ),
    'cost_unknown?': text,
  }),
  UsageReport: object({
    object: { const: 'usage' },
    from: text,
    to: text,
    group_by: list(text),
    total: object(usageCounts),
    data: list(
      object({ ...usageCounts, 'day?': text, 'user?': nullable('string'), 'key?': nullable('string'), 'model?': text }),
    ),
  }),
  Conversation: object(conversation),
  Conversations: page(ref('Conversation')),
  ConversationPage: object({
    ...conversation,
    turn_count: count,
    has_more: flag,
    next: nullable('string'),
    turns: list(turn),
  }),
  ConversationChange: {
    type: 'object',
    properties: { name: { type: 'string', maxLength: 256 }, keep_turns: count },
    additionalProperties: false,
  },
  WebhookRequest: {
    type: 'object',
    properties: {
      url: { type: 'string', maxLength: 2_048 },
      events: list(oneOf(...WEBHOOK_EVENTS)),
      name: { type: 'string', maxLength: 128 },
      enabled: flag,
    },
    additionalProperties: false,
  },
  Webhook: object(webhook),
  WebhookWithSecret: object({ ...webhook, secret: described(text, 'Shown once: "whsec_…".') }),
  Webhooks: object({ object: oneOf('list'), data: list(ref('Webhook')) }),
  WebhookRotation: {
    type: 'object',
    properties: { keep_seconds: { type: 'integer', minimum: 0, maximum: 604_800 } },
    additionalProperties: false,
  },
  WebhookDelivery: object({
    id: described(text, 'Of the event: what a receiver gets as `webhook-id`.'),
    object: oneOf('webhook.delivery'),
    webhook: text,
    type: oneOf(...WEBHOOK_EVENTS),
    state: oneOf('pending', 'delivered', 'failed'),
    tries: count,
    status: described(nullable('integer'), "The receiver's last status."),
    error: nullable('string'),
    created_at: seconds,
    last_try_at: nullable('integer'),
    next_try_at: nullable('integer'),
  }),
  WebhookDeliveries: object({
    object: oneOf('list'),
    data: list(ref('WebhookDelivery')),
    has_more: flag,
    last_id: nullable('string'),
  }),
  WebhookRedelivery: {
    type: 'object',
    properties: { webhook: nullable('string') },
    additionalProperties: false,
  },
  WebhookRedelivered: object({ object: oneOf('list'), data: list(ref('WebhookDelivery')) }),
  ConversationCut: {
    type: 'object',
    required: ['keep_turns'],
    properties: { keep_turns: described(count, 'So many from the start are kept.') },
  },
  TicketRequest: {
    type: 'object',
    properties: {
      user: nullable('string'),
      origin: described(nullable('string'), `The page's, such as "https://app.example.com".`),
      session_ms: nullable('integer'),
    },
    additionalProperties: false,
  },
  Ticket: object({ ticket: text, expires_in_ms: ms }),
  SessionRequest: {
    type: 'object',
    required: ['ticket'],
    properties: { ticket: text },
    additionalProperties: false,
  },
  Session: object({ token: text, expires_in_ms: ms }),
  Status: object({ status: { const: 'ok' } }),
  Welcome: object({ name: { const: 'Sluice' }, api: text, models: text, health: text }),
}
