/** A value that a JSON Schema accepts, made of the words of a prompt: tool arguments and structured answers. */
import { topicsOf } from './text.ts'

type Schema = Readonly<Record<string, unknown>>

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const MAX_DEPTH = 8

export function sampleOf(schema: unknown, prompt: string): unknown {
  const names = [...prompt.matchAll(/(?<=[^.?!\s]\s+)\p{Lu}[\p{L}'’-]+/gu)].map((m) => m[0])
  const topics = topicsOf(prompt)
  const number = Number(/-?\d+(?:\.\d+)?/.exec(prompt)?.[0] ?? 1)
  const root = isSchema(schema) ? schema : {}
  const make = (given: unknown, depth: number): unknown => {
    const node = resolve(root, given)
    if ('const' in node) return node['const']
    if (Array.isArray(node['enum']))
      return (
        node['enum'].find((item) => typeof item === 'string' && prompt.toLowerCase().includes(item.toLowerCase())) ??
        node['enum'][0]
      )
    const either = node['anyOf'] ?? node['oneOf']
    if (Array.isArray(either)) return make(either[0], depth + 1)
    const type = Array.isArray(node['type']) ? node['type'][0] : node['type']
    if (type === 'string') return names[0] ?? topics[0] ?? 'demo'
    if (type === 'integer' || type === 'number') return within(type === 'integer' ? Math.round(number) : number, node)
    if (type === 'boolean') return true
    if (type === 'null' || depth > MAX_DEPTH) return null
    if (type === 'array')
      return Array.from(
        { length: Math.min(8, typeof node['minItems'] === 'number' ? Math.max(1, node['minItems']) : 1) },
        () => make(node['items'] ?? { type: 'string' }, depth + 1),
      )
    const properties = isSchema(node['properties']) ? node['properties'] : {}
    return Object.fromEntries(Object.entries(properties).map(([key, property]) => [key, make(property, depth + 1)]))
  }
  return make(root, 0)
}

/** Follows references inside the schema, as far as they lead somewhere. */
function resolve(root: Schema, given: unknown): Schema {
  let node: unknown = given
  for (let hops = 0; hops < MAX_DEPTH && isSchema(node) && typeof node['$ref'] === 'string'; hops++) {
    let target: unknown = root
    for (const part of node['$ref'].replace(/^#\/?/, '').split('/'))
      if (part !== '') target = isSchema(target) ? target[part] : undefined
    node = target
  }
  return isSchema(node) ? node : {}
}

function within(value: number, { minimum, maximum }: Schema): number {
  return Math.max(
    typeof minimum === 'number' ? minimum : -Infinity,
    Math.min(typeof maximum === 'number' ? maximum : Infinity, value),
  )
}
