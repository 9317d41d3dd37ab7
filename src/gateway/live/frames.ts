/** Frames from pages, checked: what core/live.ts lets them ask. */
import { bad, checkNames } from '../../core/fields.ts'
import type { JobState } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { JobFilter, LiveAsk, Range, RangeName, RowKind } from '../../core/live.ts'

const PAGES = ['now', 'jobs', 'job', 'foot'] as const
const RANGES: readonly RangeName[] = ['15m', '1h', '6h', '24h', '7d']
const ROWS: readonly RowKind[] = ['tenant', 'model', 'deployment']
const KINDS: ReadonlyArray<NonNullable<JobFilter['kind']>> = ['late', 'retried', 'cut']
const STATES: readonly JobState[] = ['queued', 'delayed', 'waiting', 'leased', 'done', 'failed', 'canceled', 'expired']
const MAX_NAME_CHARS = 256

/** Throws invalid_request. */
export function readAsk(value: JsonRecord): LiveAsk {
  if (value['t'] !== 'watch') throw bad('t', '"t" must be "watch".')
  const page = oneOf('page', value['page'], PAGES)
  switch (page) {
    case 'foot':
      checkNames(value, ['t', 'page'])
      return { t: 'watch', page }
    case 'job':
      checkNames(value, ['t', 'page', 'job'])
      return { t: 'watch', page, job: name('job', value['job']) }
    case 'jobs':
      checkNames(value, ['t', 'page', 'filter'])
      return { t: 'watch', page, filter: readFilter(value['filter'] ?? {}) }
    case 'now': {
      checkNames(value, ['t', 'page', 'range', 'rows', 'node'])
      const node = value['node'] ?? null
      return {
        t: 'watch',
        page,
        range: readRange(value['range']),
        rows: oneOf('rows', value['rows'] ?? 'tenant', ROWS),
        node: node === null ? null : name('node', node),
      }
    }
  }
}

function readRange(value: unknown): Range {
  if (!isRecord(value)) return oneOf('range', value ?? '15m', RANGES)
  checkNames(value, ['fromMs', 'toMs'])
  const { fromMs, toMs } = value
  if (!Number.isSafeInteger(fromMs) || !Number.isSafeInteger(toMs) || (fromMs as number) >= (toMs as number))
    throw bad('range', '"range" must be a name, or {"fromMs", "toMs"} with whole numbers, the first one earlier.')
  return { fromMs: fromMs as number, toMs: toMs as number }
}

function readFilter(value: unknown): JobFilter {
  if (!isRecord(value)) throw bad('filter', '"filter" must be an object.')
  checkNames(value, ['state', 'tenant', 'model', 'kind'])
  const { state, tenant, model, kind } = value
  return {
    ...(state != null && { state: oneOf('state', state, STATES) }),
    ...(tenant != null && { tenant: name('tenant', tenant) }),
    ...(model != null && { model: name('model', model) }),
    ...(kind != null && { kind: oneOf('kind', kind, KINDS) }),
  }
}

function name(member: string, value: unknown): string {
  if (typeof value === 'string' && value !== '' && value.length <= MAX_NAME_CHARS) return value
  throw bad(member, `"${member}" must be a string of 1 to ${MAX_NAME_CHARS} characters.`)
}

function oneOf<T extends string>(member: string, value: unknown, values: readonly T[]): T {
  if (values.includes(value as T)) return value as T
  throw bad(member, `"${member}" must be one of ${values.join(', ')}.`)
}
