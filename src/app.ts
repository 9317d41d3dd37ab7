/**
 * The wiring, in the order of the picture, and nothing else. The only file that knows every part.
 */
import { thisBoot } from './app/boot.ts'
import { adminKey, firstKey } from './app/keys.ts'
import { gatewayOptions, JOIN_AFTER_END_MS, retentionOptions, schedulerOptions } from './app/options.ts'
import { type ReloadOptions, reloader, Settings } from './app/reload.ts'
import { within } from './app/within.ts'
import { warnOfJobsWithoutModel } from './app/without-model.ts'
import { environmentOf } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { createScheduler } from './coordinator/scheduler/scheduler.ts'
import { systemClock as clock, Wheel } from './core/clock.ts'
import { armCrash } from './core/crashpoint.ts'
import { systemIds } from './core/ids.ts'
import type { Engine } from './core/ports/engine.ts'
import { createDelivery } from './delivery/delivery.ts'
import { openEmbedded } from './engines/embedded/open.ts'
import type { Address, Gateway } from './gateway/deps.ts'
import { createGateway } from './gateway/gateway.ts'
import { createEmit } from './observability/emit.ts'
import { watchLoop } from './observability/loop.ts'
import { createReporter } from './observability/report.ts'
import { gatherGauge } from './routing/gather.ts'
import { createRouter } from './routing/router.ts'
import { FirstTokens } from './worker/first-tokens.ts'
import { type Drained, startPool } from './worker/pool.ts'
import { createPrompts } from './worker/prompt.ts'

export interface App {
  /** Without a path. */
  readonly publicUrl: string
  readonly adminUrl: string
  /** The first API key, when this start made it; shown once. */
  readonly createdKey: string | null
  /** Drains, then closes everything, in bounded time. Safe to repeat. Resolves with what became of running jobs. */
  stop(): Promise<Drained>
  /** A stop that waits for running jobs hands them back now. */
  hurry(): void
  /** Takes over what may change in a running server, or nothing: the log tells. Never rejects. */
  reload(): Promise<void>
}

export interface StartOptions extends ReloadOptions {
  /** A first API key, of the tenant `default`. */
  readonly keyOnStart?: string
  /** Keeps the first API key, if this start makes one, in this file before it is valid. */
  readonly keyFile?: string
  /** Aborted: whoever asked for the start doesn't want it any more. */
  readonly signal?: AbortSignal
}

const ids = systemIds()
const PAGE_BYTES = 256 * 1024
const MAX_PENDING_BYTES = 1 << 20
/** For answers that are being written when the server stops. */
const LAST_WORDS_MS = 1_000
/** For jobs to be handed back, and for the store to be closed: together with the rest less than 4 s after the drain. */
const HAND_BACK_MS = 1_000
const CLOSE_MS = 1_500

