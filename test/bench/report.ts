/** Medians of interleaved rounds, as the tables that docs/benchmarks.md quotes. */
import type { Shown } from './loads.ts'
import type { Priority } from './tools.ts'

/** One target in one round: what each load showed, by its name. */
export interface Row {
  readonly priority: Priority
  readonly idleMb: number
  readonly shown: ReadonlyMap<string, Shown>
}

/** " (least-most)". */
export const spread = (values: readonly number[], digits = 1): string =>
  values.length < 2 ? '' : ` (${Math.min(...values).toFixed(digits)}-${Math.max(...values).toFixed(digits)})`

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]

interface Column {
  readonly load: string
  readonly title: string
  cell(all: readonly Shown[]): string
}

const of = (all: readonly Shown[], name: keyof Shown, digits: number): string =>
  median(all.map((shown) => shown[name])).toFixed(digits)

const ranged = (all: readonly Shown[], name: keyof Shown, digits: number): string =>
  of(all, name, digits) +
  spread(
    all.map((shown) => shown[name]),
    digits,
  )

const thousands = (all: readonly Shown[], name: keyof Shown): string =>
  `${(median(all.map((shown) => shown[name])) / 1000).toFixed(1)}k`

const COLUMNS: readonly Column[] = [
  { load: '1000', title: '1,000 streams: CPU µs/token', cell: (all) => ranged(all, 'usPerToken', 1) },
  { load: '1000', title: 'carried tok/s (of 48.8k)', cell: (all) => thousands(all, 'tokensPerS') },
  {
    load: '1000',
    title: 'added TTFT p50 / p99 ms',
    cell: (all) => `${of(all, 'ttftP50', 1)} / ${of(all, 'ttftP99', 0)}`,
  },
  { load: '1000', title: 'token lag p50 / p99 ms', cell: (all) => `${of(all, 'lagP50', 1)} / ${of(all, 'lagP99', 0)}` },
  { load: '1000', title: 'RSS MB', cell: (all) => of(all, 'rssMb', 0) },
  { load: '100', title: '100 streams: µs/token', cell: (all) => ranged(all, 'usPerToken', 1) },
  {
    load: '100',
    title: 'added TTFT p99, lag p50 ms',
    cell: (all) => `${of(all, 'ttftP99', 0)}, ${of(all, 'lagP50', 1)}`,
  },
  { load: '10', title: '10 streams: µs/token', cell: (all) => ranged(all, 'usPerToken', 0) },
  { load: '10', title: 'lag p50 ms', cell: (all) => of(all, 'lagP50', 1) },
  { load: 'unpaced', title: 'unpaced µs/token', cell: (all) => ranged(all, 'usPerToken', 1) },
  { load: 'json', title: 'JSON call, saturated: CPU µs', cell: (all) => ranged(all, 'usPerRequest', 0) },
  { load: 'json', title: 'calls/s', cell: (all) => thousands(all, 'requestsPerS') },
  { load: 'json', title: 'p50 / p99 ms', cell: (all) => `${of(all, 'callP50', 1)} / ${of(all, 'callP99', 1)}` },
  { load: 'json', title: 'RSS MB', cell: (all) => of(all, 'rssMb', 0) },
  { load: 'json300', title: 'JSON at 300/s: CPU µs', cell: (all) => ranged(all, 'usPerRequest', 0) },
  { load: 'json300', title: 'p50 / p99 ms', cell: (all) => `${of(all, 'callP50', 2)} / ${of(all, 'callP99', 1)}` },
]

/** One table for each priority, with a row for each figure and a column for each target. */
export function markdown(rows: ReadonlyMap<string, readonly Row[]>): string {
  const priorities = [...new Set([...rows.values()].flat().map(({ priority }) => priority))]
  const tables = priorities.map((priority) => {
    const columns = [...rows].map(([name, all]) => ({ name, all: all.filter((row) => row.priority === priority) }))
    const lines = [
      `| ${priority} priority | ${columns.map(({ name }) => name).join(' | ')} |`,
      `| --- |${' --- |'.repeat(columns.length)}`,
    ]
    for (const { load, title, cell } of COLUMNS) {
      const cells = columns.map(({ all }) => {
        const shown = all.flatMap((row) => row.shown.get(load) ?? [])
        return shown.length === 0 ? '' : cell(shown)
      })
      if (cells.some((text) => text !== '')) lines.push(`| ${title} | ${cells.join(' | ')} |`)
    }
    const rounds = Math.max(...columns.map(({ all }) => all.length))
    lines.push('', `Medians of ${rounds} interleaved rounds (in brackets: least and most).`)
    return lines.join('\n')
  })
  const errors = [...rows.values()].flat().flatMap((row) => [...row.shown.values()])
  tables.push(
    "CPU of the server's process, all its threads, by the scheduler's accounts; tokens that were lost, doubled or " +
      `out of order, and failed calls: ${errors.reduce((n, shown) => n + shown.errors, 0)}.`,
  )
  return tables.join('\n\n')
}

/** What only Sluice does. */
export function ownTable(
  own: ReadonlyMap<string, ReadonlyArray<Readonly<Record<string, number>>>>,
  rows: ReadonlyMap<string, readonly Row[]>,
): string {
  const names = [...own.keys()]
  const row = (title: string, text: (m: (name: string, digits: number) => string, target: string) => string): string =>
    `| ${title} | ${names
      .map((target) => text((name, digits) => median(own.get(target)!.map((o) => o[name])).toFixed(digits), target))
      .join(' | ')} |`
  return [
    `| Sluice alone | ${names.join(' | ')} |`,
    `| --- |${' --- |'.repeat(names.length)}`,
    row(
      'submit → accepted, power-safe, 500/s',
      (m) => `p50 ${m('submit_p50_ms', 1)} ms, p99 ${m('submit_p99_ms', 1)} ms, ${m('submit_refused', 0)} refused`,
    ),
    row('durable jobs a second, end to end', (m) => m('jobs_per_s', 0)),
    row('resume 2,000 records late, first byte', (m) => `${m('resume_first_byte_ms', 1)} ms`),
    row(
      'event loop held, over the whole run',
      (m) => `p99 ${m('loop_p99_ms', 1)} ms, longest ${m('loop_max_ms', 0)} ms`,
    ),
    row('commits, p99 · write-ahead log, largest', (m) => `${m('commit_p99_ms', 2)} ms · ${m('wal_mb', 0)} MB`),
    row(
      'start to ready · idle RSS',
      (m, target) => `${m('ready_ms', 0)} ms · ${median(rows.get(target)!.map((r) => r.idleMb)).toFixed(0)} MB`,
    ),
  ].join('\n')
}
