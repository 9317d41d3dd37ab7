/** A checked request as a job to be submitted. */
import { hash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import type { JobDraft, JobOptions } from '../../core/job.ts'
import { editObject, isRecord, type JsonRecord } from '../../core/json.ts'
import { unitsAsked } from '../../core/media-units.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Dialect, References, RequestForm, StreamForm } from '../../core/ports/dialect.ts'
import type { Weight } from '../../core/ports/weights.ts'
import { promptOf } from '../../core/text-request.ts'
import { readTraceparent, type Traceparent } from '../../core/trace.ts'
import { requireScope } from '../caller/access.ts'
import { type Caller, shareOf, userOf, withinNames, withinRun } from '../caller/caller.ts'
import { namesAnother } from '../caller/named-user.ts'
import type { GatewayDeps, GatewayOptions, PublicRoute } from '../deps.ts'
import type { JsonBody } from '../http/body.ts'
import { fingerprint } from './fingerprint.ts'
import { insteadOf } from './instead.ts'
import { headerOptions, readJobOptions } from './job-options.ts'
import { routeOf } from './kind-of-request.ts'
import { checkModel, type ModelDeps, modelsFor, noModelFor } from './model.ts'
import { beginningOf, needsOf } from './needs.ts'
import { isBound, maxOutputTokens } from './output.ts'
import { priceNow } from './price.ts'
import { checkOutputs } from './related.ts'

/** What a draft is made with. */
export type DraftDeps = ModelDeps &
  Pick<GatewayDeps, 'weights' | 'prices' | 'ownKeys' | 'limits' | 'dialects' | 'options' | 'beginSpan'>

/** Models in a message. */
const MAX_NAMED = 5
const NO_OPTIONS: JsonRecord = {}
const NO_HEADERS: Readonly<Record<string, string>> = {}

/** What a request is written in. */
export interface Spoken {
  readonly dialect: Dialect
  readonly form: RequestForm
  /** Whoever sent it sees the answer grow, though it does not run for them. */
  readonly isFollowed?: boolean
}

/** What came. `identity` and below: of an upload, whose file has another id each time it is sent. */
export type SentBody = Pick<JsonBody, 'bytes' | 'value' | 'members'> & {
  readonly identity?: Uint8Array
  readonly hasFile?: boolean
  readonly fileBytes?: number
}

/** What was read of a request. */
interface Request extends Spoken {
  readonly request: JsonRecord
  /** What is stored and sent on. */
  readonly bytes: Uint8Array
  /** What the client sent, options included: an SDK's retry repeats these bytes. Null: there are no such retries. */
  readonly sent: Uint8Array | null
  /** The same for an upload: its file by its content. Absent: `bytes`. */
  readonly identity?: Uint8Array
  /** Its file came with it. */
  readonly hasFile?: boolean
  /** Of all files that came with it. */
  readonly fileBytes?: number
  readonly options: JsonRecord
  /** Where they stand: "sluice." or nothing. */
  readonly at: string
  readonly headers: Readonly<Record<string, string>>
  readonly plain: boolean
  readonly isRetry: boolean
  /** Absent: earlier jobs can't be looked up. */
  readonly references?: References
}

/** What a job came with: an HTTP request, or a WebSocket connection. */
export interface Origin {
  readonly requestId: string
  /** When its head came, or its frame. */
  readonly startedMono: number
  /** Of that time, what its client took to send the rest. */
  readonly uploadMs: number
  readonly trace: Traceparent | null
  /** Of a span that is the job's own; absent: it has none. */
  readonly parentSpan?: string | null
}

/** A job that may be submitted, once its tenant's guards have let it pass. */
export interface Draft {
  /** Its `admissionMs` is filled in when it is submitted. */
  readonly job: Omit<JobDraft, 'admissionMs'> & { admissionMs?: number }
  readonly startedMono: number
  readonly uploadMs: number
  /** As of its origin. */
  readonly parentSpan: string | null | undefined
  /** Of its prompt. */
  readonly weight: Weight
  /** The request, for guards. */
  readonly value: JsonRecord
  /** The user of a job whose request was edited; null: it is none that the request names. */
  readonly userIn: ((request: JsonRecord) => string | undefined) | null
  /** How its client asked to follow the answer; null: it wants it whole. */
  readonly stream: StreamForm | null
}

/**
 * A POST in a dialect. `plain`: it is answered on its own connection, and runs for it. `references`: to jobs that
 * it goes on from.
 */
export function dialectDraft(
  deps: DraftDeps,
  caller: Caller,
  headers: IncomingHttpHeaders,
  body: SentBody,
  spoken: Spoken,
  plain: boolean,
  origin: Origin,
  references?: References,
): Draft {
  const { sluice } = body.value
  if (sluice !== undefined && !isRecord(sluice))
    throw new SluiceError('invalid_request', { param: 'sluice', message: '"sluice" must be an object of job options.' })
  return draft(deps, caller, origin, {
    ...spoken,
    request: body.value,
    bytes: sluice === undefined ? body.bytes : editObject(body.bytes, { sluice: null }, body.members),
    sent: body.identity ?? body.bytes,
    ...(body.identity !== undefined && { identity: body.identity }),
    ...(body.hasFile === true && { hasFile: true }),
    ...(body.fileBytes !== undefined && { fileBytes: body.fileBytes }),
    options: withConversation(sluice ?? NO_OPTIONS, spoken.form.conversationIn?.(body.value) ?? null),
    at: 'sluice.',
    headers: headerOptions(headers),
    plain,
    isRetry: mayBeRetry(headers),
    ...(references !== undefined && { references }),
  })
}

/** Throws invalid_request. */
function withConversation(options: JsonRecord, conversation: string | null): JsonRecord {
  if (conversation === null) return options
  if (options['conversation'] !== undefined)
    throw bad('conversation', 'The request names two conversations: leave "sluice.conversation" out.')
  return { ...options, conversation }
}

/**
 * SDKs of OpenAI and Anthropic count their tries. Codex does not, but each of its requests has a turn and all that was
 * said before: the same bytes again are the same request.
 */
const mayBeRetry = (headers: IncomingHttpHeaders): boolean =>
  Number(headers['x-stainless-retry-count'] ?? 0) >= 1 || headers['x-codex-turn-metadata'] !== undefined

/**
 * One of POST /v1/jobs, or a submit: `{request, endpoint?, …options}`. `bytes`: of its `request`. Headers apply only to
 * a request that carries a single job.
 */
export function jobDraft(
  deps: DraftDeps,
  caller: Caller,
  job: JsonRecord,
  bytes: Uint8Array,
  headers: IncomingHttpHeaders | null,
  origin: Origin,
  references?: References,
): Draft {
  const { request, endpoint, traceparent, ...options } = job
  if (!isRecord(request))
    throw new SluiceError('invalid_request', {
      param: 'request',
      message: `"request" must be the body of a POST to ${endpointsOf(deps)}.`,
    })
  if (request['sluice'] !== undefined)
    throw new SluiceError('invalid_request', {
      param: 'request.sluice',
      message: 'Job options go beside "request", not inside it.',
    })
  const own = readTraceparent(traceparent)
  const trace = own ?? origin.trace
  const span = deps.beginSpan !== null && (own !== null || trace === null) ? deps.beginSpan(trace) : null
  return draft(
    deps,
    caller,
    // A call's members are getters, which a spread leaves out
    {
      requestId: origin.requestId,
      startedMono: origin.startedMono,
      uploadMs: origin.uploadMs,
      trace: span?.trace ?? trace,
      ...(span !== null && { parentSpan: span.parent }),
    },
    {
      ...spokenAt(deps, endpoint),
      request,
      bytes,
      sent: null,
      options,
      at: '',
      headers: headers === null ? NO_HEADERS : headerOptions(headers),
      plain: false,
      isRetry: false,
      ...(references !== undefined && { references }),
    },
  )
}

/** What goes to an endpoint; the first of them all where none is named. Throws invalid_request. */
export function spokenAt({ dialects }: Pick<DraftDeps, 'dialects'>, endpoint: unknown): Spoken {
  for (const dialect of dialects.spoken)
    for (const form of dialect.requests) if (endpoint === undefined || endpoint === form.path) return { dialect, form }
  throw new SluiceError('invalid_request', {
    param: 'endpoint',
    message: `"endpoint" must be ${endpointsOf({ dialects })}.`,
  })
}

const endpointsOf = ({ dialects }: Pick<DraftDeps, 'dialects'>): string =>
  dialects.spoken.flatMap(({ requests }) => requests.map(({ path }) => path)).join(' or ')

function draft(deps: DraftDeps, caller: Caller, origin: Origin, asked: Request): Draft {
  const { dialect, form, request, bytes, headers, plain } = asked
  const { kind } = form
  const model = checkModel(request)
  // A rest would be a copy
  const served = deps.models.resolve(model)
  const isAsIs = served?.completes === true && form.readAsIs !== undefined
  const read = isAsIs
    ? form.readAsIs!(request, bytes)
    : form.read(request, bytes, { ...asked.references, tenant: caller.key.tenant })
  const { value, body, shownAs } = read
  // Its answer tells what is in the file; a page's user has only files of its own
  if (form.uploads !== undefined && asked.hasFile !== true && caller.session === null)
    requireScope(deps.keys, caller.key, 'read')
  if (served === null) throw noModelFor(deps, caller.key, model)
  if (!served.kinds.includes(kind)) throw cannot(deps, caller, model, form)
  const { options, given, metadata, run, parent, after, tags, webhook } = readJobOptions(asked.options, headers, {
    at: asked.at,
    pool: served.pool,
    plain,
    plainDeadlineMs: deps.options.plainDeadlineMs,
    jobDeadlineMs: deps.options.jobDeadlineMs,
  })
  if ((kind !== 'chat' || isAsIs) && options.conversation !== undefined)
    throw new SluiceError('invalid_request', {
      param: `${asked.at}conversation`,
      message: `A request for ${isAsIs ? 'a completion' : form.what} cannot be part of a conversation.`,
    })
  if (caller.session !== null) checkTimes(options, deps.options, asked.at)
  const own = userOf(caller)
  if (own !== null) checkOwnUser(own, asked)
  const user = own ?? namedUser(read.user, headers['user'])
  if (typeof user === 'string' && user.length > 512)
    throw new SluiceError('invalid_request', {
      param: 'sluice-user',
      message: '"sluice-user" must be a string of at most 512 characters.',
    })
  if (typeof user === 'string' && user !== '') checkRecalled(asked.references, user)
  const stream = read.stream === true ? (read.form ?? dialect.stream) : null
  const { tenant } = caller.key
  const named = withinNames(caller, options)
  const weight = deps.weights.weigh({
    tenant,
    model: served.upstreamModel ?? model,
    conversation: named.conversation,
    prompt: promptOf(value, body.length),
  })
  const job: Writable<Draft['job']> = {
    tenant,
    keyId: caller.key.id,
    kind,
    model,
    body,
    bodyHash:
      options.idempotencyKey === undefined ? bodyHash(asked) : fingerprint(kind, asked.identity ?? bytes, given),
    options: named,
    isRetry: asked.isRetry,
    dialect: dialect.name,
    takesBack: (!plain && asked.isFollowed !== true) || stream === null || stream.takesBack,
    promptTokens: weight.tokens,
    requestId: origin.requestId,
    admissionMs: 0,
  }
  if (typeof user === 'string' && user !== '') job.user = user
  if (shownAs !== undefined) job.shownAs = shownAs
  if (read.hidesThought === true) job.hidesThought = true
  const session = shareOf(caller)
  if (session !== null) job.session = session
  // Asked as we were asked: a plain POST streams only if it says so, a job unless it says otherwise
  if (dialect.stream !== null && (plain ? stream === null : read.stream === false)) job.document = true
  if (webhook !== undefined) job.webhook = webhook
  const tells = tellsOf(asked)
  if (tells !== null) job.tells = tells
  if (metadata !== undefined) job.metadata = metadata
  // What goes on from a job of a run is of that run, as its child is
  const ofRun = run !== undefined ? withinRun(caller, run) : parent === undefined ? read.run : undefined
  if (ofRun !== undefined) job.run = ofRun
  if (parent !== undefined) job.parent = parent
  if (after !== undefined) job.after = after
  checkOutputs(value, job)
  const route = routeOf(kind, value)
  if (route !== undefined) job.route = route
  checkTags(tags, served.deployments, asked.at)
  const needs = needsOf(kind, value, tags)
  if (needs !== undefined) job.needs = needs
  // A conversation's jobs have it in common that they are its
  if ((served.deployments?.length ?? 1) > 1 && kind === 'chat' && options.conversation === undefined) {
    const affinity = beginningOf(tenant, value)
    if (affinity !== undefined) job.affinity = affinity
  }
  const units = unitsAsked(kind, value, asked.fileBytes ?? null)
  const price = priceNow(deps, job, weight.tokens, deps.clock.wallMs(), units)
  if (price !== null) job.price = price
  // Another model may take nothing but messages
  const instead = isAsIs ? undefined : insteadOf(deps, served.fallbacks, job, units)
  if (instead !== undefined) job.instead = instead
  const { trace, parentSpan } = origin
  if (trace !== null) job.trace = trace
  const most = isBound(kind) ? maxOutputTokens(kind, value) : null
  if (most !== null) job.maxOutputTokens = most
  const userIn = own === null && read.user !== undefined ? userOfCanonical : null
  const { startedMono, uploadMs } = origin
  return { job, startedMono, uploadMs, parentSpan, weight, value, userIn, stream }
}

/** Names models that can, of those that the caller may use. */
function cannot(deps: DraftDeps, caller: Caller, model: string, { kind, what }: RequestForm): SluiceError {
  const able = modelsFor(deps, caller.key).filter(({ id }) => deps.models.resolve(id)?.kinds.includes(kind) === true)
  const names = able.slice(0, MAX_NAMED).map(({ id }) => `"${id}"`)
  const kinds = `No model of this server does: \`kinds\` of one that can must have "${kind}".`
  const who = names.length === 0 ? kinds : `${names.join(', ')} can.`
  return new SluiceError('invalid_request', {
    param: 'model',
    message: `The model "${model}" does not support ${what}. ${who}`,
  })
}

/** What its end is announced as: nobody waits for it on its own connection. */
const tellsOf = (asked: Request): 'response' | 'job' | null =>
  asked.sent !== null && asked.form.detaches?.(asked.request) === true
    ? 'response'
    : asked.plain || asked.isFollowed === true
      ? null
      : 'job'

/** In the dialect that requests are kept in, whatever they came in. */
function userOfCanonical({ safety_identifier: identifier, user }: JsonRecord): string | undefined {
  const named = identifier || user
  return typeof named === 'string' && named !== '' ? named : undefined
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * A backend that adds the header to what its pages send must not have to trust them: a body can't name somebody else.
 * Throws invalid_request.
 */
function namedUser(inBody: unknown, inHeader: unknown): unknown {
  if (inBody && inHeader && inBody !== inHeader)
    throw new SluiceError('invalid_request', {
      param: 'sluice-user',
      message: 'The header "sluice-user" and the body name different users: leave one of them out.',
    })
  return inBody || inHeader
}

/** Who acts for a user tells them nothing of another. Throws invalid_request. */
function checkRecalled(references: References | undefined, user: string): void {
  for (const { user: owner } of references?.recalled?.values() ?? [])
    if (owner !== null && owner !== user)
      throw bad('previous_response_id', 'The request names a user, and refers to an answer that is not for that user.')
}

/** A request that nothing can serve would wait for ever. Throws invalid_request. */
function checkTags(tags: readonly string[], deployments: PublicRoute['deployments'], at: string): void {
  if (tags.length === 0 || deployments?.some(({ tags: own = [] }) => tags.every((tag) => own.includes(tag)))) return
  const known = new Set(deployments?.flatMap(({ tags: own = [] }) => own))
  const unknown = tags.find((tag) => !known.has(tag))
  const what = unknown === undefined ? 'all of these tags' : `the tag "${unknown}"`
  throw bad(`${at}tags`, `No deployment of this model has ${what}.${didYouMean(unknown ?? '', known)}`)
}

/** Throws forbidden for a request that names somebody else than its session's user. */
function checkOwnUser(own: string, { request, headers }: Request): void {
  const named = namesAnother(request, own) ?? ((headers['user'] || own) === own ? null : 'sluice-user')
  if (named !== null)
    throw new SluiceError('forbidden', {
      param: named,
      message: 'The request names a different user than this session has: leave the user out.',
    })
}

/** A page may not fill its tenant's line for weeks. Throws invalid_request. */
function checkTimes({ delayMs = 0, deadlineMs }: JobOptions, options: GatewayOptions, at: string): void {
  const { maxDelayMs } = options.sessions
  if (delayMs > maxDelayMs)
    throw bad(`${at}delay_ms`, `"delay_ms" of a session must be at most ${maxDelayMs} (sessions.max_delay_ms).`)
  const most = maxDelayMs + options.jobDeadlineMs
  if (deadlineMs > most)
    throw bad(
      `${at}deadline_ms`,
      `"deadline_ms" of a session must be at most ${most} (sessions.max_delay_ms + queue.job_deadline_ms).`,
    )
}

/** Of what has no idempotency key. Options belong to what was asked, wherever they stand. */
function bodyHash({ form: { kind }, sent, bytes, options, headers }: Request): string {
  if (sent === null) return hashOf(bytes, ['job', kind, sorted(options), sorted(headers)])
  const names = Object.keys(headers)
  // Of every plain call: nothing is added to what an SDK would send again
  return names.length === 0 && kind === 'chat'
    ? hash('sha256', sent, 'base64url')
    : hashOf(sent, [kind, sorted(headers)])
}

const sorted = (members: JsonRecord): ReadonlyArray<readonly [string, unknown]> =>
  Object.keys(members)
    .sort()
    .map((name) => [name, members[name]] as const)

const hashOf = (bytes: Uint8Array, more: readonly unknown[]): string =>
  hash('sha256', Buffer.concat([bytes, Buffer.from(`\n${JSON.stringify(more)}`)]), 'base64url')
