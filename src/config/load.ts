/**
 * Defaults < file < environment < flags, into one checked, frozen object. The only reader of the process's environment.
 */
import { camelised } from '../core/camel.ts'
import { SluiceError } from '../core/errors.ts'
import { didYouMean } from '../core/nearest.ts'
import { rabbitUrlProblem } from '../intakes/rabbitmq/settings.ts'
import { PROVIDERS } from '../routing/providers/index.ts'
import { bareText, readPath, Secret, type SecretSource } from '../settings/fields.ts'
import { clusterUrlProblem, redisUrlProblem } from './engine.ts'
import { type FileText, parseFile } from './file.ts'
import { idleLimits } from './idle-limits.ts'
import { envName, FLAGS, flagName, type Leaf, MAPS, VALUES } from './leaves.ts'
import { settingsOfOthers } from './models.ts'
import { OTEL_ENDPOINT, OTEL_HEADERS, otelEnvironment } from './otel.ts'
import { describeIssue, dotted, type Problem } from './problems.ts'
import { readRegularFile } from './regular-file.ts'
import { sameDeployments, sameKeys } from './same-keys.ts'
import { type Config, type Settings, schema } from './schema.ts'
import { weaknessOf } from './secret-file.ts'
import { isServiceLink } from './service-links.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Where a value comes from. */
export type Origin = { readonly kind: 'default' | 'file' } | GivenOrigin
type GivenOrigin = { readonly kind: 'environment' | 'flag'; readonly name: string }

export interface Sources {
  /** Values by flag name, without dashes: { port: "4200" }. */
  readonly flags?: Readonly<Record<string, string>>
  /** Path of the YAML file; absent: SLUICE_CONFIG, or none. */
  readonly file?: string | undefined
  /** Absent: the process's own. */
  readonly env?: Environment
  /**
   * Do without secrets that are not there, as commands can that only need an address: they are in `missing`, and
   * revealing one throws.
   */
  readonly withoutSecrets?: boolean
  /** Models that were found (`findModels`); they are there where none are configured. */
  readonly found?: ReadonlyArray<Readonly<Record<string, unknown>>>
  /** For a running server: a file that is empty is being written, or was emptied by mistake. */
  readonly isReload?: boolean
}

export interface Loaded {
  readonly config: Config
  /** The same by the names of YAML, for printing. */
  readonly settings: Settings
  readonly file: string | null
  /** False: those of the environment, and what was found, are there. */
  readonly hasOwnModels: boolean
  /** What is odd, but no reason to stop. */
  readonly warnings: readonly string[]
  /** What is wrong with secrets, if it was to be done without them. */
  readonly missing: readonly string[]
  /** Of a setting by its path: "http.max_body_bytes". */
  originOf(path: string): Origin
}

/** Set by `sluice serve` for its children (`processes`). */
export const NTH_PROCESS = 'SLUICE_NTH_PROCESS'
/** Names in the environment that are no settings. `SLUICE_TEST_…` belongs to tests. */
const OTHER_NAMES = [
  ...[NTH_PROCESS, 'SLUICE_CONFIG', 'SLUICE_URL', 'SLUICE_ADMIN_URL', 'SLUICE_API_KEY', 'SLUICE_MODEL'],
  'SLUICE_BENCH_KEY',
]

const OTLP_ENDPOINT = ['telemetry', 'otlp', 'endpoint']

/** Named and empty they are a mistake: without them anybody's key, or another one than was meant, would be in force. */
const OUR_KEYS = ['key', 'admin.key', 'secret_key', 'secret_key_before']

