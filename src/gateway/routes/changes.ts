/** Changes by the operator: how they are read, told, and kept. */
import { isDeepStrictEqual } from 'node:util'
import { bad, checkNames } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { AuditEntry } from '../../core/ports/audit.ts'
import type { GatewayDeps } from '../deps.ts'
import type { Call } from '../http/call.ts'

const TENANT = /^[A-Za-z0-9][\w.-]{0,63}$/
const MODEL = /^[\w.:/@+-]{1,200}\*?$|^\*$/
const MAX_MODELS = 200
export const MAX_NAME_CHARS = 128

export interface Change {
  readonly action: string
  /** "key key_ab". */
  readonly target: string
  readonly tenant: string | null
  /** Views of it: nothing secret is in them. */
  readonly before: JsonRecord
  readonly after: JsonRecord
}

/** A fact, and an entry of the audit. What was changed stays so where that can't be kept: it is in the log. */
export function tellChange(
  deps: Pick<GatewayDeps, 'audit' | 'emit' | 'clock' | 'onFault'>,
  call: Call,
  change: Change,
) {
  const { before, after, action, target, tenant } = change
  const differing = Object.keys({ ...before, ...after }).filter((name) => !isDeepStrictEqual(before[name], after[name]))
  const of = (view: JsonRecord): JsonRecord =>
    Object.fromEntries(differing.flatMap((name) => (view[name] === undefined ? [] : [[name, view[name]]])))
  const entry: AuditEntry = {
    atMs: Math.floor(deps.clock.wallMs()),
    from: call.exchange.request.socket.remoteAddress ?? '',
    requestId: call.requestId,
    action,
    target,
    tenant,
    before: of(before),
    after: of(after),
  }
  const kept = deps.audit.add(entry).catch((error: unknown) => deps.onFault(error, call.requestId))
  deps.emit({ type: 'admin-changed', ...entry })
  return kept
}

/** Null, or why it failed: a change may be in force although it can't be stored now. */
export const outcomeOf = (change: Promise<unknown>): Promise<unknown> =>
  change.then(
    () => null,
    (error: unknown) => error,
  )

// ---------------------------------------------------------------- members of bodies

export function tenantId(id: unknown): string {
  if (typeof id === 'string' && TENANT.test(id)) return id
  throw bad('tenant', '"tenant" must be 1 to 64 letters, digits, ".", "-" or "_".')
}

export function shortText(name: string, value: unknown): string {
  if (typeof value === 'string' && value.length <= MAX_NAME_CHARS) return value
  throw bad(name, `"${name}" must be a string of at most ${MAX_NAME_CHARS} characters.`)
}

/** Null: all. */
export function modelList(value: unknown): readonly string[] | null {
  if (value === null) return null
  const isList = Array.isArray(value) && value.length <= MAX_MODELS
  if (isList && value.every((name) => typeof name === 'string' && MODEL.test(name))) return [...new Set<string>(value)]
  throw bad('models', `"models" must be null (all), or at most ${MAX_MODELS} names, or beginnings that end in "*".`)
}

export function oneOf<T extends string>(name: string, value: unknown, values: readonly T[]): T {
  if (values.includes(value as T)) return value as T
  throw bad(name, `"${name}" must be one of ${values.map((each) => `"${each}"`).join(', ')}.`)
}

/** Throws invalid_request for other members, and for none. */
export function checkChange(body: JsonRecord, names: readonly string[]): void {
  checkNames(body, names)
  if (Object.keys(body).length === 0) throw bad(names[0], `Give at least one of ${names.join(', ')}.`)
}
