/** Bounds how long an answer may be: what a request may ask for, and what it gets if it asks for nothing. */
import { z } from 'zod'
import { SluiceError } from '../../core/errors.ts'
import { count } from '../../settings/fields.ts'
import { defineGuard } from './guard.ts'

const MEMBERS = ['max_completion_tokens', 'max_tokens'] as const

export const maxOutput = defineGuard(
  'max-output',
  'Bounds the tokens of each choice of an answer; a request that sets no bound gets this one.',
  {
    tokens: count({ min: 1 }).describe('Largest `max_completion_tokens` or `max_tokens` of a request.'),
    over: z
      .enum(['cap', 'block'])
      .prefault('cap')
      .describe('What becomes of a request that asks for more: it is lowered, or blocked.'),
    member: z
      .enum(MEMBERS)
      .prefault('max_completion_tokens')
      .describe('What is set where a request has neither: some engines know only `max_tokens`.'),
  },
  ({ tokens, over, member }) =>
    ({ kind, request }) => {
      if (kind !== 'chat' || request === undefined) return null
      const asked = request()
      const given = MEMBERS.filter((name) => asked[name] !== undefined && asked[name] !== null)
      if (given.length === 0) return { verdict: 'allow', rules: [], count: 0, members: { [member]: String(tokens) } }
      const above = given.filter((name) => !(typeof asked[name] === 'number' && asked[name] <= tokens))
      if (above.length === 0) return null
      if (over === 'block')
        return new SluiceError('output_too_long', {
          param: above[0],
          message: `"${above[0]}" may be at most ${tokens} for this tenant (guard max-output).`,
        })
      const members = Object.fromEntries(above.map((name) => [name, String(tokens)]))
      return { verdict: 'redact', rules: above, count: above.length, members }
    },
)
