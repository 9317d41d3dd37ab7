/**
 * Writes deploy/grafana/sluice.json, Grafana's dashboard, from the list of panels below. With `--check` it only tells
 * whether the file is that. test/prometheus asks a real Prometheus each of the queries.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

type Unit = 's' | 'reqps' | 'short' | 'percentunit' | 'currencyUSD' | 'bytes' | 'none'

export interface Panel {
  readonly title: string
  readonly about: string
  readonly type: 'timeseries' | 'stat' | 'heatmap' | 'bargauge'
  readonly unit: Unit
  /** Of 24 columns. */
  readonly width: number
  readonly isStacked?: boolean
  readonly queries: ReadonlyArray<readonly [legend: string, expression: string]>
}

const MODEL = 'model=~"$model"'
const NODE = 'instance=~"$node"'
const OF = `${NODE}, ${MODEL}`
const rate = (metric: string, of = OF, by = ''): string =>
  `sum${by === '' ? '' : ` by (${by}) `}(rate(${metric}${of === '' ? '' : `{${of}}`}[$__rate_interval]))`
const quantile = (share: number, metric: string, of = OF, by = ''): string =>
  `histogram_quantile(${share}, ${rate(`${metric}_bucket`, of, by === '' ? 'le' : `le, ${by}`)})`
const mean = (metric: string, by: string): string =>
  `${rate(`${metric}_sum`, OF, by)} / ${rate(`${metric}_count`, OF, by)}`

