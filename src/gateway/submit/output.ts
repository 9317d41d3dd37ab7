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
  if (kind === 'embedding') return 0
  const named = BOUNDS.map((name) => request[name]).filter((value) => value !== undefined && value !== null)
  if (named.length === 0 || !named.every(isOutputBound)) return null
  const { n } = request
  return Math.min(Number.MAX_SAFE_INTEGER, Math.max(...named) * (isOutputBound(n) ? n : 1))
}
