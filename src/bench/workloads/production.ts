/**
 * One's own traffic: the records that Sluice keeps of its calls (`sluice usage --records --json`, or the admin API).
 * When they came, and their lengths; there is no text in them.
 */
import { random, seedOf } from '../random.ts'
import { jsonLines, listed } from './lines.ts'
import { words } from './words.ts'
import { type Workload, WorkloadError } from './workload.ts'

export type UsageRecord = Readonly<Record<string, unknown>>

export const productionFile = (text: string, seed: number): Workload =>
  production(
    jsonLines(text).map(({ value }) => value),
    seed,
  )

/** Throws WorkloadError where no record has lengths. */
export function production(records: readonly UsageRecord[], seed: number): Workload {
  const calls = records.flatMap((record, i) => {
    const asked = record['prompt_tokens']
    const made = record['completion_tokens']
    const seconds = record['created_at']
    if (typeof asked !== 'number' || typeof made !== 'number' || typeof seconds !== 'number' || made < 1) return []
    // Repeats of an answer called nobody
    if ((record['source'] ?? null) !== null) return []
    // Times are whole seconds: within one, requests come at any time
    const atMs = seconds * 1_000 + random(seedOf(seed, i, 1)).next() * 1_000
    return [{ promptTokens: Math.max(1, Math.min(asked, MAX_PROMPT_TOKENS)), place: i, maxTokens: made, atMs }]
  })
  if (calls.length === 0) throw new WorkloadError('there is no call with tokens in these records')
  return listed(
    'prod',
    calls.sort((a, b) => a.atMs - b.atMs),
    ({ promptTokens, place }) => [{ role: 'user', content: words(promptTokens, seedOf(seed, place)) }],
  )
}

const MAX_PROMPT_TOKENS = 131_072
