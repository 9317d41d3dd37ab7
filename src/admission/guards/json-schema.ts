/** Whether an answer is what its JSON Schema says: see schema/. */
import { z } from 'zod'
import { compileSchema, prepareSchemas, schemaProblem } from '../schema/json-check.ts'
import { defineGuard } from './guard.ts'

export const jsonSchema = defineGuard(
  'json-schema',
  'Checks answers against a JSON Schema; a stream is ended as soon as it can’t match any more.',
  {
    schema: z
      .string()
      .nullable()
      .prefault(null)
      .superRefine((text, context) => {
        prepareSchemas()
        const problem = text === null ? null : schemaProblem(text)
        if (problem !== null) context.addIssue({ code: 'custom', message: problem })
      })
      .describe('The schema, JSON. Null: the one of the request’s `response_format`, if it has one.'),
    invalid: z
      .enum(['retry', 'fail'])
      .prefault('retry')
      .describe('What becomes of an answer that does not match: it is tried again where that is still possible.'),
  },
  ({ schema, invalid }) => ({
    answer: { kind: 'schema', own: schema === null ? null : compileSchema(schema), invalid },
  }),
)
