/** Terms of the operator. No refusal repeats what was found. */
import { list } from '../../settings/fields.ts'
import { canBeFound, termFinder } from '../scan/terms.ts'
import { defineGuard } from './guard.ts'
import { action, on, textParts, unscanned } from './texts.ts'

export const denyTerms = defineGuard(
  'deny-terms',
  'Looks for any of the terms.',
  {
    terms: list()
      .refine((terms) => terms.length > 0, 'must not be empty')
      .refine(canBeFound, 'has too many terms: their characters times their different characters exceed 4,000,000')
      .describe('Looked for in each text, in any case.'),
    on,
    action,
    unscanned,
  },
  ({ terms, ...settings }) =>
    textParts('deny-terms', settings, {
      finder: termFinder(terms.map((term) => term.toLowerCase())),
      what: "a term that is not allowed in this tenant's requests",
    }),
)
