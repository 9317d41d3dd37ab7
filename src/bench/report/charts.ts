/** The charts of a run's report. */
import { type Findings, isOpenIn } from '../console.ts'
import { figure, milliseconds } from '../format.ts'
import { greatest, quantile } from '../quantile.ts'
import type { BenchRecord } from '../record.ts'
import { fromSchedule, isOk, summarize, type TtftMakeup, tpot, ttft } from '../summary.ts'
import { throughputOf } from '../throughput.ts'
import { bar, chart, dot, drawing, figureOf, label, line, round, safe, thinned } from './svg.ts'

const POINTS = 400

/** Share of requests that were as fast, for all that were measured, and for the idle floor. */
export function cdf(title: string, findings: Findings, of: (record: BenchRecord) => number | null): string {
  const loaded = sorted(findings.rounds, of)
  const alone = sorted(findings.idle, of)
  if (loaded.length < 2) return ''
  // The slowest of a hundred would squeeze all others
  const max = Math.max(quantile(loaded, 0.99)! * 1.1, quantile(alone, 0.99) ?? 0)
  const at = (q: number): string => milliseconds(quantile(loaded, q))
  const about = `p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}`
  const idle = alone.length < 2 ? '' : `; alone p50 ${milliseconds(quantile(alone, 0.5))} (dashed)`
  return chart(
    title,
    about + idle,
    { name: 'ms', max, format: (value) => milliseconds(value) },
    { name: 'share of requests', max: 1, format: (value) => `${Math.round(value * 100)}%` },
    ({ x, y }) => {
      const points = (values: Float64Array): Array<readonly [number, number]> =>
        thinned([...values], POINTS).map((value, i, all) => [x(Math.min(value, max)), y((i + 1) / all.length)] as const)
      return line(points(alone), 'floor') + line(points(loaded), 'value')
    },
  )
}

const sorted = (records: readonly BenchRecord[], of: (record: BenchRecord) => number | null): Float64Array =>
  Float64Array.from(
    records
      .filter(isOk)
      .map(of)
      .filter((value) => value !== null),
  ).sort()

const PARTS: ReadonlyArray<readonly [keyof TtftMakeup, string]> = [
  ['queue', 'in line'],
  ['gateway', 'gateway'],
  ['connect', 'connect'],
  ['prefill', 'upstream, until its first token'],
  ['network', 'network, and what nobody tells'],
]

/** Bars of the mean, a row for each round, and one for all. */
export function makeup({ rounds, run, summary }: Findings): string {
  if (summary.makeup === null) return ''
  const rows: Array<readonly [string, TtftMakeup]> = [['all', summary.makeup]]
  for (const { round: number, tookMs } of run.rounds) {
    const own = summarize(
      rounds.filter((record) => record.round === number),
      tookMs,
      [],
    ).makeup
    if (own !== null) rows.push([`round ${number + 1}`, own])
  }
  const most = Math.max(...rows.map(([, parts]) => PARTS.reduce((sum, [part]) => sum + Math.max(0, parts[part]), 0)))
  const bars = rows.map(([name, parts], i) => {
    let at = 88
    const pieces = PARTS.map(([part, what]) => {
      const width = (Math.max(0, parts[part]) / most) * 560
      const piece = bar(`part-${part}`, at, i * 26 + 4, width, 16, `${what}: ${milliseconds(parts[part])}`)
      at += width
      return piece
    })
    const total = PARTS.reduce((sum, [part]) => sum + parts[part], 0)
    return (
      label(80, i * 26 + 16, 'end', name) + pieces.join('') + label(at + 6, i * 26 + 16, 'start', milliseconds(total))
    )
  })
  const legend = PARTS.map(
    ([part, what]) => `<li><i class="key part-${part}"></i>${safe(what)} ${milliseconds(summary.makeup![part])}</li>`,
  )
  const about = 'Means add up exactly; percentiles do not.'
  const height = rows.length * 26 + 4
  return figureOf(
    'What the mean TTFT is made of',
    about,
    `${drawing(height, about, bars)}<ul class="legend">${legend.join('')}</ul>`,
  )
}

/** A dot a round: p50 and p95 of TTFT. */
export function roundDots({ rounds, run }: Findings): string {
  const found = run.rounds.map(({ round: number }) => {
    const values = sorted(
      rounds.filter((record) => record.round === number),
      ttft,
    )
    return { number, p50: quantile(values, 0.5), p95: quantile(values, 0.95) }
  })
  const most = Math.max(0, ...found.map(({ p95 }) => p95 ?? 0))
  if (most === 0 || found.length < 2) return ''
  return chart(
    'TTFT by round',
    'p50 (filled) and p95 (ring) of each round: verdicts are by rounds, as requests of one round wait for each other.',
    {
      name: 'round',
      min: 0.5,
      max: found.length + 0.5,
      format: (value) => (Number.isInteger(value) ? String(value) : ''),
    },
    { name: 'ms', max: most * 1.1, format: (value) => milliseconds(value) },
    ({ x, y }) =>
      found
        .map(({ number, p50, p95 }) =>
          p50 === null || p95 === null
            ? ''
            : `<line class="pair" x1="${x(number + 1)}" x2="${x(number + 1)}" y1="${y(p50)}" y2="${y(p95)}"/>` +
              dot(x(number + 1), y(p50), 'dot', `round ${number + 1}: p50 ${milliseconds(p50)}`) +
              dot(x(number + 1), y(p95), 'ring', `round ${number + 1}: p95 ${milliseconds(p95)}`),
        )
        .join(''),
  )
}

