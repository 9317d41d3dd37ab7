/**
 * The wiring, in the order of the picture, and nothing else. The only file that knows every part.
 */
import { createHmac } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { thisBoot } from './app/boot.ts'
import { adminKey, firstKey } from './app/keys.ts'
import { type Reloaded, Settings } from './app/reload.ts'
import { createReporter, type Log } from './app/report.ts'
import { within } from './app/within.ts'
import { environmentOf } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { systemClock as clock, Wheel } from './core/clock.ts'
import { armCrash } from './core/crashpoint.ts'
import { SluiceError } from './core/errors.ts'
import { systemIds } from './core/ids.ts'
import type { Engine } from './core/ports.ts'
import { createDelivery } from './delivery/delivery.ts'
import { openEmbedded } from './engines/embedded/open.ts'
import { digestOf } from './gateway/api-key.ts'
import type { Address, Gateway } from './gateway/deps.ts'
import { createGateway } from './gateway/gateway.ts'
import { createScheduler } from './queue/scheduler.ts'
import { gatherGauge } from './routing/gather.ts'
import { createRouter } from './routing/router.ts'
import { FirstTokens } from './worker/first-tokens.ts'
import { startPool } from './worker/pool.ts'
import { createPrompts } from './worker/prompt.ts'

export interface App {
  /** Without a path. */
  readonly publicUrl: string
  readonly adminUrl: string
  /** The first API key, when this start made it; shown once. */
  readonly createdKey: string | null
  /** Drains, then lets go of everything, in bounded time. Safe to repeat. */
  stop(): Promise<void>
  /** A stop that waits for running jobs hands them back now. */
  hurry(): void
  /** Takes over what may change in a running server, or nothing: the log tells. Never rejects. */
  reload(): Promise<void>
}

export interface StartOptions {
  readonly log: Log
  /** A first API key, of the tenant `default`. */
  readonly keyOnStart?: string
  /** Keeps the first API key, if this start makes one, in this file before it is valid. */
  readonly keyFile?: string
  /** Aborted: whoever asked for the start doesn't want it any more. */
  readonly signal?: AbortSignal
  /** Reads the configuration again, for a reload. Throws config_invalid. */
  readonly configAgain?: () => Config
  /** A reload has put this one in force. */
  readonly onReload?: (config: Config) => void
}

