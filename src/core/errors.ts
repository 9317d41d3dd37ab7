/**
 * The one error table. Every error a client can get is a row here: HTTP status, OpenAI error `type`, whether the same
 * request may be sent again, and the WebSocket close code with the same meaning. docs/errors.md is made from it.
 */
import { wholeMs } from './duration.ts'
import { type Shortfall, type WireLimit, wireLimit } from './limits.ts'

interface ErrorRow {
  /** HTTP status. */
  readonly status: number
  /** OpenAI's `error.type`, which SDKs map to exception classes. */
  readonly type:
    | 'invalid_request_error'
    | 'authentication_error'
    | 'permission_error'
    | 'not_found_error'
    | 'rate_limit_error'
    | 'requests'
    | 'insufficient_quota'
    | 'server_error'
  /** May the very same request be sent again and succeed? */
  readonly retryable: boolean
  /** WebSocket close code when the error ends a connection: 1xxx means reconnect, 4xxx is 4000 + status. */
  readonly close: number
  /** Default message: what happened, and what to do about it. */
  readonly message: string
}

/** Type, retry and close code follow from the status, unless a row names another. */
const row = (status: number, message: string, other: Partial<ErrorRow> = {}): ErrorRow => ({
  status,
  type: TYPES[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error'),
  retryable: status === 429 || status >= 500,
  close: status >= 500 ? 1011 : 4000 + status,
  message,
  ...other,
})

const TYPES: Readonly<Record<number, ErrorRow['type']>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  410: 'not_found_error',
  429: 'rate_limit_error',
}

