/** All guards. A new one is a file of its own, and a line here. */
import { allowModalities } from './allow-modalities.ts'
import { allowModels } from './allow-models.ts'
import { allowTools } from './allow-tools.ts'
import { denyPattern } from './deny-pattern.ts'
import { denyTerms } from './deny-terms.ts'
import { injection } from './injection.ts'
import { jsonSchema } from './json-schema.ts'
import { loopGuard } from './loop-guard.ts'
import { maxContext } from './max-context.ts'
import { maxOutput } from './max-output.ts'
import { moderation } from './moderation.ts'
import { pii } from './pii.ts'
import { secrets } from './secrets.ts'

export const GUARDS = [
  maxContext,
  maxOutput,
  allowModels,
  allowTools,
  allowModalities,
  secrets,
  pii,
  denyTerms,
  denyPattern,
  loopGuard,
  injection,
  jsonSchema,
  moderation,
] as const
