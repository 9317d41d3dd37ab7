/** The `cache` of a tenant, as in the settings (0051). */
import { z } from 'zod'
import { count, duration, flag } from '../../settings/fields.ts'

export const cacheSettings = z
  .strictObject({
    ttl: duration()
      .prefault('0s')
      .describe(
        'How long a complete answer is repeated for the same request, from its end on, as far as `retention` keeps ' +
          'it. 0: not at all. A restart, or another coordinator, begins with none.',
      ),
    max_entries: count({ min: 1, max: 1_000_000 })
      .prefault(10_000)
      .describe('Answers that are kept for that; those used the longest ago go first.'),
    coalesce: flag().prefault(false).describe('Do requests that are the same, at the same time, share one generation?'),
    share: z
      .enum(['user', 'tenant'])
      .prefault('user')
      .describe('Whose requests can share an answer: those of one end user, or all of the tenant.'),
    temperature_zero_only: flag()
      .prefault(false)
      .describe('Only embeddings, and chats that ask for `temperature: 0`, share answers.'),
  })
  .prefault({})
