/** Blocks requests for models that are not on a tenant's list. */
import { SluiceError } from '../../core/errors.ts'
import { defineGuard } from './guard.ts'
import { names, onList } from './names.ts'

export const allowModels = defineGuard(
  'allow-models',
  'Blocks requests for any model that is not listed.',
  {
    models: names()
      .refine((models) => models.length > 0, 'must not be empty')
      .describe('Names that clients may use; a trailing `*` matches any ending.'),
  },
  ({ models }) => {
    const isAllowed = onList(models)
    return ({ model }) =>
      isAllowed(model)
        ? null
        : new SluiceError('model_not_allowed', {
            param: 'model',
            message: `This tenant may not use the model "${model}" (guard allow-models).`,
          })
  },
)
