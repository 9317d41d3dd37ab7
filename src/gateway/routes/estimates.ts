/** What a request weighs, and costs, before it is sent: PROTOCOL.md section 3. */
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames, isText } from '../../core/fields.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { RequestForm } from '../../core/ports/dialect.ts'
import type { Price } from '../../core/ports/prices.ts'
import { promptOf } from '../../core/text-request.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, json } from '../http/answer.ts'
import { type JsonBody, memberBytes, readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { type Draft, dialectDraft, jobDraft, spokenAt } from '../submit/draft.ts'
import { decide } from '../submit/guarded.ts'
import { checkModel, modelRefusal, noModelFor } from '../submit/model.ts'
import { maxOutputTokens } from '../submit/output.ts'

/** One of them is counted. */
const COUNTED = ['messages', 'input', 'text'] as const
/** What may stand beside it, as in a request that is posted. */
const BESIDE = [
  ...['model', 'user', 'safety_identifier', 'metadata', 'sluice', 'stream', 'stream_options', 'store', 'service_tier'],
  ...['tools', 'functions', 'tool_choice', 'function_call', 'parallel_tool_calls', 'response_format', 'prediction'],
  ...['max_tokens', 'max_completion_tokens', 'n', 'temperature', 'top_p', 'stop', 'seed', 'logit_bias', 'logprobs'],
  ...['top_logprobs', 'presence_penalty', 'frequency_penalty', 'reasoning_effort', 'verbosity', 'modalities', 'audio'],
  ...['prompt_cache_key', 'prompt_cache_retention', 'web_search_options', 'encoding_format', 'dimensions'],
]

interface Counted {
  readonly model: string
  readonly tokens: number
  readonly exact: boolean
}

export function estimateRoutes(deps: GatewayDeps): readonly Route[] {
  const { weights, models, prices, clock, options, dialects } = deps

  async function tokenize(call: KeyCall): Promise<Answer> {
    const { value, bytes } = await readJson(call, options.maxBodyBytes, options)
    checkNames(value, [...COUNTED, ...BESIDE])
    const counted = weigherOf(call, value)
    checkCounted(value)
    return json(200, { object: 'tokens', ...counted(value, bytes.length) })
  }

  /** For the model that it names, which its caller must be allowed to use. */
  function weigherOf(call: KeyCall, request: JsonRecord): (value: JsonRecord, bytes: number) => Counted {
    const model = checkModel(request)
    const { key } = call.caller
    const route = models.resolve(model)
    if (route === null) throw noModelFor(deps, key, model)
    const refusal = modelRefusal(deps, key, model)
    if (refusal !== null) throw refusal
    const asked = { tenant: key.tenant, model: route.upstreamModel ?? model }
    return (value, bytes) => {
      const { exact, own, tokens } = weights.weigh({ ...asked, prompt: promptOf(value, bytes) })
      return { model, tokens: exact ? own : tokens, exact }
    }
  }

  const count =
    (form: RequestForm, reply: (tokens: number) => object) =>
    async (call: KeyCall): Promise<Answer> => {
      const sent = await readJson(call, options.maxBodyBytes, options)
      const counted = weigherOf(call, sent.value)
      const { value, body } = form.read(sent.value, sent.bytes, { tenant: call.caller.key.tenant })
      return json(200, reply(counted(value, body.length).tokens))
    }

  const counts = dialects.spoken.flatMap((dialect) =>
    dialect.requests.flatMap((form): readonly Route[] => {
      if (form.counts === undefined) return []
      const { path, reply } = form.counts
      return [{ method: 'POST', path, query: form.query, auth: 'tenant', errors: dialect, run: count(form, reply) }]
    }),
  )

  async function estimate(call: KeyCall): Promise<Answer> {
    const draft = draftOf(call, await readJson(call, options.maxBodyBytes, options))
    const { job, weight, value } = draft
    const { model, promptTokens } = job
    const now = clock.wallMs()
    // As a submit would be refused
    const { error, edit } = decide(deps, job, () => value)
    if (error !== null) throw error
    const most = maxOutputTokens(job.kind, edit === null ? value : parsed(edit(job.body)))
    const price = prices.of(model, now)
    const priced = price !== null && 'cost' in price
    return json(200, {
      object: 'estimate',
      model,
      input_tokens: promptTokens,
      exact: weight.exact && weight.isPlain && weight.own === promptTokens,
      max_output_tokens: most,
      cost: priced ? costView(price, promptTokens, most) : null,
      // The reason is the operator's: it has the provider's name for the model
      ...(!priced && { cost_unknown: 'Nobody knows what this model costs: ask the operator.' }),
    })
  }

  /** A job as for POST /v1/jobs, or the request itself, as it would be posted to `?endpoint=`. */
  function draftOf(call: KeyCall, body: JsonBody): Draft {
    const { headers } = call.exchange.request
    const endpoint = call.parameter('endpoint')
    if (body.value['request'] === undefined)
      return dialectDraft(deps, call.caller, headers, body, spokenAt(deps, endpoint), true, call)
    if (endpoint !== undefined)
      throw bad('endpoint', 'Name the "endpoint" beside "request", and not in the query, too.')
    return jobDraft(deps, call.caller, body.value, memberBytes(body, 'request'), headers, call)
  }

  return [
    ...counts,
    { method: 'POST', path: '/v1/tokenize', auth: 'tenant', run: tokenize },
    { method: 'POST', path: '/v1/estimate', query: ['endpoint'], auth: 'tenant', run: estimate },
  ]
}

const parsed = (body: Uint8Array): JsonRecord => JSON.parse(Buffer.from(body).toString('utf8')) as JsonRecord

/** Throws invalid_request. */
function checkCounted(value: JsonRecord): void {
  const given = COUNTED.filter((name) => value[name] !== undefined)
  if (given.length !== 1)
    throw new SluiceError('invalid_request', {
      param: given[1] ?? 'messages',
      message: 'Give one of "messages", "input" and "text".',
    })
  const [name] = given
  const counted = value[name]
  const isList = Array.isArray(counted)
  if (name === 'messages' ? !(isList && counted.every(isRecord)) : !(isText(counted) || (name === 'input' && isList)))
    throw bad(name, `"${name}" must be ${WHAT[name]}.`)
}

const WHAT = { messages: 'a list of messages', input: 'a text, or a list of texts or tokens', text: 'a text' }

function costView(price: Price, input: number, maxOutput: number | null): object {
  const before = price.cost({ input, output: 0 })
  const answer = maxOutput === null ? null : price.cost({ input, output: maxOutput }) - before
  return {
    currency: 'usd',
    input: before / 1e9,
    output_max: answer === null ? null : answer / 1e9,
    nano_dollars: { input: before, output_max: answer },
    price_version: price.version,
  }
}
