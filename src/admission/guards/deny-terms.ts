/** Blocks requests that contain one of the listed terms. The refusal does not repeat what it found. */
import { SluiceError } from '../../core/errors.ts'
import { list } from '../../settings/fields.ts'
import { defineGuard } from './guard.ts'

export const denyTerms = defineGuard(
  'deny-terms',
  'Blocks requests whose text contains one of the terms.',
  {
    terms: list()
      .refine((terms) => terms.length > 0, 'must not be empty')
      .describe('Looked for in each text of a request, in any case.'),
  },
  ({ terms }) => {
    const lower = terms.map((term) => term.toLowerCase())
    return ({ texts }) => {
      for (const text of texts()) {
        const searched = text.toLowerCase()
        if (lower.some((term) => searched.includes(term)))
          return new SluiceError('content_blocked', {
            message: "The request contains a term that is not allowed in this tenant's requests (guard deny-terms).",
          })
      }
      return null
    }
  },
)
