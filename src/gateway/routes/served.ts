/** `GET /admin/models`: what is served, by whom, at what price: PROTOCOL.md section 8. */
import type { JsonRecord } from '../../core/json.ts'
import type { GatewayDeps, ServedModel } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Route } from '../http/route.ts'
import { disabledView } from '../read/views.ts'

export function servedRoutes({ models, limitRules, tenants }: GatewayDeps): readonly Route[] {
  const view = ({ name, pool, kinds, deployments, price }: ServedModel): JsonRecord => ({
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
  const run = () => json(200, { object: 'list', data: models.served().map(view) })
  return [{ method: 'GET', path: '/admin/models', auth: 'operator', run }]
}
