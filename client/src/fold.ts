/** Chunks folded into the message that they are pieces of: the first choice's, as OpenAI's SDKs accumulate it. */
import type { WireChunk } from '../../src/core/frames.ts'

export interface Message {
  role: string
  content: string | null
  [member: string]: unknown
}

type Fields = Record<string, unknown>

/** Members whose strings are labels, not pieces. */
const LABELS = new Set(['role', 'id', 'type', 'format'])
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const emptyMessage = (): Message => ({ role: 'assistant', content: null })

/** The first choice's piece of a chunk; null when it has none. */
export function deltaOf(chunk: WireChunk): Fields | null {
  const { choices } = chunk
  if (!Array.isArray(choices)) return null
  const choice: unknown = choices.find((c) => isFields(c) && (c['index'] ?? 0) === 0)
  const delta = isFields(choice) ? choice['delta'] : null
  return isFields(delta) ? delta : null
}

/** Its text; '' when it has none. */
export const textOf = (chunk: WireChunk): string => {
  const content = deltaOf(chunk)?.['content']
  return typeof content === 'string' ? content : ''
}

/** Does it show anything: text, reasoning, a tool call, a refusal? */
export const showsSomething = (chunk: WireChunk): boolean =>
  Array.isArray(chunk['choices']) &&
  chunk['choices'].some(
    (choice) =>
      isFields(choice) &&
      isFields(choice['delta']) &&
      Object.entries(choice['delta']).some(([name, v]) => name !== 'role' && v !== null && v !== ''),
  )

/** Adds a piece; changes `message`. */
export function fold(message: Message, chunk: WireChunk): void {
  const delta = deltaOf(chunk)
  if (delta !== null) merge(message, delta)
}

function merge(into: Fields, piece: Fields): void {
  for (const [name, value] of Object.entries(piece)) {
    if (name === '__proto__') continue // of a chunk that means ill
    const old = into[name]
    if (value === null) into[name] ??= null
    else if (typeof value === 'string') into[name] = typeof old === 'string' && !LABELS.has(name) ? old + value : value
    else if (Array.isArray(value)) into[name] = mergeItems(Array.isArray(old) ? old : [], value)
    else if (isFields(value) && isFields(old)) merge(old, value)
    else into[name] = isFields(value) ? structuredClone(value) : value
  }
}

/** Items with an `index` are pieces of the item of that index; others are appended. */
function mergeItems(into: unknown[], items: readonly unknown[]): unknown[] {
  for (const item of items) {
    const index = isFields(item) ? item['index'] : undefined
    const known = typeof index === 'number' ? into.find((x) => isFields(x) && x['index'] === index) : undefined
    if (isFields(known)) merge(known, item as Fields)
    else into.push(structuredClone(item))
  }
  return into
}
