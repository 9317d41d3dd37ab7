/**
 * `POST /admin/route/explain`: where a request would go now, and why; `GET /admin/jobs/:id/route`: and a job. Nothing
 * is submitted: PROTOCOL.md section 8.
 */

import { SluiceError } from '../../core/errors.ts'
import { bad, checkMembers, checkNames, text, whole } from '../../core/fields.ts'
import { ABILITIES, type Ability, JOB_KINDS, type JobKind } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { RouteCandidate, RouteOut, RouteStep, RouteTrace } from '../../core/ports/operations.ts'
import type { GatewayDeps } from '../deps.ts'
import { json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { modelRefusal, noModel } from '../submit/model.ts'
import { oneOf, tenantId } from './changes.ts'

const CHECKS = new Map([
  ['model', text(200)],
  ['prompt_tokens', whole(0, 1e9)],
  ['max_output_tokens', whole(1, 1e9)],
  ['draw', text(200)],
])
const NAMES = [...CHECKS.keys(), 'kind', 'tenant', 'tags', 'can']
const MOST_TAGS = 20
const PROMPT_TOKENS = 1_000

export function explainRoutes(deps: GatewayDeps): readonly Route[] {
  async function explain(call: Call) {
    const { value } = await readJson(call, deps.options.maxBodyBytes, deps.options)
    checkNames(value, NAMES)
    checkMembers(value, CHECKS)
    const model = value['model']
    const served = typeof model === 'string' ? deps.models.resolve(model) : null
    if (typeof model !== 'string' || served === null) throw noModel(String(model ?? ''), () => deps.models.list())
    const tenant = value['tenant'] === undefined || value['tenant'] === null ? null : tenantId(value['tenant'])
    const [tags, can] = [textsOf('tags', value['tags']), textsOf('can', value['can'])]
    for (const one of can) oneOf('can', one, ABILITIES)
    const usual = served.kinds.length === 1 ? served.kinds[0] : 'chat'
    const kind = oneOf('kind', value['kind'] ?? usual, JOB_KINDS)
    const trace = await deps.operations.explain({
      model,
      kind,
      promptTokens: (value['prompt_tokens'] as number | null | undefined) ?? PROMPT_TOKENS,
      maxOutputTokens: (value['max_output_tokens'] as number | null | undefined) ?? null,
      ...(tags.length + can.length > 0 && { needs: { tags, can: can as readonly Ability[] } }),
      draw: (value['draw'] as string | null | undefined) ?? deps.ids.name('draw', 8),
    })
    return answerOf(tenant, model, kind, trace)
  }

  /** Of a job as it is: what it needs, how long it is, where it has failed. */
  async function ofJob(call: Call) {
    const job = await deps.jobs.get(call.params['id'])
    if (job === null) throw new SluiceError('job_not_found')
    const { id, tenant, model, kind, promptTokens, maxOutputTokens = null, needs } = job
    const asked = { model, kind, promptTokens, maxOutputTokens, ...(needs !== undefined && { needs }) }
    return answerOf(tenant, model, kind, await deps.operations.explain({ ...asked, draw: id, job: id }))
  }

  function answerOf(tenant: string | null, model: string, kind: JobKind, trace: RouteTrace) {
    const refusal = tenant === null ? null : refusalOf(tenant, model)
    return json(200, {
      object: 'route_trace',
      kind,
      refused: refusal && { code: refusal.code, message: refusal.message },
      own_key: tenant === null ? null : deps.ownKeys.covers(tenant, model),
      ...traceView(trace, kind),
    })
  }
  const refusalOf = (tenant: string, model: string): SluiceError | null =>
    (deps.tenants.get('tenant', tenant)?.disabled ?? null) !== null
      ? new SluiceError('access_disabled')
      : (modelRefusal(deps, { id: '', tenant }, model) ?? deps.ownKeys.refusal(tenant, model))

  return [
    { method: 'POST', path: '/admin/route/explain', auth: 'operator', run: explain },
    { method: 'GET', path: '/admin/jobs/:id/route', auth: 'operator', run: ofJob },
  ]
}

function textsOf(name: string, value: unknown): readonly string[] {
  if (value === undefined || value === null) return []
  const isList = Array.isArray(value) && value.length <= MOST_TAGS
  if (isList && value.every((one) => typeof one === 'string' && one.length <= 64)) return value
  throw bad(name, `"${name}" must be at most ${MOST_TAGS} texts.`)
}

const traceView = ({ promptTokens, outputTokens, deployment, steps }: RouteTrace, kind: JobKind): JsonRecord => ({
  prompt_tokens: promptTokens,
  output_tokens: Math.round(outputTokens),
  deployment,
  steps: steps.map((step) => ({
    model: step.model,
    policy: step.policy,
    unit: step.unit,
    cached_at: step.cachedAt,
    chosen: step.chosen,
    awaits:
      step.awaits === undefined ? null : { deployment: step.awaits.deployment, in_ms: Math.ceil(step.awaits.inMs) },
    deployments: step.deployments.map((one) => candidateView(one, step, kind)),
  })),
})

/** For people. */
const OUT_WORDS: Readonly<Record<Exclude<RouteOut, 'kind' | 'order' | 'errors' | 'outrun'>, string>> = {
  tags: 'lacks a tag that is asked for',
  abilities: 'can not do what is asked for',
  context: 'the prompt is too long for it',
  drained: 'is drained',
  cooling: 'is left alone for a while: it was too busy',
  broken: 'its breaker is open: it failed too often',
  slots: 'all its calls are taken',
  quota: 'its requests or tokens a minute are used up',
  failed_here: 'the job has failed there',
}

function whyOf({ out, order }: RouteCandidate, step: RouteStep, kind: JobKind): string | null {
  const open = step.deployments.find((one) => one.out === null)
  const first = step.chosen ?? step.awaits?.deployment ?? open?.deployment ?? 'another one'
  if (out === null) return null
  if (out === 'kind') return `is not for ${kind}`
  if (out === 'order') return `order ${order}: ${first} comes first`
  if (out === 'errors') return `errs more: ${first} comes first`
  if (out === 'outrun') return `was overtaken again and again: ${first} comes first`
  return OUT_WORDS[out]
}

/** Of one that may be called: what speaks against it all the same, and why the policy took another one. */
function noteOf({ despite, behind }: RouteCandidate, step: RouteStep): string | null {
  const lacks =
    despite === 'context'
      ? 'longer than its context window; no other fits'
      : despite === 'abilities'
        ? 'can not do what is asked for; nor can another'
        : null
  const notes = [lacks, behind ? behindWords(behind, step) : null].filter((one) => one !== null)
  return notes.length === 0 ? null : notes.join('; ')
}

function behindWords(behind: NonNullable<RouteCandidate['behind']>, { unit, chosen }: RouteStep): string {
  const ms = (amount: number): string =>
    amount < 1 ? 'slower by less than 1 ms' : `slower by ${Math.round(amount)} ms`
  switch (behind.by) {
    case 'wait':
      return ms(behind.amount)
    case 'score':
      if (unit === 'ms') return ms(behind.amount)
      return unit === 'turn' ? 'was asked later' : `dearer by $${Number((behind.amount / 1e9).toPrecision(2))}`
    case 'cache':
      return `${chosen} had this beginning last`
    case 'untried':
      return `nothing is known of ${chosen}: it is tried`
    case 'unknown':
      return unit === 'nano_dollars' ? 'its price is not known' : 'nothing is known of it'
    case 'busier':
      return 'has more to do'
    case 'draw':
      return 'lost the draw'
  }
}

const candidateView = (one: RouteCandidate, step: RouteStep, kind: JobKind): JsonRecord => ({
  deployment: one.deployment,
  order: one.order,
  active: one.active,
  out: one.out,
  why: whyOf(one, step, kind),
  note: noteOf(one, step),
  score: rounded(one.score),
  expected_ms: rounded(one.expectedMs),
  ttft_ms: rounded(one.ttftMs),
  tpot_ms: rounded(one.tpotMs),
  error_rate: rounded(one.errorRate),
  headroom: rounded(one.headroom),
  hedge_after_ms: rounded(one.hedgeAfterMs ?? null),
})

/** Three digits after the point; what is no number is null in JSON. */
const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value * 1_000) / 1_000)