const ids = systemIds()
/** J4: how long an SDK's retry joins a job that ended well. */
const JOIN_AFTER_END_MS = 60_000
const LOOP_RESOLUTION_MS = 5
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
  const emit = createReporter(log, clock)
  const wheel = new Wheel(clock)
  const { http, queue, sessions, websocket, workers } = config

  // queue: the scheduler, made durable by the engine
  const gather = gatherGauge(config.stream.gather, config.stream.gather_ms, clock)
  const settings = new Settings(config, { clock, ids, wheel, gatherMs: gather.gatherMs })
  const scheduler = createScheduler({
    leaseMs: workers.lease_ms,
    maxAttempts: queue.max_attempts,
    maxCrashes: queue.max_crashes,
    retryBaseMs: queue.retry_base_ms,
    retryCapMs: queue.retry_cap_ms,
    maxQueuedJobs: queue.max_queued_jobs,
    maxQueuedPerTenant: queue.max_queued_per_tenant,
    maxQueuedPerLane: queue.max_queued_per_lane,
    maxQueuedBytesPerTenant: queue.max_queued_bytes_per_tenant,
    maxQueuedPerSession: sessions.max_queued_jobs,
    maxQueuedBytesPerSession: sessions.max_queued_bytes,
    joinAfterEndMs: JOIN_AFTER_END_MS,
    weight: (tenant) => settings.tenant(tenant)?.weight ?? 1,
    promptWeight: 1,
    outputWeight: 2,
    jitter: ids.jitter,
  })
  const engine = openEmbedded({
    dir: config.data_dir,
    durability: config.durability,
    scheduler,
    clock,
    ids,
    wheel,
    retention: {
      get logsMs() {
        return settings.config.retention.logs
      },
      bytes: config.retention.bytes,
      atLeastMs: config.retention.at_least,
      conversations: {
        turns: config.retention.conversations.turns,
        bytes: config.retention.conversations.bytes,
        tenantBytes: config.retention.conversations.tenant_bytes,
        maxAgeMs: config.retention.conversations.max_age,
      },
      tenant(name) {
        const logsMs = settings.tenant(name)?.retention.logs ?? null
        return logsMs === null ? null : { logsMs }
      },
    },
    joinAfterEndMs: JOIN_AFTER_END_MS,
    boot: thisBoot(ids),
    onFact: emit,
  })

  // The engine has made the folder that it is kept in
  const ownKey = await closingOnError(engine, () => adminKey(config, ids))

  // router
  const router = createRouter(settings.routes(), clock, () => engine.queue.wake())
  const reload = async (): Promise<Reloaded> => {
    if (options.configAgain === undefined)
      throw new SluiceError('invalid_request', {
        message: 'This server was not started with a configuration to reload.',
      })
    try {
      const reloaded = settings.reload(options.configAgain(), router)
      options.onReload?.(settings.config)
      log.info(reloaded, 'the configuration was reloaded')
      return reloaded
    } catch (error) {
      log.error(
        { reason: (error as Error).message },
        'the configuration was not reloaded; the one before stays in force',
      )
      throw error
    }
  }

  // worker
  const pool = startPool(
    {
      queue: engine.queue,
      log: engine.log,
      clock,
      emit,
      router,
      firstTokens: new FirstTokens(),
      settled: () => {},
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
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS })
  // Its timer's own interval is in what it measures: an idle loop would read 5 ms
  const heldMs = (ns: number): number => Math.max(0, ns / 1e6 - LOOP_RESOLUTION_MS)
  loop.enable()
  const gateway: Gateway = createGateway({
    queue: engine.queue,
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
      loop_delay_p50_ms: heldMs(loop.percentile(50)),
      loop_delay_p99_ms: heldMs(loop.percentile(99)),
      loop_delay_max_ms: heldMs(loop.max),
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
    options: {
      maxBodyBytes: http.max_body_bytes,
      maxDepth: http.max_depth,
      maxKeys: http.max_keys,
      corsOrigins: http.cors_origins,
      headersTimeoutMs: http.headers_timeout_ms,
      requestTimeoutMs: http.request_timeout_ms,
      keepAliveMs: http.keep_alive_ms,
      connectionCheckMs: 1_000,
      maxHeaderBytes: http.max_header_bytes,
      maxConnections: http.max_connections,
      maxRequestsPerKey: http.max_requests_per_key,
      maxUnfinishedBytes: http.max_unfinished_bytes,
      maxUnfinishedBytesPerKey: http.max_unfinished_bytes_per_key,
      badKeysPerMinute: http.bad_keys_per_minute,
      disconnectGraceMs: http.disconnect_grace_ms,
      headersAfterMs: http.headers_after_ms,
      maxReadersPerJob: http.max_readers_per_job,
      maxWaitMs: http.max_wait_ms,
      plainDeadlineMs: queue.plain_deadline_ms,
      jobDeadlineMs: queue.job_deadline_ms,
      adminKeyDigest: digestOf(ownKey),
      maxReaderBufferBytes: http.max_reader_buffer_bytes,
      sessions: {
        // Bound to the admin key: tokens outlive a restart, and are void when the operator changes it
        secret: createHmac('sha256', ownKey).update('session tokens').digest(),
        ticketMs: sessions.ticket_ms,
        tokenMs: sessions.token_ms,
        sessionMs: sessions.session_ms,
        maxRequests: sessions.max_requests,
        maxSockets: sessions.max_sockets,
        maxUnfinishedBytes: sessions.max_unfinished_bytes,
        maxDelayMs: sessions.max_delay_ms,
      },
      socket: {
        heartbeatMs: websocket.heartbeat_ms,
        helloTimeoutMs: websocket.hello_timeout_ms,
        maxMessageBytes: websocket.max_message_bytes,
        maxJobs: websocket.max_jobs,
        maxMessagesPerSecond: websocket.max_messages_per_second,
        maxPerKey: websocket.max_per_key,
        drainMs: workers.drain_ms + LAST_WORDS_MS,
      },
      keysHaveChecksums: keyOnStart === undefined,
    },
  })

  const soon = <T>(what: string, ms: number, step: Promise<T>): Promise<void> => within(clock, log, what, ms, step)
  let stopped: Promise<void> | null = null
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      engine.draining()
      gateway.drain()
      await soon('running jobs', workers.drain_ms + HAND_BACK_MS, pool.drain(workers.drain_ms))
      delivery.close()
      await soon('open answers', 2 * LAST_WORDS_MS, gateway.close(LAST_WORDS_MS))
      gather.stop()
      loop.disable()
      settings.close()
      await soon('the store', CLOSE_MS, engine.close())
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
    await engine.restore(gateway.expectReader)
    gateway.ready()
    const hurry = (): void => void pool.drain(0)
    const reloadSafely = (): Promise<void> => reload().then(nothing, nothing)
    return { publicUrl: urlOf(open), adminUrl: urlOf(admin), createdKey, stop, hurry, reload: reloadSafely }
  } catch (error) {
    await stop()
    throw error
  }
}

const nothing = (): void => {}

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
