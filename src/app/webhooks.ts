/** Webhooks of this process: what it submits is announced, and what it hears of ends is delivered. */
import type { Config } from '../config/schema.ts'
import { SluiceError } from '../core/errors.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Allowed } from '../webhooks/address.ts'
import { readAllowed } from '../webhooks/address.ts'
import { announcing } from '../webhooks/announcing.ts'
import { createWebhooks, type OpenWebhooks } from '../webhooks/webhooks.ts'
import type { Settings } from './in-force.ts'
import type { Runtime } from './runtime.ts'
import type { Sealer } from './sealing.ts'

export interface AppWebhooks extends OpenWebhooks {
  /** The engine, whose submits are announced. */
  readonly engine: Engine
}

/** `runtime`: by the store's clock. Throws config_invalid. */
export function openWebhooks(settings: Settings, engine: Engine, sealer: Sealer, runtime: Runtime): AppWebhooks {
  const { clock, ids, log, observe } = runtime
  let [given, allowed]: [readonly string[] | null, readonly Allowed[]] = [null, []]
  const read = (): readonly Allowed[] => {
    const { allow } = settings.config.webhooks
    if (allow !== given) [given, allowed] = [allow, allowedOf(settings.config)]
    return allowed
  }
  read()
  const webhooks = createWebhooks({
    documents: engine.documents,
    jobs: engine.jobs,
    log: engine.log,
    sealer,
    clock,
    ids,
    allowed: read,
    most: () => settings.config.webhooks.maxPerTenant,
    rules: () => settings.config.webhooks,
    onGivenUp: (about) => log.warn(about, 'an event was not delivered, and is not tried again'),
  })
  observe((fact) => {
    if (fact.type === 'job-ended' && fact.tenant !== null) webhooks.deliverer.ended(fact.job, fact.tenant)
  })
  const { documents, submissions } = engine
  const announced = announcing({ inner: submissions, documents, endpoints: webhooks.endpoints, clock })
  return { ...webhooks, engine: withSubmissions(engine, announced) }
}

/** Its other members may be getters. */
const withSubmissions = (engine: Engine, submissions: Engine['submissions']): Engine =>
  Object.create(engine, { submissions: { value: submissions, enumerable: true } }) as Engine

function allowedOf({ webhooks }: Pick<Config, 'webhooks'>): readonly Allowed[] {
  return webhooks.allow.map((text) => {
    const one = readAllowed(text)
    if (one !== null) return one
    throw new SluiceError('config_invalid', {
      message: `webhooks.allow: "${text}" is no host: write "hooks.internal" or "10.0.0.7:8080".`,
    })
  })
}