export const ERRORS = {
  // The request itself
  invalid_request: row(400, 'The request is not valid.'),
  invalid_json: row(400, 'The body is not valid JSON.'),
  body_too_large: row(413, 'The body is larger than this server accepts (http.max_body_bytes).'),
  unsupported_media_type: row(415, 'Send the body as content-type: application/json, without a content-encoding.', {
    close: 4400,
  }),
  not_acceptable: row(406, 'This resource is an event stream: send "accept: text/event-stream" (or */*).', {
    close: 4400,
  }),
  method_not_allowed: row(405, 'This route does not support that method.', { close: 4400 }),
  route_not_found: row(404, 'There is no such route.'),
  uri_too_long: row(414, 'The request target is too long.', { close: 4400 }),
  headers_too_large: row(431, 'The headers exceed http.max_header_bytes, or there are more than 100 of them.', {
    close: 4400,
  }),
  expectation_failed: row(417, 'The only supported expectation is "expect: 100-continue".', { close: 4400 }),
  upgrade_required: row(
    426,
    'This is a WebSocket endpoint: upgrade with version 13 and "sec-websocket-protocol: sluice.v1".',
  ),
  message_too_large: row(
    413,
    'The message is larger than websocket.max_message_bytes: submit it with POST /v1/jobs, then attach to the job.',
    { close: 1009 },
  ),
  message_flood: row(429, 'Too many messages on this connection (websocket.max_messages_per_second).', {
    retryable: false,
    close: 1008,
  }),
  request_timeout: row(408, 'The request did not arrive in time.', { retryable: true }),
  // Who asks
  missing_api_key: row(401, 'No API key: send "authorization: Bearer sk-sluice-…" (or x-api-key, or api-key).'),
  invalid_api_key: row(401, 'The API key is not valid on this server. The command `keys create` creates one.'),
  invalid_ticket: row(401, 'The ticket is not valid: a ticket works once, and expires soon. Request a new one.'),
  invalid_token: row(401, 'The session token is no longer valid. Request a new ticket.'),
  own_key_required: row(
    403,
    'This tenant calls this model with a provider key of its own, and has none: the operator can set it.',
  ),
  forbidden: row(403, 'This key is not allowed to do that.'),
  access_disabled: row(403, 'An operator has disabled this: ask them when it is enabled again.'),
  origin_forbidden: row(403, 'This origin is not listed in http.cors_origins.'),
  // What is asked for
  model_not_found: row(
    404,
    'There is no model with that name; GET /v1/models lists them. A model named "*" in the settings matches any name.',
  ),
  model_disabled: row(503, 'An operator has disabled this model; use another one, or retry later.', { close: 1013 }),
  // What a tenant may not request: the guards of `tenants`
  model_not_allowed: row(403, 'This tenant may not use that model.'),
  context_length_exceeded: row(400, 'The prompt is longer than this tenant may send: shorten it.'),
  content_blocked: row(400, "The content is not allowed in this tenant's requests."),
  output_too_long: row(400, 'The request asks for a longer answer than this tenant may have: lower max_tokens.'),
  tool_not_allowed: row(403, 'This tenant may not use that tool.'),
  modality_not_allowed: row(403, 'This tenant may not send or ask for content of that kind.'),
  loop_detected: row(409, 'The agent repeats itself: let it try something else, or end it.', { close: 4400 }),
  model_unpriced: row(403, 'Nobody knows what that model costs, and a budget limits this request: ask the operator.'),
  job_not_found: row(404, 'There is no such job.'),
  job_gone: row(410, 'The log of this job is no longer kept (retention); it cannot be resumed.', { close: 4404 }),
  job_lost: row(503, 'The store lost this job before it ended (a fail-over, or a restart): submit it again.', {
    close: 1013,
  }),
  key_not_found: row(404, 'There is no such API key; GET /admin/keys lists them.'),
  tenant_not_found: row(404, 'There is no such tenant; GET /admin/tenants lists them.'),
  managed_by_config: row(409, 'The configuration file sets this: change it there, and reload.', { close: 4400 }),
  file_not_found: row(404, 'There is no such file; GET /v1/files lists them.'),
  file_damaged: row(
    500,
    'Bytes of this file are missing in the store; other files are not affected. Upload it again.',
    {
      retryable: false,
    },
  ),
  batch_not_found: row(404, 'There is no such batch; GET /v1/batches lists them.'),
  conversation_not_found: row(404, 'There is no such conversation.'),
  cursor_invalid: row(400, 'The cursor is not valid: expected "<epoch>-<seq>" or a number.'),
  cursor_ahead: row(400, 'The cursor is ahead of the log.'),
  cursor_stale: row(410, 'The log has been rewritten (its epoch changed): read it from the start.', {
    type: 'invalid_request_error',
    close: 4409,
  }),
  idempotency_conflict: row(422, 'This idempotency key was already used with a different body.', { close: 4400 }),
  dependency_failed: row(424, 'A job that this one comes after did not end well, so it can not run.', { close: 4400 }),
  // Refused for now
  queue_full: row(429, 'The queue is full for this tenant or lane; retry later.'),
  rate_limit_exceeded: row(429, 'Rate limit reached; retry later.', { type: 'requests' }),
  request_exceeds_limit: row(429, 'Request too large: it is more than its rate limit can ever hold. Shorten it.', {
    type: 'requests',
    retryable: false,
  }),
  insufficient_quota: row(
    429,
    'You exceeded your current quota: an operator must raise it, or wait for its next window.',
    { type: 'insufficient_quota', retryable: false },
  ),
  run_budget_exceeded: row(
    429,
    "The run's budget has no room for this job: give the run a larger one, or begin another.",
    { type: 'insufficient_quota', retryable: false, close: 4400 },
  ),
  too_many_runs: row(
    429,
    'There are too many runs (runs.max_tenant_runs, sessions.max_runs): go on in one that is there; each is ' +
      'forgotten 30 days after its last job.',
    { type: 'insufficient_quota', retryable: false, close: 4400 },
  ),
  run_canceled: row(409, 'The run was canceled: begin another one.', { close: 4400 }),
  run_not_found: row(404, 'There is no such run.'),
  run_exists: row(
    409,
    'There is a run of that id, with another budget, other metadata or another loop_guard, and none can be changed: ' +
      'GET /v1/runs/{id} shows it; take another id for a new one.',
    { close: 4400 },
  ),
  spend_velocity: row(
    429,
    'Money is spent many times faster than the budget lasts: its breaker has tripped. Retry later, or ask an operator.',
  ),
  deadline_unreachable: row(429, 'The job could not start before its deadline; retry later or allow more time.'),
  too_many_auth_failures: row(
    429,
    'Too many invalid credentials from this address (http.bad_keys_per_minute): check the key, then retry later.',
  ),
  too_many_jobs: row(429, 'This connection follows too many jobs (websocket.max_jobs): detach from some first.'),
  too_many_subscribers: row(429, 'Too many readers of this job (http.max_readers_per_job).'),
  too_many_watches: row(
    429,
    'This connection watches too many conversations (websocket.max_jobs): unwatch some first.',
  ),
  too_many_connections: row(429, 'Too many concurrent connections or requests for this key.'),
  too_many_unfinished: row(429, 'Too many bytes in unfinished requests: finish some of them, then retry.'),
  overloaded: row(503, 'The server is overloaded; retry later.', { close: 1013 }),
  starting: row(503, 'The server is starting: it is loading stored jobs. Retry.', { close: 1013 }),
  draining: row(503, 'The server is shutting down; retry.', { close: 1012 }),
  storage_full: row(507, 'The disk is full: new work is refused until space is freed.', { close: 1013 }),
  storage_locked: row(
    503,
    'Another program holds a lock on the database: new work is refused until the lock is released.',
    { close: 1013 },
  ),
  storage_failed: row(503, 'The store has failed: nothing is acknowledged until an operator restarts the server.', {
    retryable: false,
  }),
  storage_unavailable: row(503, 'The store (Redis, or the coordinator of the fleet) cannot be reached; retry.', {
    close: 1013,
  }),
  intake_unavailable: row(
    503,
    'The broker in front of the queue (RabbitMQ, Kafka) cannot be reached, or did not confirm; retry, with an ' +
      'idempotency key if it must not run twice.',
    {
      close: 1013,
    },
  ),
  not_arrived: row(503, 'The job is published, and waits in the broker: nothing of it can be read yet; retry.', {
    close: 1013,
  }),
  // How a job can end
  deadline_exceeded: row(504, "The job's deadline passed before it could start."),
  job_canceled: row(499, 'The job was canceled.', { close: 1011 }),
  provider_rejected: row(400, 'The model provider refused the request.', { close: 1011 }),
  provider_rate_limited: row(429, 'The model provider is rate-limiting requests.', { close: 1011 }),
  provider_auth: row(502, "The model provider rejected the server's credentials: the operator must fix the key.", {
    retryable: false,
  }),
  own_key_failed: row(
    502,
    "The model provider rejected this tenant's own key, or its quota is used up: set it again.",
    {
      retryable: false,
    },
  ),
  own_key_rate_limited: row(429, "The model provider is rate-limiting this tenant's own key.", { close: 1011 }),
  provider_error: row(502, 'The model provider failed.'),
  provider_unreachable: row(502, 'The model provider could not be reached.'),
  provider_cut: row(502, 'The model provider ended the answer before it was complete.'),
  provider_garbage: row(502, 'The model provider sent something that is not a valid answer.'),
  provider_timeout: row(504, 'The model provider did not answer in time.'),
  answer_invalid: row(502, 'The answer does not match the JSON Schema that was asked for (guard json-schema).'),
  moderation_failed: row(503, 'The moderation service did not answer, and nothing passes without it; retry later.', {
    close: 1013,
  }),
  worker_lost: row(502, 'The worker died after part of the answer had been shown, and the answer cannot be continued.'),
  stream_restarted: row(
    502,
    'The answer was restarted, which this dialect cannot express: send the request again, or read the job.',
  ),
  poison_job: row(
    500,
    'The job was given up: the server crashed too often while running it (queue.max_crashes). If the job is not ' +
      'the cause, redrive it: POST /v1/jobs/{id}/redrive.',
    { retryable: false },
  ),
  result_too_large: row(502, 'The answer is larger than this server stores (http.max_answer_bytes).', {
    retryable: false,
  }),
  job_damaged: row(
    500,
    "The job's stored data is damaged on disk and is not served; other jobs are not affected. Submit it again.",
    { retryable: false },
  ),
  internal: row(500, 'Something went wrong inside Sluice.'),
  // How a start can fail
  config_invalid: row(500, 'The configuration is not valid.', { retryable: false }),
  in_use: row(500, 'Another process is using the data folder or the port.', { retryable: false }),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS

/** The error as clients see it: the inside of OpenAI's `{ "error": … }`. */
export interface WireError {
  readonly message: string
  readonly type: string
  readonly param: string | null
  /** A row of the table; or the provider's own code if it refused the request with one, or OpenAI's for the row. */
  readonly code: string
  /** The row of the table, if `code` is another. */
  readonly sluice_code?: ErrorCode
  /** The provider's own code, if `code` is ours. */
  readonly upstream_code?: string
  /** What refused it. */
  readonly limit?: WireLimit
}

/** The row of the table that an error on the wire belongs to. */
export const codeOf = (error: WireError): ErrorCode => error.sluice_code ?? (error.code as ErrorCode)
/** Without words of its own: a provider's may quote the request. */
export function withoutWords(error: WireError): WireError {
  const row = codeOf(error)
  const message = Object.hasOwn(ERRORS, row) ? ERRORS[row].message : ERRORS.internal.message
  return { ...error, message, param: null }
}
/** Its HTTP status, unless the error carries one of its own. */
export const statusOf = (error: WireError): number => (ERRORS[codeOf(error)] ?? ERRORS.internal).status

interface ErrorDetails {
  readonly message?: string
  /** The request member that is wrong, as OpenAI's `param`: "messages[3].role". */
  readonly param?: string | null
  /** When to come back, ms; becomes retry-after and retry-after-ms. */
  readonly retryAfterMs?: number
  /** An HTTP status more precise than the table's, e.g. a provider's own 4xx. */
  readonly status?: number
  /** The limit that refused it. */
  readonly limit?: Shortfall
  /** The provider's own code of the error, such as `context_length_exceeded`. */
  readonly upstreamCode?: string | null
  readonly cause?: unknown
}

/** Browsers have no such member. */
const V8 = Error as ErrorConstructor & { stackTraceLimit?: number | undefined }

/** The only error class. `code` is the contract; the message is for people. */
export class SluiceError extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly param: string | null
  readonly retryAfterMs: number | undefined
  readonly upstreamCode: string | null
  readonly limit: Shortfall | undefined

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    const { message = ERRORS[code].message, cause } = details
    const told = shortened(message, code === 'config_invalid' ? Infinity : MAX_MESSAGE_CHARS)
    // An expected error tells no bug, and the stack takes longer than all else of a refusal
    const { stackTraceLimit } = V8
    if (code !== 'internal') V8.stackTraceLimit = 0
    super(told, cause === undefined ? undefined : { cause })
    V8.stackTraceLimit = stackTraceLimit
    this.name = 'SluiceError'
    this.code = code
    this.status = details.status ?? ERRORS[code].status
    this.param = details.param == null ? null : shortened(details.param, MAX_PARAM_CHARS)
    this.retryAfterMs = details.retryAfterMs
    this.upstreamCode = details.upstreamCode ?? null
    this.limit = details.limit
  }

  /** The same error with another time to come back. */
  with({ retryAfterMs }: { readonly retryAfterMs: number | undefined }): SluiceError {
    const { message, param, status, upstreamCode, cause, limit } = this
    const details = { message, param, status, upstreamCode, cause, ...(limit !== undefined && { limit }) }
    return new SluiceError(this.code, retryAfterMs === undefined ? details : { ...details, retryAfterMs })
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable
  }

  get wire(): WireError {
    const { message, param, code, upstreamCode, limit } = this
    const type = typeOf(code, limit)
    const base = limit === undefined ? { message, type, param } : { message, type, param, limit: wireLimit(limit) }
    if (code === 'request_exceeds_limit') return { ...base, code: 'rate_limit_exceeded', sluice_code: code }
    if (upstreamCode === null) return { ...base, code }
    // SDKs and agents act on the provider's code of a refusal (they compact on context_length_exceeded), so it goes
    // first
    return code === 'provider_rejected'
      ? { ...base, code: upstreamCode, sluice_code: code }
      : { ...base, code, upstream_code: upstreamCode }
  }

  /** Anything thrown, as an error of the table. The unforeseen becomes `internal`, which tells clients nothing. */
  static from(thrown: unknown): SluiceError {
    return thrown instanceof SluiceError ? thrown : new SluiceError('internal', { cause: thrown })
  }
}