/** Rejects with config_invalid, or with the system's error for a port that is taken. */
export async function startApp(config: Config, options: StartOptions): Promise<App> {
  const { log, keyOnStart, keyFile, signal } = options
  armCrash(environmentOf('SLUICE_TEST_CRASH_AT'))
  const startedAtMs = clock.wallMs()
  const emit = createEmit(clock, [createReporter(log, clock)], (err, fact) =>
    log.error({ err, fact }, 'a fact could not be recorded'),
  )
  const wheel = new Wheel(clock)
  const { http, workers } = config

  // queue: the scheduler, made durable by the engine
  const gather = gatherGauge(config.stream.gather, config.stream.gather_ms, clock)
  const settings = new Settings(config, { clock, ids, wheel, gatherMs: gather.gatherMs })
  const scheduler = createScheduler(schedulerOptions(settings, ids.jitter))
  const engine = openEmbedded({
    dir: config.data_dir,
    durability: config.durability,
    scheduler,
    clock,
    ids,
    wheel,
    retention: retentionOptions(settings),
    joinAfterEndMs: JOIN_AFTER_END_MS,
    boot: thisBoot(ids),
    onFact: emit,
  })

  // The engine has made the folder that it is kept in
  const ownKey = await closingOnError(engine, () => adminKey(config, ids))

  // router
  const router = createRouter(settings.routes(), clock, () => engine.work.wake(), emit)
  const reload = reloader(settings, router, engine.jobs, options)

  // worker
  const pool = startPool(
    {
      work: engine.work,
      log: engine.log,
      clock,
      emit,
      router,
      firstTokens: new FirstTokens(),
      prompt: createPrompts({
        conversations: engine.conversations,
        clock,
        keepFailed: config.conversations.keep_failed,
        maxBytes: config.conversations.max_prompt_bytes,
      }),
      maxAnswerBytes: http.max_answer_bytes,
      maxPendingBytes: MAX_PENDING_BYTES,
    },
    clock,
    {
      id: `worker-${process.pid}`,
      pools: workers.pools,
      concurrency: workers.concurrency,
      heartbeatMs: workers.heartbeat_ms,
      headroom: router.headroom,
    },
  )

  // delivery and gateway
  const delivery = createDelivery(engine.log, clock, emit, {
    heartbeatMs: http.heartbeat_ms,
    maxReaderBufferBytes: http.max_reader_buffer_bytes,
    pageBytes: PAGE_BYTES,
  })
  const loop = watchLoop()
  const gateway: Gateway = createGateway({
    submissions: engine.submissions,
    jobs: engine.jobs,
    operations: engine.operations,
    log: engine.log,
    conversations: engine.conversations,
    keys: engine.keys,
    health: engine.health,
    eraseTenant: engine.eraseTenant,
    reload,
    stats: () => ({
      ...engine.stats(),
      ...gateway.stats(),
      running: pool.active(),
      gather_ms: gather.gatherMs(),
      ...loop.stats(),
      rss_bytes: process.memoryUsage.rss(),
    }),
    models: {
      resolve: router.resolve,
      list: () =>
        router.models().map((m) => ({ id: m.name, created: Math.floor(startedAtMs / 1000), ownedBy: 'sluice' })),
    },
    delivery,
    clock,
    ids,
    emit,
    onFault: (err, requestId) => log.error({ err, request_id: requestId }, 'unforeseen error'),
    options: gatewayOptions(config, ownKey, keyOnStart !== undefined, workers.drain_ms + LAST_WORDS_MS),
  })

  const soon = <T>(what: string, ms: number, step: Promise<T>): Promise<void> => within(clock, log, what, ms, step)
  let stopped: Promise<Drained> | null = null
  const stop = (): Promise<Drained> => {
    stopped ??= (async () => {
      engine.draining()
      gateway.drain()
      await soon('running jobs', workers.drain_ms + HAND_BACK_MS, pool.drain(workers.drain_ms))
      delivery.close()
      await soon('open answers', 2 * LAST_WORDS_MS, gateway.close(LAST_WORDS_MS))
      gather.stop()
      loop.stop()
      settings.close()
      await soon('the store', CLOSE_MS, engine.close())
      return pool.drained()
    })()
    return stopped
  }
  try {
    const given = keyOnStart ?? null
    const { created: createdKey, notes } = await firstKey(engine.keys, { given, file: keyFile ?? null }, clock, ids)
    for (const note of notes) log.warn({}, note)
    signal?.throwIfAborted()
    const open = await gateway.listenPublic(config.host, config.port)
    const admin = await gateway.listenAdmin(config.admin.host, config.admin.port)
    await orAborted(engine.restore(gateway.expectReader), signal)
    gateway.ready()
    await warnOfJobsWithoutModel(engine.jobs, router, log)
    const hurry = (): void => void pool.drain(0)
    const reloadSafely = (): Promise<void> => reload().then(nothing, nothing)
    return { publicUrl: urlOf(open), adminUrl: urlOf(admin), createdKey, stop, hurry, reload: reloadSafely }
  } catch (error) {
    await stop()
    throw error
  }
}

const nothing = (): void => {}

/** A start that is not wanted any more does not wait for the rest of the step. */
function orAborted(step: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((done, fail) => {
    signal?.addEventListener('abort', () => fail(signal.reason as Error))
    step.then(done, fail)
  })
}

async function closingOnError<T>(engine: Engine, step: () => T): Promise<T> {
  try {
    return step()
  } catch (error) {
    await engine.close()
    throw error
  }
}

const urlOf = ({ host, port }: Address): string =>
  `http://${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}`
