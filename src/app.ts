/**
 * The picture, and nothing else: clients ask the gateway, the engine keeps the queue and the logs, the worker asks the
 * providers. The only file that knows every role; each is wired in app/.
 */

import { batchesOf } from './app/batches.ts'
import { carryOf } from './app/carry.ts'
import { NO_CHECKS, startChecks } from './app/checks.ts'
import { vocabulary } from './app/data.ts'
import { openEngine } from './app/engine.ts'
import { followDeployments } from './app/follow-deployments.ts'
import { isOneOfMany, LAST_WORDS_MS, startGateway } from './app/gateway.ts'
import { judging } from './app/goals.ts'
import { Settings } from './app/in-force.ts'
import { openIntakes } from './app/intakes.ts'
import { kafkaEvents } from './app/kafka.ts'
import { sealingForClients } from './app/kept-by-clients.ts'
import { adminKey, firstKey, givenKey } from './app/keys.ts'
import { liveOf } from './app/live.ts'
import { otlpOf } from './app/otlp.ts'
import { TenantKeys } from './app/own-keys.ts'
import { auditReload, type ReloadOptions, reloader } from './app/reload.ts'
import { createRuntime } from './app/runtime.ts'
import { createSealer } from './app/sealing.ts'
import { type Killed, type Own, ofAll, type Question, type Siblings } from './app/siblings.ts'
import { followStored } from './app/stored-limits.ts'
import { openWebhooks } from './app/webhooks.ts'
import { closingOnError, orAborted, within } from './app/within.ts'
import { warnOfJobsWithoutModel } from './app/without-model.ts'
import { NO_WORKER, startWorker } from './app/worker.ts'
import { environmentOf } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { urlOf } from './core/address.ts'
import { withWall } from './core/clock.ts'
import { armCrash } from './core/crashpoint.ts'
import type { Goals } from './core/goals.ts'
import type { JobId } from './core/job.ts'
import type { Role } from './core/live.ts'
import type { Dialects } from './core/ports/dialect.ts'
import type { Engine } from './core/ports/engine.ts'
import { dialectsBy } from './dialects/index.ts'
import { watchLoop } from './observability/loop.ts'
import { depthOf, ownProcess } from './observability/numbers.ts'
import { UNKNOWN } from './observability/recorded/recorded.ts'
import { createRecorder } from './observability/recorder.ts'
import { createRegistry } from './observability/registry.ts'
import { Catalogue } from './routing/catalogue.ts'
import type { Drained } from './worker/pool.ts'

export interface App {
  /** Without a path. Null: a worker has no public listener. */
  readonly publicUrl: string | null
  readonly adminUrl: string
  /** A new link into the dashboard, good for one sign-in within ten minutes. */
  dashboardUrl(role: Role): Promise<string>
  /** The first API key, when this start made it; shown once. */
  readonly createdKey: string | null
  /** Drains, then closes everything, in bounded time. Safe to repeat. Resolves with what became of running jobs. */
  stop(): Promise<Drained>
  /** A stop that waits for running jobs hands them back now. */
  hurry(): void
  /** Can it take work? */
  readonly health: Engine['health']
  /** What all processes of a server are asked, of this one: its numbers, or a reload. */
  answer(question: Question): Promise<unknown>
  /** Applies what may change in a running server, all of it or nothing; the outcome is logged. Never rejects. */
  reload(): Promise<void>
}

export interface StartOptions extends ReloadOptions {
  /** A first API key, of the tenant `default`. */
  readonly keyOnStart?: string
  /** Keeps the first API key, if this start makes one, in this file before it is valid. */
  readonly keyFile?: string
  /** Aborts the start. */
  readonly signal?: AbortSignal
  /** Of several processes that share the ports. */
  readonly siblings?: Siblings
  /** Absent: those of the list. */
  readonly dialects?: Dialects
}

/** For jobs to be handed back, and for the store to close: the whole stop takes less than 4 s after the drain. */
const HAND_BACK_MS = 1_000
const CLOSE_MS = 1_500
/** For what was taken from brokers, and what was published to them. */
const INTAKE_MS = 1_000
/** For tries that are under way. */
const WEBHOOKS_MS = 2_000
/** For results that have come. */
const BATCHES_MS = 2_000
/** For what OpenTelemetry's collector has not got yet. */
const FLUSH_MS = 1_000

