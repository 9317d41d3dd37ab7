/**
 * What OpenTelemetry calls our things: the only file that knows. Its conventions for generative AI are in development,
 * and their names change: `telemetry.otlp.names` selects a set.
 */
import type { NameSet } from './settings.ts'

export interface Names {
  readonly schemaUrl: string
  readonly attributes: Readonly<Record<Attribute, string>>
  /** Of our numbers; what is not listed keeps its own name. `null`: this set has no such number. */
  readonly metrics: Readonly<Record<string, MetricNames | null>>
}

export interface MetricNames {
  readonly name: string
  readonly unit: string
  readonly help: string
}

export type Attribute =
  | 'operation'
  | 'provider'
  | 'requestModel'
  | 'responseModel'
  | 'stream'
  | 'firstChunk'
  | 'finishReasons'
  | 'inputTokens'
  | 'outputTokens'
  | 'cacheRead'
  | 'cacheWrite'
  | 'reasoning'
  | 'tokenType'

const ATTRIBUTES: Names['attributes'] = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  responseModel: 'gen_ai.response.model',
  stream: 'gen_ai.request.stream',
  firstChunk: 'gen_ai.response.time_to_first_chunk',
  finishReasons: 'gen_ai.response.finish_reasons',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheRead: 'gen_ai.usage.cache_read.input_tokens',
  cacheWrite: 'gen_ai.usage.cache_creation.input_tokens',
  reasoning: 'gen_ai.usage.reasoning.output_tokens',
  tokenType: 'gen_ai.token.type',
}

/** What is the same in both: what a server of models measures of itself. */
const SERVER: Names['metrics'] = {
  ttft_ms: {
    name: 'gen_ai.server.time_to_first_token',
    unit: 's',
    help: 'From a request’s head to the first text of its answer, without the wait for its own turn',
  },
  tpot_ms: {
    name: 'gen_ai.server.time_per_output_token',
    unit: 's',
    help: 'Time per output token after the first',
  },
  e2e_ms: {
    name: 'gen_ai.server.request.duration',
    unit: 's',
    help: 'From a request’s head to the end of the last attempt',
  },
}

const CALL = 'A call of a provider, from its start to its end'
const CHUNK = 'From a call of a provider to the first chunk of its answer'
const USAGE = 'Tokens of a call of a provider'

const counted = (name: string): MetricNames => ({
  name: `gen_ai.client.inference.usage.${name}`,
  unit: '{token}',
  help: 'Tokens of calls of providers, those that failed included',
})

const SETS: Readonly<Record<NameSet, Names>> = {
  'otel-1.41': {
    schemaUrl: 'https://opentelemetry.io/schemas/1.41.0',
    attributes: ATTRIBUTES,
    metrics: {
      ...SERVER,
      call_ms: { name: 'gen_ai.client.operation.duration', unit: 's', help: CALL },
      call_first_chunk_ms: { name: 'gen_ai.client.operation.time_to_first_chunk', unit: 's', help: CHUNK },
      call_tokens: { name: 'gen_ai.client.token.usage', unit: '{token}', help: USAGE },
      call_input_tokens: null,
      call_output_tokens: null,
      call_cache_read_tokens: null,
      call_cache_write_tokens: null,
      call_reasoning_tokens: null,
    },
  },
  'otel-genai-next': {
    // It has published no schema yet
    schemaUrl: '',
    attributes: { ...ATTRIBUTES, cacheWrite: 'gen_ai.usage.cache_write.input_tokens' },
    metrics: {
      ...SERVER,
      call_ms: { name: 'gen_ai.client.inference.duration', unit: 's', help: CALL },
      call_first_chunk_ms: { name: 'gen_ai.client.inference.time_to_first_chunk', unit: 's', help: CHUNK },
      call_tokens: null,
      call_input_tokens: counted('input_tokens'),
      call_output_tokens: counted('output_tokens'),
      call_cache_read_tokens: counted('cache_read.input_tokens'),
      call_cache_write_tokens: counted('cache_write.input_tokens'),
      call_reasoning_tokens: counted('reasoning.output_tokens'),
    },
  },
}

export const namesOf = (set: NameSet): Names => SETS[set]

/** Providers as `gen_ai.provider.name` lists them; others go by the name of their kind. */
const PROVIDERS: Readonly<Record<string, string>> = {
  azure: 'azure.ai.openai',
  mistral: 'mistral_ai',
  xai: 'x_ai',
  google: 'gcp.gemini',
  vertex: 'gcp.vertex_ai',
  bedrock: 'aws.bedrock',
}
export const providerName = (kind: string): string => PROVIDERS[kind] ?? kind

/** Units of our numbers, by the ends of their names; Prometheus puts them back, so its names stay those of /metrics. */
const UNITS: ReadonlyArray<readonly [ours: string, name: string, unit: string, scale: number]> = [
  ['_ms', '', 's', 1e-3],
  ['_seconds', '', 's', 1],
  ['_bytes', '', 'By', 1],
  ['_nano_dollars', '_dollars', '{USD}', 1e-9],
]

/** A number of ours that OpenTelemetry has no name for: "queue_ms" is `sluice.queue`, in seconds. */
export function ownName(name: string): { readonly name: string; readonly unit: string; readonly scale: number } {
  for (const [ours, end, unit, scale] of UNITS)
    if (name.endsWith(ours)) return { name: `sluice.${name.slice(0, -ours.length)}${end}`, unit, scale }
  return { name: `sluice.${name}`, unit: '', scale: 1 }
}
