/** How large the write-ahead log is, and whether something keeps it from starting over. */
import { gauge, type Metric } from '../../../core/numbers.ts'

const WARN_BYTES = 256 << 20

export class Wal {
  readonly #warnBytes: number
  #warnedBytes = 0
  #bytes = 0
  #maxBytes = 0
  readonly metrics: readonly Metric[] = [
    gauge('wal_bytes', 'Size of the write-ahead log', () => this.#bytes),
    gauge('wal_max_bytes', 'Its largest size', () => this.#maxBytes, 'max'),
  ]

  /** `warnBytes`: the length above which an operator is warned. */
  constructor(warnBytes = WARN_BYTES) {
    this.#warnBytes = warnBytes
  }

  is(bytes: number): void {
    this.#bytes = bytes
    this.#maxBytes = Math.max(this.#maxBytes, bytes)
  }

  /** So large is it after a checkpoint. Returns what to warn of, as often as it has doubled; null: it is well. */
  checkpointed(bytes: number): string | null {
    if (bytes < this.#warnBytes) this.#warnedBytes = 0
    if (bytes < Math.max(this.#warnBytes, 2 * this.#warnedBytes)) return null
    this.#warnedBytes = bytes
    return (
      `The WAL has grown to ${Math.round(bytes / 2 ** 20)} MiB: another program keeps a read transaction open on ` +
      'sluice.db. End it (lsof or fuser names it).'
    )
  }
}
