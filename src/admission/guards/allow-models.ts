/** Blocks requests for models that are not on a tenant's list. */
import { z } from 'zod'
import { SluiceError } from '../../core/errors.ts'
import { list } from '../../settings/fields.ts'
import { defineGuard } from './guard.ts'

const modelName = z
  .string()
  .regex(/^(?:[\w.:/@+-]{1,200}\*?|\*)$/, 'expected a model name, the beginning of one followed by "*", or "*"')

export const allowModels = defineGuard(
  'allow-models',
  'Blocks requests for any model that is not listed.',
  {
    models: list(modelName)
      .refine((names) => names.length > 0, 'must not be empty')
      .describe('Names that clients may use; a trailing `*` matches any ending.'),
  },
  ({ models }) => {
    const names = new Set(models.filter((name) => !name.endsWith('*')))
    const beginnings = models.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1))
    return ({ model }) =>
      names.has(model) || beginnings.some((beginning) => model.startsWith(beginning))
        ? null
        : new SluiceError('model_not_allowed', {
            param: 'model',
            message: `This tenant may not use the model "${model}" (guard allow-models).`,
          })
  },
)
