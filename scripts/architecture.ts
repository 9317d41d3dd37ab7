/**
 * The dependency rule (ARCHITECTURE.md), checked on the parsed sources: who imports whom, and who reads time,
 * randomness and the environment. `npm run arch` checks this tree; test/architecture.test.ts plants a violation of each
 * rule.
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join, sep } from 'node:path'
import { circles } from './architecture/circles.ts'
import { isTest, type Module, type Place, readModule } from './architecture/modules.ts'

export type Rule =
  | 'core-imports-nothing'
  | 'folders-meet-in-app'
  | 'only-cli-imports-app'
  | 'providers-within-routing'
  | 'siblings-stand-apart'
  | 'settings-stand-alone'
  | 'decisions-are-pure'
  | 'outsiders-see-core'
  | 'client-shares-types'
  | 'dashboard-shares-types'
  | 'sources-stand-alone'
  | 'declared-dependencies'
  | 'no-circles'
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

/** They see Sluice from outside: they may know the words of core, and no part. */
const OUTSIDERS = ['bench', 'mock']
/** What the command line starts. */
const CLI_SEES = ['app', 'cli', 'config', 'core', 'mock', 'bench']
/** The list of providers: their settings, and how each adapter is loaded, once a model uses it. */
const PROVIDERS = 'src/routing/providers/index.ts'
/** Who reads settings; everybody else may only name their types. */
const READS_SETTINGS = ['config', 'app', 'cli', 'admission']
/** The client library, as its users import it. */
const CLIENT = 'client/src/index.ts'

/**
 * Each thing in one of these folders is one of a kind (a dialect, a provider, an engine, a guard), and knows nothing of
 * the others. `shared`: what is there for all of them.
 */
const KINDS: ReadonlyArray<{ readonly folder: string; readonly shared: readonly string[] }> = [
  { folder: 'src/dialects/', shared: [] },
  // The others are forms of OpenAI's, or fail as it does
  { folder: 'src/routing/providers/', shared: ['http', 'openai'] },
  { folder: 'src/engines/', shared: ['shared'] },
  { folder: 'src/intakes/', shared: [] },
]

/** Decisions and renderings: the same input gives the same output, so that they can be simulated and replayed. */
const PURE = ['coordinator', 'dialects', 'admission']
const CLOCK = 'src/core/clock.ts'

/** React is imported here alone. */
const HOOKS_OF_CLIENT = 'client/src/react.ts'
/** All that the client library knows of the server: the types of the frames, erased before it runs… */
const TYPES_FOR_CLIENT = 'src/core/frames.ts'
/** …the one fold (decision 0013), and what an answer is in the AI SDK's stream, which import nothing but each other. */
const CODE_FOR_CLIENT = ['src/core/fold.ts', 'src/dialects/blocks.ts', 'src/dialects/ui/chunks.ts']

/** The dashboard: types of what it is told, and the code of what is measured. */
const TYPES_FOR_DASHBOARD = [
  ...['live', 'limits', 'measure', 'job', 'errors', 'frames', 'comparison'].map((name) => `src/core/${name}.ts`),
  'src/bench/run.ts',
]
const CODE_FOR_DASHBOARD = 'src/core/measure.ts'
/** It is built: its packages are only in its dist. */
const PACKAGES_FOR_DASHBOARD = ['preact', '@preact/signals', 'uplot', '@sluice/client']

/** Checks `root`/src, and what `root`/client/src and `root`/dashboard/src share with it. */
export function checkArchitecture(root: string): Architecture {
  const violations: Violation[] = []
  const declared = declaredDependencies(root)
  const modules = sources(root, 'src').filter(({ path }) => !isTest(path))
  const folders = new Map<string, Set<string>>()

  for (const module of modules) {
    const { path } = module
    const from = folderOf(path)
    violations.push(...usesOf(module))
    for (const { specifier, target, line, isType, isLazy } of module.imports) {
      const add = (rule: Rule, what: string): void => void violations.push({ rule, at: `${path}:${line}`, what })
      if (target === null) {
        const rule = forbiddenPackage(path, specifier, declared)
        if (rule !== null) add(rule, `imports ${specifier}`)
        continue
      }
      if (from === 'cli' && target === CLIENT) continue
      if (!target.startsWith('src/') || isTest(target) || !existsSync(join(root, target))) {
        add('sources-stand-alone', `imports ${target}, which is no source`)
        continue
      }
      const to = folderOf(target)
      if (to !== from) folders.set(from, (folders.get(from) ?? new Set()).add(to))
      const rule =
        path === PROVIDERS && !isType && !isLazy && !isSettings(target)
          ? 'settings-stand-alone'
          : forbidden(path, target, isType)
      if (rule !== null) add(rule, `imports ${target}`)
    }
  }
  for (const { at, way } of circles(modules)) violations.push({ rule: 'no-circles', at, what: way })
  violations.push(...clientViolations(root), ...dashboardViolations(root))
  return { modules: modules.length, violations, folders }
}

const sources = (root: string, folder: string): Module[] =>
  globSync(`${folder}/**/*.{ts,tsx}`, { cwd: root })
    .filter((path) => !path.endsWith('.d.ts'))
    .map((path) => path.split(sep).join('/'))
    .sort()
    .map((path) => readModule(root, path))

