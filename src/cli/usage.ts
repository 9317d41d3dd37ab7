/** `sluice usage`: what was used and what it cost, through the admin listener of the running server. */
import { didYouMean } from '../core/nearest.ts'
import { ADMIN_OPTIONS, adminClient, type Client } from './client.ts'
import { type Args, type Command, EXIT, invocation, type Output, UsageError } from './command.ts'
import { columns } from './table.ts'

interface Counts {
  readonly attempts: number
  readonly repeats: number
  readonly estimated: number
  readonly unpriced: number
  readonly prompt_tokens: number
  readonly cached_tokens: number
  readonly completion_tokens: number
  readonly reasoning_tokens: number
  readonly dollars: string
}

type Group = Counts & Readonly<Record<string, string | number | null>>

export interface Report {
  readonly from: string
  readonly to: string
  readonly group_by: readonly string[]
  readonly total: Counts
  readonly data: readonly Group[]
}

interface Page {
  readonly data: ReadonlyArray<Readonly<Record<string, string | number | boolean | null>>>
  readonly next: string | null
}

const FILTERS = ['from', 'to', 'tenant', 'user', 'key', 'model'] as const
const GROUPINGS = ['day', 'tenant', 'user', 'key', 'model']
const DEFAULT_BY = 'day,model'

export const command: Command = {
  about: 'What was used, and what it cost: of the last 30 days, if no others are named.',
  usage: 'usage [--by day,tenant,user,key,model] [--from DAY] [--to DAY] [--records] [--csv]',
  options: {
    by: { value: 'A,B', help: `what to tell apart: ${GROUPINGS.join(', ')} (default: ${DEFAULT_BY})` },
    from: { value: 'DAY', help: 'the first day, UTC: 2026-11-01' },
    to: { value: 'DAY', help: 'the last day' },
    tenant: { value: 'NAME', help: 'only of this tenant' },
    user: { value: 'NAME', help: 'only of this end user' },
    key: { value: 'ID', help: 'only of the API key with this id' },
    model: { value: 'NAME', help: 'only of this model, as clients call it' },
    records: { help: 'not sums, but each call of a provider: as CSV, or with --json as JSON, one a line' },
    csv: { help: 'print CSV' },
    ...ADMIN_OPTIONS,
  },
  takesSettings: ['admin-port', 'data-dir'],
  run: usage,
}

async function usage(args: Args, out: Output): Promise<number> {
  const asCsv = args.has('csv')
  if (asCsv && args.has('json')) throw new UsageError('--csv and --json: choose one of them.')
  if (args.has('records') && args.has('by')) throw new UsageError('--records are not summed up: leave out --by.')
  const by = args.option('by') ?? DEFAULT_BY
  checkGroupings(by)
  checkDays(args)
  const client = adminClient(args)
  const query = new URLSearchParams()
  for (const name of FILTERS) if (args.has(name)) query.set(name, args.option(name)!)
  if (args.has('records'))
    return args.has('json') ? lines(client, query, out) : csv(client, 'usage/records', query, out)
  query.set('group_by', by)
  if (asCsv) return csv(client, 'usage', query, out)
  const report = (await (await client.call('GET', `/admin/usage?${query}`)).json()) as Report
  if (args.has('json')) out.print(JSON.stringify(report))
  else {
    for (const line of usageTable(report)) out.print(line)
    for (const note of report.total.attempts === 0 ? [nothingOf(query)] : notesOn(report.total)) out.note(note)
  }
  return EXIT.ok
}

/** Throws UsageError: the API's own messages name its parameters. */
function checkGroupings(by: string): void {
  for (const name of by.split(','))
    if (name !== '' && !GROUPINGS.includes(name)) {
      const meant = didYouMean(name, GROUPINGS)
      throw new UsageError(`--by: ${JSON.stringify(name)} is not one of ${GROUPINGS.join(', ')}.${meant}`)
    }
}