export const ROWS: ReadonlyArray<{
  readonly title: string
  readonly height: number
  readonly panels: readonly Panel[]
}> = [
  {
    title: 'Is it well?',
    height: 4,
    panels: [
      {
        ...{
          title: 'TTFT p95',
          about: 'From a request’s head to the first text of its answer.',
          type: 'stat',
          unit: 's',
        },
        ...{ width: 4, queries: [['p95', quantile(0.95, 'sluice_ttft_seconds')]] },
      },
      {
        ...{ title: 'TPOT p95', about: 'Time per output token after the first.', type: 'stat', unit: 's', width: 4 },
        queries: [['p95', quantile(0.95, 'sluice_tpot_seconds')]],
      },
      {
        ...{ title: 'Good answers', about: 'Done within `goals`, of all that were judged.', type: 'stat' },
        ...{ unit: 'percentunit', width: 4 },
        queries: [['good', `${rate('sluice_good_jobs_total')} / ${rate('sluice_judged_jobs_total')}`]],
      },
      {
        ...{ title: 'Tokens out', about: 'A second, reasoning included.', type: 'stat', unit: 'short', width: 4 },
        queries: [['tokens/s', rate('sluice_tokens_total', `${OF}, kind="completion"`)]],
      },
      {
        ...{ title: 'Waiting', about: 'Jobs in line.', type: 'stat', unit: 'short', width: 4 },
        queries: [['jobs', `max(sluice_queued{${NODE}} + sluice_waiting{${NODE}})`]],
      },
      {
        ...{ title: 'Spend an hour', about: 'At the pace of now; estimated parts included.', type: 'stat' },
        ...{ unit: 'currencyUSD', width: 4, queries: [['$/h', `3600 * ${rate('sluice_cost_dollars_total')}`]] },
      },
    ],
  },
  {
    title: 'Time to first token',
    height: 9,
    panels: [
      {
        title: 'Where it goes',
        about: 'Means, which add up: queue is Sluice’s line, upstream the provider’s queue and its prefill.',
        ...{ type: 'timeseries', unit: 's', width: 12, isStacked: true },
        queries: [['{{part}}', mean('sluice_ttft_part_seconds', 'part')]],
      },
      {
        ...{ title: 'How long it takes', about: 'Percentiles do not add up.', type: 'timeseries', unit: 's', width: 6 },
        queries: [0.5, 0.95, 0.99].map((share) => [`p${share * 100}`, quantile(share, 'sluice_ttft_seconds')] as const),
      },
      {
        ...{ title: 'TTFT', about: 'Answers by time to first token.', type: 'heatmap', unit: 's', width: 6 },
        queries: [['{{le}}', rate('sluice_ttft_seconds_bucket', OF, 'le')]],
      },
    ],
  },
  {
    title: 'While it streams',
    height: 8,
    panels: [
      {
        ...{ title: 'TPOT', about: 'By deployment, p50 and p95.', type: 'timeseries', unit: 's', width: 8 },
        queries: [0.5, 0.95].map(
          (share) =>
            [`{{deployment}} p${share * 100}`, quantile(share, 'sluice_tpot_seconds', OF, 'deployment')] as const,
        ),
      },
      {
        ...{
          title: 'Stalls',
          about: 'Pauses of a second or more between two chunks.',
          type: 'timeseries',
          unit: 'reqps',
        },
        ...{ width: 8, queries: [['{{deployment}}', rate('sluice_stalls_total', OF, 'deployment')]] },
      },
      {
        ...{ title: 'Tokens a second', about: 'In and out, by who counted them.', type: 'timeseries', unit: 'short' },
        ...{ width: 8, queries: [['{{kind}}, {{source}}', rate('sluice_tokens_total', OF, 'kind, source')]] },
      },
    ],
  },
  {
    title: 'What becomes of requests',
    height: 8,
    panels: [
      {
        ...{
          title: 'Jobs by outcome',
          about: 'A second.',
          type: 'timeseries',
          unit: 'reqps',
          width: 8,
          isStacked: true,
        },
        queries: [['{{state}}', rate('sluice_ended_jobs_total', OF, 'state')]],
      },
      {
        ...{ title: 'Submits', about: 'Accepted, joined, refused.', type: 'timeseries', unit: 'reqps', width: 8 },
        queries: [['{{outcome}} {{code}}', rate('sluice_submits_total', OF, 'outcome, code')]],
      },
      {
        title: 'Good answers',
        about: 'And how fast the error budget of 1 % burns: 1 lasts a month, 14.4 two days.',
        ...{ type: 'timeseries', unit: 'short', width: 8 },
        queries: [
          ['good', `${rate('sluice_good_jobs_total')} / ${rate('sluice_judged_jobs_total')}`],
          ['burn', `(1 - ${rate('sluice_good_jobs_total')} / ${rate('sluice_judged_jobs_total')}) / 0.01`],
        ],
      },
    ],
  },
  {
    title: 'The line',
    height: 8,
    panels: [
      {
        ...{ title: 'Jobs', about: 'In line, delayed, waiting for room, running.', type: 'timeseries', unit: 'short' },
        width: 8,
        queries: ['queued', 'delayed', 'waiting', 'leased'].map((of) => [of, `max(sluice_${of}{${NODE}})`] as const),
      },
      {
        ...{ title: 'Time in line', about: 'Before the first attempt.', type: 'timeseries', unit: 's', width: 8 },
        queries: [0.5, 0.95, 0.99].map(
          (share) => [`p${share * 100}`, quantile(share, 'sluice_queue_seconds')] as const,
        ),
      },
      {
        title: 'Work that waits',
        about: 'Tokens that could start now, and how long the slowest model needs for all that waits for it.',
        ...{ type: 'timeseries', unit: 'short', width: 8 },
        queries: [
          ['tokens', `max(sluice_queue_tokens{${NODE}})`],
          ['seconds', `max(sluice_expected_wait_seconds{${NODE}})`],
        ],
      },
    ],
  },
  {
    title: 'Deployments',
    height: 8,
    panels: [
      {
        ...{ title: 'Calls now', about: 'In flight.', type: 'timeseries', unit: 'short', width: 8 },
        queries: [['{{deployment}}', `max by (deployment) (sluice_deployment_calls{${NODE}})`]],
      },
      {
        ...{ title: 'Attempts that failed', about: 'By code.', type: 'timeseries', unit: 'reqps', width: 8 },
        queries: [
          ['{{deployment}} {{code}}', rate('sluice_attempts_ended_total', `${OF}, code!="none"`, 'deployment, code')],
        ],
      },
      {
        title: 'Out, or too busy',
        about: 'Failures in a row, and the seconds for which no call starts there.',
        ...{ type: 'timeseries', unit: 'short', width: 8 },
        queries: [
          ['{{deployment}} failures', `max by (deployment) (sluice_deployment_failures_in_row{${NODE}})`],
          ['{{deployment}} cools', `max by (deployment) (sluice_deployment_cools_seconds{${NODE}})`],
        ],
      },
    ],
  },
  {
    title: 'Brokers in front',
    height: 8,
    panels: [
      {
        ...{
          title: 'Through the broker',
          about: 'Published by Sluice, owned by its coordinator, dead letters.',
          type: 'timeseries',
          unit: 'reqps',
          width: 8,
        },
        queries: [
          ['{{pool}} published', rate('sluice_intake_published_total', NODE, 'intake, pool')],
          ['{{pool}} owned', rate('sluice_intake_owned_total', NODE, 'intake, pool')],
          ['{{pool}} dead', rate('sluice_intake_dead_total', NODE, 'intake, pool')],
        ],
      },
      {
        ...{ title: 'Held', about: 'Without room in line: at most `window` a pool.', type: 'timeseries' },
        ...{ unit: 'short', width: 6 },
        queries: [['{{pool}}', `sum by (intake, pool) (sluice_intake_held{${NODE}})`]],
      },
      {
        ...{ title: 'Confirms', about: 'From a publish to its confirm.', type: 'timeseries', unit: 's', width: 6 },
        queries: [0.5, 0.99].map(
          (share) =>
            [`{{intake}} p${share * 100}`, quantile(share, 'sluice_intake_confirm_seconds', NODE, 'intake')] as const,
        ),
      },
      {
        ...{ title: 'Away', about: 'Processes whose broker is away, or full.', type: 'timeseries', unit: 'short' },
        ...{ width: 4, queries: [['{{intake}}', `sum by (intake) (sluice_intake_away{${NODE}})`]] },
      },
    ],
  },
  {
    title: 'Sluice itself',
    height: 8,
    panels: [
      {
        ...{
          title: 'Overhead',
          about: 'Of an attempt: neither line nor provider.',
          type: 'timeseries',
          unit: 's',
          width: 6,
        },
        queries: [0.5, 0.99].map((share) => [`p${share * 100}`, quantile(share, 'sluice_overhead_seconds')] as const),
      },
      {
        ...{ title: 'Commits', about: 'Of the store, p99.', type: 'timeseries', unit: 's', width: 6 },
        queries: [['{{instance}}', quantile(0.99, 'sluice_commit_seconds', NODE, 'instance')]],
      },
      {
        ...{
          title: 'Loop delay',
          about: 'Above 0.1 s the CPU is the bottleneck.',
          type: 'timeseries',
          unit: 's',
          width: 6,
        },
        queries: [['{{instance}} p99', quantile(0.99, 'sluice_loop_delay_seconds', NODE, 'instance')]],
      },
      {
        ...{ title: 'Memory', about: 'And the store.', type: 'timeseries', unit: 'bytes', width: 6 },
        queries: [
          ['{{instance}}', `sluice_rss_bytes{${NODE}}`],
          ['{{instance}} store', `sluice_used_bytes{${NODE}}`],
        ],
      },
    ],
  },
]

