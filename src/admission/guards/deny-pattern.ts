/** Regular expressions of the operator. */
import { z } from 'zod'
import { count } from '../../settings/fields.ts'
import { MAX_HELD } from '../scan/finder.ts'
import { MAX_PATTERN_CHARS, MAX_PATTERNS, patternFinder, patternProblem } from '../scan/patterns.ts'
import { defineGuard } from './guard.ts'
import { action, on, textParts, unscanned } from './texts.ts'

/** Of one request: an engine that never goes back is slower than V8's. */
const MAX_CHARS = 1 << 20

export const denyPattern = defineGuard(
  'deny-pattern',
  'Looks for what matches any of the patterns.',
  {
    patterns: z
      .array(z.string().min(1).max(MAX_PATTERN_CHARS))
      .min(1)
      .max(MAX_PATTERNS)
      .superRefine((patterns, context) => {
        const problem = patternProblem(patterns)
        if (problem !== null) context.addIssue({ code: 'custom', message: problem })
      })
      .describe('Regular expressions in the syntax of RE2: linear in time, so without backreferences.'),
    longest: count({ min: 1, max: MAX_HELD })
      .prefault(64)
      .describe('Characters of a streamed answer that are held back, so that a match of this length is not missed.'),
    on,
    action,
    unscanned,
  },
  ({ patterns, longest, ...settings }) =>
    textParts('deny-pattern', settings, {
      finder: patternFinder(patterns, longest),
      what: 'a text that is not allowed for this tenant',
      maxChars: MAX_CHARS,
    }),
)
