/** Limits as people name them. */
import type { LevelKind, Unit } from '../../../../src/core/limits.ts'

export const LEVELS: Readonly<Record<LevelKind, string>> = {
  run: 'run',
  key: 'key',
  user: 'user',
  tenant: 'tenant',
  tenant_model: 'model',
  model: 'model',
  global: 'all',
}

export const UNITS: Readonly<Record<Unit, string>> = {
  tokens: 'Tokens',
  input_tokens: 'Tokens of prompts',
  output_tokens: 'Tokens of answers',
  requests: 'Requests',
  nano_dollars: 'Money',
  spend_velocity: 'Money in an hour, by its breaker',
  running: 'Running at once',
}
