/** The models that clients may name: PROTOCOL.md section 3. */
import type { GatewayDeps, PublicModel } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Route } from '../http/route.ts'
import { namesOf, noModel } from '../submit/model.ts'

export function modelRoutes({ models, dialects }: GatewayDeps): readonly Route[] {
  const query = dialects.spoken.flatMap(({ requests }) => requests.flatMap((form) => form.query))
  return [
    {
      method: 'GET',
      path: '/v1/models',
      query,
      auth: 'tenant',
      run: () => json(200, { object: 'list', data: models.list().map(modelView) }),
    },
    {
      method: 'GET',
      path: '/v1/models/*id',
      query,
      auth: 'tenant',
      run(call) {
        const { id } = call.params
        if (models.resolve(id) === null) throw noModel(id, namesOf(models))
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
