/** The most that a request lets its model answer. */
import type { JobKind } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import { isOutputBound, OTHER_OUTPUT_BOUNDS, OUTPUT_BOUNDS } from '../../core/output-bounds.ts'

const BOUNDS = [...OUTPUT_BOUNDS, ...OTHER_OUTPUT_BOUNDS]

/** Of the largest and finest image that is sold by tokens, and of a part of one that is shown before. */
const IMAGE_TOKENS = 6_240
const PARTIAL_TOKENS = 100
const MOST_IMAGES = 10

function imageBound(request: JsonRecord): number {
  // A form has texts
  const [n, parts] = [request['n'], request['partial_images']].map((each) => Number(each ?? 0))
  return wholeOf(n, 1) * IMAGE_TOKENS + wholeOf(parts, 0) * PARTIAL_TOKENS
}

/** What is no such number is the provider's to refuse. */
const wholeOf = (value: number, least: number): number =>
  Number.isInteger(value) ? Math.min(MOST_IMAGES, Math.max(least, value)) : least

/** Of which kinds are answers weighed by tokens before they come? */
export const isBound = (kind: JobKind): boolean => kind === 'chat' || kind === 'image'

/**
 * In tokens, of all its choices together; null: it names no limit. Engines differ in which bound they read, so the
 * loosest that is named counts: a tight one that its engine ignores would let a long answer pass as a short one.
 */
export function maxOutputTokens(kind: JobKind, request: JsonRecord): number | null {
  if (kind === 'image') return imageBound(request)
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
