/** Webhooks of this process: what it submits is announced, and what it hears of ends is delivered. */
import type { Config } from '../config/schema.ts'
import { SluiceError } from '../core/errors.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { RunEvent } from '../core/ports/webhooks.ts'
import type { Allowed } from '../webhooks/address.ts'
import { readAllowed } from '../webhooks/address.ts'
import { announcing } from '../webhooks/announcing.ts'
import { fewLines } from '../webhooks/given-up.ts'
import { createWebhooks, type OpenWebhooks } from '../webhooks/webhooks.ts'
import type { Settings } from './in-force.ts'
import type { Runtime } from './runtime.ts'
import type { Sealer } from './sealing.ts'

/** What a run that is stopped is told as, by what its jobs are refused for. */
const STOPS: Readonly<Partial<Record<string, RunEvent>>> = {
  run_budget_exceeded: 'run.budget_exceeded',
  loop_detected: 'run.loop_detected',
}
const MOST_TOLD = 10_000

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
    onGivenUp: fewLines(clock, (about) => {
      const what = about.more === undefined ? 'an event was' : `${about.more} more events were`
      log.warn(about, `${what} not delivered, and not tried again`)
    }),
  })
  /** Told already by this process: an agent may go on asking. */
  const told = new Set<string>()
  function stopped(tenant: string | null, run: string, code: string): void {
    const type = STOPS[code]
    const known = `${tenant}\n${run}\n${code}`
    if (tenant === null || type === undefined || told.has(known)) return
    if (told.size >= MOST_TOLD) told.clear()
    told.add(known)
    webhooks.announceRun(tenant, run, type).catch((err: unknown) => {
      told.delete(known) // the next refusal tells it
      log.warn({ err, run }, 'the stop of a run was not announced')
    })
  }
  observe((fact) => {
    if (fact.type === 'job-ended' && fact.tenant !== null) webhooks.deliverer.ended(fact.job, fact.tenant)
    if (fact.type === 'job-refused' && fact.run !== undefined) stopped(fact.tenant, fact.run, fact.code)
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
