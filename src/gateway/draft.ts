/** A checked request as a job to be submitted. */
import { hash } from 'node:crypto'
import { SluiceError } from '../core/errors.ts'
import type { JobDraft, JobKind } from '../core/job.ts'
import { editObject } from '../core/json.ts'
import { isRecord, type JsonBody, type JsonRecord } from './body.ts'
import type { KeyCall } from './call.ts'
import { checkChat, checkEmbedding, checkModel, estimateTokens } from './chat-request.ts'
import type { GatewayDeps } from './deps.ts'
import { readWishes } from './wishes.ts'

const NO_WISHES: JsonRecord = {}

/** A POST of OpenAI's dialect. `plain`: it is answered on its own connection. */
export function dialectDraft(deps: GatewayDeps, call: KeyCall, body: JsonBody, kind: JobKind, plain: boolean): JobDraft {
  const said = body.value['sluice']
  if (said !== undefined && !isRecord(said)) throw new SluiceError('invalid_request', { param: 'sluice', message: '"sluice" must be an object of wishes.' })
  const bytes = said === undefined ? body.bytes : editObject(body.bytes, { sluice: null })
  return draft(deps, call, body.value, bytes, said ?? NO_WISHES, kind, plain, (name) => call.header(name), Number(call.header('x-stainless-retry-count') ?? 0) >= 1)
}

/** One of POST /v1/jobs: `{request, endpoint?, …wishes}`. */
export function jobDraft(deps: GatewayDeps, call: KeyCall, job: unknown, single: boolean): JobDraft {
  if (!isRecord(job)) throw new SluiceError('invalid_request', { message: 'A job is an object with a "request".' })
  const { request, endpoint, ...wishes } = job
  if (!isRecord(request)) throw new SluiceError('invalid_request', { param: 'request', message: '"request" must be the body of a chat completion (or of an embedding).' })
  if (endpoint !== undefined && endpoint !== '/v1/chat/completions' && endpoint !== '/v1/embeddings') throw new SluiceError('invalid_request', { param: 'endpoint', message: '"endpoint" must be /v1/chat/completions or /v1/embeddings.' })
  const kind = endpoint === '/v1/embeddings' ? 'embedding' : 'chat'
  const { sluice, ...rest } = request
  if (sluice !== undefined) throw new SluiceError('invalid_request', { param: 'request.sluice', message: 'In a job the wishes stand beside "request".' })
  // Headers speak for one job only
  const header = single ? (name: string) => call.header(name) : () => undefined
  return draft(deps, call, rest, Buffer.from(JSON.stringify(rest)), wishes, kind, false, header, false)
}

function draft(deps: GatewayDeps, call: KeyCall, request: JsonRecord, bytes: Uint8Array, said: JsonRecord, kind: JobKind, plain: boolean, header: (name: string) => string | undefined, isRetry: boolean): JobDraft {
  const model = checkModel(request)
  if (kind === 'chat') checkChat(request)
  else checkEmbedding(request)
  const route = deps.models.resolve(model)
  if (route === null) throw new SluiceError('model_not_found', { param: 'model', message: `There is no model "${model}"; GET /v1/models lists them.` })
  if (!route.kinds.includes(kind)) throw new SluiceError('invalid_request', { param: 'model', message: `The model "${model}" does not do that.` })
  const { wishes, metadata } = readWishes(said, header, { pool: route.pool, plain, plainDeadlineMs: deps.options.plainDeadlineMs, jobDeadlineMs: deps.options.jobDeadlineMs })
  if (kind === 'embedding' && wishes.conversation !== undefined) throw new SluiceError('invalid_request', { param: 'sluice.conversation', message: 'An embedding is no part of a conversation.' })
  const user = request['safety_identifier'] ?? request['user'] ?? header('sluice-user')
  const options = request['stream_options']
  const lane = wishes.lane ?? wishes.conversation
  return {
    tenant: call.key.tenant,
    keyId: call.key.id,
    ...(typeof user === 'string' && user !== '' ? { user } : {}),
    kind,
    model,
    body: bytes,
    bodyHash: hash('sha256', lane === undefined ? bytes : Buffer.concat([bytes, Buffer.from(`\n${lane}`)]), 'base64url'),
    wishes,
    isRetry,
    stream: plain && request['stream'] === true,
    includeUsage: isRecord(options) && options['include_usage'] === true,
    promptTokens: estimateTokens(bytes.length),
    ...(metadata === undefined ? {} : { metadata }),
  }
}
