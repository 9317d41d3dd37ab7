/** AIPerf's `profile_export.jsonl`: a line for each request, times in ns since 1970, metrics with their units. */
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { ImportError, type Imported, numberOr, recordOf, textOr } from './imported.ts'

const HOW_TO = 'take profile_export.jsonl, which has the single requests'
const FACTORS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, ms: 1, sec: 1_000, s: 1_000 }

export function aiperf(text: string): Imported {
  const lines = text.split('\n').flatMap((line, i): JsonRecord[] => {
    if (line.trim() === '') return []
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      throw new ImportError(`line ${i + 1} is not JSON: ${HOW_TO}`)
    }
    if (!isRecord(value) || !isRecord(value['metadata']))
      throw new ImportError(`line ${i + 1} has no "metadata": ${HOW_TO}`)
    return value['metadata']['benchmark_phase'] === 'warmup' ? [] : [value]
  })
  const startOf = (line: JsonRecord): number => numberOr((line['metadata'] as JsonRecord)['request_start_ns'], 0) / 1e6
  const fromMs = lines.reduce((least, line) => Math.min(least, startOf(line)), Number.POSITIVE_INFINITY)
  const records = lines.map((line, index) => {
    const metadata = line['metadata'] as JsonRecord
    const metrics = isRecord(line['metrics']) ? line['metrics'] : {}
    const sent = startOf(line) - fromMs
    const ttft = inMs(metrics['time_to_first_token'])
    const ttfo = inMs(metrics['time_to_first_output_token'] ?? metrics['time_to_first_output'])
    const latency = inMs(metrics['request_latency'])
    const tokens = amountOf(metrics['output_sequence_length']) ?? amountOf(metrics['output_token_count']) ?? 0
    const gaps = isRecord(metrics['inter_chunk_latency']) ? metrics['inter_chunk_latency']['value'] : null
    const chunks = Array.isArray(gaps) ? (gaps as unknown[]).map((gap) => numberOr(gap, 0)) : []
    const error = isRecord(line['error']) ? line['error'] : null
    const isFailed = error !== null || metadata['was_cancelled'] === true
    return recordOf({
      id: textOr(metadata['x_request_id'], `aiperf-${index}`),
      round: 0,
      index,
      sent,
      firstToken: isFailed || ttft === null ? null : sent + ttft,
      firstOutput: ttfo === null || isFailed ? null : sent + ttfo,
      lastToken: isFailed || latency === null ? null : sent + latency,
      end: numberOr(metadata['request_end_ns'], fromMs * 1e6) / 1e6 - fromMs,
      chunks: isFailed ? 0 : chunks.length + 1,
      promptTokens: amountOf(metrics['input_sequence_length']),
      outputTokens: tokens,
      reasoningTokens: amountOf(metrics['reasoning_token_count']),
      maxGap: chunks.length === 0 ? null : chunks.reduce((most, gap) => Math.max(most, gap), 0),
      errorCode: isFailed ? codeOf(error) : null,
    })
  })
  return {
    source: 'aiperf',
    model: null,
    load: { kind: 'closed', concurrency: 1 },
    startedAtMs: Number.isFinite(fromMs) ? fromMs : null,
    rounds: [{ rate: null, records }],
    remarks: [
      'AIPerf counts tokens with its own tokenizer, not by the server',
      'profile_export.jsonl does not tell the load: it is shown as one at once',
    ],
  }
}

const amountOf = (metric: unknown): number | null => (isRecord(metric) ? numberOr(metric['value'], null) : null)

function inMs(metric: unknown): number | null {
  const value = amountOf(metric)
  return value === null ? null : value * (FACTORS[textOr((metric as JsonRecord)['unit'], 'ms')] ?? 1)
}

function codeOf(error: JsonRecord | null): string {
  const code = error?.['code'] ?? error?.['type']
  return /^[\w.:-]{1,64}$/.test(String(code)) ? String(code) : 'error'
}