/** Rejects with config_invalid, or with the system's error for a port that is taken. */
export async function startApp(config: Config, options: StartOptions): Promise<App> {
  armCrash(environmentOf('SLUICE_TEST_CRASH_AT'))
  const runtime = createRuntime(options.log)
  const { clock, ids, log } = runtime
  const { siblings, signal, keyOnStart, keyFile } = options
  const advises = siblings?.isFirst !== false
  const { drainMs } = config.workers
  // Read while the store opens
  const words = vocabulary()
  const settings = await Settings.open(config, runtime)
  const catalogue = new Catalogue(settings.routes())
  const goalsOf = (model: string): Goals => catalogue.resolve(model)?.goals ?? settings.config.goals
  const modelOf = (asked: string): string | null => catalogue.resolve(asked)?.name ?? null
  const recorder = createRecorder({ modelOf, tenantLabel: config.telemetry.tenantLabel })
  // For npm run bench -- parts
  const leftOut = (environmentOf('SLUICE_TEST_WITHOUT') ?? '').split(',')
  if (!leftOut.includes('recorder')) recorder.observers.forEach(runtime.observe)
  const turn = (): Promise<void> => new Promise((next) => clock.soon(next))
  const numbers = createRegistry()
  const otlp = otlpOf(settings, { modelOf, read: () => numbers.read(turn) }, runtime)
  otlp?.observers.forEach(runtime.observe)
  const events = await closingOnError([settings], () => kafkaEvents(settings.config, runtime))
  if (events !== null) runtime.observe(events.observe)
  const judged = { ...runtime, emit: judging(goalsOf, runtime.emit) }
  const store = await closingOnError([settings], () => openEngine(settings, judged, advises))
  // The engine has made the folder that it is kept in
  const opened = closingOnError([store, settings], () => Promise.all([adminKey(config, ids), words]))
  const [ownKey, tokens] = await opened
  // Keys, sessions and tickets end at the same moment for every process, whatever its own machine's clock shows
  const dates = withWall(clock, () => store.wallMs())
  const sealer = createSealer(config, ids)
  const webhooks = await closingOnError([store, settings], async () =>
    openWebhooks(settings, store, sealer, { ...runtime, clock: dates }),
  )
  const { engine } = webhooks
  const { retention } = settings
  const keptMs = (tenant: string): number => retention.tenant(tenant)?.logsMs ?? retention.logsMs
  const intakes = await closingOnError([engine, settings], () => openIntakes(config, engine, runtime, keptMs))
  const ownKeys = new TenantKeys({
    settings,
    catalogue,
    tenants: engine.tenants,
    sealer,
    clock: dates,
    onUnreadable: (tenant, provider, reason) =>
      log.error({ tenant, provider, reason }, 'the own provider key of a tenant could not be used'),
  })
  const worker = config.role === 'gateway' ? NO_WORKER : startWorker(settings, engine, { catalogue, ownKeys }, runtime)
  const checks = config.role === 'gateway' ? NO_CHECKS : startChecks(engine.work, runtime)
  const served = { catalogue, engine, worker, checks, carry: carryOf(engine.tenants, log) }
  const following = followDeployments(settings, { tenants: engine.tenants, parts: served, log })
  followStored(settings, engine, following.look)
  following.look()
  await closingOnError([engine, settings], () => following.settled())
  checks.follow(settings.providers)
  const loop = watchLoop()
  const reload = reloader(settings, served, { ...options, advises })
  const kill = async (job: JobId): Promise<Killed> => {
    if (siblings === undefined || !worker.runs(job)) return worker.breakCall(job) ? 'call' : null
    siblings.die()
    return 'worker'
  }
  const own: Own = { numbers: () => numbers.read(turn), reload, health: engine.health, kill }
  const isSeeded = keyOnStart !== undefined
  let publicUrl: string | null = null
  const seen = { goals: goalsOf, publicUrl: () => publicUrl, killsWorker: siblings !== undefined }
  const live = liveOf(
    settings,
    { engine, catalogue, loop, ...seen },
    { ...runtime, ...(leftOut.includes('dashboard') && { observe: nothing }) },
  )
  const parts = {
    ...ofAll(own, siblings, turn),
    engine,
    intakes,
    webhooks,
    catalogue,
    vocabulary: tokens,
    adminKey: ownKey,
    following,
    ownKeys,
    dialects: options.dialects ?? dialectsBy(sealingForClients(sealer)),
    isSeeded,
    live,
    observed: live.observed,
    beginSpan: otlp?.beginSpan ?? null,
  }
  const gateway = startGateway(settings, parts, { ...runtime, clock: dates })
  const batches = batchesOf(settings, engine, intakes, gateway, webhooks, runtime)

  const shutDown = async (): Promise<Drained> => {
    engine.draining()
    checks.stop()
    const left = within(runtime, 'batches', BATCHES_MS, batches.stop())
    gateway.drain()
    await Promise.all([
      left,
      within(runtime, 'deliveries of brokers', 2 * INTAKE_MS, intakes.drain(INTAKE_MS)),
      within(runtime, 'running jobs', drainMs + HAND_BACK_MS, worker.drain(drainMs)),
      // Others run them
      isOneOfMany(config) && within(runtime, 'plain POSTs', drainMs + HAND_BACK_MS, gateway.settled(drainMs)),
    ])
    await within(runtime, 'open answers', 2 * LAST_WORDS_MS, gateway.close(LAST_WORDS_MS))
    await within(runtime, 'the brokers', INTAKE_MS, intakes.close())
    await within(runtime, 'webhooks', WEBHOOKS_MS, webhooks.deliverer.stop())
    loop.stop()
    live.stop()
    settings.close()
    ownKeys.close()
    await Promise.all([
      within(runtime, 'the store', CLOSE_MS, engine.close()),
      otlp !== null && within(runtime, 'telemetry', CLOSE_MS, otlp.stop(FLUSH_MS)),
      events !== null && within(runtime, 'events', CLOSE_MS, events.stop(FLUSH_MS)),
    ])
    return worker.drained()
  }
  let stopped: Promise<Drained> | null = null
  const stop = (): Promise<Drained> => (stopped ??= shutDown())

  try {
    const depth = depthOf(engine.operations, clock, (asked) => modelOf(asked) ?? UNKNOWN)
    const more = [otlp, events, intakes.numbers, webhooks.deliverer.numbers].filter((source) => source !== null)
    numbers.add(recorder, depth, engine, worker, settings, gateway, batches, loop, ownProcess, ...more)
    if (keyOnStart !== undefined)
      for (const note of await givenKey(engine.keys, keyOnStart, dates, ids)) log.warn({}, note)
    signal?.throwIfAborted()
    const restore = (): Promise<void> => orAborted(engine.restore(), signal)
    const openAdmin = () => gateway.listenAdmin(config.admin.host, config.admin.port)
    const openPublic = async () =>
      config.role === 'worker' ? null : await gateway.listenPublic(config.host, config.port)
    // Whoever listens is handed its share of the requests: by siblings, or by a balancer, which others could answer
    const first = siblings === undefined && isOneOfMany(config) ? await openAdmin() : null
    if (isOneOfMany(config)) {
      await restore()
      gateway.ready()
    }
    const open = await openPublic()
    const admin = first ?? (await openAdmin())
    if (!isOneOfMany(config)) await restore()
    // Where clients are served. Late: nobody would be shown the key of a start that failed
    const makesKey = keyOnStart === undefined && config.role !== 'worker'
    const createdKey = makesKey ? await firstKey(engine.keys, keyFile, dates, ids) : null
    gateway.ready()
    intakes.begin(gateway.enter)
    if (config.role !== 'worker') batches.begin()
    webhooks.deliverer.begin()
    publicUrl = open && urlOf(open)
    otlp?.start()
    if (advises) await warnOfJobsWithoutModel(engine.jobs, catalogue, log)
    return {
      publicUrl,
      adminUrl: urlOf(admin),
      dashboardUrl: async (role) => urlOf(admin) + (await gateway.link(role)),
      createdKey,
      stop,
      hurry() {
        void worker.drain(0)
        void gateway.settled(0)
      },
      health: engine.health,
      answer: (question) => (typeof question === 'string' ? own[question]() : own.kill(question.kill)),
      reload: () =>
        reload().then(
          (reloaded) => (advises ? auditReload(engine.audit, { ...runtime, clock: dates }, reloaded) : undefined),
          nothing,
        ),
    }
  } catch (error) {
    await stop()
    throw error
  }
}

const nothing = (): void => {}