/** Throws config_invalid, with everything that is wrong and where it is. Secrets are never repeated. */
export function loadConfig(sources: Sources = {}): Loaded {
  const { env, links } = withoutLinks(sources.env ?? process.env)
  const path = configPath(sources.file, env)
  const text = path === null ? null : parseFile(path, readConfigFile(path))
  if (sources.isReload === true && text !== null && Object.keys(text.value).length === 0)
    throw new SluiceError('config_invalid', {
      message: `${path} is empty. To run on the defaults, name one of them in it, for example "port: 4100".`,
    })
  const raw = structuredClone(text?.value ?? {})

  const origins = new Map<string, Origin>()
  const contradictions: Problem[] = []
  const give = (leaf: Leaf, value: unknown, origin: GivenOrigin): void => {
    const word = origins.get('engine')
    if (leaf.path[0] === 'engine' && leaf.path.length > 1 && typeof raw['engine'] === 'string') {
      if (raw['engine'] === 'embedded' && word?.kind === origin.kind)
        contradictions.push({
          path: leaf.path,
          problem: `is given, but ${word.name} is "embedded": leave out one of them`,
        })
      raw['engine'] = {}
    }
    set(raw, leaf.path, value)
    origins.set(leaf.path.join('.'), origin)
  }
  for (const leaf of VALUES) {
    const name = envName(leaf)
    const value = bareText(env[name] ?? '')
    if (value === '' && !(env[name] !== undefined && OUR_KEYS.includes(leaf.path.join('.')))) continue
    give(leaf, leaf.kind === 'secret' || leaf.kind === 'address' ? { env: name } : value, { kind: 'environment', name })
  }
  for (const leaf of FLAGS) {
    const value = sources.flags?.[flagName(leaf)]
    if (value !== undefined) give(leaf, bareText(value), { kind: 'flag', name: `--${flagName(leaf)}` })
  }
  const otel = otelEnvironment(env)
  // `endpoint: null` in the file turns it off
  if (otel.endpoint !== null && valueAt(raw, OTLP_ENDPOINT) === undefined && text?.has(OTLP_ENDPOINT) !== true) {
    const giveOtlp = (setting: string, value: unknown, name: string): void => {
      set(raw, ['telemetry', 'otlp', setting], value)
      origins.set(`telemetry.otlp.${setting}`, { kind: 'environment', name })
    }
    giveOtlp('endpoint', otel.endpoint, OTEL_ENDPOINT)
    if (otel.hasHeaders) giveOtlp('header_list', { env: OTEL_HEADERS }, OTEL_HEADERS)
  }
  for (const leaf of VALUES) if (leaf.kind === 'choice') inLowerCase(raw, leaf)
  const hasOwnModels = !(raw['models'] === undefined || (Array.isArray(raw['models']) && raw['models'].length === 0))
  if (!hasOwnModels) raw['models'] = [...defaultModels(env), ...(sources.found ?? [])]

  const originOf = (setting: string): Origin =>
    origins.get(setting) ?? (text?.has(setting.split('.')) ? { kind: 'file' } : { kind: 'default' })
  const result = schema.safeParse(raw, { reportInput: true })
  const missing = result.success
    ? [
        ...resolveSecrets(result.data, {
          env: (name) => env[name] ?? null,
          file: readRegularFile,
        }).filter(({ path }) => result.data.role !== 'worker' || !path.join('.').startsWith('intakes.rabbitmq.')),
        ...weakKeys(result.data),
        ...noRedis(result.data),
        ...noRabbit(result.data),
      ]
    : []
  const problems = [
    ...contradictions,
    ...(result.success
      ? [
          ...(sources.withoutSecrets ? [] : missing),
          ...result.data.models.flatMap((m, i) => sameKeys(m, ['models', String(i)])),
        ]
      : result.error.issues.flatMap(describeIssue)),
  ]
  if (!result.success || problems.length > 0) {
    const place = (problem: Problem): number => text?.offset(problem.path) ?? 0
    const lines = problems.toSorted((a, b) => place(a) - place(b)).map((problem) => describe(problem, originOf, text))
    throw new SluiceError('config_invalid', {
      message:
        lines.length === 1
          ? lines[0]
          : `${lines.length} settings are not valid:\n${lines.map((line) => `  ${line}`).join('\n')}`,
    })
  }
  const unused = [
    ...unusedSettings(raw['models']),
    ...idleLimits(result.data),
    ...sameDeployments(result.data.models),
  ].map((each) => describe(each, originOf, text))
  const hints = hasOwnModels ? [] : hintsOf(env)
  const warnings = [...linkNote(links), ...unknownNames(env), ...hints, ...unused]
  if (otel.note !== null && result.data.telemetry.otlp.endpoint === null) warnings.push(otel.note)
  if (isSameSecret(result.data.key, result.data.admin.key))
    warnings.push('key and admin.key are the same: every client with that key can act as an operator.')
  const config: Config = freeze(inCode(result.data))
  return {
    config,
    settings: freeze(result.data),
    file: path,
    hasOwnModels,
    warnings,
    missing: missing.map((each) => describe(each, originOf, text)),
    originOf,
  }
}

