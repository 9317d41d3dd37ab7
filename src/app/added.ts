/**
 * Deployments that operators add while the server runs, and weights that they set: kept in the store, put beside those
 * of the file. What the file says stands.
 */

import { inCode } from '../config/load.ts'
import { checkedModel } from '../config/model-problem.ts'
import type { Config, ModelConfig } from '../config/schema.ts'
import { SluiceError } from '../core/errors.ts'
import type { JsonRecord } from '../core/json.ts'
import { isWithin } from '../core/model-index.ts'
import { didYouMean } from '../core/nearest.ts'
import type { TenantRecord } from '../core/ports/tenants.ts'
import { Secret } from '../settings/fields.ts'
import { deploymentsOf, originOf } from './models.ts'

export interface WithAdded {
  readonly config: Config
  /** By deployment. */
  readonly weights: ReadonlyMap<string, number>
  /** Of those that were added: which are in force. */
  readonly added: ReadonlySet<string>
  /** Those that can't be, and why. */
  readonly left: ReadonlyMap<string, string>
}

const MOST_ADDED = 500

/** `broken`: those of which no provider can be made, and why. */
export function withAdded(
  file: Config,
  records: Iterable<TenantRecord>,
  broken: ReadonlyMap<string, string> = new Map(),
): WithAdded {
  const models: ModelConfig[] = [...file.models]
  const [weights, added, left] = [new Map<string, number>(), new Set<string>(), new Map<string, string>(broken)]
  for (const { kind, id, deployment } of records) {
    if (kind !== 'deployment' || deployment === undefined) continue
    if (deployment.weight !== undefined) weights.set(id, deployment.weight)
    if (deployment.added === undefined || broken.has(id)) continue
    try {
      models.push(addedModel(deployment.added, { ...file, models }))
      added.add(id)
    } catch (thrown) {
      left.set(id, (thrown as Error).message)
    }
  }
  return { config: added.size === 0 ? file : { ...file, models }, weights, added, left }
}

/** As the file's must, it names models that are there. Throws invalid_request. */
export function mustKnowFallbacks({ name, fallbacks }: ModelConfig, models: readonly ModelConfig[]): void {
  for (const fallback of Object.values(fallbacks).flat()) {
    if (fallback === name) throw refused('fallbacks', `fallbacks: "${name}" is the model itself.`)
    if (!models.some((one) => isWithin(fallback, one.name)))
      throw refused(
        'fallbacks',
        `fallbacks: there is no model "${fallback}".${didYouMean(
          fallback,
          models.map((one) => one.name),
        )}`,
      )
  }
}

/** As an entry of the file would be read. Throws invalid_request. */
export function addedModel(given: JsonRecord, { models }: Pick<Config, 'models'>): ModelConfig {
  if (models.length >= MOST_ADDED * 2)
    throw refused('model', `There are ${models.length} models, and no room for more.`)
  const checked = checkedModel(given)
  if ('problem' in checked)
    throw refused(checked.setting, `${checked.setting}: ${checked.problem.replace(/(?<![.?])$/, '.')}`)
  const model = withSecrets(inCode(checked.settings) as ModelConfig, models)
  const { name, deployment, pool } = model
  if (deployment === null) throw refused('deployment', '"deployment" is required: a name of its own.')
  if (deploymentsOf(models).includes(deployment))
    throw refused('deployment', `There is a deployment "${deployment}" already.`)
  const group = models.find((one) => one.name === name)
  if (group !== undefined && group.pool !== pool)
    throw refused('pool', `"${name}" uses the pool "${group.pool}": a group has one pool.`)
  return model
}

const FILES = [
  ['caFile', 'ca_file'],
  ['credentialsFile', 'credentials_file'],
] as const

/**
 * A key goes where the file sends it, and nowhere else (T1): a reference is good if a model of the file has it at the
 * same address. Files are never read for one that was added.
 */
function withSecrets(model: ModelConfig, models: readonly ModelConfig[]): ModelConfig {
  for (const [member, setting] of FILES)
    if ((model as unknown as JsonRecord)[member] != null)
      throw refused(setting, `"${setting}" is set in the configuration alone.`)
  const origin = originOf(model)
  const known = new Map<string, Secret>()
  for (const one of models)
    if (originOf(one) === origin) for (const secret of secretsIn(one)) known.set(JSON.stringify(secret.ref), secret)
  const read = (value: unknown): unknown => {
    if (value instanceof Secret) {
      const found = known.get(JSON.stringify(value.ref))
      if (found !== undefined) return found
      throw refused(
        'api_key',
        `No model of the configuration at ${origin ?? 'that address'} uses the secret ${value}: a key is sent only ` +
          'where the configuration sends it.',
      )
    }
    if (Array.isArray(value)) return value.map(read)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, read(member)]))
  }
  return read(model) as ModelConfig
}

function* secretsIn(value: unknown): Generator<Secret> {
  if (value instanceof Secret) yield value
  else if (typeof value === 'object' && value !== null) for (const one of Object.values(value)) yield* secretsIn(one)
}

const refused = (param: string, message: string) => new SluiceError('invalid_request', { param, message })
