/** Refusals that pass, for those who wait and ask again instead of telling somebody. */
import type { ErrorCode } from './errors.ts'

/** They pass by themselves, or when an operator has made room; whoever asks meanwhile gets the same. */
export const PASSING_FOR_ALL: ReadonlySet<ErrorCode> = new Set([
  'queue_full',
  'overloaded',
  'starting',
  'draining',
  'storage_full',
  'storage_locked',
  'storage_failed',
  'storage_unavailable',
  'intake_unavailable',
])

/** They pass, too, and hold one tenant or one model alone: its limits, its switches. */
export const PASSING_FOR_ONE: ReadonlySet<ErrorCode> = new Set([
  'access_disabled',
  'model_disabled',
  'rate_limit_exceeded',
  'spend_velocity',
  'provider_rate_limited',
  'deadline_unreachable',
])
