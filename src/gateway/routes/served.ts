/** `GET /admin/models`: what is served, by whom, at what price: PROTOCOL.md section 8. */
import { healthOf } from '../../core/deployment-state.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { DeploymentFigures } from '../../core/ports/observed.ts'
import type { DeploymentStatus } from '../../core/ports/operations.ts'
import type { LimitState } from '../../core/upstream-limits.ts'
import type { GatewayDeps, ServedModel } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { checkView, disabledView, useView } from '../read/views.ts'
import { oneOf } from './changes.ts'

export function servedRoutes({ models, limitRules, tenants, operations, observed }: GatewayDeps): readonly Route[] {
  const weightSource = (deployment: string): 'config' | 'api' | 'default' =>
    models.saysWeight(deployment)
      ? 'config'
      : tenants.get('deployment', deployment)?.deployment?.weight === undefined
        ? 'default'
        : 'api'

  const view = (
    { name, pool, kinds, deployments, price }: ServedModel,
    statuses: ReadonlyMap<string, DeploymentStatus>,
    withRecent: boolean,
  ): JsonRecord => ({
    id: name,
    object: 'model',
    pool,
    kinds,
    deployments: deployments.map(({ name, provider, upstreamModel, concurrent, order, ...more }) => ({
      name,
      provider,
      upstream_model: upstreamModel,
      concurrent: Number.isFinite(concurrent) ? concurrent : null,
      order,
      source: models.added().has(name) ? 'api' : 'config',
      weight: more.weight,
      weight_source: weightSource(name),
      tags: more.tags,
      region: more.region,
      requests_per_minute: more.requestsPerMinute,
      tokens_per_minute: more.tokensPerMinute,
      context_tokens: more.contextTokens,
      ...stateView(statuses.get(name)),
      ...figuresView(observed.deployment(name), withRecent),
    })),
    limits: limitRules.model(name),
    price: price && {
      source: price.source,
      dollars_per_million_input_tokens: price.input,
      dollars_per_million_output_tokens: price.output,
      dollars_per_request: price.request,
    },
    disabled: disabledView(tenants.modelOff(name)),
  })
  const run = async (call: Call) => {
    const withRecent = oneOf('recent', call.parameter('recent') ?? 'false', ['true', 'false']) === 'true'
    const statuses = new Map((await operations.deployments()).map((status) => [status.deployment, status]))
    return json(200, { object: 'list', data: models.served().map((model) => view(model, statuses, withRecent)) })
  }
  return [{ method: 'GET', path: '/admin/models', query: ['recent'], auth: 'operator', run }]
}

/** Of late, as this node has measured it. */
const figuresView = (of: DeploymentFigures, withRecent: boolean): JsonRecord => ({
  measured: {
    over_ms: of.overMs,
    ttft_p50_ms: of.ttftP50Ms,
    ttft_p95_ms: of.ttftP95Ms,
    tpot_p50_ms: of.tpotP50Ms,
    tpot_p95_ms: of.tpotP95Ms,
    attempts: of.attempts,
    failed: of.failed,
    nano_dollars: of.nanoDollars,
    last_error: of.lastError,
    ...(withRecent && { recent: recentView(of.recent()) }),
  },
  quota: of.quota && {
    age_ms: Math.ceil(of.quota.ageMs),
    requests: of.quota.requests === undefined ? null : quotaView(of.quota.requests),
    tokens: of.quota.tokens === undefined ? null : quotaView(of.quota.tokens),
  },
})

const recentView = ({ stepMs, ttftP95Ms, tpotP50Ms }: ReturnType<DeploymentFigures['recent']>): JsonRecord => ({
  step_ms: stepMs,
  ttft_p95_ms: ttftP95Ms,
  tpot_p50_ms: tpotP50Ms,
})

const quotaView = ({ limit, remaining, resetMs }: LimitState): JsonRecord => ({
  limit: limit ?? null,
  remaining: remaining ?? null,
  reset_ms: resetMs ?? null,
})

/** Of a deployment that was just configured nothing is known yet. */
function stateView(status: DeploymentStatus | undefined): JsonRecord {
  const { active = 0, concurrent = Infinity, isDrained = false, unwell = [], check = null } = status ?? {}
  const { state, coolsForMs, failuresInRow, brokenForMs, brokenBy } = healthOf({
    active,
    concurrent,
    isDrained,
    unwell,
    check,
  })
  return {
    state,
    active,
    cools_for_ms: coolsForMs,
    failures_in_row: failuresInRow,
    broken_for_ms: brokenForMs,
    broken_by: brokenBy,
    used: useView(status?.used),
    check: checkView(check),
  }
}
