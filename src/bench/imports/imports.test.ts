import { describe, expect, it } from 'vitest'
import { findingsOf, sentenceOf } from '../console.ts'
import { lineOf, readRecords } from '../record.ts'
import { reportOf } from '../report/report.ts'
import { readSlo } from '../slo.ts'
import { e2e, tpot, ttft } from '../summary.ts'
import { importResult, type Tool } from './imports.ts'

const INTO = { id: 'bench_1', label: 'theirs', sluice: '0', wallMs: 1_750_000_000_000 }

/** As their current versions write it, for two requests: one that is well, one that failed. */
const FILES: Readonly<Record<Tool, string>> = {
  vllm: JSON.stringify({
    date: '20261126-214500',
    backend: 'openai-chat',
    model_id: 'm',
    num_prompts: 2,
    request_rate: 5.0,
    burstiness: 1.0,
    max_concurrency: null,
    duration: 1.2,
    completed: 1,
    failed: 1,
    input_lens: [550, 550],
    output_lens: [5, 0],
    ttfts: [0.2, 0.0],
    itls: [[0.01, 0.01, 0.03, 0.01], []],
    start_times: [1000.5, 1001.0],
    generated_texts: ['a b c d e', ''],
    errors: ['', 'Traceback: connection refused'],
  }),
  guidellm: JSON.stringify({
    metadata: { version: 1 },
    benchmarks: [
      {
        type_: 'generative_benchmark',
        start_time: 1000,
        end_time: 1002,
        config: { strategy: { type_: 'poisson', rate: 5 }, backend: { model: 'm' } },
        requests: {
          successful: [
            {
              type_: 'generative_request_stats',
              request_id: 'r1',
              output: 'a b c d e',
              info: {
                timings: {
                  request_start: 1000.5,
                  first_token_iteration: 1000.7,
                  last_token_iteration: 1000.76,
                  request_end: 1000.77,
                  token_iterations: 5,
                },
              },
              request_start_time: 1000.5,
              request_end_time: 1000.77,
              request_latency: 0.27,
              prompt_tokens: 550,
              output_tokens: 5,
              time_to_first_token_ms: 200,
              time_per_output_token_ms: 52,
              inter_token_latency_ms: 15,
            },
          ],
          incomplete: [],
          errored: [
            {
              request_id: 'r2',
              info: { timings: { request_start: 1001 } },
              request_start_time: 1001,
              request_end_time: 1001.1,
            },
          ],
        },
      },
    ],
  }),
  aiperf: [
    {
      metadata: {
        session_num: 0,
        x_request_id: 'r1',
        request_start_ns: 1_759_813_207_500_000_000,
        request_ack_ns: 1_759_813_207_650_000_000,
        request_end_ns: 1_759_813_207_760_000_000,
        benchmark_phase: 'profiling',
        was_cancelled: false,
      },
      metrics: {
        input_sequence_length: { value: 550, unit: 'tokens' },
        time_to_first_token: { value: 200, unit: 'ms' },
        request_latency: { value: 260, unit: 'ms' },
        output_sequence_length: { value: 5, unit: 'tokens' },
        inter_chunk_latency: { value: [10, 10, 30, 10], unit: 'ms' },
        inter_token_latency: { value: 15, unit: 'ms' },
      },
      error: null,
    },
    {
      metadata: {
        session_num: 1,
        x_request_id: 'r2',
        request_start_ns: 1_759_813_208_000_000_000,
        request_end_ns: 1_759_813_208_100_000_000,
        benchmark_phase: 'profiling',
        was_cancelled: true,
      },
      metrics: { error_isl: { value: 550, unit: 'tokens' } },
      error: { code: 499, type: 'RequestCancellationError', message: 'Request was cancelled' },
    },
    { metadata: { request_start_ns: 1, benchmark_phase: 'warmup' }, metrics: {}, error: null },
  ]
    .map((line) => JSON.stringify(line))
    .join('\n'),
}

