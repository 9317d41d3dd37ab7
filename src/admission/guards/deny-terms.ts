/** Blocks requests that contain one of the listed terms. The refusal does not repeat what it found. */
import { SluiceError } from '../../core/errors.ts'
import { list } from '../../settings/fields.ts'
import { defineGuard } from './guard.ts'
import { canBeFound, finderOf } from './terms.ts'

export const denyTerms = defineGuard(
  'deny-terms',
  'Blocks requests whose text contains one of the terms.',
  {
    terms: list()
      .refine((terms) => terms.length > 0, 'must not be empty')
      .refine(canBeFound, 'has too many terms: their characters times their different characters exceed 4,000,000')
      .describe('Looked for in each text of a request, in any case.'),
  },
  ({ terms }) => {
    const isIn = finderOf(terms.map((term) => term.toLowerCase()))
    return ({ texts }) =>
      texts().some((text) => isIn(text.toLowerCase()))
        ? new SluiceError('content_blocked', {
            message: "The request contains a term that is not allowed in this tenant's requests (guard deny-terms).",
          })
        : null
  },
)
