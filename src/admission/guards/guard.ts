/**
 * A guard is a rule of the operator for what a tenant may ask: its name, its settings, and a pure check of each
 * request. One file a guard; index.ts lists them.
 */
import { z } from 'zod'
import type { SluiceError } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Asked } from '../../core/ports/admission.ts'

/** The error that blocks the request, or null. It costs time in proportion to the request at most. */
export type Check = (asked: Asked) => SluiceError | null

export interface Guard<Name extends string = string, Shape extends z.core.$ZodShape = z.core.$ZodShape> {
  readonly name: Name
  /** As in the settings: `{ guard: <name>, …settings }`. */
  readonly settings: z.ZodObject<Shape & { readonly guard: z.ZodLiteral<Name> }, z.core.$strict>
  readonly create: (settings: z.output<z.ZodObject<Shape, z.core.$strict>>) => Check
}

/** `create` is called once for each place in the settings where the guard stands, not for each request. */
export function defineGuard<Name extends string, Shape extends z.core.$ZodShape>(
  name: Name,
  description: string,
  settings: Shape,
  create: Guard<Name, Shape>['create'],
): Guard<Name, Shape> {
  const names = Object.keys(settings)
  const error: z.core.$ZodErrorMap = (issue) => {
    if (issue.code !== 'unrecognized_keys') return undefined
    const [key] = issue.keys as readonly string[]
    return `is not a setting of the guard ${name}.${didYouMean(key, names)} Known here: ${names.join(', ')}.`
  }
  const shape = { guard: z.literal(name).describe(description), ...settings }
  return { name, settings: z.strictObject(shape, { error }), create }
}
