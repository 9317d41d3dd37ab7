/** A service that judges requests while their answers are being made: see answer/moderating.ts. */
import { z } from 'zod'
import { duration, flag, httpUrl, secret } from '../../settings/fields.ts'
import { defineGuard } from './guard.ts'

export const moderation = defineGuard(
  'moderation',
  'Asks a moderation service (as OpenAI’s `/v1/moderations`) about each request, while its answer is being made.',
  {
    url: httpUrl().describe('Its full address: `https://api.openai.com/v1/moderations`.'),
    key: secret().nullable().prefault(null).describe('Its API key: `{ env: NAME }` or `{ file: PATH }`.'),
    model: z.string().min(1).nullable().prefault(null).describe('The `model` that it is asked for.'),
    timeout: duration({ min: 1, max: 60_000 }).prefault('5s').describe('How long a verdict may take.'),
    fail: z
      .enum(['open', 'closed'])
      .prefault('closed')
      .describe('Without a verdict: `open` lets the request pass, told as not scanned; `closed` ends it.'),
    wait: flag()
      .prefault(true)
      .describe('Nothing of the answer is shown before the verdict. False: it is shown, and ends where that is bad.'),
  },
  (settings) => ({ answer: { kind: 'moderation', moderation: settings } }),
)
