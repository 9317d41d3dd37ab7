/** What was used, and what it cost: PROTOCOL.md section 9. */
import { bad } from '../../core/fields.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { UsageFilter, UsageGrouping, UsageReport } from '../../core/ports/ledger.ts'
import { toBytes } from '../../core/record.ts'
import { type Caller, requireKey, userOf } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, bytes, json } from '../http/answer.ts'
import { sendBytes } from '../http/byte-stream.ts'
import type { Call, KeyCall } from '../http/call.ts'
import { csvLine } from '../http/csv.ts'
import type { Route } from '../http/route.ts'
import { countsView, groupView, RECORD_COLUMNS, recordView } from '../read/usage.ts'

const DAYS = 30
const DAY_MS = 86_400_000
const RECORDS = 1_000
const MAX_RECORDS = 10_000
const FILTERS = ['user', 'key', 'model', 'from', 'to'] as const
const GROUPINGS: readonly UsageGrouping[] = ['day', 'tenant', 'user', 'key', 'model']
const CSV_TYPE = 'text/csv; charset=utf-8'

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

interface UsageRoutes {
  readonly public: readonly Route[]
  readonly admin: readonly Route[]
}

export function usageRoutes({ usage, clock, onFault }: GatewayDeps): UsageRoutes {
  /** `groupings`: those that the caller may ask for. */
  async function sums(call: Call, filter: UsageFilter, groupings: readonly UsageGrouping[]): Promise<Answer> {
    const by = groupingOf(call, groupings)
    const now = clock.wallMs()
    const { fromDay = dayOf(now - (DAYS - 1) * DAY_MS), toDay = dayOf(now) } = filter
    const report = await usage.sums({ ...filter, fromDay, toDay }, by)
    if (asksForCsv(call)) return bytes(200, toBytes(csvOf(report, by)), attachment, CSV_TYPE)
    return json(200, {
      object: 'usage',
      from: fromDay,
      to: toDay,
      group_by: by,
      total: countsView(report.total),
      data: report.groups.map((group) => groupView(group, by)),
    })
  }

  async function records(call: Call): Promise<Answer | null> {
    const filter = filterOf(call, call.parameter('tenant'))
    const after = call.parameter('after') ?? null
    const limit = call.integer('limit', 1, MAX_RECORDS)
    if (asksForCsv(call)) {
      const { exchange } = call
      const failed = (error: unknown): void => onFault(error, exchange.requestId)
      const headers = { 'content-type': CSV_TYPE, ...attachment }
      await sendBytes(exchange, recordsCsv(filter, after, limit ?? Infinity), failed, headers)
      return null
    }
    const { items, next } = await usage.records(filter, after, limit ?? RECORDS)
    const data = items.map((record) => ({
      object: 'usage.record',
      created_at: Math.floor(record.atMs / 1_000),
      ...recordView(record),
    }))
    return json(200, { object: 'list', data, has_more: next !== null, next })
  }

  /** A page at a time, as fast as it is read. */
  async function* recordsCsv(filter: UsageFilter, after: string | null, most: number): AsyncGenerator<Uint8Array> {
    let text = csvLine(['time', ...RECORD_COLUMNS])
    for (let left = most; ; ) {
      const page = await usage.records(filter, after, Math.min(RECORDS, left))
      for (const record of page.items) {
        const view = recordView(record)
        text += csvLine([new Date(record.atMs).toISOString(), ...RECORD_COLUMNS.map((name) => view[name])])
      }
      yield Buffer.from(text, 'utf8')
      text = ''
      left -= page.items.length
      if (page.next === null || left <= 0) return
      after = page.next
    }
  }

  async function own(call: KeyCall): Promise<Answer> {
    const { caller } = call
    const { tenant } = caller.key
    if (caller.session === null)
      return sums(
        call,
        filterOf(call, tenant),
        GROUPINGS.filter((by) => by !== 'tenant'),
      )
    const user = ownUser(caller)
    for (const name of ['user', 'key']) if (call.parameter(name) !== undefined) requireKey(caller)
    return sums(call, { ...filterOf(call, tenant), user }, ['day', 'model'])
  }

  const query = [...FILTERS, 'group_by', 'format']
  return {
    public: [{ method: 'GET', path: '/v1/usage', query, auth: 'tenant', run: own }],
    admin: [
      {
        method: 'GET',
        path: '/admin/usage',
        query: ['tenant', ...query],
        auth: 'operator',
        run: (call) => sums(call, filterOf(call, call.parameter('tenant')), GROUPINGS),
      },
      {
        method: 'GET',
        path: '/admin/usage/records',
        query: ['tenant', ...FILTERS, 'after', 'limit', 'format'],
        auth: 'operator',
        run: records,
      },
    ],
  }
}

const attachment = { 'content-disposition': 'attachment; filename="usage.csv"' }

/** Whose session it is. One that was opened for nobody sees nothing (T1). Throws forbidden. */
function ownUser(caller: Caller): string {
  const user = userOf(caller)
  if (user === null) requireKey(caller)
  return user!
}

/** Throws invalid_request. */
function filterOf(call: Call, tenant: string | undefined): UsageFilter {
  for (const name of ['tenant', 'user', 'key', 'model'])
    if (call.parameter(name) === '') throw bad(name, `"${name}" is empty: leave it out for all of them.`)
  const given = (name: string): string | undefined => call.parameter(name)
  const [user, keyId, model, fromDay, toDay] = [
    given('user'),
    given('key'),
    given('model'),
    day(call, 'from'),
    day(call, 'to'),
  ]
  if (fromDay !== undefined && toDay !== undefined && fromDay > toDay)
    throw bad('from', '"from" must not be later than "to".')
  return {
    ...(tenant && { tenant }),
    ...(user && { user }),
    ...(keyId && { keyId }),
    ...(model && { model }),
    ...(fromDay && { fromDay }),
    ...(toDay && { toDay }),
  }
}

function day(call: Call, name: string): string | undefined {
  const text = call.parameter(name)
  if (text === undefined) return undefined
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at) || dayOf(at) !== text) throw bad(name, `"${name}" must be a day (UTC): "2026-11-26".`)
  return text
}

function groupingOf(call: Call, allowed: readonly UsageGrouping[]): readonly UsageGrouping[] {
  const names = (call.parameter('group_by') ?? '').split(',').filter((name) => name !== '')
  for (const name of names)
    if (!allowed.includes(name as UsageGrouping))
      throw bad(
        'group_by',
        `"group_by" must be one of ${allowed.join(', ')}, or several separated by commas.${didYouMean(name, allowed)}`,
      )
  return [...new Set(names as UsageGrouping[])]
}

function asksForCsv(call: Call): boolean {
  const format = call.parameter('format')
  if (format !== undefined && format !== 'csv' && format !== 'json')
    throw bad('format', '"format" must be csv or json.')
  return format === undefined ? /\btext\/csv\b/i.test(call.header('accept') ?? '') : format === 'csv'
}

const COUNTS = Object.keys(countsView({ nanoDollars: 0n } as UsageReport['total'])) as ReadonlyArray<
  keyof ReturnType<typeof countsView>
>

function csvOf({ groups }: UsageReport, by: readonly UsageGrouping[]): string {
  const lines = groups.map((group) => {
    const counts = countsView(group)
    return csvLine([...group.names, ...COUNTS.map((name) => counts[name])])
  })
  return [csvLine([...by, ...COUNTS]), ...lines].join('')
}
