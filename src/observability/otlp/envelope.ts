/**
 * What is around spans and metrics in a request to a collector: from which process they are. Both kinds have the same
 * fields: resource, scope, then the items.
 */
import { ProtoWriter } from './protobuf.ts'

export interface Resource {
  readonly serviceName: string
  /** Another one with each start. */
  readonly instanceId: string
  readonly version: string
  /** Of the names in use; '': there is none. */
  readonly schemaUrl: string
}

/** In a ScopeSpans, or ScopeMetrics, each item is this field. */
export const ITEM = 2

/** Made once; what is passed to it are items, each with its tag. */
export function createEnvelope({ serviceName, instanceId, version, schemaUrl }: Resource) {
  const w = new ProtoWriter()
  const resource = w.begin(1)
  for (const [name, value] of [
    ['service.name', serviceName],
    ['service.instance.id', instanceId],
    ['service.version', version],
  ] as const)
    textAttribute(w, 1, name, value)
  w.end(resource)
  const head = w.bytes()
  w.clear()
  const scope = w.begin(1)
  w.text(1, 'sluice')
  w.text(2, version)
  w.end(scope)
  const scopeHead = w.bytes()
  w.clear()

  return (items: Uint8Array): Uint8Array => {
    w.clear()
    const all = w.begin(1)
    w.raw(head)
    const inScope = w.begin(2)
    w.raw(scopeHead)
    w.raw(items)
    w.end(inScope)
    if (schemaUrl !== '') w.text(3, schemaUrl)
    w.end(all)
    return w.bytes()
  }
}

/** Longer texts of callers are cut: their own request ids, say. */
const MAX_CHARS = 256

export function textAttribute(w: ProtoWriter, field: number, key: string, value: string): void {
  const from = w.begin(field)
  w.text(1, key)
  const any = w.begin(2)
  w.text(1, value.length > MAX_CHARS ? value.slice(0, MAX_CHARS) : value)
  w.end(any)
  w.end(from)
}

/** A whole number that is not negative; others, if an upstream reports such, as they are. */
export function countAttribute(w: ProtoWriter, field: number, key: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) return numberAttribute(w, field, key, value)
  const from = w.begin(field)
  w.text(1, key)
  const any = w.begin(2)
  w.uint(3, value)
  w.end(any)
  w.end(from)
}

export function numberAttribute(w: ProtoWriter, field: number, key: string, value: number): void {
  const from = w.begin(field)
  w.text(1, key)
  const any = w.begin(2)
  w.double(4, value)
  w.end(any)
  w.end(from)
}

export function flagAttribute(w: ProtoWriter, field: number, key: string, value: boolean): void {
  const from = w.begin(field)
  w.text(1, key)
  const any = w.begin(2)
  w.uint(2, value ? 1 : 0)
  w.end(any)
  w.end(from)
}

export function listAttribute(w: ProtoWriter, field: number, key: string, values: readonly string[]): void {
  const from = w.begin(field)
  w.text(1, key)
  const any = w.begin(2)
  const list = w.begin(5)
  for (const value of values) {
    const each = w.begin(1)
    w.text(1, value)
    w.end(each)
  }
  w.end(list)
  w.end(any)
  w.end(from)
}
