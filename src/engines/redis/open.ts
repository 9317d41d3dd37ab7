/**
 * The Redis engine, in a process of any role: what it asks and is told goes over the bus, what it decides nothing of is
 * read from Redis, and any process may run the coordinator of the fleet. client/ is the way to Redis, lua/ has a script
 * for each verb, protocol/ what processes say to each other and store; bus/, jobs/, log/, work/ and conversations/ are
 * a process's own parts, coordinator/ what one of them runs for all. Why it is so: docs/decisions/0029 and 0033.
 */
import { type Clock, sleep, type Wheel } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Emit } from '../../core/facts.ts'
import type { Ids } from '../../core/ids.ts'
import { gauge } from '../../core/numbers.ts'
import type { Coordinator } from '../../core/ports/coordinator.ts'
import type { Engine } from '../../core/ports/engine.ts'
import type { FileCaps } from '../../core/ports/files.ts'
import type { ConversationLimitOptions } from '../shared/conversation-limits.ts'
import type { Durability } from '../shared/durability.ts'
import { DocumentFiles, FILE_CAPS } from '../shared/files.ts'
import type { JobRetention } from '../shared/retention.ts'
import { RedisBlobs } from './blobs.ts'
import { Agreement } from './bus/agreement.ts'
import { type Ground, openGround } from './bus/ground.ts'
import { Health } from './bus/health.ts'
import { checkConnection, watchSettings } from './client/check.ts'
import type { RedisAddress } from './client/connection.ts'
import { storageError } from './client/errors.ts'
import type { AskTime } from './client/redis-time.ts'
import { RedisConversations } from './conversations/conversations.ts'
import { ConversationLimits } from './conversations/limits.ts'
import { type Chores, Host } from './coordinator/host.ts'
import { HostThread } from './coordinator/host-thread.ts'
import type { Rules } from './coordinator/parts.ts'
import { RedisDocuments } from './documents.ts'
import { RedisJobs } from './jobs/jobs.ts'
import { LeavingJobs } from './jobs/leaving.ts'
import { RedisOperations } from './jobs/operations.ts'
import { RedisPresence } from './jobs/presence.ts'
import { RedisSubmissions } from './jobs/submissions.ts'
import { Sweep } from './jobs/sweep.ts'
import { TenantEraser } from './jobs/tenant.ts'
import { RedisKeys } from './keys.ts'
import { RedisLedger } from './ledger.ts'
import { Logs } from './log/log.ts'
import { RedisPeers } from './peers.ts'
import { halfFilled } from './portable/shard.ts'
import { marksOf } from './protocol/marks.ts'
import { FleetSecret } from './secret.ts'
import { RedisSignIns } from './sign-ins.ts'
import { RedisAudit, RedisTenants } from './tenants.ts'
import { RedisTickets } from './tickets.ts'
import { FleetWork } from './work/work.ts'

export interface RedisOptions {
  readonly redis: RedisAddress
  /** A server that can't keep it is refused: docs/engines.md. */
  readonly durability: Durability
  /** It is not refused, but the operator is warned. */
  readonly allowDataLoss: boolean
  /** False: what needs an operator in its settings, and in Redis's, is told by another process of this machine. */
  readonly advises?: boolean
  /**
   * What this process decides with, while it coordinates: a function that makes an empty machine, to run it here; or a
   * module that has one (DecisionsModule), and its plain options, to run it in a thread of its own, as servers do. They
   * are asked for again whenever the engine is configured.
   */
  readonly coordinator: (() => Coordinator) | { readonly module: string; readonly options: () => object }
  readonly clock: Clock
  readonly ids: Ids
  readonly wheel: Wheel
  readonly retention: JobRetention & { readonly conversations: ConversationLimitOptions }
  /** Absent: FILE_CAPS. */
  readonly files?: FileCaps
  /** How long a plain POST runs on without a reader. */
  readonly disconnectGraceMs: number
  /** How long an SDK's retry joins a job that ended well, ms (J4). */
  readonly joinAfterEndMs: number
  readonly onFact: Emit
}

