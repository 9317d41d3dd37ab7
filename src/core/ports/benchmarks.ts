/** Runs of `sluice bench`, and comparisons, that were posted to be looked at: the last ones, whole as sent. */
import type { JsonRecord } from '../json.ts'

export interface KeptBenchmark {
  readonly id: string
  readonly atMs: number
  readonly body: JsonRecord
}

export interface Benchmarks {
  /** Resolves when it will be there after a restart. Throws storage_full; then nothing of it is there. */
  add(benchmark: KeptBenchmark): Promise<void>
  /** Was it there? */
  remove(id: string): Promise<boolean>
  /** The newest first, with what a list tells of each: kind, labels, sentence, verdict. */
  list(): Promise<readonly KeptBenchmark[]>
  /** Null: there is none, or it made room for newer ones. */
  get(id: string): Promise<KeptBenchmark | null>
}
