/**
 * The dependency rule (ARCHITECTURE.md), checked on the parsed sources: who imports whom, and who reads time,
 * randomness and the environment. `npm run arch` checks this tree; test/architecture.test.ts plants a violation of each
 * rule.
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, relative, sep } from 'node:path'
import { parseSync } from 'rolldown/utils'
import { globalsUsed } from './globals.ts'

export type Rule =
  | 'core-imports-nothing'
  | 'folders-meet-in-app'
  | 'only-cli-imports-app'
  | 'providers-within-routing'
  | 'outsiders-see-core'
  | 'client-shares-types'
  | 'sources-stand-alone'
  | 'declared-dependencies'
  | 'no-cycles'
  | 'environment-in-config'
  | 'time-in-clock'
  | 'randomness-in-ids'
  | 'parses'

export interface Violation {
  readonly rule: Rule
  /** "src/coordinator/scheduler/scheduler.ts:12" */
  readonly at: string
  readonly what: string
}

export interface Architecture {
  readonly modules: number
  readonly violations: readonly Violation[]
  /** Imports between folders of src: "gateway" → {"core"}. Tests do not count. */
  readonly folders: ReadonlyMap<string, ReadonlySet<string>>
}

interface Import {
  readonly specifier: string
  readonly line: number
  /** Erased before it runs. */
  readonly isType: boolean
  /** Of a relative import: the file, from the root. */
  readonly target: string | null
}

interface Module {
  readonly path: string
  readonly imports: readonly Import[]
}

/** Speak to Sluice from outside: they may know the words of core, and no part. */
const OUTSIDERS = ['bench', 'mock']
/** What the command line starts. */
const CLI_SEES = ['app', 'cli', 'config', 'core', 'mock', 'bench']

/**
 * Small tests beside the sources, and what several of them share: they may import what they like, and no source imports
 * them.
 */
const isTest = (path: string): boolean => path.endsWith('.test.ts') || path.includes('/testing/')

/** All that the client library knows of the server: the types of the frames, erased before it runs… */
const TYPES_FOR_CLIENT = 'src/core/frames.ts'
/** …and the one fold (decision 0013), which imports nothing. */
const CODE_FOR_CLIENT = 'src/core/fold.ts'

/** Checks `root`/src, and what `root`/client/src shares with it. */
export function checkArchitecture(root: string): Architecture {
  const violations: Violation[] = []
  const declared = declaredDependencies(root)
  const modules = globSync('src/**/*.ts', { cwd: root })
    .map((path) => path.split(sep).join('/'))
    .filter((path) => !isTest(path))
    .sort()
    .map((path) => readModule(root, path, violations))
  const folders = new Map<string, Set<string>>()

  for (const module of modules) {
    const from = folderOf(module.path)
    for (const one of module.imports) {
      const add = (rule: Rule, what: string): void =>
        void violations.push({ rule, at: `${module.path}:${one.line}`, what })
      if (one.target === null) {
        const name = packageOf(one.specifier)
        if (module.path === CODE_FOR_CLIENT) {
          add('client-shares-types', `imports ${one.specifier}`)
          continue
        }
        if (isBuiltin(one.specifier)) continue
        if (from === 'core') add('core-imports-nothing', `imports ${one.specifier}`)
        if (!declared.has(name)) add('declared-dependencies', `${name} is not in the dependencies`)
        continue
      }
      if (!one.target.startsWith('src/') || isTest(one.target) || !existsSync(join(root, one.target))) {
        add('sources-stand-alone', `imports ${one.target}, which is no source`)
        continue
      }
      const to = folderOf(one.target)
      if (to !== from) folders.set(from, (folders.get(from) ?? new Set()).add(to))
      const rule = module.path === CODE_FOR_CLIENT ? 'client-shares-types' : forbidden(module.path, one.target)
      if (rule !== null) add(rule, `imports ${one.target}`)
    }
  }
  violations.push(...cycles(modules), ...clientViolations(root))
  return { modules: modules.length, violations, folders }
}

/** The client runs in browsers, with no package and nothing of the server. It has a clock of its own. */
function clientViolations(root: string): Violation[] {
  const parsing: Violation[] = []
  const found = globSync('client/src/**/*.ts', { cwd: root }).flatMap((path) =>
    readModule(root, path.split(sep).join('/'), parsing).imports.flatMap((one): Violation[] => {
      const own = one.target?.startsWith('client/src/') && existsSync(join(root, one.target))
      if (own || (one.target === TYPES_FOR_CLIENT && one.isType) || one.target === CODE_FOR_CLIENT) return []
      return [
        { rule: 'client-shares-types', at: `${path}:${one.line}`, what: `imports ${one.target ?? one.specifier}` },
      ]
    }),
  )
  return [...parsing.filter(({ rule }) => rule === 'parses'), ...found]
}