/** TTFT from when each was due over the whole run, and by how much the client was late. */
export function timeline({ rounds, run }: Findings): string {
  let offset = 0
  const starts = run.rounds.map(({ tookMs }) => {
    const start = offset
    offset += tookMs
    return start
  })
  const place = new Map(run.rounds.map(({ round: number }, i) => [number, starts[i]]))
  const points = rounds
    .filter(isOk)
    .flatMap((record) => {
      const value = fromSchedule(record)
      const at = (place.get(record.round) ?? 0) + record.scheduled
      return value === null ? [] : [{ at, value, lag: record.sent - record.scheduled }]
    })
    .sort((a, b) => a.at - b.at)
  if (points.length < 2) return ''
  const max = greatest(points.map(({ value }) => value))
  return chart(
    'TTFT over the run, from when each was due',
    'A dot a request; the line below is by how much the client itself was late. Rules are the starts of rounds.',
    { name: 'since the first round', max: offset, format: (value) => milliseconds(value) },
    { name: 'ms', max: max * 1.05, format: (value) => milliseconds(value) },
    ({ x, y }) =>
      starts.map((start) => `<line class="rule" x1="${x(start)}" x2="${x(start)}" y1="12" y2="200"/>`).join('') +
      thinned(points, 1_500)
        .map(({ at, value }) => `<circle class="speck" cx="${x(at)}" cy="${y(value)}" r="2"/>`)
        .join('') +
      line(
        thinned(points, POINTS).map(({ at, lag }) => [x(at), y(Math.max(0, lag))] as const),
        'lag',
      ),
  )
}

/** Of a sweep: what more throughput costs in TTFT. */
export function sweepCurve({ rounds, run }: Findings): string {
  if (run.options.load.kind !== 'sweep') return ''
  const steps = run.rounds
    .map(({ round: number, tookMs }) => {
      const own = rounds.filter((record) => record.round === number)
      return { ...summarize(own, tookMs, []), ...throughputOf(own, isOpenIn(run)) }
    })
    .filter(({ requestsPerSecond, ttft: first }) => requestsPerSecond !== null && first.p95 !== null)
    .sort((a, b) => a.requestsPerSecond! - b.requestsPerSecond!)
  if (steps.length < 2) return ''
  const most = { x: Math.max(...steps.map((s) => s.requestsPerSecond!)), y: Math.max(...steps.map((s) => s.ttft.p95!)) }
  const about =
    run.saturation === null
      ? 'It was not saturated.'
      : `Saturated at ${figure(run.saturation.rate)} requests a second: ${run.saturation.why}.`
  return chart(
    'What throughput costs',
    `TTFT p50 (dashed) and p95 by answered requests a second. ${about}`,
    { name: 'answered requests a second', max: most.x * 1.05 },
    { name: 'TTFT', max: most.y * 1.05, format: (value) => milliseconds(value) },
    ({ x, y }) =>
      line(
        steps.map((step) => [x(step.requestsPerSecond!), y(step.ttft.p50!)] as const),
        'floor',
      ) +
      line(
        steps.map((step) => [x(step.requestsPerSecond!), y(step.ttft.p95!)] as const),
        'value',
      ) +
      steps
        .map((step) => {
          const title = `${figure(step.requestsPerSecond)} req/s: p95 ${milliseconds(step.ttft.p95)}`
          return dot(x(step.requestsPerSecond!), y(step.ttft.p95!), 'dot', title)
        })
        .join(''),
  )
}

const ROWS = 40

/** Single requests on one axis: those of the first round, and its slowest. */
export function waterfall({ rounds, run }: Findings): string {
  const [first] = run.rounds
  if (first === undefined) return ''
  const own = rounds.filter((record) => record.round === first.round).sort((a, b) => a.scheduled - b.scheduled)
  const shown = own.slice(0, ROWS)
  if (shown.length === 0) return ''
  const max = greatest(shown.map(({ end }) => end))
  const x = (ms: number): number => round(8 + (ms / max) * 700)
  const rows = shown.map((record, i) => {
    const y = i * 12 + 2
    const begin = x(record.sent)
    const firstToken = record.firstToken ?? record.end
    const wait = Math.max(2, x(firstToken) - begin)
    const made = record.lastToken === null ? 0 : Math.max(0, x(record.lastToken) - x(firstToken))
    const times = `TTFT ${milliseconds(ttft(record))}, TPOT ${milliseconds(tpot(record))}`
    const kind = record.outcome === 'ok' ? 'wait' : 'failed'
    const title = `${record.id}: ${times}, ${record.outcome}`
    return bar(kind, begin, y, wait, 8, title) + bar('made', x(firstToken), y, made, 8, title)
  })
  const which = `The first ${shown.length} requests of the first round`
  const about = `${which}: until the first token, then tokens. ${milliseconds(max)} in all.`
  return figureOf('Single requests', about, drawing(shown.length * 12 + 4, about, rows))
}
