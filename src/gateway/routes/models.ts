/** The models that clients may name: PROTOCOL.md section 3. */
import type { SluiceError } from '../../core/errors.ts'
import type { ApiKey } from '../../core/ports/keys.ts'
import { notAllowed } from '../caller/access.ts'
import type { GatewayDeps, PublicModel } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Route } from '../http/route.ts'
import { namesOf, noModel } from '../submit/model.ts'

export function modelRoutes(deps: GatewayDeps): readonly Route[] {
  const { models, dialects } = deps
  const query = dialects.spoken.flatMap(({ requests }) => requests.flatMap((form) => form.query))

  const allowed = (key: ApiKey): readonly PublicModel[] =>
    models.list().filter(({ id }) => modelRefusal(deps, key, id) === null)

  return [
    {
      method: 'GET',
      path: '/v1/models',
      query,
      auth: 'tenant',
      run: ({ caller }) => json(200, { object: 'list', data: allowed(caller.key).map(modelView) }),
    },
    {
      method: 'GET',
      path: '/v1/models/*id',
      query,
      auth: 'tenant',
      run(call) {
        const { id } = call.params
        const { key } = call.caller
        if (models.resolve(id) === null) throw noModel(id, namesOf({ list: () => allowed(key) }))
        const blocked = modelRefusal(deps, key, id)
        if (blocked !== null) throw blocked
        return json(200, modelView(models.list().find((m) => m.id === id) ?? { id, created: 0, ownedBy: 'sluice' }))
      },
    },
  ]
}

/** What the key, its tenant, or the tenant's guards refuse whatever is asked of the model. */
export function modelRefusal(
  deps: Pick<GatewayDeps, 'admission' | 'clock' | 'keys' | 'tenants'>,
  { id: keyId, tenant }: Pick<ApiKey, 'id' | 'tenant'>,
  model: string,
): SluiceError | null {
  const refusal = notAllowed(deps, { tenant, keyId, model })
  if (refusal !== null) return refusal
  const { admission, clock } = deps
  const asked = { tenant, kind: 'chat', model, promptTokens: 0, texts: () => [], atMs: clock.wallMs() } as const
  const { error } = admission.check(asked)
  return error?.code === 'model_not_allowed' ? error : null
}

const modelView = ({ id, created, ownedBy }: PublicModel): Record<string, unknown> => ({
  id,
  object: 'model',
  created,
  owned_by: ownedBy,
})
