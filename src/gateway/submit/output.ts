/** The most that a request lets its model answer. */
import type { JobKind } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import { isOutputBound, OTHER_OUTPUT_BOUNDS, OUTPUT_BOUNDS } from '../../core/output-bounds.ts'

const BOUNDS = [...OUTPUT_BOUNDS, ...OTHER_OUTPUT_BOUNDS]

/**
 * In tokens, of all its choices together; null: it names no limit. Engines differ in which bound they read, so the
 * loosest that is named counts: a tight one that its engine ignores would let a long answer pass as a short one.
 */
export function maxOutputTokens(kind: JobKind, request: JsonRecord): number | null {
  if (kind !== 'chat') return 0
  let most = 0
  for (const name of BOUNDS) {
    const bound = request[name]
    if (bound === undefined || bound === null) continue
    if (!isOutputBound(bound)) return null
    most = Math.max(most, bound)
  }
  if (most === 0) return null
  const { n, best_of: tried } = request
  const choices = Math.max(isOutputBound(n) ? n : 1, isOutputBound(tried) ? tried : 1)
  return Math.min(Number.MAX_SAFE_INTEGER, most * choices)
}