/** The keys that people choose. */
function weakKeys({ key, admin, secret_key: sealing }: Settings): readonly Problem[] {
  return [
    { path: ['key'], secret: key },
    { path: ['admin', 'key'], secret: admin.key },
    { path: ['secret_key'], secret: sealing },
  ].flatMap(({ path, secret }) => {
    const weakness = secret?.known ? weaknessOf(secret.reveal()) : null
    return weakness === null ? [] : [{ path, problem: `the value of ${secret} ${weakness}` }]
  })
}

/** An address that was given by reference. */
function noRedis({ engine }: Settings): readonly Problem[] {
  if (engine === 'embedded') return []
  const { url, nodes } = engine.redis
  const text = typeof url === 'string' ? url : url.known ? url.reveal() : null
  const problem = text === null ? null : (redisUrlProblem(text) ?? (nodes.length > 0 ? clusterUrlProblem(text) : null))
  if (problem === null) return []
  const what = typeof url === 'string' ? '' : `the value of ${url} `
  return [{ path: ['engine', 'redis', 'url'], problem: `${what}${problem}` }]
}

function noRabbit({ intakes: { rabbitmq } }: Settings): readonly Problem[] {
  const { url } = rabbitmq
  if (url === null || typeof url === 'string' || !url.known) return []
  const problem = rabbitUrlProblem(url.reveal())
  return problem === null ? [] : [{ path: ['intakes', 'rabbitmq', 'url'], problem: `the value of ${url} ${problem}` }]
}

const isSameSecret = (a: Secret | null, b: Secret | null): boolean =>
  a?.known === true && b?.known === true && a.reveal() === b.reveal()

function configPath(flag: string | undefined, env: Environment): string | null {
  const text = flag ?? (bareText(env['SLUICE_CONFIG'] ?? '') || null)
  if (text === null) return null
  const read = readPath(text)
  if ('path' in read) return read.path
  const origin = flag === undefined ? 'SLUICE_CONFIG' : '--config'
  throw new SluiceError('config_invalid', { message: `${origin}: ${read.problem}` })
}

function withoutLinks(env: Environment): { readonly env: Environment; readonly links: readonly string[] } {
  const links = Object.keys(env).filter((name) => isServiceLink(name, env[name] ?? ''))
  if (links.length === 0) return { env, links }
  return { env: Object.fromEntries(Object.entries(env).filter(([name]) => !links.includes(name))), links }
}

function linkNote(links: readonly string[]): string[] {
  if (links.length === 0) return []
  const more = links.length === 1 ? '' : ` and ${links.length - 1} more`
  return [
    `${links[0]}${more} in the environment: service links of Kubernetes or Docker, ignored as settings ` +
      '("enableServiceLinks: false" in the pod\'s spec turns them off).',
  ]
}

/** A variable of the environment that is no setting. */
export const environmentOf = (name: string): string | null => bareText(process.env[name] ?? '') || null

function readConfigFile(path: string): string {
  try {
    return readRegularFile(path)
  } catch (cause) {
    throw new SluiceError('config_invalid', {
      message: `${path} can't be read (${(cause as NodeJS.ErrnoException).code ?? 'error'}).`,
      cause,
    })
  }
}

