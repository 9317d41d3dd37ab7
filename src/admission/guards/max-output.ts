/** Bounds how long an answer may be: what a request may ask for, and what it gets if it asks for nothing. */
import { z } from 'zod'
import { SluiceError } from '../../core/errors.ts'
import { isOutputBound, OTHER_OUTPUT_BOUNDS, OUTPUT_BOUNDS } from '../../core/output-bounds.ts'
import { count } from '../../settings/fields.ts'
import { defineGuard } from './guard.ts'

export const maxOutput = defineGuard(
  'max-output',
  'Bounds the tokens of each choice of an answer; a request that sets no bound gets this one.',
  {
    tokens: count({ min: 1 }).describe(
      'Largest `max_completion_tokens` or `max_tokens` of a request, or of their like (`n_predict`).',
    ),
    over: z
      .enum(['cap', 'block'])
      .prefault('cap')
      .describe('What becomes of a request that asks for more: it is lowered, or blocked.'),
    member: z
      .enum(OUTPUT_BOUNDS)
      .prefault('max_completion_tokens')
      .describe('What is set where a request has neither: some engines know only `max_tokens`.'),
  },
  ({ tokens, over, member }) =>
    ({ kind, request }) => {
      if (kind !== 'chat' || request === undefined) return null
      const asked = request()
      const isGiven = (name: string): boolean => asked[name] !== undefined && asked[name] !== null
      const above = [...OUTPUT_BOUNDS, ...OTHER_OUTPUT_BOUNDS].filter(
        (name) => isGiven(name) && !isWithin(asked[name], tokens),
      )
      const missing = OUTPUT_BOUNDS.some(isGiven) ? {} : { [member]: String(tokens) }
      if (above.length === 0)
        return member in missing ? { verdict: 'allow', rules: [], count: 0, members: missing } : null
      if (over === 'block')
        return new SluiceError('output_too_long', {
          param: above[0],
          message: `"${above[0]}" may be at most ${tokens} for this tenant (guard max-output).`,
        })
      const members = { ...missing, ...Object.fromEntries(above.map((name) => [name, String(tokens)])) }
      return { verdict: 'redact', rules: above, count: above.length, members }
    },
)

const isWithin = (asked: unknown, tokens: number): boolean => isOutputBound(asked) && asked <= tokens
