/**
 * What is streamed is told by beats, and the last of a worker that died are missing: what its attempts came to is
 * counted in their logs.
 */

import type { Bytes } from '../../../core/record.ts'
import { attemptOf, outputTokensIn } from '../../../core/seen.ts'
import type { LogReader } from '../log/read.ts'
import type { HeldJob } from './held.ts'

/** Of one log: what is longer is counted as far as its last beat told. */
const MOST_BYTES = 4 << 20
const PAGE_BYTES = 256 << 10

/** Output tokens of the attempt that runs; null: its log does not tell. */
export async function streamedBy(logs: Pick<LogReader, 'page'>, { id, attempt }: HeldJob): Promise<number | null> {
  let of: Bytes[] | null = null
  let seq = 0
  for (let bytes = 0; bytes < MOST_BYTES; ) {
    const page = await logs.page(id, seq, PAGE_BYTES)
    if (page === null) return null
    for (const record of page.records) {
      bytes += record.length
      const begins = attemptOf(record)
      if (begins === null) of?.push(record)
      else of = begins.n === attempt ? [] : null
    }
    seq += page.records.length
    if (page.records.length === 0 || seq >= page.head) return of === null ? null : outputTokensIn(of)
  }
  return null
}