/** OpenAI's names for what ran out; concurrency, too, is of requests. */
const typeOf = (code: ErrorCode, limit: Shortfall | undefined): string =>
  ERRORS[code].type === 'requests' && limit?.unit.endsWith('tokens') ? 'tokens' : ERRORS[code].type

/** Messages may quote what a peer sent: a key of 4 MiB must neither be echoed nor logged. */
const MAX_MESSAGE_CHARS = 2_000
const MAX_PARAM_CHARS = 256
const shortened = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…` : text)

/** For errors without a time of their own. */
const RETRY_AFTER_MS = 1_000
const NOT_AGAIN = { 'x-should-retry': 'false' }
/** The official SDKs wait as long as they are told up to this; told more, they come back within seconds. */
const LONGEST_SDK_WAIT_MS = 60_000

/**
 * Headers that tell a client whether and when to send the same request again; the official SDKs obey them. `spent`: a
 * job ended with this error. Its attempts are used up, and a client's retries must not multiply them: it may come back
 * only where there was no room, or no time.
 */
export function retryHeaders(
  { code, status, retryAfterMs }: Pick<SluiceError, 'code' | 'status' | 'retryAfterMs'>,
  spent = false,
): Readonly<Record<string, string>> {
  const foundNoRoom = status === 429 || status === 503 || status === 507 || code === 'deadline_exceeded'
  if (!ERRORS[code].retryable) return NOT_AGAIN
  // For people and schedulers: an SDK would repeat it at once
  const isForPeople = spent && !foundNoRoom
  if (isForPeople && retryAfterMs === undefined) return NOT_AGAIN
  const ms = retryAfterMs ?? RETRY_AFTER_MS
  const whole = Math.max(1, wholeMs(ms))
  return {
    'retry-after': String(Math.ceil(whole / 1000)),
    'retry-after-ms': String(whole),
    'x-should-retry': String(!isForPeople && ms <= LONGEST_SDK_WAIT_MS),
  }
}
