/**
 * What OpenTelemetry wants to know of each call of a provider, beyond what /metrics tells. Counted only where metrics
 * are exported; names.ts says which of them the set of names in use has.
 */
import type { Usage } from '../../core/job.ts'
import { counters, type Family, histograms, type NumberSource } from '../../core/numbers.ts'
import type { Observe } from '../emit.ts'
import { NONE } from '../recorded/recorded.ts'
import { operationOf } from './spans.ts'

export interface Calls extends NumberSource {
  readonly observe: Observe
}

const LABELS = ['model', 'deployment', 'operation']

/** `modelOf`: the configured name of a model, as for all labels. `isNamed`: has the set of names in use this number? */
export function createCalls(modelOf: (asked: string) => string, isNamed: (name: string) => boolean): Calls {
  const took = histograms('call_ms', 'A call of a provider', ...LABELS, 'code')
  const chunk = histograms('call_first_chunk_ms', 'Until the first chunk of its answer', ...LABELS)
  const tokens = histograms('call_tokens', 'Tokens of a call', ...LABELS, 'type')
  const usages = USAGES.map(
    ([name, member]) => [counters(name, 'Tokens of calls', ...LABELS), member] as const satisfies readonly unknown[],
  )
  const families: readonly Family[] = [took, chunk, tokens, ...usages.map(([family]) => family)]
  return {
    metrics: [],
    families: families.filter(({ name }) => isNamed(name)),
    observe(fact) {
      if (fact.type !== 'attempt-ended' || fact.marks === undefined || fact.marks.isReplay) return
      const { marks, usage, code, calledMs = 0, deployment } = fact
      const model = modelOf(fact.model)
      const operation = operationOf(marks.kind)
      took.of(model, deployment, operation, code ?? NONE).record(calledMs)
      if (marks.firstChunkMs !== undefined) chunk.of(model, deployment, operation).record(marks.firstChunkMs)
      if (usage === undefined) return
      for (const [family, member] of usages) {
        const count = usage[member] ?? 0
        if (count > 0) family.of(model, deployment, operation).add(count)
      }
      // Of a call that failed they would be those of half an answer
      if (code !== null) return
      tokens.of(model, deployment, operation, 'input').record(usage.promptTokens)
      if (marks.kind === 'chat') tokens.of(model, deployment, operation, 'output').record(usage.completionTokens)
    },
  }
}

const USAGES = [
  ['call_input_tokens', 'promptTokens'],
  ['call_output_tokens', 'completionTokens'],
  ['call_cache_read_tokens', 'cachedTokens'],
  ['call_cache_write_tokens', 'cacheWriteTokens'],
  ['call_reasoning_tokens', 'reasoningTokens'],
] as const satisfies ReadonlyArray<readonly [string, Exclude<keyof Usage, 'estimated'>]>
