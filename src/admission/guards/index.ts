/** All guards. A new one is a file of its own, and a line here. */
import { allowModels } from './allow-models.ts'
import { denyTerms } from './deny-terms.ts'
import { maxContext } from './max-context.ts'

export const GUARDS = [maxContext, allowModels, denyTerms] as const
