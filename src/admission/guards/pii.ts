/**
 * Personal data that has a form. It can be hidden from the provider alone: the request is stored as it was sent, the
 * provider gets placeholders, and where its answer names one, the original stands in the log.
 */
import { z } from 'zod'
import { flag } from '../../settings/fields.ts'
import { PERSONAL, type PersonalKind } from '../scan/personal.ts'
import { placeholders } from '../scan/placeholders.ts'
import { ruleFinder } from '../scan/sequence.ts'
import { defineGuard, type Parts } from './guard.ts'
import { checkTexts, on, action as textAction, textAnswer, textParts, unscanned } from './texts.ts'

const KINDS = Object.keys(PERSONAL) as [PersonalKind, ...PersonalKind[]]

export const pii = defineGuard(
  'pii',
  'Looks for e-mail addresses, phone numbers, card numbers, IBANs, US social security numbers and IP addresses.',
  {
    kinds: z
      .array(z.enum(KINDS))
      .min(1)
      .prefault([...KINDS])
      .describe('What is looked for.'),
    on,
    action: textAction
      .prefault('redact')
      .describe(
        'What is done where something is found: `block`, `redact` (of requests as `restore` says, of answers it is ' +
          'replaced), or `flag` (it is only told).',
      ),
    restore: flag()
      .prefault(true)
      .describe(
        'With `redact`, of requests: only the provider gets placeholders, and they are replaced in its answer. ' +
          'False: placeholders are also what is stored, and stay in the answer.',
      ),
    unscanned,
  },
  ({ kinds, restore, ...settings }): Parts => {
    const finder = ruleFinder(kinds.flatMap((kind) => PERSONAL[kind]))
    const sought = { finder, what: 'personal data', replacing: () => placeholders().hide }
    const { on, action } = settings
    if (action !== 'redact' || !restore || on === 'answer') return textParts('pii', settings, sought)
    return {
      request(asked) {
        const found = checkTexts('pii', settings, sought, asked)
        // It is told here, and done where the provider is called
        return found?.verdict === 'redact'
          ? { verdict: 'redact', rules: found.rules, count: found.count, unscanned: found.unscanned ?? [] }
          : found
      },
      answer: { kind: 'hide', finder, also: on === 'both' ? textAnswer(finder, action) : null },
    }
  },
)
