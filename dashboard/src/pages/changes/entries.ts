/** What was changed, in words; and how it can be taken back. */
import type { ChangeRow } from '../../../../src/core/live.ts'
import type { Shape } from '../../parts/mark.tsx'

/** An entry of the audit, as `GET /admin/audit` tells it. */
export interface Entry {
  readonly at_ms: number
  readonly action: string
  readonly target: string
  readonly tenant: string | null
  readonly from: string
  readonly request_id: string
  readonly before: Readonly<Record<string, unknown>>
  readonly after: Readonly<Record<string, unknown>>
}

export type Kind = 'keys' | 'tenants' | 'jobs' | 'deployments' | 'config' | 'texts' | 'bench'

export const KINDS: ReadonlyArray<{ readonly value: Kind; readonly text: string }> = [
  { value: 'config', text: 'Config' },
  { value: 'keys', text: 'Keys' },
  { value: 'tenants', text: 'Tenants' },
  { value: 'deployments', text: 'Deployments' },
  { value: 'jobs', text: 'Jobs and queue' },
  { value: 'texts', text: 'Looks at text' },
  { value: 'bench', text: 'Benchmarks' },
]

export function kindOf(action: string): Kind {
  if (action.startsWith('key-')) return 'keys'
  if (action.startsWith('tenant-')) return 'tenants'
  if (/^(?:deployment|model)-/.test(action)) return 'deployments'
  if (action.startsWith('text-')) return 'texts'
  if (action.startsWith('benchmark-')) return 'bench'
  return /^(?:queue|job)-/.test(action) ? 'jobs' : 'config'
}

const SHAPES: Readonly<Record<Kind, Shape>> = {
  keys: 'config',
  tenants: 'config',
  jobs: 'config',
  config: 'config',
  deployments: 'well',
  texts: 'none',
  bench: 'bench',
}

export const shapeOf = (action: string): Shape =>
  /-(?:drained|disabled|revoked|erased)$/.test(action) ? 'warn' : SHAPES[kindOf(action)]

/** What the subject and the verb tell already, or nobody changed. */
const HIDDEN =
  /^(?:id|object|tenant|source|limits_source|changed_at|created_at|hint|paused|drained|disabled|part|role)$/

/** "key-rotated", "key key_ab12" → "key key_ab12 rotated" */
export function wordsOf({ action, target, before, after }: Entry): string {
  if (action === 'text-viewed') return `${after['part'] === 'request' ? 'Request' : 'Answer'} of ${target} viewed`
  if (action === 'config-reloaded')
    return `Configuration reloaded${listed(after['changed'])}${waits(after['needs_restart'])}`
  const verb = action.slice(action.indexOf('-') + 1).replaceAll('-', ' ')
  const subject = action.startsWith('queue-') ? `Queue of ${target}` : upper(target)
  const isNew = Object.keys(before).length === 0
  const changes = Object.keys({ ...before, ...after })
    .filter((name) => !HIDDEN.test(name))
    .flatMap((name) => changeOf(name, before[name], after[name], isNew))
  return `${subject} ${verb}${changes.length === 0 ? '' : `: ${changes.slice(0, 4).join(', ')}`}`
}

/** Names of settings: they are told without values. */
const listed = (settings: unknown): string =>
  Array.isArray(settings) && settings.length > 0
    ? `: ${settings.slice(0, 4).join(', ').slice(0, 120)}${settings.length > 4 ? ' …' : ''}`
    : ''

const waits = (settings: unknown): string =>
  Array.isArray(settings) && settings.length > 0
    ? `; ${settings.slice(0, 4).join(', ').slice(0, 120)} only after a restart`
    : ''

function changeOf(name: string, before: unknown, after: unknown, isNew: boolean): readonly string[] {
  if (isRecord(before) || isRecord(after)) {
    const [one, other] = [isRecord(before) ? before : {}, isRecord(after) ? after : {}]
    return Object.keys({ ...one, ...other })
      .filter((member) => JSON.stringify(one[member]) !== JSON.stringify(other[member]))
      .flatMap((member) =>
        changeOf(name === 'limits' ? member : `${name} ${member}`, one[member], other[member], isNew),
      )
  }
  const [from, to] = [shown(before), shown(after)]
  if (from === to) return []
  return [`${name.replaceAll('_', ' ')} ${isNew ? to : `${from} → ${to}`}`]
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function shown(value: unknown): string {
  if (value === undefined || value === null || value === '') return 'none'
  if (typeof value === 'number') return value.toLocaleString('en')
  if (Array.isArray(value)) return value.slice(0, 5).join(', ')
  return String(value).slice(0, 60)
}

export interface Undo {
  readonly method: 'POST' | 'PATCH'
  readonly path: string
  readonly body?: object
}

/** Null: it can't be undone, or nothing would come of it. */
export function undoOf({ action, target, before }: Entry): Undo | null {
  const [kind, name = ''] = target.split(/ (.*)/s)
  if (/^(?:tenant|key|model)-disabled$/.test(action))
    return { method: 'POST', path: '/admin/enable', body: { [kind]: name } }
  if (action === 'deployment-drained')
    return { method: 'POST', path: `/admin/deployments/${encodeURIComponent(name)}/resume` }
  if (action === 'deployment-put-back')
    return { method: 'POST', path: `/admin/deployments/${encodeURIComponent(name)}/drain` }
  if (action === 'queue-paused' && !target.includes(', '))
    return { method: 'POST', path: '/admin/resume', body: { [kind]: name } }
  const body = Object.fromEntries(
    ['label', 'name', 'models', 'limits', 'scopes'].flatMap((member) =>
      member in before ? [[member, before[member]]] : [],
    ),
  )
  if (Object.keys(body).length === 0) return null
  if (action === 'tenant-changed') return { method: 'PATCH', path: `/admin/tenants/${encodeURIComponent(name)}`, body }
  if (action === 'key-changed') return { method: 'PATCH', path: `/admin/keys/${encodeURIComponent(name)}`, body }
  return null
}

/** Where it leads. */
export function linkOf({ target, tenant, action }: Entry): string | null {
  const [kind, name = ''] = target.split(/ (.*)/s)
  if (kind === 'job') return `/jobs/${encodeURIComponent(name)}`
  if (kind === 'deployment' || kind === 'model') return `/models/${encodeURIComponent(name)}`
  if (action === 'tenant-erased' || tenant === null) return null
  return `/tenants/${encodeURIComponent(tenant)}`
}

/** What no person did: it is in no audit, and told live alone. */
export const isOwn = ({ kind, by }: ChangeRow): boolean =>
  by === null && (kind === 'deployment-out' || kind === 'deployment-back' || kind === 'node')

const upper = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1)
