/**
 * JSON Schema references that only refer to each other: resolving one never ends. A schema that refers to
 * itself further down (a tree) is fine. Only "#…" pointers are looked at, and nothing is fetched.
 */
import { isRecord, type JsonRecord } from '../core/json.ts'

/** The schemas in a chat request: of its tools, and of its answer. */
export function hasReferenceLoop(request: JsonRecord): boolean {
  const { tools, response_format: format } = request
  const schemas = (Array.isArray(tools) ? tools : []).map((tool: unknown) =>
    member(member(tool, 'function'), 'parameters'),
  )
  schemas.push(member(member(format, 'json_schema'), 'schema'))
  return schemas.some((schema) => loops(schema, schema, new Set()))
}

/** `ends`: nodes whose references are known to lead somewhere; makes it linear. */
function loops(root: unknown, node: unknown, ends: Set<unknown>): boolean {
  if (Array.isArray(node)) return node.some((item) => loops(root, item, ends))
  if (!isRecord(node)) return false
  if (node['$ref'] !== undefined) {
    const chain = new Set<unknown>()
    for (let at: unknown = node; isRecord(at) && !ends.has(at); at = resolve(root, at['$ref'])) {
      if (chain.has(at)) return true
      chain.add(at)
    }
    for (const link of chain) ends.add(link)
  }
  return Object.values(node).some((child) => loops(root, child, ends))
}

function resolve(root: unknown, reference: unknown): unknown {
  if (typeof reference !== 'string' || !reference.startsWith('#')) return undefined
  let at: unknown = root
  for (const step of reference.slice(1).split('/').slice(1)) {
    if (at === undefined) return undefined
    at = member(at, step.replaceAll('~1', '/').replaceAll('~0', '~'))
  }
  return at
}

const member = (of: unknown, key: string): unknown =>
  typeof of === 'object' && of !== null && Object.hasOwn(of, key) ? (of as Record<string, unknown>)[key] : undefined
