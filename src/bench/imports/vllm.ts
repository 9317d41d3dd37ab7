/** `vllm bench serve --save-result --save-detailed`: lists with an entry for each request, times in seconds. */
import { greatest } from '../quantile.ts'
import { ImportError, type Imported, jsonOf, numberOr, recordOf, textOr } from './imported.ts'

const HOW_TO = 'write it by "vllm bench serve --save-result --save-detailed"'

export function vllm(text: string): Imported {
  const value = jsonOf(text, HOW_TO)
  const list = (name: string): readonly unknown[] => {
    const found = value[name]
    if (!Array.isArray(found)) throw new ImportError(`"${name}" is missing: ${HOW_TO}`)
    return found as unknown[]
  }
  const [ttfts, itls, inputs, outputs] = ['ttfts', 'itls', 'input_lens', 'output_lens'].map(list)
  for (const [name, { length }] of Object.entries({ itls, input_lens: inputs, output_lens: outputs }))
    if (length !== ttfts.length)
      throw new ImportError(`"${name}" tells of ${length} requests, and "ttfts" of ${ttfts.length}: was it cut short?`)
  const errors = Array.isArray(value['errors']) ? (value['errors'] as unknown[]) : []
  const starts = Array.isArray(value['start_times']) ? (value['start_times'] as unknown[]) : []
  const firstStart = -greatest(starts.map((each) => -numberOr(each, Number.POSITIVE_INFINITY)))
  const asked = numberOr(value['request_rate'], null)
  const rate = asked !== null && asked > 0 ? asked : null
  const records = ttfts.map((ttft, index) => {
    const sent = starts.length > index ? (numberOr(starts[index], firstStart) - firstStart) * 1_000 : 0
    const gapList = Array.isArray(itls[index]) ? (itls[index] as unknown[]) : []
    const gaps = gapList.map((gap) => secondsOf(gap, 'itls', index) * 1_000)
    const failed = textOr(errors[index], '') !== ''
    const firstToken = failed ? null : sent + secondsOf(ttft, 'ttfts', index) * 1_000
    const lastToken = firstToken === null ? null : firstToken + gaps.reduce((sum, gap) => sum + gap, 0)
    return recordOf({
      id: `vllm-${index}`,
      round: 0,
      index,
      sent,
      firstToken,
      lastToken,
      end: lastToken ?? sent,
      chunks: failed ? 0 : gaps.length + 1,
      promptTokens: numberOr(inputs[index], null),
      outputTokens: numberOr(outputs[index], 0),
      maxGap: gaps.length === 0 ? null : gaps.reduce((most, gap) => Math.max(most, gap), 0),
      errorCode: failed ? 'error' : null,
    })
  })
  const concurrency = numberOr(value['max_concurrency'], null)
  return {
    source: 'vllm bench serve',
    model: textOr(value['model_id'], null),
    load:
      rate === null
        ? { kind: 'closed', concurrency: concurrency ?? records.length }
        : { kind: 'open', rate, arrivals: arrivalsOf(numberOr(value['burstiness'], 1)) },
    startedAtMs: dateOf(textOr(value['date'], '')),
    rounds: [{ rate, records }],
    remarks: [
      'vLLM ends TTFT at the first message with choices: where the role comes alone, its TTFT is too short',
      ...(concurrency === null ? [] : ['vLLM leaves out the wait for --max-concurrency']),
      ...(starts.length === 0 ? ['this vLLM does not tell when requests were sent: they all begin at 0'] : []),
    ],
  }
}

function secondsOf(value: unknown, name: string, index: number): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
  throw new ImportError(`"${name}" of request ${index + 1} is no time in seconds: was it written by another tool?`)
}

const arrivalsOf = (burstiness: number) =>
  burstiness === 1 ? ({ kind: 'poisson' } as const) : ({ kind: 'gamma', shape: burstiness } as const)

/** "20261126-214500" */
function dateOf(text: string): number | null {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)$/.exec(text) ?? []
  return year === undefined ? null : Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}
