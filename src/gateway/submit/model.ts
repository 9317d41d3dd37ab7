/** The model that a request names. */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { ApiKey } from '../../core/ports/keys.ts'
import { notAllowed } from '../caller/access.ts'
import type { GatewayDeps, PublicModel } from '../deps.ts'
import { checkSpelling, REFUSED } from './spelling.ts'

const MODEL = /^(?:@[\w-]+\/)?[A-Za-z0-9_][\w./:@+-]{0,199}$/
const MAX_SHOWN_CHARS = 200
/** Longer names, and more models than this, are not compared. */
const MAX_COMPARED_CHARS = 64
const MAX_COMPARED_MODELS = 100

/** Can a request name it? Patterns of the settings ("*", "gpt-*") it can't. */
export const isModelName = (name: string): boolean => MODEL.test(name) && !name.includes('..') && !name.includes('//')

/** The model's name. Throws model_not_found if there is none, invalid_request if it can't be one. */
export function checkModel(body: JsonRecord): string {
  checkSpelling(body)
  const { model } = body
  if (model === undefined || model === null || model === '')
    throw new SluiceError('model_not_found', {
      param: 'model',
      message: 'The request has no "model"; GET /v1/models lists the models.',
    })
  if (typeof model !== 'string' || !isModelName(model))
    throw bad('model', '"model" is not a valid model name; GET /v1/models lists the models.')
  for (const name of REFUSED)
    if (body[name] !== undefined)
      throw bad(name, `"${name}" can't be set in a request: the operator decides where requests are sent.`)
  return model
}

/** Names those that the key may use, and no others. */
export const noModelFor = (deps: ModelDeps, key: ModelUser, name: string): SluiceError =>
  noModel(name, () => modelsFor(deps, key))

/** `models`: to look for similar names in. */
export const noModel = (name: string, models: () => readonly PublicModel[]): SluiceError =>
  new SluiceError('model_not_found', {
    param: 'model',
    message:
      `There is no model ${JSON.stringify(name.slice(0, MAX_SHOWN_CHARS))}; GET /v1/models lists them.` +
      `${name.length > MAX_COMPARED_CHARS ? '' : didYouMean(name, namesOf(models()))} ` +
      'A model named "*" in the settings matches any name.',
  })

const namesOf = (models: readonly PublicModel[]): readonly string[] =>
  models.slice(0, MAX_COMPARED_MODELS).map(({ id }) => id)

export type ModelDeps = Pick<GatewayDeps, 'models' | 'admission' | 'clock' | 'keys' | 'tenants'>
type ModelUser = Pick<ApiKey, 'id' | 'tenant'>

/** The models that the key may use, by their names. */
export const modelsFor = (deps: ModelDeps, key: ModelUser): readonly PublicModel[] =>
  deps.models.list().filter(({ id }) => isModelName(id) && modelRefusal(deps, key, id) === null)

/** What other names the key may use have in common: "*", "gpt-*". */
export const patternsFor = (deps: ModelDeps, key: ModelUser): readonly string[] =>
  deps.models.list().flatMap(({ id }) => (isModelName(id) || modelRefusal(deps, key, id) !== null ? [] : [id]))

/** What the key, its tenant, or the tenant's guards refuse whatever is asked of the model. */
export function modelRefusal(
  deps: Omit<ModelDeps, 'models'>,
  { id: keyId, tenant }: ModelUser,
  model: string,
): SluiceError | null {
  const refusal = notAllowed(deps, { tenant, keyId, model })
  if (refusal !== null) return refusal
  const { admission, clock } = deps
  const asked = { tenant, kind: 'chat', model, promptTokens: 0, texts: () => [], atMs: clock.wallMs() } as const
  const { error } = admission.check(asked)
  return error?.code === 'model_not_allowed' ? error : null
}
