/**
 * A guard is a rule of the operator for what a tenant may ask, or be answered: its name, its settings, and what it does
 * with each request, and with each answer. One file a guard; index.ts lists them.
 */
import { z } from 'zod'
import type { SluiceError } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Asked } from '../../core/ports/admission.ts'
import type { Unscanned, Verdict } from '../../core/ruling.ts'
import type { AnswerPart } from '../answer/part.ts'

/** What was found in a request, where there is anything to tell. */
export interface Finding {
  readonly verdict: Verdict
  /** Names, never text of the request. */
  readonly rules: readonly string[]
  readonly count: number
  readonly unscanned?: readonly Unscanned[]
  /** Of a verdict `block`. */
  readonly error?: SluiceError
  /** Of a verdict `redact`: each text as it may be sent on. */
  readonly edit?: (text: string) => string
  /** Do texts still have what should have been redacted? */
  readonly remains?: (texts: readonly string[]) => boolean
  /** Of a verdict `redact`: members of the request, as JSON, to be set. */
  readonly members?: Readonly<Record<string, string>>
}

/**
 * Null lets the request pass; an error blocks it; a finding has all other verdicts. It costs time in proportion to the
 * request at most.
 */
export type Check = (asked: Asked) => SluiceError | Finding | null

export interface Parts {
  readonly request?: Check
  readonly answer?: AnswerPart
}

export interface Guard<Name extends string = string, Shape extends z.core.$ZodShape = z.core.$ZodShape> {
  readonly name: Name
  /** As in the settings: `{ guard: <name>, mode?, …settings }`. */
  readonly settings: z.ZodObject<Shape & Common<Name>, z.core.$strict>
  /** A check alone is one of requests. */
  readonly create: (settings: z.output<z.ZodObject<Shape, z.core.$strict>>) => Check | Parts
}

type Common<Name extends string> = { readonly guard: z.ZodLiteral<Name>; readonly mode: typeof MODE }

const MODE = z
  .enum(['enforce', 'shadow'])
  .prefault('enforce')
  .describe('`shadow`: its verdicts are counted and logged, and nothing comes of them.')

/** `create` is called once for each place in the settings where the guard stands, not for each request. */
export function defineGuard<Name extends string, Shape extends z.core.$ZodShape>(
  name: Name,
  description: string,
  settings: Shape,
  create: Guard<Name, Shape>['create'],
): Guard<Name, Shape> {
  const names = [...Object.keys(settings), 'mode']
  const error: z.core.$ZodErrorMap = (issue) => {
    if (issue.code !== 'unrecognized_keys') return undefined
    const [key] = issue.keys as readonly string[]
    return `is not a setting of the guard ${name}.${didYouMean(key, names)} Known here: ${names.join(', ')}.`
  }
  const shape = { guard: z.literal(name).describe(description), mode: MODE, ...settings }
  return { name, settings: z.strictObject(shape, { error }), create }
}
