/** The six workloads as Markdown, as docs/benchmarks.md has them. */
import { median, spread } from '../report.ts'
import type { DialectName } from './dialects.ts'
import type { LoadName } from './loads.ts'

export type Cell = `${DialectName} ${LoadName}`

/** Of one target, in one round, under one load; times in ms, CPU of the target in µs. */
export interface Figures {
  readonly usPerCall: number
  readonly usPerToken: number
  readonly callsPerS: number
  readonly tokensPerS: number
  readonly callP50: number
  readonly callP99: number
  readonly ttftP50: number
  readonly ttftP99: number
  readonly lagP50: number
  readonly lagP99: number
  readonly rssMb: number
  readonly errors: number
}

/** By target, in the order of the columns; each round's figures in order. */
export type Found = ReadonlyMap<string, ReadonlyMap<Cell, readonly Figures[]>>

const TITLES: Readonly<Record<DialectName, string>> = { chat: 'chat', responses: 'Responses', messages: 'Messages' }

interface Line {
  readonly title: string
  readonly load: LoadName
  readonly cell: (all: readonly Figures[]) => string
}

/** Rounds in which nothing was carried have no such figure. */
const finite = (all: readonly Figures[], name: keyof Figures): number[] =>
  all.map((each) => each[name]).filter((value) => Number.isFinite(value))
const of = (all: readonly Figures[], name: keyof Figures, digits: number): string => {
  const values = finite(all, name)
  return values.length === 0 ? '–' : median(values).toFixed(digits)
}
const ranged = (all: readonly Figures[], name: keyof Figures, digits: number): string =>
  of(all, name, digits) + spread(finite(all, name), digits)

const LINES: readonly Line[] = [
  { title: 'not streamed, 50/s: p50 / p99 ms', load: 'calls', cell: (all) => pair(all, 'callP50', 'callP99') },
  { title: 'as many as it can: calls/s', load: 'calls-full', cell: (all) => ranged(all, 'callsPerS', 0) },
  { title: 'p50 / p99 ms', load: 'calls-full', cell: (all) => pair(all, 'callP50', 'callP99') },
  { title: 'CPU µs a call', load: 'calls-full', cell: (all) => ranged(all, 'usPerCall', 0) },
  {
    title: 'streamed, 16 × 50 tok/s: TTFT p50 / p99 ms',
    load: 'streams',
    cell: (all) => pair(all, 'ttftP50', 'ttftP99'),
  },
  { title: 'a token late by, p50 / p99 ms', load: 'streams', cell: (all) => pair(all, 'lagP50', 'lagP99') },
  { title: 'CPU µs a token', load: 'streams', cell: (all) => ranged(all, 'usPerToken', 0) },
  {
    title: 'as fast as it can: streams/s of 100 tokens',
    load: 'streams-full',
    cell: (all) => ranged(all, 'callsPerS', 0),
  },
  { title: 'CPU µs a token', load: 'streams-full', cell: (all) => ranged(all, 'usPerToken', 1) },
  { title: 'RSS MB then', load: 'streams-full', cell: (all) => of(all, 'rssMb', 0) },
]

const pair = (all: readonly Figures[], first: keyof Figures, second: keyof Figures): string =>
  `${of(all, first, 1)} / ${of(all, second, 1)}`

/** One that has no process of its own has no CPU or memory to tell. */
const ALONE = 'the upstream alone'
const isOwn = ({ title }: Line): boolean => title.startsWith('CPU') || title.startsWith('RSS')

export function gatewayTables(found: Found, dialects: readonly DialectName[], rounds: number): string {
  const names = [...found.keys()]
  const tables = dialects.map((dialect) => {
    const lines = LINES.map((line) => {
      const cells = names.map((name) => {
        const all = found.get(name)!.get(`${dialect} ${line.load}`) ?? []
        return all.length === 0 || (name === ALONE && isOwn(line)) ? '' : line.cell(all)
      })
      return `| ${line.title} | ${cells.join(' | ')} |`
    })
    return [`| ${TITLES[dialect]} | ${names.join(' | ')} |`, `| --- |${' --- |'.repeat(names.length)}`, ...lines].join(
      '\n',
    )
  })
  const errors = [...found].flatMap(([name, cells]) => {
    const count = [...cells.values()].flat().reduce((sum, each) => sum + each.errors, 0)
    return count === 0 ? [] : [`${name} ${count}`]
  })
  tables.push(
    `Medians of ${rounds} interleaved rounds (in brackets: least and most), each target on one core. TTFT holds the ` +
      "upstream's own 50 ms; the upstream alone is what client and upstream take without a gateway. Tokens that were " +
      `lost, doubled or out of order, and failed calls: ${errors.length === 0 ? '0' : errors.join(', ')}.`,
  )
  return tables.join('\n\n')
}
