/**
 * Whether requests are answered: not before the stored jobs are back in line, nor once the server stops. In a fleet one
 * that stops answers on: others run what it takes, and its load balancer may not have noticed.
 */
import { SluiceError } from '../core/errors.ts'

/** When to come back to a server that starts or stops. */
const RETRY_AFTER_MS = 1_000

export class Phase {
  readonly #isOneOfMany: boolean
  #is: 'starting' | 'open' | 'stopping' | 'closing' = 'starting'

  constructor(isOneOfMany: boolean) {
    this.#isOneOfMany = isOneOfMany
  }

  get isStopping(): boolean {
    return this.#is === 'stopping' || this.#is === 'closing'
  }

  /** It stops, and still reads what comes on connections that are open. */
  get isKeeping(): boolean {
    return this.#is === 'stopping' && this.#isOneOfMany
  }

  /** False: it was open before, or stops. */
  open(): boolean {
    if (this.#is !== 'starting') return false
    this.#is = 'open'
    return true
  }

  stop(): void {
    this.#is = 'stopping'
  }

  close(): void {
    this.#is = 'closing'
  }

  /** What is told to probes; null when open. */
  unready(): SluiceError | null {
    if (this.#is === 'open') return null
    return new SluiceError(this.isStopping ? 'draining' : 'starting', { retryAfterMs: RETRY_AFTER_MS })
  }

  /** What refuses all but probes; null: they are answered. */
  refusal(): SluiceError | null {
    return this.isStopping && this.#isOneOfMany ? null : this.unready()
  }
}
