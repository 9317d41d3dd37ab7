/** The models that clients may name: PROTOCOL.md section 3. */
import type { GatewayDeps, PublicModel } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Route } from '../http/route.ts'
import { modelRefusal, modelsFor, noModelFor } from '../submit/model.ts'

export function modelRoutes(deps: GatewayDeps): readonly Route[] {
  const { models, dialects } = deps
  const query = dialects.spoken.flatMap(({ requests }) => requests.flatMap((form) => form.query))

  return [
    {
      method: 'GET',
      path: '/v1/models',
      query,
      auth: 'tenant',
      run: ({ caller }) => json(200, { object: 'list', data: modelsFor(deps, caller.key).map(modelView) }),
    },
    {
      method: 'GET',
      path: '/v1/models/*id',
      query,
      auth: 'tenant',
      run(call) {
        const { id } = call.params
        const { key } = call.caller
        if (models.resolve(id) === null) throw noModelFor(deps, key, id)
        const blocked = modelRefusal(deps, key, id)
        if (blocked !== null) throw blocked
        return json(200, modelView(models.list().find((m) => m.id === id) ?? { id, created: 0, ownedBy: 'sluice' }))
      },
    },
  ]
}

const modelView = ({ id, created, ownedBy }: PublicModel): Record<string, unknown> => ({
  id,
  object: 'model',
  created,
  owned_by: ownedBy,
})
