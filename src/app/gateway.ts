/** The gateway, with the delivery that feeds its readers. */
import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import { createAdmission } from '../admission/admission.ts'
import type { Vocabulary } from '../admission/estimate/vocabulary.ts'
import { Weights } from '../admission/estimate/weights.ts'
import type { Config } from '../config/schema.ts'
import type { Dialects } from '../core/ports/dialect.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Live } from '../core/ports/live.ts'
import type { Observed } from '../core/ports/observed.ts'
import type { Webhooks } from '../core/ports/webhooks.ts'
import type { BeginSpan } from '../core/trace.ts'
import { createDelivery } from '../delivery/delivery.ts'
import { digestOf } from '../gateway/caller/api-key.ts'
import { fleetName } from '../gateway/caller/sign-in.ts'
import type { Gateway, GatewayDeps, OwnKeys } from '../gateway/deps.ts'
import { createGateway } from '../gateway/gateway.ts'
import { createReports } from '../ledger/reports.ts'
import { createBenchmarks } from '../observability/benchmarks/benchmarks.ts'
import type { Catalogue } from '../routing/catalogue.ts'
import type { Follower } from './follow-deployments.ts'
import { hearingEnds } from './hearing-ends.ts'
import type { Settings } from './in-force.ts'
import type { Intakes } from './intakes.ts'
import { limitRules } from './limit-rules.ts'
import { killOf, PAGE_FOLDER, textOf } from './live.ts'
import { mediaExpiry } from './media.ts'
import { pricesOf } from './prices.ts'
import type { Runtime } from './runtime.ts'
import { servedModels } from './served.ts'
import { withStored } from './stored-limits.ts'

/** Of the log, read at once for a reader that catches up. */
const PAGE_BYTES = 256 * 1024
/** For answers that are being written when the server stops. */
export const LAST_WORDS_MS = 1_000

/** Other processes may serve the same jobs, and run them. */
export const isOneOfMany = ({ engine }: Pick<Config, 'engine'>): boolean => engine !== 'embedded'

export interface GatewayParts extends Pick<GatewayDeps, 'stats' | 'metrics' | 'reload' | 'health' | 'kill'> {
  readonly engine: Engine
  readonly intakes: Pick<Intakes, 'submissions' | 'jobs'>
  readonly webhooks: Webhooks
  readonly catalogue: Catalogue
  readonly vocabulary: Vocabulary
  readonly adminKey: string
  readonly ownKeys: OwnKeys
  readonly dialects: Dialects
  readonly following: Pick<Follower, 'settled'>
  readonly live: Live
  readonly observed: Observed
  readonly beginSpan: BeginSpan | null
  /** The operator has given a key of their own making. */
  readonly isSeeded: boolean
}

export function startGateway(settings: Settings, parts: GatewayParts, runtime: Runtime): Gateway {
  const { engine, catalogue, vocabulary, adminKey, isSeeded, health, stats, metrics, reload, live, observed } = parts
  const { clock, ids, emit, observe, log } = runtime
  const { http, queue, sessions, runs, websocket, workers, dataDir, durability } = settings.config
  const created = Math.floor(clock.wallMs() / 1000)
  // Bound to the admin key: tokens outlive a restart, and are void when the operator changes it
  const ownSecret = createHmac('sha256', adminKey).update('session tokens').digest()
  const secret = (): Uint8Array => engine.sharedSecret ?? ownSecret
  // No client knows it, and every process of a fleet has the same
  const salt = createHmac('sha256', secret()).update('estimates').digest().readInt32LE()
  const weights = new Weights(vocabulary, salt)
  observe((fact) => {
    if (fact.type === 'job-ended') weights.ended(fact.job, () => fact)
  })
  const told = isOneOfMany(settings.config)
    ? hearingEnds(engine.log, (job, end) => weights.ended(job, end))
    : engine.log
  const delivery = createDelivery(told, clock, emit, { ...http, pageBytes: PAGE_BYTES })
  observe((fact) => {
    if (fact.type === 'first-token-received') delivery.received(fact.job, fact.parts)
  })
  const prices = pricesOf(settings, catalogue)
  const gateway = createGateway({
    ownKeys: parts.ownKeys,
    admission: createAdmission((tenant) => settings.tenant(tenant)?.guards),
    weights,
    sharing: (tenant) => {
      const cache = settings.tenant(tenant)?.cache
      return cache !== undefined && (cache.coalesce || cache.ttlMs > 0) ? cache : null
    },
    prices,
    usage: createReports(engine.ledger, clock),
    limits: withStored(() => ({ limits: settings.limits(), stored: settings.stored })),
    submissions: parts.intakes.submissions,
    jobs: parts.intakes.jobs,
    operations: engine.operations,
    log: engine.log,
    conversations: engine.conversations,
    documents: engine.documents,
    files: engine.files,
    mediaExpiresAtMs: mediaExpiry(settings, engine),
    keys: engine.keys,
    tenants: engine.tenants,
    audit: engine.audit,
    webhooks: parts.webhooks,
    benchmarks: createBenchmarks(durability === 'memory' ? null : join(dataDir, 'benchmarks')),
    limitRules: limitRules(settings),
    presence: engine.presence,
    tickets: engine.tickets,
    signIns: engine.signIns,
    health,
    eraseTenant: engine.eraseTenant,
    backup: engine.backup,
    stats,
    metrics,
    reload,
    kill: parts.kill,
    mayKill: () => killOf(settings.config),
    models: {
      resolve: (model) => catalogue.resolve(model),
      list: () => catalogue.models.map(({ name: id }) => ({ id, created, ownedBy: 'sluice' })),
      probe: (deployment) => catalogue.deployment(deployment)?.provider.check() ?? null,
      added: () => settings.added,
      saysWeight: (deployment) => settings.saysWeight(deployment),
      checkAdded: (entry) => settings.checkAdded(entry),
      settled: parts.following.settled,
      served: () => servedModels(settings, catalogue, prices, clock.wallMs()),
    },
    live,
    observed,
    textPolicy: () => textOf(settings.config),
    pageFolder: PAGE_FOLDER,
    delivery,
    dialects: parts.dialects,
    clock,
    ids,
    emit,
    beginSpan: parts.beginSpan,
    onFault: (err, requestId) => log.error({ err, request_id: requestId }, 'unforeseen error'),
    options: {
      ...http,
      ...queue,
      ...runs,
      openMetrics: settings.config.telemetry.openMetrics,
      adminKeyDigest: digestOf(adminKey),
      sessions: { ...sessions, secret },
      fleet: () => engine.sharedSecret && fleetName(engine.sharedSecret),
      socket: { ...websocket, drainMs: workers.drainMs + LAST_WORDS_MS },
      keysHaveChecksums: engine.sharedSecret === null && !isSeeded,
      isOneOfMany: isOneOfMany(settings.config),
    },
  })
  return {
    ...gateway,
    close(withinMs) {
      delivery.close()
      return gateway.close(withinMs)
    },
  }
}
