/** What was used and what it cost, as it is shown. */
import type { StoredUsage, UsageCounts, UsageGroup, UsageGrouping } from '../../core/ports/ledger.ts'

const DIGITS = 9

/** Dollars, to the nano-dollar: "0.001234567". */
export function dollarsText(nanoDollars: bigint): string {
  const digits = String(nanoDollars).padStart(DIGITS + 1, '0')
  return `${digits.slice(0, -DIGITS)}.${digits.slice(-DIGITS)}`
}

export const countsView = (counts: UsageCounts) => ({
  attempts: counts.attempts,
  repeats: counts.repeats,
  estimated: counts.estimated,
  unpriced: counts.unpriced,
  prompt_tokens: counts.promptTokens,
  cached_tokens: counts.cachedTokens,
  completion_tokens: counts.completionTokens,
  reasoning_tokens: counts.reasoningTokens,
  dollars: dollarsText(counts.nanoDollars),
  nano_dollars: Number(counts.nanoDollars),
})

export const groupView = ({ names, ...counts }: UsageGroup, by: readonly UsageGrouping[]) => ({
  ...Object.fromEntries(by.map((name, i) => [name, names[i]])),
  ...countsView(counts),
})

/** Of the operator: a record is of one call of an attempt. */
export const recordView = ({ usage, ...record }: StoredUsage) => ({
  job: record.job,
  attempt: record.attempt,
  tenant: record.tenant,
  key: record.keyId,
  user: record.user,
  run: record.run,
  kind: record.kind,
  model: record.model,
  deployment: record.deployment,
  source: record.source ?? null,
  end: record.end,
  prompt_tokens: usage.promptTokens,
  cached_tokens: usage.cachedTokens ?? 0,
  cache_write_tokens: usage.cacheWriteTokens ?? 0,
  audio_prompt_tokens: usage.audioPromptTokens ?? 0,
  completion_tokens: usage.completionTokens,
  reasoning_tokens: usage.reasoningTokens ?? 0,
  audio_completion_tokens: usage.audioCompletionTokens ?? 0,
  estimated: usage.estimated,
  dollars: record.nanoDollars === null ? null : dollarsText(BigInt(record.nanoDollars)),
  nano_dollars: record.nanoDollars,
  price_version: record.priceVersion,
  /** It was the second call of its attempt. */
  hedge: record.hedge === true,
})

export const RECORD_COLUMNS = [
  ...['job', 'attempt', 'tenant', 'key', 'user', 'run', 'kind', 'model', 'deployment', 'source', 'end'],
  ...['prompt_tokens', 'cached_tokens', 'cache_write_tokens', 'audio_prompt_tokens'],
  ...['completion_tokens', 'reasoning_tokens', 'audio_completion_tokens', 'estimated'],
  ...['dollars', 'nano_dollars', 'price_version', 'hedge'],
] as ReadonlyArray<keyof ReturnType<typeof recordView>>
