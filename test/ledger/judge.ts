/** The provider's own ledger beside ours (M1): call by call, and in sum. Pure. */
import type { MockCall } from '../../src/mock/server.ts'

/** As `GET /admin/usage/records` shows it. */
export interface Booked {
  readonly job: string
  readonly attempt: number
  readonly hedge: boolean
  readonly tenant: string
  readonly model: string
  readonly deployment: string
  readonly end: string
  readonly prompt_tokens: number
  readonly cached_tokens: number
  readonly completion_tokens: number
  readonly estimated: boolean
  readonly nano_dollars: number | null
}

/** As `GET /admin/usage` shows them. */
export interface Sums {
  readonly attempts: number
  readonly estimated: number
  readonly unpriced: number
  readonly prompt_tokens: number
  readonly cached_tokens: number
  readonly completion_tokens: number
  readonly nano_dollars: number
}

/** Nano-dollars a token. */
export const PRICE = { input: 250, cached: 25, output: 2_000 }
export const priceOf = (prompt: number, cached: number, output: number): number =>
  (prompt - cached) * PRICE.input + cached * PRICE.cached + output * PRICE.output

/** Attempts that ended alike, in tokens of answers. */
export interface Row {
  readonly end: string
  readonly estimated: boolean
  calls: number
  provider: number
  ledger: number
  /** Largest of one call. */
  worst: number
}

export interface Judged {
  readonly rows: readonly Row[]
  /** Where the provider reported: tokens of prompts and answers, and nano-dollars, ours less the provider's. */
  readonly difference: { readonly tokens: number; readonly nanoDollars: number }
  readonly reported: number
  /** Attempts that were booked, and never arrived: they were stopped, or their worker died, on the way. */
  readonly neverArrived: number
  /** Tokens of calls that are not booked: a plain POST is stored with its end (0036), and died before that. */
  readonly unknown: readonly number[]
  readonly faults: readonly string[]
}

/** The usage of these was on its way when they were stopped. */
const STOPPED = new Set(['canceled', 'cut', 'released', 'lost', 'outrun'])

/** What clients saw. */
export interface Seen {
  /** When servers were killed, and when they were up again. */
  readonly crashes: ReadonlyArray<{ readonly fromMs: number; readonly toMs: number }>
  /** Users whose request was answered, or acknowledged. */
  readonly answered: ReadonlySet<string>
}

/** What had come to its end at the provider may not have been read yet. */
const LATE_MS = 5_000

