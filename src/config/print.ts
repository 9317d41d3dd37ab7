/**
 * The effective configuration as YAML that can be loaded again. Secrets are references; values of headers, and of
 * queries in addresses, are left out.
 */
import { Document, isMap, isScalar, isSeq, type Scalar, type YAMLMap, type YAMLSeq } from 'yaml'
import { Secret } from '../settings/fields.ts'
import type { Loaded, Origin } from './load.ts'

/** Each value that is not a default carries a comment with its origin. */
export function printConfig(loaded: Loaded): string {
  const document = new Document(printable(loaded.settings))
  note(document.contents, loaded.settings, [], loaded)
  return document.toString({ lineWidth: 0, flowCollectionPadding: true })
}

function printable(value: unknown, key = ''): unknown {
  if (value instanceof Secret) return { ...value.ref }
  if (Array.isArray(value))
    return value.map((item: unknown) => (isGroup(item) ? withoutEmpty(printable(item) as object) : printable(item)))
  if (typeof value === 'string') return withoutQuery(value)
  if (typeof value !== 'object' || value === null) return value
  if (key === 'headers')
    return Object.fromEntries(
      Object.entries(value).map(([name, v]) => [name, v instanceof Secret ? printable(v) : NOT_SHOWN]),
    )
  const shown = (member: unknown) => (key === 'limits' && isGroup(member) ? withoutEmpty(member) : member)
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shown(printable(member, name))]))
}

const isGroup = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const NOT_SHOWN = '(not shown)'

/** Some providers take their key in the address. */
function withoutQuery(text: string): string {
  const mark = text.indexOf('?')
  if (mark < 0 || !/^https?:/i.test(text)) return text
  const members = text.slice(mark + 1).split('&')
  return text.slice(0, mark + 1) + members.map((member) => member.replace(/^([^=]*=)?.+$/s, `$1${NOT_SHOWN}`)).join('&')
}

/** A model, a tenant or limits without their empty members. */
function withoutEmpty(item: object): object {
  const isEmpty = (value: unknown): boolean =>
    value === null || (typeof value === 'object' && Object.values(value as object).every(isEmpty))
  const full = (value: unknown): unknown => (isGroup(value) ? withoutEmpty(value) : value)
  return Object.fromEntries(
    Object.entries(item).flatMap(([key, value]) => (isEmpty(value) ? [] : [[key, full(value)] as const])),
  )
}

/** `values`: the settings that the map was made of. */
function note(node: unknown, values: object, path: readonly string[], loaded: Loaded): void {
  if (!isMap(node)) return
  for (const { key, value: written } of node.items as ReadonlyArray<{
    readonly key: Scalar<string>
    readonly value: Scalar | YAMLMap | YAMLSeq
  }>) {
    const at = [...path, key.value]
    const value = (values as Record<string, unknown>)[key.value]
    const origin = loaded.originOf(at.join('.'))
    if (value instanceof Secret && isMap(written)) written.flow = true
    else if (isMap(written)) {
      note(written, value as object, at, loaded)
      continue
    }
    if (isSeq(written) && written.items.every(isScalar)) written.flow = true
    if (origin.kind === 'default') continue
    const text = ` ${originText(origin, loaded.file)}`
    if (isSeq(written) && !written.flow) key.commentBefore = text
    else written.comment = text
  }
}

const originText = (origin: Origin, file: string | null): string =>
  'name' in origin ? origin.name : (file ?? origin.kind)
