/** The models that clients may name: PROTOCOL.md section 3. */
import type { GatewayDeps, PublicModel } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Route } from '../http/route.ts'
import { isModelName, modelRefusal, modelsFor, noModelFor, patternsFor } from '../submit/model.ts'

/** By which Anthropic's clients ask for pages; all models are one. */
const PAGED = ['limit', 'after_id', 'before_id']

export function modelRoutes(deps: GatewayDeps): readonly Route[] {
  const { models, dialects } = deps
  const known = dialects.spoken.flatMap(({ requests }) => requests.flatMap((form) => form.query))
  const query = [...new Set([...known, ...PAGED])]

  return [
    {
      method: 'GET',
      path: '/v1/models',
      query,
      auth: 'tenant',
      run: ({ caller: { key } }) => json(200, listOf(modelsFor(deps, key).map(modelView), patternsFor(deps, key))),
    },
    {
      method: 'GET',
      path: '/v1/models/*id',
      query,
      auth: 'tenant',
      run(call) {
        const { id } = call.params
        const { key } = call.caller
        if (!isModelName(id) || models.resolve(id) === null) throw noModelFor(deps, key, id)
        const blocked = modelRefusal(deps, key, id)
        if (blocked !== null) throw blocked
        return json(200, modelView(models.list().find((m) => m.id === id) ?? { id, created: 0, ownedBy: 'sluice' }))
      },
    },
  ]
}

/** OpenAI's members, then those of Anthropic's API, of whose clients each ignores the other's. */
const modelView = ({ id, created, ownedBy }: PublicModel): ModelView => ({
  id,
  object: 'model',
  created,
  owned_by: ownedBy,
  type: 'model',
  display_name: id,
  created_at: new Date(created * 1_000).toISOString(),
})

interface ModelView {
  readonly id: string
  readonly [name: string]: unknown
}

/** `patterns` are beside the list: clients offer whatever is in it. */
const listOf = (data: readonly ModelView[], patterns: readonly string[]): object => ({
  object: 'list',
  data,
  has_more: false,
  first_id: data[0]?.id ?? null,
  last_id: data.at(-1)?.id ?? null,
  ...(patterns.length > 0 && { patterns }),
})