export function judge(
  calls: readonly MockCall[],
  records: readonly Booked[],
  sums: Sums,
  { crashes, answered }: Seen,
): Judged {
  const faults: string[] = []
  const unknown: number[] = []
  const died = ({ startMs, endMs, user }: MockCall): boolean =>
    !answered.has(user) && crashes.some(({ fromMs, toMs }) => startMs < toMs && (endMs ?? Infinity) > fromMs - LATE_MS)
  const rows = new Map<string, Row>()
  const booked = new Map<string, Booked>()
  const called = new Map<string, MockCall>()
  for (const record of records) {
    const id = `${record.job}.${record.attempt}${record.hedge ? '.hedge' : ''}`
    if (booked.has(id)) faults.push(`${id} is booked twice`)
    booked.set(id, record)
  }
  for (const call of calls) {
    if (called.has(call.id)) faults.push(`${call.id} was called twice`)
    called.set(call.id, call)
    if (booked.has(call.id)) continue
    if (died(call)) unknown.push(call.tokens)
    else faults.push(`${call.id} was called (${call.tokens} tokens), and is not booked`)
  }
  const difference = { tokens: 0, nanoDollars: 0 }
  let [reported, neverArrived] = [0, 0]
  for (const [id, record] of booked) {
    const { end, estimated, prompt_tokens: prompt, cached_tokens: cached, completion_tokens: answer } = record
    const call = called.get(id)
    if (record.nano_dollars !== priceOf(prompt, cached, answer) && end !== 'lost')
      faults.push(`${id} costs ${record.nano_dollars}: its tokens cost ${priceOf(prompt, cached, answer)}`)
    if (call === undefined) {
      if (estimated && answer === 0 && STOPPED.has(end)) neverArrived++
      else if (prompt + answer > 0)
        faults.push(`${id} (${end}) is booked with ${prompt} + ${answer}, and was not called`)
      continue
    }
    const isFree = call.promptTokens === 0
    if (call.reported || isFree) {
      if (estimated && !STOPPED.has(end)) faults.push(`${id} (${end}) is estimated, though its usage was reported`)
      if (!estimated) {
        reported++
        difference.tokens += prompt + answer - call.promptTokens - (isFree ? 0 : call.tokens)
        const cost = isFree ? 0 : priceOf(call.promptTokens, call.cachedTokens, call.tokens)
        difference.nanoDollars += (record.nano_dollars ?? Number.NaN) - cost
        if (prompt !== call.promptTokens || answer !== call.tokens || cached !== call.cachedTokens)
          faults.push(`${id} (${end}): ${prompt} + ${answer}, its provider has ${call.promptTokens} + ${call.tokens}`)
      }
    } else if (!estimated) faults.push(`${id} (${end}) is told as reported, and was not`)
    if (estimated && answer > call.tokens) faults.push(`${id} (${end}): ${answer} estimated, of ${call.tokens}`)
    const key = `${end} ${estimated}`
    const row = rows.get(key) ?? { end, estimated, calls: 0, provider: 0, ledger: 0, worst: 0 }
    rows.set(key, row)
    row.calls++
    row.provider += call.tokens
    row.ledger += answer
    row.worst = Math.max(row.worst, Math.abs(answer - call.tokens))
  }
  faults.push(...differing(sums, records))
  return { rows: [...rows.values()], difference, reported, neverArrived, unknown, faults }
}

/** The ledger's sums are those of its records. */
function differing(sums: Sums, records: readonly Booked[]): string[] {
  const all = (count: (record: Booked) => number): number => records.reduce((sum, record) => sum + count(record), 0)
  const expected: Sums = {
    attempts: records.length,
    estimated: all(({ estimated }) => Number(estimated)),
    unpriced: all(({ nano_dollars }) => Number(nano_dollars === null)),
    prompt_tokens: all(({ prompt_tokens }) => prompt_tokens),
    cached_tokens: all(({ cached_tokens }) => cached_tokens),
    completion_tokens: all(({ completion_tokens }) => completion_tokens),
    nano_dollars: all(({ nano_dollars }) => nano_dollars ?? 0),
  }
  return Object.entries(expected).flatMap(([name, value]) => {
    const told = sums[name as keyof Sums]
    return told === value ? [] : [`the sum of ${name} is ${told}, its records have ${value}`]
  })
}

export function tableOf({ rows, difference, reported, neverArrived, unknown }: Judged): string[] {
  const head = ['end', 'tokens are', 'calls', "provider's", "ledger's", 'difference', 'error', 'worst call']
  const lines = rows
    .toSorted((a, b) => Number(a.estimated) - Number(b.estimated) || (a.end < b.end ? -1 : 1))
    .map(({ end, estimated, calls, provider, ledger, worst }) => [
      end,
      estimated ? 'estimated' : 'reported',
      String(calls),
      String(provider),
      String(ledger),
      String(ledger - provider),
      provider === 0 ? '-' : `${((100 * (ledger - provider)) / provider).toFixed(2)}%`,
      String(worst),
    ])
  const all = [head, ...lines]
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i].length)))
  return [
    ...all.map((row) => row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')),
    '',
    `where the provider reported (${reported} calls): ${difference.tokens} tokens and ${difference.nanoDollars} ` +
      'nano-dollars of difference',
    `${neverArrived} attempts were stopped, or died, on their way to the provider: their prompts are estimated`,
    `${unknown.length} calls (${unknown.reduce((sum, n) => sum + n, 0)} tokens) died before they were stored`,
  ]
}
