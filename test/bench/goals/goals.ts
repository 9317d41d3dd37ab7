/** What Sluice is to reach (DESIGN.md, section 7), and what of it was measured: one row a goal. */
import { median } from '../report.ts'

/** A figure of each round, by its name; what was not measured is not there. */
export type Measured = ReadonlyMap<FigureName, readonly number[]>

export type FigureName =
  | `${'sse' | 'ws'} ${'token beside nginx' | 'carried share' | 'ttft p99 ms' | 'lag p99 ms'}`
  | 'unpaced token beside nginx'
  | '10 streams beside nginx'
  | '100 streams beside nginx'
  | '2,000 streams: token beside 1,000'
  | 'ungathered token µs'
  | 'call beside node'
  | 'call p99 beside p50'
  | 'call at 300/s, added p50 ms'
  | 'accept p50 ms'
  | 'accept p99 ms'
  | 'jobs/s'
  | `refusal ${'more µs' | 'p50 ms' | 'p99 ms'}`
  | `loop ${'p99 ms' | 'longest ms'}`
  | 'wal MB'
  | 'stored bytes a token'
  | 'fleet token beside one process'
  | 'redis token µs'
  | 'resume ms'
  | 'idle socket KB'
  | 'start ms'
  | 'idle MB'
  | `full beside empty: ${'call' | 'token' | 'accept p50'}`
  | 'page: more %'

export interface Goal {
  readonly work: string
  /** As it is told. */
  readonly goal: string
  readonly figure: FigureName
  readonly most?: number
  readonly least?: number
  readonly digits: number
  readonly unit: string
}

const times = (work: string, figure: FigureName, most: number): Goal => ({
  ...{ work, figure, most, digits: 2, unit: ' ×' },
  goal: `≤ ${most} ×`,
})
const most = (work: string, figure: FigureName, limit: number, unit: string, digits = 0): Goal => ({
  ...{ work, figure, most: limit, digits, unit: ` ${unit}` },
  goal: `≤ ${limit.toLocaleString('en')} ${unit}`,
})

/** 100 tokens of which 97.6 are due in the window that is measured, as one stream follows another. */
const ALL_CARRIED = 0.97

const streams = (title: string, by: 'sse' | 'ws'): readonly Goal[] => [
  {
    ...{ work: `1,000 streams, ${title}: carried, of what nginx carries`, figure: `${by} carried share` },
    ...{ goal: 'all', least: ALL_CARRIED, digits: 3, unit: '' },
  },
  times('CPU a token, beside nginx', `${by} token beside nginx`, 1),
  most('added TTFT p99', `${by} ttft p99 ms`, 20, 'ms'),
  most('token lag p99', `${by} lag p99 ms`, 80, 'ms'),
]

export const GOALS: readonly Goal[] = [
  ...streams('SSE', 'sse'),
  ...streams('WebSocket', 'ws'),
  most('1,000 streams without gathering: CPU a token', 'ungathered token µs', 22, 'µs', 1),
  times('unpaced stream: CPU a token, beside nginx', 'unpaced token beside nginx', 1.5),
  times('10 streams: CPU a token, beside nginx', '10 streams beside nginx', 2.5),
  times('100 streams: CPU a token, beside nginx', '100 streams beside nginx', 1.5),
  times('JSON call, 64 connections: CPU, beside Node', 'call beside node', 1.3),
  times('its p99, beside its p50', 'call p99 beside p50', 3),
  most('JSON at 300/s: added p50', 'call at 300/s, added p50 ms', 1, 'ms', 2),
  most('submit → accepted, power-safe, 500/s: p50', 'accept p50 ms', 3, 'ms', 1),
  most('p99', 'accept p99 ms', 20, 'ms', 1),
  {
    ...{ work: 'durable jobs, end to end', figure: 'jobs/s', goal: '≥ 5,000/s', least: 5_000 },
    ...{ digits: 0, unit: '/s' },
  },
  most('refusal while 500 streams run: CPU beyond Node’s own', 'refusal more µs', 150, 'µs'),
  most('from the last byte, p50', 'refusal p50 ms', 2, 'ms', 2),
  most('p99', 'refusal p99 ms', 10, 'ms', 1),
  most('event loop, 1,000 streams, 320 KB bodies, refusals: held, p99', 'loop p99 ms', 5, 'ms', 1),
  most('longest', 'loop longest ms', 50, 'ms'),
  most('write-ahead log', 'wal MB', 256, 'MB'),
  most('stored', 'stored bytes a token', 60, 'bytes/token', 1),
  times('fleet on Redis: Sluice’s CPU a token, beside one process', 'fleet token beside one process', 2),
  most('Redis’s own', 'redis token µs', 5, 'µs', 1),
  most('resume 2,000 records late: first byte', 'resume ms', 5, 'ms', 1),
  most('idle WebSocket, 10,000 of them', 'idle socket KB', 10, 'KB', 1),
  most('start to ready', 'start ms', 1_000, 'ms'),
  most('idle RSS', 'idle MB', 120, 'MB'),
  times('2,000 streams: CPU a token, beside 1,000', '2,000 streams: token beside 1,000', 1),
  times('stored jobs beside none: JSON call', 'full beside empty: call', 1.2),
  times('token of 100 streams', 'full beside empty: token', 1.2),
  times('submit → accepted, p50', 'full beside empty: accept p50', 1.2),
  most('a dashboard open: CPU a token, more', 'page: more %', 2, '%', 1),
]

export type Outcome = 'met' | 'mostly' | 'missed'

/** `mostly`: by the median, not by every round. Null: not measured. */
export function outcomeOf({ most = Infinity, least = -Infinity }: Goal, values: readonly number[]): Outcome | null {
  const known = values.filter(Number.isFinite)
  if (known.length === 0) return null
  const isMet = (value: number): boolean => value <= most && value >= least
  if (known.every(isMet)) return 'met'
  return isMet(median(known)) ? 'mostly' : 'missed'
}

const WORDS: Readonly<Record<Outcome, string>> = { met: 'met', mostly: 'met by the median', missed: '**missed**' }

/** Rounded away from the goal, so that what is shown is not met where it was not. */
function shown(value: number, { digits, most }: Goal): string {
  const scale = 10 ** digits
  const rounded = most === undefined ? Math.floor(value * scale) : Math.ceil(value * scale - 1e-9)
  return (rounded / scale).toFixed(digits)
}

/** `isWhole`: goals that were not measured are told, too. */
export function goalsTable(measured: Measured, isWhole = true): string {
  const rows = GOALS.flatMap((goal) => {
    // What JSON makes of a NaN is null
    const values = (measured.get(goal.figure) ?? []).filter(Number.isFinite)
    const outcome = outcomeOf(goal, values)
    if (outcome === null) return isWhole ? `| ${goal.work} | ${goal.goal} | not measured | |` : []
    const middle = shown(median(values), goal)
    const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => shown(value, goal))
    const range = least === most ? '' : ` (${least}-${most})`
    return `| ${goal.work} | ${goal.goal} | ${middle}${range}${goal.unit} | ${WORDS[outcome]} |`
  })
  return ['| | goal | measured, median (least-most) | |', '| --- | --- | --- | --- |', ...rows].join('\n')
}