/** Where tests reach in. */
export interface Seams {
  readonly askTime?: AskTime
}

export interface OpenedRedis {
  readonly engine: Engine
  /** As if the process were killed: no command leaves any more, and nobody is told. */
  kill(): void
}

/** A process for which nobody hears is given up after this. */
const GONE_MS = 1_500
const RETRY_MS = 250

/** Rejects where Redis can't be reached or refuses, and with config_invalid where it can't keep `durability`. */
export async function openRedis(options: RedisOptions, seams: Seams = {}): Promise<OpenedRedis> {
  const { redis, clock, ids, onFact } = options
  const ground = await openGround(redis, clock, ids, onFact, seams.askTime)
  let stopWatch = (): void => {}
  try {
    const checked = await checkConnection(ground.commands, options)
    if ((await ground.commands.client.exists(ground.names.filling())) === 1) throw halfFilled()
    if (options.advises !== false)
      stopWatch = watchSettings(ground.commands, options.durability, checked, clock, (code, detail) =>
        onFact({ type: 'store-warned', code, detail }),
      )
    return await compose(options, ground, seams, stopWatch)
  } catch (error) {
    stopWatch()
    ground.close()
    throw storageError(error)
  }
}

async function compose(
  options: RedisOptions,
  ground: Ground,
  { askTime }: Seams,
  stopWatch: () => void,
): Promise<OpenedRedis> {
  const { redis, coordinator, clock, ids, wheel, retention, disconnectGraceMs, joinAfterEndMs, onFact } = options
  const { bus } = ground
  const secret = await FleetSecret.open(ground)
  const keys = await RedisKeys.open(ground, async () => {
    onFact({ type: 'store-warned', code: 'commits_missing', detail: EMPTIED })
    await secret.giveBack()
  })
  const tenants = await RedisTenants.open(ground)
  const peers = await RedisPeers.open(ground)
  const logs: Logs = new Logs({
    ...ground,
    process: bus.process,
    wheel,
    charge: (job, attempt, tokens) => work.charge(job, attempt, tokens),
    decided: () => bus.settled(),
    fenced: (job, attempt) => work.revoke(job, attempt, 'lost'),
  })
  const presence = new RedisPresence(ground)
  const work = new FleetWork(ground, logs, () => presence.reading())
  const jobs: RedisJobs = new RedisJobs(ground, (tenant, id, job) => conversations.eraseTurn(tenant, id, job))
  const look = (ids: readonly string[]) => bus.ask({ type: 'look', ids })
  const conversations: RedisConversations = new RedisConversations(ground, look, (id) => jobs.erase(id))
  const submissions = new RedisSubmissions(ground, jobs, presence, logs, keys)
  const leaving = new LeavingJobs(ground)
  const ledger = new RedisLedger(ground)
  const documents = new RedisDocuments(ground)
  const files = new DocumentFiles({
    documents,
    blobs: new RedisBlobs(ground),
    ids,
    wallMs: () => ground.time.nowMs(),
    caps: options.files ?? FILE_CAPS,
  })
  const eraser = new TenantEraser(ground, jobs, {
    keys: async (tenant) => {
      await keys.removeTenant(tenant)
      await tenants.remove(tenant)
      await files.removeTenant(tenant)
      await documents.removeTenant(tenant)
    },
    conversations: async (tenant) => {
      await conversations.removeTenant(tenant)
      // What the ends of its jobs wrote
      await files.removeTenant(tenant)
      await documents.removeTenant(tenant)
    },
    usage: (tenant) => ledger.removeTenant(tenant),
  })
  const health = new Health(ground)
  const sweep = new Sweep(ground, retention)
  const limits = new ConversationLimits(ground, conversations, retention.conversations)
  const rules: Rules = {
    keepMs: (tenant) => finite(retention.tenant(tenant)?.logsMs ?? retention.logsMs),
    unreadMs: retention.atLeastMs,
    disconnectGraceMs,
    joinAfterEndMs,
    goneMs: GONE_MS,
    ...(retention.usageSums !== undefined && { usageSums: retention.usageSums }),
  }
  const chores: Chores = {
    start() {
      sweep.start()
      peers.watch(true)
      limits.start()
    },
    stop() {
      sweep.stop()
      peers.watch(false)
      limits.stop()
    },
  }
  const shared = { redis, rules, clock, ids, emit: onFact, chores, ...(askTime && { askTime }) }
  const { keepMs: _keep, ...threadRules } = rules
  let host: Host | HostThread
  /** Plain data; none where a function decides. */
  let settings = (): object => ({})
  if (typeof coordinator === 'function') host = new Host({ ...shared, createCoordinator: coordinator })
  else {
    const { module, options } = coordinator
    host = new HostThread({ redis, rules: threadRules, module, options: options() }, clock, onFact, chores)
    settings = options
  }
  const emitAdvice: Emit = (fact) => {
    if (options.advises !== false) onFact(fact)
  }
  const agreement = new Agreement({ bus, clock, emit: emitAdvice }, () => marksOf(settings()))
  await logs.start()

  let closed = false
  /** What needs no farewell. */
  const stop = (): void => {
    closed = true
    stopWatch()
    presence.close()
    submissions.close()
    jobs.stop()
    conversations.close()
    leaving.close()
    keys.close()
    tenants.close()
    health.close()
  }
  const disconnect = (): void => {
    work.close()
    logs.close()
    ground.close()
  }
  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    if (closed) return
    stop()
    await peers.leave()
    await host.stop()
    disconnect()
  }
  const engine: Engine = {
    submissions,
    work,
    jobs,
    operations: new RedisOperations(ground),
    log: leaving.of(logs),
    conversations,
    keys,
    tenants,
    documents,
    files,
    audit: new RedisAudit(ground),
    presence,
    tickets: new RedisTickets(ground),
    signIns: new RedisSignIns(ground),
    peers,
    ledger,
    get sharedSecret() {
      return secret.bytes
    },
    // That of a fleet goes with its `sharedSecret`
    intakeSecret: async (own) => secret.intake ?? own(),
    wallMs: () => ground.time.nowMs(),
    health() {
      const told = health.read()
      return told.ok && logs.down !== null ? { ok: false, error: logs.down } : told
    },
    async restore() {
      await host.start()
      health.begin()
      while (!closed)
        try {
          await bus.ask({ type: 'hello' })
          return
        } catch (error) {
          if (storageError(error).code !== 'storage_unavailable') throw error
          await sleep(clock, RETRY_MS)
        }
    },
    eraseTenant: (tenant) => eraser.erase(tenant),
    configure(models) {
      host.configure(models, settings())
      // Whoever coordinates has the settings of its own start: see bus/agreement.ts where this does not arrive
      if (!host.isActing) bus.ask({ type: 'configure', models, settings: settings() }).catch(() => {})
    },
    adjust: (settings) => host.adjust(settings),
    metrics: [
      gauge('pending_commands', 'Commands that wait for the answer of the coordinator', () => bus.pending),
      gauge('coordinating', 'Processes that coordinate the fleet: one of all', () => (host.isActing ? 1 : 0)),
      ...health.metrics,
      ...agreement.metrics,
      sweep.removed,
    ],
    draining: () => work.draining(),
    backup() {
      throw new SluiceError('invalid_request', {
        message:
          'This server stores in Redis, which backs itself up: keep copies of its RDB or AOF files ' +
          '(docs/operations.md).',
      })
    },
    close: () => (closing ??= close()),
  }
  return {
    engine,
    kill() {
      if (closed) return
      stop()
      peers.close()
      host.kill()
      disconnect()
    },
  }
}

const EMPTIED =
  'Redis was emptied: all jobs, logs and conversations are lost. It is given back the API keys that are known here.'

const finite = (ms: number): number | null => (ms === Infinity ? null : ms)
