/** All numbers of a process: reads them, sums them over processes, shows them to people. */
import { bucketBound, countOf, type Labels, type Metric, type NumberSource, quantileOf } from '../core/numbers.ts'

/** A number as read: plain data that can be sent elsewhere. */
export type Reading = { readonly name: string; readonly help: string; readonly labels?: Labels } & (
  | { readonly kind: 'counter'; readonly value: number }
  | { readonly kind: 'gauge'; readonly over: 'sum' | 'max'; readonly value: number }
  | { readonly kind: 'histogram'; readonly buckets: readonly number[]; readonly sum: number; readonly max: number }
)

export interface Registry {
  /**
   * Throws if two numbers share a name, or a name is malformed: a mistake in the source. Names are those of the start:
   * a source may replace its metrics, but what reads numbers counts on their names.
   */
  add(...sources: readonly NumberSource[]): void
  /** Reads all; `turn`, where it is given, lets the event loop do other work in between. */
  read(turn?: () => Promise<void>): Promise<readonly Reading[]>
}

/** Numbers that are read in one turn of the event loop. */
const READ_AT_ONCE = 25

export function createRegistry(first: readonly NumberSource[] = []): Registry {
  const sources: NumberSource[] = []
  const names = new Set<string>()

  /** None rather than stale ones, if they could not be fetched. */
  async function readingsOf(source: NumberSource, turn?: () => Promise<void>): Promise<readonly Reading[]> {
    try {
      await source.refresh?.()
    } catch {
      return []
    }
    const { metrics, families = [] } = source
    for (const { name } of metrics) if (!names.has(name)) throw new Error(`"${name}" is no number of the start`)
    const all = [...metrics, ...families.flatMap(({ members }) => members)]
    if (turn === undefined) return all.map(readingOf)
    const readings: Reading[] = []
    for (const metric of all) {
      readings.push(readingOf(metric))
      if (readings.length % READ_AT_ONCE === 0) await turn()
    }
    return readings
  }

  const registry: Registry = {
    add(...added) {
      for (const { name } of added.flatMap(({ metrics, families = [] }) => [...metrics, ...families])) {
        if (!/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name)) throw new Error(`"${name}" is no name of a number`)
        if (names.has(name)) throw new Error(`two numbers are called "${name}"`)
        names.add(name)
      }
      sources.push(...added)
    },
    read: async (turn) => (await Promise.all(sources.map((source) => readingsOf(source, turn)))).flat(),
  }
  registry.add(...first)
  return registry
}

function readingOf(metric: Metric): Reading {
  const { name, help, labels } = metric
  const declared = { name, help, ...(labels !== undefined && { labels }) }
  switch (metric.kind) {
    case 'counter':
      return { ...declared, kind: 'counter', value: metric.value }
    case 'gauge':
      return { ...declared, kind: 'gauge', over: metric.over, value: metric.read() }
    case 'histogram':
      return { ...declared, kind: 'histogram', buckets: [...metric.buckets], sum: metric.sum, max: metric.max }
  }
}

/** The totals of several processes. A number that only some of them have is the total of those. */
export function sum(processes: ReadonlyArray<readonly Reading[]>): readonly Reading[] {
  const total = new Map<string, Reading>()
  for (const reading of processes.flat()) {
    const series = seriesOf(reading)
    const before = total.get(series)
    total.set(series, before === undefined ? reading : add(before, reading))
  }
  return [...total.values()]
}

/** Its name, and its labels as Prometheus writes them. */
export const seriesOf = ({ name, labels }: Reading): string =>
  labels === undefined
    ? name
    : `${name}{${labels.map(([label, value]) => `${label}=${JSON.stringify(value)}`).join(',')}}`

/** Processes of different versions may disagree on a number's kind: then the first one counts. */
function add(a: Reading, b: Reading): Reading {
  if (a.kind === 'counter' && b.kind === 'counter') return { ...a, value: a.value + b.value }
  if (a.kind === 'gauge' && b.kind === 'gauge')
    return { ...a, value: a.over === 'sum' ? a.value + b.value : Math.max(a.value, b.value) }
  if (a.kind === 'histogram' && b.kind === 'histogram')
    return {
      ...a,
      buckets: a.buckets.map((count, i) => count + (b.buckets[i] ?? 0)),
      sum: a.sum + b.sum,
      max: Math.max(a.max, b.max),
    }
  return a
}

/** A histogram, for people. */
export interface Summary {
  readonly count: number
  readonly sum: number
  readonly max: number
  readonly p50: number
  readonly p99: number
  /** Of each bucket that isn't empty: its upper bound (null: none), and how many values it holds. */
  readonly buckets: ReadonlyArray<readonly [number | null, number]>
}

export type Stats = Readonly<Record<string, number | Summary | Readonly<Record<string, Reading['kind']>>>>

/** By name, and labels where it has some; `kinds` has the kind of each. */
export function statsOf(readings: readonly Reading[]): Stats {
  return {
    ...Object.fromEntries(
      readings.map((reading) => [seriesOf(reading), reading.kind === 'histogram' ? summaryOf(reading) : reading.value]),
    ),
    kinds: Object.fromEntries(readings.map(({ name, kind }) => [name, kind])),
  }
}

const summaryOf = (reading: Extract<Reading, { kind: 'histogram' }>): Summary => ({
  count: countOf(reading),
  sum: reading.sum,
  max: reading.max,
  p50: quantileOf(reading, 0.5),
  p99: quantileOf(reading, 0.99),
  buckets: reading.buckets.flatMap((count, i): Summary['buckets'] => {
    const bound = bucketBound(i)
    return count === 0 ? [] : [[Number.isFinite(bound) ? bound : null, count]]
  }),
})
