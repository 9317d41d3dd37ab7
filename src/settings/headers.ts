/** Headers that are sent with each request: by name, a text or a reference to a secret. */
import { z } from 'zod'
import { secret } from './fields.ts'

/** A header that looks like a credential must be a reference. */
const CREDENTIAL = /auth|key|token|secret|cookie|password/i

export const headers = () =>
  z
    .record(
      z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_|~-]+$/, 'expected a header name'),
      z.union([z.string().regex(/^[\x20-\x7e]*$/), secret()], {
        error: 'expected a string, { env: NAME } or { file: PATH }',
      }),
    )
    .superRefine((all, context) => {
      for (const [header, value] of Object.entries(all))
        if (typeof value === 'string' && CREDENTIAL.test(header))
          context.addIssue({
            code: 'custom',
            path: [header],
            message: 'looks like a credential: give it by reference, { env: NAME } or { file: PATH }',
          })
    })
