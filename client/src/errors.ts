import type { WireError, WireLimit } from '../../src/core/frames.ts'

export interface SluiceErrorDetails {
  readonly retryable?: boolean
  /** When to try again, ms. */
  readonly retryAfterMs?: number | undefined
  /** HTTP status, where there was one. */
  readonly status?: number | undefined
  readonly limit?: WireLimit | undefined
  readonly cause?: unknown
}

/** `code`: of the server's error table (docs/errors.md), or one of `connection_lost`, `closed`, `detached` … */
export class SluiceError extends Error {
  readonly code: string
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  readonly status: number | undefined
  /** The limit that had no room, where one refused it: `reset_ms` tells when there will be; null: never. */
  readonly limit: WireLimit | undefined

  constructor(code: string, message: string, details: SluiceErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'SluiceError'
    this.code = code
    this.retryable = details.retryable ?? false
    this.retryAfterMs = wait(details.retryAfterMs)
    this.status = details.status
    this.limit = details.limit
  }

  static of(error: Pick<WireError, 'code' | 'message' | 'limit'>, details: SluiceErrorDetails = {}): SluiceError {
    return new SluiceError(error.code, error.message, { ...details, limit: error.limit })
  }

  /** Anything thrown while talking to the server; whatever has no code of its own counts as a lost connection. */
  static from(thrown: unknown): SluiceError {
    if (thrown instanceof SluiceError) return thrown
    return new SluiceError('connection_lost', thrown instanceof Error ? thrown.message : String(thrown), {
      retryable: true,
      cause: thrown,
    })
  }
}

const LONGEST_WAIT_MS = 86_400_000

/** A delay that a server or proxy requested, as long as a timer can wait: beyond 24.8 days setTimeout fires at once. */
const wait = (ms: unknown): number | undefined =>
  typeof ms !== 'number' || Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_WAIT_MS)

export const nothingLeft = (): SluiceError =>
  new SluiceError('already_read', 'The cursor is at the end of this job: there is nothing more to read.')
