/** Errors as they travel between processes: without their cause. */
import { ERRORS, type ErrorCode, SluiceError } from '../../../core/errors.ts'
import type { Shortfall } from '../../../core/limits.ts'

export interface PackedError {
  readonly code: string
  readonly message: string
  readonly status?: number
  readonly param?: string
  readonly retryAfterMs?: number
  readonly upstreamCode?: string
  readonly limit?: Shortfall
}

export function packError(error: SluiceError): PackedError {
  const { code, message, status, param, retryAfterMs, upstreamCode, limit } = error
  return {
    code,
    message,
    ...(status !== ERRORS[code].status && { status }),
    ...(param !== null && { param }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(upstreamCode !== null && { upstreamCode }),
    ...(limit !== undefined && { limit }),
  }
}

/** A code of a later version becomes `internal`, with its message. */
export function unpackError({ code, ...details }: PackedError): SluiceError {
  return new SluiceError(Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'internal', details)
}
