/**
 * `POST /admin/route/explain`: where a request would go now, and why; `GET /admin/jobs/:id/route`: and a job. Nothing
 * is submitted: PROTOCOL.md section 8.
 */

import { SluiceError } from '../../core/errors.ts'
import { bad, checkMembers, checkNames, text, whole } from '../../core/fields.ts'
import { ABILITIES, type Ability } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { RouteCandidate, RouteOut, RouteTrace } from '../../core/ports/operations.ts'
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
    if (typeof model !== 'string' || deps.models.resolve(model) === null)
      throw noModel(String(model ?? ''), () => deps.models.list())
    const tenant = value['tenant'] === undefined || value['tenant'] === null ? null : tenantId(value['tenant'])
    const [tags, can] = [textsOf('tags', value['tags']), textsOf('can', value['can'])]
    for (const one of can) oneOf('can', one, ABILITIES)
    const trace = await deps.operations.explain({
      model,
      kind: oneOf('kind', value['kind'] ?? 'chat', ['chat', 'embedding']),
      promptTokens: (value['prompt_tokens'] as number | null | undefined) ?? PROMPT_TOKENS,
      maxOutputTokens: (value['max_output_tokens'] as number | null | undefined) ?? null,
      ...(tags.length + can.length > 0 && { needs: { tags, can: can as readonly Ability[] } }),
      draw: (value['draw'] as string | null | undefined) ?? deps.ids.name('draw', 8),
    })
    return answerOf(tenant, model, trace)
  }

  /** Of a job as it is: what it needs, how long it is, where it has failed. */
  async function ofJob(call: Call) {
    const job = await deps.jobs.get(call.params['id'])
    if (job === null) throw new SluiceError('job_not_found')
    const { id, tenant, model, kind, promptTokens, maxOutputTokens = null, needs } = job
    const asked = { model, kind, promptTokens, maxOutputTokens, ...(needs !== undefined && { needs }) }
    return answerOf(tenant, model, await deps.operations.explain({ ...asked, draw: id, job: id }))
  }

  function answerOf(tenant: string | null, model: string, trace: RouteTrace) {
    const refusal = tenant === null ? null : refusalOf(tenant, model)
    return json(200, {
      object: 'route_trace',
      refused: refusal && { code: refusal.code, message: refusal.message },
      own_key: tenant === null ? null : deps.ownKeys.covers(tenant, model),
      ...traceView(trace),
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

const traceView = ({ promptTokens, outputTokens, deployment, steps }: RouteTrace): JsonRecord => ({
  prompt_tokens: promptTokens,
  output_tokens: Math.round(outputTokens),
  deployment,
  steps: steps.map(({ model, policy, unit, cachedAt, chosen, awaits, deployments }) => ({
    model,
    policy,
    unit,
    cached_at: cachedAt,
    chosen,
    awaits: awaits === undefined ? null : { deployment: awaits.deployment, in_ms: Math.ceil(awaits.inMs) },
    deployments: deployments.map(candidateView),
  })),
})

/** For people. */
const OUT_WORDS: Readonly<Record<RouteOut, string>> = {
  tags: 'lacks a tag that is asked for',
  abilities: 'can not do what is asked for',
  context: 'the prompt is too long for it',
  drained: 'is drained',
  cooling: 'is left alone for a while: it was too busy',
  broken: 'its breaker is open: it failed too often',
  slots: 'all its calls are taken',
  quota: 'its requests or tokens a minute are used up',
  failed_here: 'the job has failed there',
  order: 'another one comes first',
}

const candidateView = (one: RouteCandidate): JsonRecord => ({
  deployment: one.deployment,
  order: one.order,
  active: one.active,
  out: one.out,
  why: one.out && OUT_WORDS[one.out],
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