/** Throws UsageError. */
function checkDays(args: Args): void {
  const [from, to] = ['from', 'to'].map((name) => {
    const day = args.option(name)
    if (day !== undefined && !isDay(day))
      throw new UsageError(`--${name}: ${JSON.stringify(day)} is not a day (UTC), such as 2026-11-26.`)
    return day
  })
  if (from !== undefined && to !== undefined && from > to) throw new UsageError('--from must not be later than --to.')
}

function isDay(text: string): boolean {
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(text)
}

/** A mistyped name is no error: what it has used outlives it. */
function nothingOf(query: URLSearchParams): string {
  const names = ['tenant', 'user', 'key', 'model'].filter((name) => query.has(name))
  const asked = names.map((name) => `${name} ${JSON.stringify(query.get(name))}`).join(', ')
  const check = query.has('tenant') ? ` "${invocation} tenants list" shows the tenants there are.` : ''
  return `There is no usage${asked && ` of ${asked}`} in these days.${check}`
}

async function csv(client: Client, path: string, query: URLSearchParams, out: Output): Promise<number> {
  query.set('format', 'csv')
  const { body } = await client.call('GET', `/admin/${path}?${query}`)
  const text = new TextDecoder('utf-8', { ignoreBOM: true })
  for await (const chunk of body!) out.write(text.decode(chunk, { stream: true }))
  return EXIT.ok
}

async function lines(client: Client, query: URLSearchParams, out: Output): Promise<number> {
  for (;;) {
    const { data, next } = (await (await client.call('GET', `/admin/usage/records?${query}`)).json()) as Page
    for (const record of data) out.print(JSON.stringify(record))
    if (next === null) return EXIT.ok
    query.set('after', next)
  }
}

const COUNTS = [
  'repeats',
  'prompt_tokens',
  'cached_tokens',
  'completion_tokens',
  'reasoning_tokens',
  'dollars',
] as const
const TITLES = ['CALLS', 'REPEATS', 'PROMPT', 'CACHED', 'COMPLETION', 'REASONING', 'DOLLARS']

export function usageTable({ from, to, group_by: by, total, data }: Report): string[] {
  const numbers = (counts: Counts): string[] => [String(callsIn(counts)), ...COUNTS.map((name) => String(counts[name]))]
  const rows = data.map((group) => [...by.map((name) => shown(group[name])), ...numbers(group)])
  const last = [...by.map((_, i) => (i === 0 ? 'TOTAL' : '')), ...numbers(total)]
  const head = [...by.map((name) => name.toUpperCase()), ...TITLES]
  return [`${from} to ${to}`, '', ...columns(rightAligned([head, ...(by.length > 0 ? rows : []), last], by.length))]
}

/** Of providers. */
const callsIn = ({ attempts, repeats }: Counts): number => attempts - repeats

/** Names are their clients' choice: no control character of theirs reaches a terminal. */
function shown(name: string | number | null | undefined): string {
  if (name === null || name === undefined) return '-'
  return name === '' ? OTHERS : String(name).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '·')
}

/** Users, or models, beyond a day's sums. */
const OTHERS = '(others)'

/** All columns from this one on. */
function rightAligned(rows: ReadonlyArray<readonly string[]>, from: number): string[][] {
  const widths = rows[0].map((_, i) => rows.reduce((most, row) => Math.max(most, row[i].length), 0))
  return rows.map((row) => row.map((cell, i) => (i < from ? cell : cell.padStart(widths[i]))))
}

function notesOn(counts: Counts): string[] {
  const { estimated, unpriced } = counts
  const notes: string[] = []
  if (estimated > 0)
    notes.push(
      `Of ${callsIn(counts)} calls the provider did not report the tokens of ${estimated}: these are estimated.`,
    )
  if (unpriced > 0)
    notes.push(`${unpriced} calls have no price, and are in no sum of dollars: give their models a price.`)
  return notes
}
