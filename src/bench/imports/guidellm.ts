/** GuideLLM's `benchmarks.json`: a round for each of its benchmarks, times in seconds since 1970. */
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { BenchRecord } from '../record.ts'
import { ImportError, type Imported, jsonOf, numberOr, recordOf, textOr } from './imported.ts'

const HOW_TO = 'write it by "guidellm benchmark run --outputs json"'

export function guidellm(text: string): Imported {
  const { benchmarks } = jsonOf(text, HOW_TO)
  if (!Array.isArray(benchmarks)) throw new ImportError(`"benchmarks" is missing: ${HOW_TO}`)
  const all = (benchmarks as unknown[]).filter(isRecord)
  const rounds = all.map((benchmark, round) => ({ rate: rateOf(benchmark), records: recordsOf(benchmark, round) }))
  const [first] = all
  const started = first === undefined ? null : numberOr(first['start_time'], null)
  const rate = rounds.length === 1 ? rounds[0].rate : null
  return {
    source: 'guidellm',
    model: all.map(modelOf).find((model) => model !== null) ?? null,
    load:
      rounds.length > 1
        ? { kind: 'sweep' }
        : rate === null
          ? { kind: 'closed', concurrency: 1 }
          : { kind: 'open', rate, arrivals: { kind: 'poisson' } },
    startedAtMs: started === null ? null : started * 1_000,
    rounds: rounds.filter(({ records }) => records.length > 0),
    remarks: [
      'GuideLLM\'s "time per output token" includes TTFT: TPOT here is computed anew, from first and last token',
      'where the server told no usage, GuideLLM counted each message as a token',
    ],
  }
}

function recordsOf(benchmark: JsonRecord, round: number): BenchRecord[] {
  const requests = isRecord(benchmark['requests']) ? benchmark['requests'] : {}
  const of = (status: string): JsonRecord[] =>
    Array.isArray(requests[status]) ? (requests[status] as unknown[]).filter(isRecord) : []
  const failed = new Set([...of('errored'), ...of('incomplete')])
  const found = [...of('successful'), ...failed]
  const starts = found.map(startOf).filter((start) => start !== null)
  if (starts.length === 0) return []
  const from = starts.reduce((least, start) => Math.min(least, start), starts[0])
  return found.flatMap((request, index) => {
    const start = startOf(request)
    if (start === null) return []
    const timings = timingsOf(request)
    const at = (name: string): number | null => {
      const time = numberOr(timings[name], null)
      return time === null ? null : (time - from) * 1_000
    }
    const sent = (start - from) * 1_000
    const ttft = numberOr(request['time_to_first_token_ms'], null)
    const ttfo = numberOr(request['time_to_first_output_token_ms'], null)
    const firstToken = at('first_token_iteration') ?? (ttft === null ? null : sent + ttft)
    const end = (numberOr(request['request_end_time'], start) - from) * 1_000
    const isFailed = failed.has(request)
    return recordOf({
      id: textOr(request['request_id'], `guidellm-${round}-${index}`),
      round,
      index,
      sent,
      firstToken,
      firstOutput: ttfo === null ? firstToken : sent + ttfo,
      lastToken: at('last_token_iteration') ?? (firstToken === null ? null : lastOf(request, firstToken)),
      end,
      chunks: numberOr(timings['token_iterations'], 0),
      promptTokens: numberOr(request['prompt_tokens'], null),
      outputTokens: numberOr(request['output_tokens'], 0),
      chars: [...textOr(request['output'], '')].length + [...textOr(request['reasoning_output'], '')].length,
      errorCode: isFailed ? 'error' : null,
    })
  })
}

const lastOf = (request: JsonRecord, firstToken: number): number =>
  firstToken + numberOr(request['inter_token_latency_ms'], 0) * Math.max(0, numberOr(request['output_tokens'], 1) - 1)

const timingsOf = (request: JsonRecord): JsonRecord => {
  const info = request['info'] ?? request['scheduler_info']
  return isRecord(info) && isRecord(info['timings']) ? info['timings'] : {}
}

const startOf = (request: JsonRecord): number | null =>
  numberOr(request['request_start_time'], numberOr(timingsOf(request)['request_start'], null))

function rateOf({ config }: JsonRecord): number | null {
  const strategy = isRecord(config) ? config['strategy'] : null
  const rate = isRecord(strategy) ? numberOr(strategy['rate'], null) : null
  return rate !== null && rate > 0 ? rate : null
}

function modelOf({ config }: JsonRecord): string | null {
  const backend = isRecord(config) ? config['backend'] : null
  return isRecord(backend) ? textOr(backend['model'], null) : null
}