/** What Grafana reads. */
export function dashboard(): object {
  let y = 0
  let id = 0
  const panels = ROWS.flatMap(({ title, height, panels: inRow }) => {
    const row = { id: ++id, type: 'row', title, collapsed: false, gridPos: { x: 0, y, w: 24, h: 1 }, panels: [] }
    let x = 0
    const shown = inRow.map((panel) => {
      const gridPos = { x, y: y + 1, w: panel.width, h: height }
      x += panel.width
      return shownAs(panel, ++id, gridPos)
    })
    y += height + 1
    return [row, ...shown]
  })
  const variable = (name: string, label: string, query: string): object => ({
    ...{ name, label, type: 'query', datasource: SOURCE, query: { query, refId: name }, definition: query },
    ...{
      includeAll: true,
      multi: true,
      allValue: '.*',
      refresh: 2,
      sort: 1,
      current: { text: 'All', value: '$__all' },
    },
  })
  return {
    ...{ uid: 'sluice', title: 'Sluice', tags: ['sluice', 'llm'], schemaVersion: 39, version: 1, editable: true },
    ...{ refresh: '10s', time: { from: 'now-1h', to: 'now' }, timezone: 'browser', graphTooltip: 1 },
    templating: {
      list: [
        { name: 'source', label: 'Prometheus', type: 'datasource', query: 'prometheus', current: {} },
        variable('node', 'Node', 'label_values(sluice_processes, instance)'),
        variable('model', 'Model', 'label_values(sluice_submits_total, model)'),
      ],
    },
    annotations: { list: [] },
    panels,
  }
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own variable
const SOURCE = { type: 'prometheus', uid: '${source}' }

function shownAs({ title, about, type, unit, isStacked, queries }: Panel, id: number, gridPos: object): object {
  const custom = isStacked === true ? { stacking: { mode: 'normal' }, fillOpacity: 60, lineWidth: 0 } : { lineWidth: 1 }
  return {
    ...{ id, title, description: about, type, gridPos, datasource: SOURCE },
    fieldConfig: { defaults: { unit, min: 0, ...(type === 'timeseries' && { custom }) }, overrides: [] },
    options: type === 'heatmap' ? { calculate: false, yAxis: { unit } } : {},
    targets: queries.map(([legendFormat, expr], i) => ({
      ...{ refId: 'ABCDEFG'[i], datasource: SOURCE, expr, legendFormat },
      ...(type === 'heatmap' && { format: 'heatmap' }),
      ...(type === 'stat' && { instant: false }),
    })),
  }
}

const FILE = join(import.meta.dirname, '../deploy/grafana/sluice.json')
export const text = (): string => `${JSON.stringify(dashboard(), null, 2)}\n`

if (import.meta.main) {
  if (!process.argv.includes('--check')) writeFileSync(FILE, text())
  else if (readFileSync(FILE, 'utf8') !== text()) {
    console.error('deploy/grafana/sluice.json is not what scripts/grafana.ts makes: node scripts/grafana.ts')
    process.exitCode = 1
  }
}
