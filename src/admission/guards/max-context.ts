/** Blocks requests with a larger prompt than a tenant may send. */
import { SluiceError } from '../../core/errors.ts'
import { count } from '../../settings/fields.ts'
import { defineGuard } from './guard.ts'

export const maxContext = defineGuard(
  'max-context',
  'Blocks requests with a larger prompt.',
  {
    tokens: count({ min: 1 }).describe(
      'Largest prompt that a request may bring, as estimated (POST /v1/estimate tells how much that is).',
    ),
  },
  ({ tokens }) =>
    ({ promptTokens }) =>
      promptTokens <= tokens
        ? null
        : new SluiceError('context_length_exceeded', {
            message:
              `The request has about ${promptTokens} tokens; this tenant may send at most ${tokens} ` +
              '(guard max-context): shorten it.',
          }),
)
