/** The most that a request lets its model answer. */
import type { JobKind } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'

/** In tokens, of all its choices together; null: it names no limit. */
export function maxOutputTokens(kind: JobKind, request: JsonRecord): number | null {
  if (kind === 'embedding') return 0
  const { max_completion_tokens: max, max_tokens: older, n } = request
  const each = max ?? older
  return isCount(each) ? Math.min(Number.MAX_SAFE_INTEGER, each * (isCount(n) ? Math.max(1, n) : 1)) : null
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
