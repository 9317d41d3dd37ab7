/** Medians of interleaved rounds, as the table that the README quotes. */
export interface Row {
  readonly streamUsPerToken: number
  readonly carried: number
  readonly errors: number
  /** Added to the upstream's 50 ms. */
  readonly ttftP50: number
  readonly ttftP99: number
  readonly lagP50: number
  readonly lagP99: number
  readonly rssMb: number
  readonly unpacedUsPerToken: number
  readonly jsonUs: number
  readonly jsonP50: number
  readonly idleMb: number
}

/** " (least-most)". */
export const spread = (values: readonly number[]): string =>
  ` (${Math.min(...values).toFixed(1)}-${Math.max(...values).toFixed(1)})`

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function markdown(
  rows: ReadonlyMap<string, readonly Row[]>,
  own: ReadonlyArray<Readonly<Record<string, number>>>,
): string {
  const first = [...rows.values()].find((r) => r.length > 0)
  const lines = [
    '| | 1,000 streams × 50 tok/s: CPU µs/token | carried tok/s (of 48.8k) | added TTFT p50 / p99 ms | token ' +
      'lag p50 / p99 ms | RSS MB | unpaced µs/token | JSON call, CPU µs | JSON at 300/s, p50 ms |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
  ]
  for (const [name, all] of rows) {
    if (all.length === 0) continue
    const m = (of: (r: Row) => number): number => median(all.map(of))
    const range = all.length > 1 ? spread(all.map((r) => r.streamUsPerToken)) : ''
    lines.push(
      `| ${name} | ${m((r) => r.streamUsPerToken).toFixed(1)}${range} | ` +
        `${(m((r) => r.carried) / 1000).toFixed(1)}k | ${m((r) => r.ttftP50).toFixed(1)} / ` +
        `${m((r) => r.ttftP99).toFixed(0)} | ${m((r) => r.lagP50).toFixed(1)} / ${m((r) => r.lagP99).toFixed(0)} ` +
        `| ${m((r) => r.rssMb).toFixed(0)} | ${m((r) => r.unpacedUsPerToken).toFixed(1)} | ` +
        `${m((r) => r.jsonUs).toFixed(0)} | ${m((r) => r.jsonP50).toFixed(2)} |`,
    )
  }
  lines.push(
    '',
    `Medians of ${first?.length ?? 0} interleaved rounds (in brackets: least and most); CPU of the server's ` +
      `process, all its threads; errors: ${[...rows.values()].flat().reduce((n, r) => n + r.errors, 0)}.`,
  )
  if (own.length > 0) {
    const m = (name: string): number => median(own.map((o) => o[name]))
    lines.push(
      '',
      '| Sluice alone | |',
      '| --- | --- |',
      `| submit → accepted, power-safe, 500/s | p50 ${m('submit_p50_ms').toFixed(1)} ms, p99 ` +
        `${m('submit_p99_ms').toFixed(1)} ms, ${m('submit_refused')} refused |`,
      `| durable jobs a second, end to end | ${Math.round(m('jobs_per_s'))} |`,
      `| resume with 2,000 records behind, first byte | ${m('resume_first_byte_ms').toFixed(1)} ms |`,
      `| event loop held, over the whole run | p99 ${m('loop_p99_ms').toFixed(1)} ms, longest ` +
        `${m('loop_max_ms').toFixed(0)} ms |`,
      `| commits, p99 · write-ahead log, largest | ${m('commit_p99_ms').toFixed(2)} ms · ` +
        `${m('wal_mb').toFixed(0)} MB |`,
      `| start to ready · idle RSS | ${m('ready_ms').toFixed(0)} ms · ` +
        `${median([...rows].find(([n]) => n.includes('Sluice'))![1].map((r) => r.idleMb)).toFixed(0)} MB |`,
    )
  }
  return lines.join('\n')
}
