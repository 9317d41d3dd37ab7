/** A provider counts by key: one that is named twice would be used for twice what is allowed. */
import { Secret } from '../settings/fields.ts'
import type { Problem } from './problems.ts'
import type { Settings } from './schema.ts'

type Model = Settings['models'][number]

/** By reference, and by value where that is known; values are never told. */
const isSame = (a: Secret, b: Secret): boolean =>
  JSON.stringify(a.ref) === JSON.stringify(b.ref) || (a.known && b.known && a.reveal() === b.reveal())

const keysOf = (model: Model): readonly Secret[] =>
  'api_key' in model && model.api_key instanceof Secret ? [model.api_key, ...model.api_keys] : model.api_keys

/** In one entry: those that an earlier one of it is. */
export function sameKeys(model: Model, path: readonly string[] = []): readonly Problem[] {
  const keys = keysOf(model)
  const first = keys.length - model.api_keys.length
  return model.api_keys.flatMap((key, i) => {
    const before = keys.findIndex((one) => isSame(one, key))
    if (before >= first + i) return []
    const earlier = before < first ? '`api_key`' : `\`api_keys[${before - first}]\``
    const problem = `${key} is the same key as ${earlier}: its limits would count twice. Remove it, or name another key`
    return [{ path: [...path, 'api_keys', String(i)], problem }]
  })
}

/** Entries of one name with limits by the minute that a provider would count as one. To be warned of. */
export function sameDeployments(models: readonly Model[]): readonly Problem[] {
  const groups = Map.groupBy(models.keys(), (i) => place(models[i]))
  const isQuota = ({ limits }: Model) => limits.requests_per_minute !== null || limits.tokens_per_minute !== null
  return models.flatMap((model, i) => {
    const twin = groups
      .get(place(model))!
      .find(
        (k) =>
          k < i &&
          (isQuota(models[k]) || isQuota(model)) &&
          keysOf(models[k]).some((a) => keysOf(model).some((b) => isSame(a, b))),
      )
    if (twin === undefined) return []
    const problem =
      `the same model, address and key as models[${twin}], each with its own limits by the minute: together they may ` +
      'call for more than one of them allows'
    return [{ path: ['models', String(i)], problem }]
  })
}

function place(model: Model): string {
  const { name, provider, region } = model
  const url = 'base_url' in model && typeof model.base_url === 'string' ? new URL(model.base_url).origin : null
  return JSON.stringify([name, provider, region, url, 'model' in model ? model.model : null])
}