const isIn =
  (env: Environment) =>
  (name: string): boolean =>
    bareText(env[name] ?? '') !== ''

const hintsOf = (env: Environment): string[] => PROVIDERS.flatMap((kind) => kind.hint?.(isIn(env)) ?? [])

/** Where none are configured. */
function defaultModels(env: Environment): unknown[] {
  const has = isIn(env)
  return PROVIDERS.flatMap((kind) =>
    (kind.fromEnvironment?.(has) ?? []).map((model) => ({ ...model, provider: kind.name })),
  )
}

/** Left there when the provider was changed, perhaps; perhaps a mistake. */
function unusedSettings(models: unknown): readonly Problem[] {
  return (Array.isArray(models) ? models : []).flatMap((model: unknown, i) =>
    typeof model !== 'object' || model === null
      ? []
      : settingsOfOthers(model as Record<string, unknown>).map((setting) => ({
          path: ['models', String(i), setting],
          problem: `not used by the provider ${(model as Record<string, unknown>)['provider']}`,
        })),
  )
}

/** "INFO" is meant as "info". */
function inLowerCase(raw: Record<string, unknown>, { path, choices }: Leaf): void {
  const value = valueAt(raw, path)
  const word = typeof value === 'string' ? value.toLowerCase() : ''
  if (word !== value && choices.includes(word)) set(raw, path, word)
}

const valueAt = (raw: Record<string, unknown>, path: readonly string[]): unknown =>
  path.reduce<unknown>((at, key) => (at as Record<string, unknown> | null | undefined)?.[key], raw)

function set(object: Record<string, unknown>, path: Leaf['path'], value: unknown): void {
  let at = object
  for (const key of path.slice(0, -1)) {
    const next = at[key]
    // Not a group: the schema reports it
    if (next !== undefined && next !== null && (typeof next !== 'object' || Array.isArray(next))) return
    at[key] = { ...next }
    at = at[key] as Record<string, unknown>
  }
  at[path.at(-1)!] = value
}

/** Fetches all secrets; returns the ones that could not be read. */
function resolveSecrets(value: unknown, source: SecretSource, path: readonly string[] = []): readonly Problem[] {
  if (value instanceof Secret) {
    const problem = value.resolve(source)
    return problem === null ? [] : [{ path, problem }]
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, member]) => resolveSecrets(member, source, [...path, key]))
}

function describe({ path, problem }: Problem, originOf: (setting: string) => Origin, text: FileText | null): string {
  const name = dotted(path)
  const origin = originOf(path.join('.'))
  // A flag, or a variable, names its setting: that is enough, and once
  if (origin.kind === 'environment' || origin.kind === 'flag') {
    const again = ['the value of', 'the environment variable'].map((what) => `${what} ${origin.name} `)
    const said = again.find((words) => problem.startsWith(words)) ?? ''
    return `${origin.name}: ${problem.slice(said.length)}`
  }
  const where = text?.has(path.slice(0, 1)) ? `${text.place(path)}: ` : ''
  return `${where}${name === '' ? '' : `${name}: `}${problem}`
}

function unknownNames(env: Environment): string[] {
  const known = [...VALUES.map(envName), ...OTHER_NAMES]
  return Object.keys(env)
    .filter((name) => name.startsWith('SLUICE_') && !name.startsWith('SLUICE_TEST_') && !known.includes(name))
    .map((name) => `${name} in the environment is not a known setting.${didYouMean(name, known)}`)
}

/** Settings by the names of code. */
export const inCode = <T>(settings: T) => camelised(settings, isKept)

/** The keys of a map are the user's own. */
const isKept = (value: object, name: string): boolean => value instanceof Secret || MAPS.has(name)

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !(value instanceof Secret)) {
    for (const member of Object.values(value)) freeze(member)
    Object.freeze(value)
  }
  return value
}