/** The client runs in browsers, with no package (but its hooks with React) and nothing of the server. */
function clientViolations(root: string): Violation[] {
  return sources(root, 'client/src').flatMap((module) => {
    const { path } = module
    const own = (target: string): boolean => target.startsWith('client/src/') && existsSync(join(root, target))
    return [
      ...unread(module),
      ...module.imports.flatMap(({ specifier, target, line, isType }): Violation[] =>
        (target !== null &&
          (own(target) || (target === TYPES_FOR_CLIENT && isType) || CODE_FOR_CLIENT.includes(target))) ||
        (path === HOOKS_OF_CLIENT && specifier === 'react')
          ? []
          : [{ rule: 'client-shares-types', at: `${path}:${line}`, what: `imports ${target ?? specifier}` }],
      ),
    ]
  })
}

/** The dashboard runs in browsers, too. Its tests may import what they like. */
function dashboardViolations(root: string): Violation[] {
  return sources(root, 'dashboard/src').flatMap((module) => {
    const { path } = module
    if (isTest(path)) return []
    const isAllowed = (specifier: string, target: string | null, isType: boolean): boolean => {
      if (target === null) return PACKAGES_FOR_DASHBOARD.includes(packageOf(specifier))
      if (target.startsWith('dashboard/src/')) return existsSync(join(root, target))
      return target === CODE_FOR_DASHBOARD || (isType && TYPES_FOR_DASHBOARD.includes(target))
    }
    return [
      ...unread(module),
      ...module.imports.flatMap(({ specifier, target, line, isType }): Violation[] =>
        isAllowed(specifier, target, isType)
          ? []
          : [{ rule: 'dashboard-shares-types', at: `${path}:${line}`, what: `imports ${target ?? specifier}` }],
      ),
    ]
  })
}

/** The rule that an import of a source breaks, or null. */
function forbidden(path: string, target: string, isType: boolean): Rule | null {
  const from = folderOf(path)
  const to = folderOf(target)
  if (CODE_FOR_CLIENT.includes(path) && !CODE_FOR_CLIENT.includes(target)) return 'client-shares-types'
  if (PURE.includes(from) && target === CLOCK && !isType) return 'decisions-are-pure'
  const alone = isSettings(path) && !PURE.includes(from)
  if (alone && to !== 'core' && to !== 'settings' && !isSettings(target)) return 'settings-stand-alone'
  if (from === 'config' && (isSettings(target) || target === PROVIDERS)) return null
  if (target.startsWith('src/routing/providers/') && from !== 'routing' && from !== 'app')
    return 'providers-within-routing'
  if (areSiblings(path, target)) return 'siblings-stand-apart'
  if (to === from) return null
  if (from === 'core') return 'core-imports-nothing'
  if (to === 'app') return from === 'cli' ? null : 'only-cli-imports-app'
  if (to === 'core') return null
  if (to === 'settings')
    return isType || isSettings(path) || READS_SETTINGS.includes(from) ? null : 'settings-stand-alone'
  if (OUTSIDERS.includes(from)) return 'outsiders-see-core'
  if (from === 'cli') return CLI_SEES.includes(to) ? null : 'folders-meet-in-app'
  if (from === 'app') return OUTSIDERS.includes(to) || to === 'cli' ? 'folders-meet-in-app' : null
  return 'folders-meet-in-app'
}

/** The rule that an import of a package breaks, or null. */
function forbiddenPackage(path: string, specifier: string, declared: ReadonlySet<string>): Rule | null {
  const from = folderOf(path)
  if (CODE_FOR_CLIENT.includes(path)) return 'client-shares-types'
  if (isBuiltin(specifier)) return PURE.includes(from) && specifier !== 'node:buffer' ? 'decisions-are-pure' : null
  if (from === 'core') return 'core-imports-nothing'
  return declared.has(packageOf(specifier)) ? null : 'declared-dependencies'
}

/** A part's settings, as a schema: config loads them, and nothing of the part that does something when loaded. */
const isSettings = (path: string): boolean => path.endsWith('/settings.ts') && !path.startsWith('src/config/')

/** Two folders of one kind. Files beside the folders belong to all of the kind. */
function areSiblings(path: string, target: string): boolean {
  return KINDS.some(({ folder, shared }) => {
    if (!path.startsWith(folder) || !target.startsWith(folder)) return false
    const [one, ...within] = path.slice(folder.length).split('/')
    const [other, ...withinOther] = target.slice(folder.length).split('/')
    return within.length > 0 && withinOther.length > 0 && one !== other && !shared.includes(other)
  })
}

/** "src/coordinator/scheduler/lanes.ts" → "coordinator"; "src/app.ts" → "app". */
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

/** Time, randomness and the environment, read where they may not be. */
function usesOf(module: Module): Violation[] {
  const { path } = module
  const rules: ReadonlyArray<readonly [Rule, readonly Place[], boolean]> = [
    ['environment-in-config', module.environment, path.startsWith('src/config/')],
    ['time-in-clock', module.time, path === CLOCK],
    ['randomness-in-ids', module.randomness, path === 'src/core/ids.ts'],
  ]
  return [
    ...unread(module),
    ...rules.flatMap(([rule, uses, allowed]) =>
      allowed ? [] : uses.map(({ name, line }) => ({ rule, at: `${path}:${line}`, what: `uses ${name}` })),
    ),
  ]
}

const unread = ({ path, errors }: Module): Violation[] => errors.map((what) => ({ rule: 'parses', at: path, what }))

if (import.meta.main) {
  const { modules, violations } = checkArchitecture(process.argv[2] ?? join(import.meta.dirname, '..'))
  for (const { rule, at, what } of violations) console.error(`${rule}: ${at} ${what}`)
  console.log(`${modules} modules, ${violations.length} violations of the dependency rule`)
  if (violations.length > 0 || modules === 0) process.exitCode = 1
}
