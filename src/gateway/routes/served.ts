/** `GET /admin/models`: what is served, by whom, at what price: PROTOCOL.md section 8. */
import { healthOf } from '../../core/deployment-state.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { DeploymentStatus } from '../../core/ports/operations.ts'
import type { GatewayDeps, ServedModel } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Route } from '../http/route.ts'
import { disabledView } from '../read/views.ts'

export function servedRoutes({ models, limitRules, tenants, operations }: GatewayDeps): readonly Route[] {
  const view = (
    { name, pool, kinds, deployments, price }: ServedModel,
    statuses: ReadonlyMap<string, DeploymentStatus>,
  ): JsonRecord => ({
    id: name,
    object: 'model',
    pool,
    kinds,
    deployments: deployments.map(({ name, provider, upstreamModel, concurrent, order }) => ({
      name,
      provider,
      upstream_model: upstreamModel,
      concurrent: Number.isFinite(concurrent) ? concurrent : null,
      order,
      ...stateView(statuses.get(name)),
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
  const run = async () => {
    const statuses = new Map((await operations.deployments()).map((status) => [status.deployment, status]))
    return json(200, { object: 'list', data: models.served().map((model) => view(model, statuses)) })
  }
  return [{ method: 'GET', path: '/admin/models', auth: 'operator', run }]
}

/** Of a deployment that was just configured nothing is known yet. */
function stateView(status: DeploymentStatus | undefined): JsonRecord {
  const { active = 0, concurrent = Infinity, isDrained = false, unwell = [] } = status ?? {}
  const { state, coolsForMs, failuresInRow } = healthOf({ active, concurrent, isDrained, unwell })
  return { state, active, cools_for_ms: coolsForMs, failures_in_row: failuresInRow }
}