describe.each(Object.keys(FILES) as Tool[])('a result of %s', (tool) => {
  const { run, records } = importResult(tool, FILES[tool], INTO)

  it('has the times that its tool took, under our names', () => {
    const [first, second] = records
    expect(records).toHaveLength(2)
    expect(ttft(first)).toBeCloseTo(200, 3)
    expect(tpot(first)).toBeCloseTo(15, 3)
    expect(e2e(first)).toBeCloseTo(260, 3)
    expect(second.sent).toBeCloseTo(500, 3)
    expect([first.outcome, second.outcome]).toEqual(['ok', 'error'])
    expect([first.tokens.prompt, first.tokens.completion]).toEqual([550, 5])
    if (tool !== 'guidellm') expect(first.maxGap).toBeCloseTo(30, 3)
  })

  it('is a run whose records can be read again, and tells where its tool differs', () => {
    expect(readRecords(records.map(lineOf).join('\n'))).toEqual(records)
    const { summary } = findingsOf(run, records)
    expect(summary.errorShare).toBe(0.5)
    expect(run.importedFrom).not.toBeNull()
    expect(sentenceOf(findingsOf(run, records))).toBe('TTFT p50 200 ms, p95 200 ms.')
    const missed = { ...run, options: { ...run.options, slo: readSlo('ttft.p95<100ms') }, brokenOff: 'by hand' }
    expect(sentenceOf(findingsOf(missed, records))).toMatch(/^BROKEN OFF: by hand. Missed: ttft.p95<100ms. TTFT p50/)
    expect(run.validity.checks.length).toBeGreaterThan(0)
    expect(JSON.stringify([run, records])).not.toMatch(/a b c d e|Traceback/)
  })

  it('refuses another file', () => {
    expect(() => importResult(tool, '{"a":1}', INTO)).toThrow(/missing|no "metadata"/)
    expect(() => importResult(tool, 'nonsense', INTO)).toThrow(/not (a )?JSON/)
  })
})

it('has no limit of requests but memory: of 200,000 it makes a run and its report', () => {
  const COUNT = 200_000
  const all = <T>(value: T): T[] => Array.from({ length: COUNT }, () => value)
  const text = JSON.stringify({
    ...{ model_id: 'm', request_rate: 5, burstiness: 1, max_concurrency: null, date: '20261126-214500' },
    ...{ input_lens: all(5), output_lens: all(2), ttfts: all(0.2), itls: all([0.01]), errors: all('') },
    start_times: Array.from({ length: COUNT }, (_, i) => i / 1_000),
  })
  const { run, records } = importResult('vllm', text, INTO)
  expect(reportOf(findingsOf(run, records))).toContain('200000 requests')
})

it.each<[string, object, string]>([
  ['no time', { ttfts: [null, 0.2] }, '"ttfts" of request 1'],
  ['a text', { ttfts: ['x', 0.2] }, '"ttfts" of request 1'],
  ['a negative time', { ttfts: [-0.5, 0.2] }, '"ttfts" of request 1'],
  ['a time of ages', { ttfts: [1e300, 0.2] }, '"firstToken" is no time'],
  ['a negative gap', { itls: [[-1], []] }, '"itls" of request 1'],
  ['negative tokens', { output_lens: [-5, 0] }, '"completion" is no count'],
  ['lists of other lengths', { output_lens: [5] }, '"output_lens" tells of 1 requests'],
])('of vLLM, %s is no figure: the file is refused', (_name, wrong, message) => {
  const text = JSON.stringify({ ...(JSON.parse(FILES.vllm) as object), ...wrong })
  expect(() => importResult('vllm', text, INTO)).toThrow(message)
})

it('of the others, too', () => {
  const longer = FILES.guidellm.replace('"output_tokens":5', '"output_tokens":-5')
  expect(() => importResult('guidellm', longer, INTO)).toThrow('request 1 of 2: "completion" is no count')
  const sooner = FILES.aiperf.replace('"value":200', '"value":-5000')
  expect(() => importResult('aiperf', sooner, INTO)).toThrow('request 1 of 2: "firstToken" is no time')
})

it('a time that no calendar has is none', () => {
  const line = FILES.aiperf.split('\n')[0].replace(/"request_start_ns":\s*\d+/, '"request_start_ns":1e308')
  const { run, records } = importResult('aiperf', line, INTO)
  expect(run.startedAtMs).toBe(INTO.wallMs)
  expect(() => reportOf(findingsOf(run, records))).not.toThrow()
})
