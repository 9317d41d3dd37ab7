/** Keys and tokens in requests and answers. */

import { SECRETS } from '../scan/secrets.ts'
import { ruleFinder } from '../scan/sequence.ts'
import { defineGuard } from './guard.ts'
import { action, on, textParts, unscanned } from './texts.ts'

export const secrets = defineGuard(
  'secrets',
  'Looks for keys and tokens that have a form of their own: of clouds, model providers, code hosts; JWTs, PEM keys.',
  { on, action, unscanned },
  (settings) => textParts('secrets', settings, { finder: ruleFinder(SECRETS), what: 'a key or token' }),
)
