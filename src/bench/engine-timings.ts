/** Times of a single request, as engines tell them in its answer: what each calls them, and its unit. */
import { isObject, type JsonObject } from '../core/fold.ts'
import type { ServerTimings } from './record.ts'

type EngineTimings = NonNullable<ServerTimings['engine']>

const ENGINES: ReadonlyArray<{
  readonly member: string
  readonly names: ReadonlyArray<readonly [keyof EngineTimings, string, number]>
}> = [
  // vLLM, --enable-per-request-metrics
  {
    member: 'metrics',
    names: [
      ['queue', 'queue_time_ms', 1],
      ['prefill', 'time_to_first_token_ms', 1],
      ['decode', 'generation_time_ms', 1],
      ['itl', 'mean_itl_ms', 1],
    ],
  },
  // Fireworks, perf_metrics_in_response
  {
    member: 'perf_metrics',
    names: [
      ['queue', 'server-queue-duration', 1_000],
      ['prefill', 'prefill-duration', 1_000],
      ['decode', 'generation-duration', 1_000],
    ],
  },
  // llama.cpp and LocalAI
  {
    member: 'timings',
    names: [
      ['prefill', 'prompt_ms', 1],
      ['decode', 'predicted_ms', 1],
      ['itl', 'predicted_per_token_ms', 1],
    ],
  },
]

export function engineTimings(chunk: JsonObject): EngineTimings | null {
  for (const { member, names } of ENGINES) {
    const told = chunk[member]
    if (!isObject(told)) continue
    const found: { -readonly [name in keyof EngineTimings]: EngineTimings[name] } = {}
    for (const [name, as, factor] of names) {
      const value = told[as]
      // Fireworks writes its numbers as text
      const number = typeof value === 'number' || typeof value === 'string' ? Number(value) : Number.NaN
      if (Number.isFinite(number)) found[name] = number * factor
    }
    if (Object.keys(found).length > 0) return found
  }
  return null
}
