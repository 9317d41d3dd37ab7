/** A setting whose schema depends on what was given for it. */
import { z } from 'zod'

/** Checks with the schema that fits, so that its problems are reported as they are: a union would hide them. */
export const asGivenBy = <T>(schemaOf: (given: unknown) => z.ZodType) =>
  z.unknown().transform((given, context) => {
    const { data, error } = schemaOf(given).safeParse(given, { reportInput: true })
    for (const issue of error?.issues ?? []) context.issues.push({ input: given, ...issue } as z.core.$ZodRawIssue)
    return error === undefined ? (data as T) : z.NEVER
  })
