/** The model that a request names. */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { GatewayDeps } from '../deps.ts'
import { checkSpelling, REFUSED } from './spelling.ts'

const MODEL = /^(?:@[\w-]+\/)?[A-Za-z0-9_][\w./:@+-]{0,199}$/
const MAX_SHOWN_CHARS = 200
/** Longer names, and more models than this, are not compared. */
const MAX_COMPARED_CHARS = 64
const MAX_COMPARED_MODELS = 100

/** The model's name. Throws model_not_found if there is none, invalid_request if it can't be one. */
export function checkModel(body: JsonRecord): string {
  checkSpelling(body)
  const { model } = body
  if (model === undefined || model === null || model === '')
    throw new SluiceError('model_not_found', {
      param: 'model',
      message: 'The request has no "model"; GET /v1/models lists the models.',
    })
  if (typeof model !== 'string' || !MODEL.test(model) || model.includes('..') || model.includes('//'))
    throw bad('model', '"model" is not a valid model name; GET /v1/models lists the models.')
  for (const name of REFUSED)
    if (body[name] !== undefined)
      throw bad(name, `"${name}" can't be set in a request: the operator decides where requests are sent.`)
  return model
}

/** `names`: of the models that there are. */
export const noModel = (name: string, names: Iterable<string>): SluiceError =>
  new SluiceError('model_not_found', {
    param: 'model',
    message:
      `There is no model ${JSON.stringify(name.slice(0, MAX_SHOWN_CHARS))}; GET /v1/models lists them.` +
      `${name.length > MAX_COMPARED_CHARS ? '' : didYouMean(name, names)} ` +
      'A model named "*" in the settings matches any name.',
  })

export const namesOf = (models: Pick<GatewayDeps['models'], 'list'>): readonly string[] =>
  models
    .list()
    .slice(0, MAX_COMPARED_MODELS)
    .map(({ id }) => id)
