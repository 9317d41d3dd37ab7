/** Finds uses of time, timers, randomness and the environment in a parsed module; names in types are no use. */
export interface Use {
  readonly name: string
  /** Offset in the source. */
  readonly start: number
}

export interface GlobalsUsed {
  readonly environment: readonly Use[]
  readonly time: readonly Use[]
  readonly randomness: readonly Use[]
  /** `import('./x.ts').Type`, which is an import too. */
  readonly typeImports: readonly Use[]
}

type Kind = 'environment' | 'time' | 'randomness'

/** Globals, and members of globals or of the node: module of the same name. */
const NAMES: ReadonlyMap<string, Kind> = new Map([
  ['setTimeout', 'time'],
  ['setInterval', 'time'],
  ['setImmediate', 'time'],
  ['process.env', 'environment'],
  ['process.hrtime', 'time'],
  ['Date.now', 'time'],
  ['performance.now', 'time'],
  ['AbortSignal.timeout', 'time'],
  ['Math.random', 'randomness'],
  ...['getRandomValues', 'randomUUID', 'randomBytes', 'randomInt', 'randomFill', 'randomFillSync', 'webcrypto'].map(
    (name): [string, Kind] => [`crypto.${name}`, 'randomness'],
  ),
])
/** Syntax that holds both types and values. */
const VALUES_IN_TYPES = new Set([
  'TSAsExpression',
  'TSNonNullExpression',
  'TSSatisfiesExpression',
  'TSInstantiationExpression',
])

interface Node {
  readonly type: string
  readonly start: number
  readonly [key: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
const nameOf = (node: unknown): string | null =>
  isNode(node) && node.type === 'Identifier' ? (node['name'] as string) : null
const textOf = (node: unknown): string => (isNode(node) && node.type === 'Literal' ? String(node['value']) : '')

export function globalsUsed(program: unknown): GlobalsUsed {
  const found: Record<Kind | 'typeImports', Use[]> = { environment: [], time: [], randomness: [], typeImports: [] }
  const add = (kind: Kind | undefined, name: string, start: number): void => {
    if (kind !== undefined) found[kind].push({ name, start })
  }
  const visit = (node: Node, parent: Node | null): void => {
    if (node.type.startsWith('TS') && !VALUES_IN_TYPES.has(node.type)) {
      typeUse(node)
      return
    }
    if (node.type === 'MemberExpression') memberUse(node, add)
    else if (
      node.type === 'NewExpression' &&
      nameOf(node['callee']) === 'Date' &&
      (node['arguments'] as unknown[]).length === 0
    )
      add('time', 'new Date()', node.start)
    else if (node.type === 'CallExpression' && nameOf(node['callee']) === 'Date') add('time', 'Date()', node.start)
    else if (node.type === 'ImportDeclaration') importUse(node, add)
    else if (node.type === 'VariableDeclarator') patternUse(node, add)
    else if (node.type === 'Identifier' && !isLabel(node, parent))
      add(NAMES.get(node['name'] as string), node['name'] as string, node.start)
    for (const value of Object.values(node)) {
      if (Array.isArray(value)) for (const item of value) isNode(item) && visit(item, node)
      else if (isNode(value)) visit(value, node)
    }
  }
  /** In types only imports count. */
  const typeUse = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) typeUse(item)
    else if (isNode(value)) {
      if (value.type === 'TSImportType') found.typeImports.push({ name: textOf(value['source']), start: value.start })
      for (const member of Object.values(value)) if (typeof member === 'object') typeUse(member)
    }
  }
  visit(program as Node, null)
  return found
}

type Add = (kind: Kind | undefined, name: string, start: number) => void

/** `process.env`, `globalThis.setTimeout`, `globalThis.process.env`, also with brackets. */
function memberUse(node: Node, add: Add): void {
  const property = node['computed'] === true ? textOf(node['property']) : nameOf(node['property'])
  const owner = node['object']
  const object =
    nameOf(owner) ??
    (isNode(owner) && owner.type === 'MemberExpression' && nameOf(owner['object']) === 'globalThis'
      ? nameOf(owner['property'])
      : null)
  if (object === null || property === null) return
  if (object === 'globalThis') add(NAMES.get(property), property, node.start)
  else add(NAMES.get(`${object}.${property}`), `${object}.${property}`, node.start)
}

function importUse(node: Node, add: Add): void {
  const source = textOf(node['source']).replace(/^node:/, '')
  if (node['importKind'] === 'type') return
  if (source === 'timers' || source === 'timers/promises') add('time', `node:${source}`, node.start)
  for (const specifier of node['specifiers'] as Node[]) {
    const imported = nameOf(specifier['imported'])
    if (imported !== null && specifier['importKind'] !== 'type')
      add(NAMES.get(`${source}.${imported}`), `${imported} of node:${source}`, specifier.start)
  }
}

/** `const { env } = process` */
function patternUse(node: Node, add: Add): void {
  const object = nameOf(node['init'])
  const pattern = node['id']
  if (object === null || !isNode(pattern) || pattern.type !== 'ObjectPattern') return
  for (const property of pattern['properties'] as Node[]) {
    const key = nameOf(property['key'])
    if (key !== null) add(NAMES.get(`${object}.${key}`), `${object}.${key}`, property.start)
  }
}

/** Not a use of the global: a member's or property's name. */
function isLabel(node: Node, parent: Node | null): boolean {
  if (parent === null) return false
  if (parent.type === 'MemberExpression') return parent['property'] === node && parent['computed'] !== true
  return (
    (parent.type === 'Property' || parent.type === 'MethodDefinition' || parent.type === 'PropertyDefinition') &&
    parent['key'] === node &&
    parent['value'] !== node &&
    parent['shorthand'] !== true
  )
}