/** The rule that an import breaks, or null. */
function forbidden(path: string, target: string): Rule | null {
  const from = folderOf(path)
  const to = folderOf(target)
  if (target.startsWith('src/routing/providers/') && from !== 'routing' && from !== 'app')
    return 'providers-within-routing'
  if (to === from) return null
  if (from === 'core') return 'core-imports-nothing'
  if (to === 'app') return from === 'cli' ? null : 'only-cli-imports-app'
  if (to === 'core') return null
  if (OUTSIDERS.includes(from)) return 'outsiders-see-core'
  if (from === 'cli') return CLI_SEES.includes(to) ? null : 'folders-meet-in-app'
  if (from === 'app') return OUTSIDERS.includes(to) || to === 'cli' ? 'folders-meet-in-app' : null
  return 'folders-meet-in-app'
}

/** "src/coordinator/scheduler/lanes.ts" → "queue"; "src/app.ts" → "app". */
const folderOf = (path: string): string => path.split('/')[1].replace(/\.ts$/, '')

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

function declaredDependencies(root: string): ReadonlySet<string> {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, object | undefined>
  return new Set(
    ['dependencies', 'optionalDependencies', 'peerDependencies'].flatMap((kind) => Object.keys(manifest[kind] ?? {})),
  )
}

function readModule(root: string, path: string, violations: Violation[]): Module {
  const source = readFileSync(join(root, path), 'utf8')
  const { module, program, errors } = parseSync(path, source)
  const lineOf = (offset: number): number => source.slice(0, offset).split('\n').length
  for (const error of errors) violations.push({ rule: 'parses', at: path, what: error.message })
  const found = globalsUsed(program)
  const rules: ReadonlyArray<
    readonly [Rule, ReadonlyArray<{ readonly name: string; readonly start: number }>, boolean]
  > = [
    ['environment-in-config', found.environment, path.startsWith('src/config/')],
    ['time-in-clock', found.time, path === 'src/core/clock.ts' || path.startsWith('src/bench/')],
    ['randomness-in-ids', found.randomness, path === 'src/core/ids.ts' || path.startsWith('src/bench/')],
  ]
  for (const [rule, uses, allowed] of rules)
    if (!allowed)
      violations.push(...uses.map((use) => ({ rule, at: `${path}:${lineOf(use.start)}`, what: `uses ${use.name}` })))

  const erased = (start: number): boolean => /^(?:import|export)\s+type\b/.test(source.slice(start, start + 40))
  const text = (start: number, end: number): string => source.slice(start, end).replace(/^['"`]|['"`]$/g, '')
  const requests = [
    ...module.staticImports.map(({ start, moduleRequest }) => ({
      specifier: moduleRequest.value,
      start,
      isType: erased(start),
    })),
    ...module.staticExports.flatMap(({ start, entries }) =>
      entries.flatMap(({ moduleRequest }) =>
        moduleRequest ? { specifier: moduleRequest.value, start, isType: erased(start) } : [],
      ),
    ),
    ...module.dynamicImports.map(({ start, moduleRequest }) => ({
      specifier: text(moduleRequest.start, moduleRequest.end),
      start,
      isType: false,
    })),
    ...found.typeImports.map(({ start, name }) => ({ specifier: name, start, isType: true })),
  ]
  const pathOf = (specifier: string): string =>
    relative(root, join(root, dirname(path), specifier))
      .split(sep)
      .join('/')
  return {
    path,
    imports: requests.map(({ start, ...one }) => ({
      ...one,
      line: lineOf(start),
      target: one.specifier.startsWith('.') ? pathOf(one.specifier) : null,
    })),
  }
}

/** One violation for each import that closes a circle at run time. */
function cycles(modules: readonly Module[]): Violation[] {
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const state = new Map<string, 'open' | 'closed'>()
  const found: Violation[] = []
  const visit = (module: Module, way: readonly string[]): void => {
    state.set(module.path, 'open')
    for (const { target, line, isType } of module.imports) {
      const next = target === null || isType ? undefined : byPath.get(target)
      if (next === undefined) continue
      if (state.get(next.path) === 'open') {
        const circle = [...way, module.path]
        found.push({
          rule: 'no-cycles',
          at: `${module.path}:${line}`,
          what: [...circle.slice(circle.indexOf(next.path)), next.path].join(' → '),
        })
      } else if (!state.has(next.path)) visit(next, [...way, module.path])
    }
    state.set(module.path, 'closed')
  }
  for (const module of modules) if (!state.has(module.path)) visit(module, [])
  return found
}

if (import.meta.main) {
  const { modules, violations } = checkArchitecture(join(import.meta.dirname, '..'))
  for (const { rule, at, what } of violations) console.error(`${rule}: ${at} ${what}`)
  console.log(`${modules} modules, ${violations.length} violations of the dependency rule`)
  if (violations.length > 0 || modules === 0) process.exitCode = 1
}
