/** Records of tenants and models: their names in a store, and their reading. */
import { ModelIndex } from '../../core/model-index.ts'
import type { Disabled, TenantKind, TenantRecord } from '../../core/ports/tenants.ts'
import { fits, maybe, members, number, object, parse, record, type Shape, text } from './shape.ts'

export const recordName = (kind: TenantKind, id: string): string => `${kind} ${id}`

export const RECORD: Shape = {
  kind: (value) => value === 'tenant' || value === 'model' || value === 'deployment',
  id: text,
  label: text,
  models: maybe(Array.isArray),
  limits: maybe(object),
  providerKeys: maybe(record(members({ sealed: text, origin: text, last4: text, setAtMs: number }))),
  deployment: maybe(members({ added: maybe(object), weight: maybe(number) })),
  disabled: maybe(members({ running: text, queued: text, reason: text, atMs: number })),
  createdAtMs: number,
  changedAtMs: number,
}

/** Asked for each request: an index, made anew after each change. */
export class ModelSwitches {
  readonly #all: () => Iterable<TenantRecord>
  #index: ModelIndex<{ readonly name: string; readonly disabled: Disabled }> | null = null

  constructor(all: () => Iterable<TenantRecord>) {
    this.#all = all
  }

  changed(): void {
    this.#index = null
  }

  find(model: string): Disabled | null {
    this.#index ??= new ModelIndex(
      [...this.#all()].flatMap(({ kind, id: name, disabled }) =>
        kind === 'model' && disabled !== null ? [{ name, disabled }] : [],
      ),
    )
    return this.#index.find(model)?.disabled ?? null
  }
}

/** Null: damaged. */
export function readRecord(json: string): TenantRecord | null {
  const record = parse(json)
  return fits(record, RECORD) ? (record as TenantRecord) : null
}

export const DAMAGED = 'What was set of a tenant is damaged in the store, and is not in force: set it again.'

export const sorted = (records: Iterable<TenantRecord>): readonly TenantRecord[] =>
  [...records].sort((a, b) => {
    const [one, other] = [recordName(a.kind, a.id), recordName(b.kind, b.id)]
    return one < other ? -1 : one > other ? 1 : 0
  })
