/** Whether requests are answered: not before the stored jobs are back in line, nor once the server stops. */
import { SluiceError } from '../core/errors.ts'

/** When to come back to a server that starts or stops. */
const RETRY_AFTER_MS = 1_000

export class Phase {
  #is: 'starting' | 'open' | 'stopping' = 'starting'

  get isStopping(): boolean {
    return this.#is === 'stopping'
  }

  open(): void {
    if (this.#is === 'starting') this.#is = 'open'
  }

  stop(): void {
    this.#is = 'stopping'
  }

  /** What refuses all but probes; null when open. */
  refusal(): SluiceError | null {
    if (this.#is === 'open') return null
    return new SluiceError(this.isStopping ? 'draining' : 'starting', { retryAfterMs: RETRY_AFTER_MS })
  }
}
