import { z } from 'zod'
import { JOB_KINDS } from '../../../core/job.ts'
import { duration } from '../../../settings/fields.ts'
import { providerSettings } from '../../../settings/provider.ts'

export const demo = providerSettings({
  name: 'demo',
  about: 'built-in text at a realistic pace',
  shape: {
    demo: z
      .strictObject({
        ttft_ms: duration().prefault(200).describe('Time to first token.'),
        token_ms: duration().prefault(20).describe('Time between tokens.'),
      })
      .prefault({})
      .describe('Speed of the demo model.'),
    // Whoever gives one means another provider, and would get made-up answers
    base_url: z
      .unknown()
      .refine((url) => url === undefined || url === null, 'is not used by the demo model')
      .optional(),
  },
  place: () => 'demo',
  seller: () => 'own',
  fromEnvironment: () => [{ name: 'demo', kinds: [...JOB_KINDS] }],
})
