/** One process of a simulated fleet: the engine's own parts, over a simulated Redis. Roles as a server's. */
import { createCoordinator } from '../../../src/coordinator/coordinator.ts'
import { type Clock, Wheel } from '../../../src/core/clock.ts'
import type { Ids } from '../../../src/core/ids.ts'
import type { Coordinator, PlanModel } from '../../../src/core/ports/coordinator.ts'
import { type Ground, openGround } from '../../../src/engines/redis/bus/ground.ts'
import { Host } from '../../../src/engines/redis/coordinator/host.ts'
import { RedisJobs } from '../../../src/engines/redis/jobs/jobs.ts'
import { RedisPresence } from '../../../src/engines/redis/jobs/presence.ts'
import { RedisSubmissions } from '../../../src/engines/redis/jobs/submissions.ts'
import { Logs } from '../../../src/engines/redis/log/log.ts'
import { FleetWork } from '../../../src/engines/redis/work/work.ts'
import type { Random } from '../random.ts'
import { OPTIONS } from '../world.ts'
import type { FleetLedger } from './ledger.ts'
import type { Network } from './network.ts'
import { clockOf, SimProcess } from './timeline.ts'
import { LIMITS } from './usage.ts'
import { SimWorker } from './worker.ts'

export interface Roles {
  readonly host: boolean
  readonly gateway: boolean
  readonly worker: boolean
}

/** What planted bugs change. */
export interface NodeFaults {
  readonly coordinator?: (real: Coordinator) => Coordinator
  readonly logs?: (real: Logs, ground: Ground) => void
}

/** A connection that is dead is noticed before a lease is over. */
export const LEASE_MS = 6_000
export const WORKER_SLOTS = 2
const NO_KEYS = { digestOf: () => null, isValid: () => false, doubt() {} }
const GRACE_MS = 3_000
const GONE_MS = 1_500

export const MODELS: readonly PlanModel[] = [
  {
    name: 'm',
    deployments: [
      { name: 'a', kinds: ['chat'], upstreamModel: null, concurrent: 2, order: 0, revision: '1' },
      { name: 'b', kinds: ['chat'], upstreamModel: null, concurrent: 1, order: 1, revision: '1' },
    ],
  },
]

export interface Fleet {
  readonly network: Network
  readonly ledger: FleetLedger
  readonly draw: Random
  readonly faults: NodeFaults
  log(line: string): void
}

export class SimNode {
  readonly process: SimProcess
  readonly roles: Roles
  readonly clock: Clock
  readonly #fleet: Fleet
  ground: Ground | null = null
  logs: Logs | null = null
  submissions: RedisSubmissions | null = null
  jobs: RedisJobs | null = null
  presence: RedisPresence | null = null
  work: FleetWork | null = null
  worker: SimWorker | null = null
  host: Host | null = null
  isStopping = false
  /** Something happened to it. */
  isHindered = false

  constructor(fleet: Fleet, name: string, roles: Roles) {
    this.#fleet = fleet
    this.process = new SimProcess(name)
    this.roles = roles
    const { network, draw } = fleet
    this.clock = clockOf(network.timeline, this.process, draw.below(1e9), 1e12 + draw.below(1e12))
  }

  /** Can it be asked? */
  get isOpen(): boolean {
    return this.ground !== null && !this.process.isDead && !this.isStopping
  }

  /** Again until it can reach Redis, as its supervisor would. */
  async open(): Promise<void> {
    for (;;)
      try {
        return await this.#open()
      } catch (error) {
        if (!/closed|refused|timed out|reached|storage/i.test(String(error))) this.#fleet.network.timeline.fail(error)
        await new Promise<void>((again) => this.clock.after(500, again))
      }
  }

  async #open(): Promise<void> {
    const { network, ledger, draw, faults } = this.#fleet
    const { clock, roles, process } = this
    const ids = idsOf(draw)
    const connect = network.connect(process)
    const redis = { url: 'redis://simulated' }
    if (roles.host) {
      const host: Host = new Host({
        redis,
        rules: { keepMs: () => 3_600_000, disconnectGraceMs: GRACE_MS, joinAfterEndMs: 60_000, goneMs: GONE_MS },
        createCoordinator: () => {
          const real = createCoordinator({
            ...OPTIONS,
            leaseMs: LEASE_MS,
            maxCrashes: 1_000,
            models: MODELS,
            limits: () => LIMITS,
          })
          const machine = faults.coordinator?.(real) ?? real
          ledger.machines.set(host.id, machine)
          return machine
        },
        clock,
        ids,
        emit: (fact) => {
          if (fact.type === 'store-degraded') network.timeline.fail(new Error(`${fact.code}: ${fact.detail}`))
        },
        chores: { start() {}, stop() {} },
        connect,
      })
      await host.start()
      this.host = host
    }
    if (!roles.gateway && !roles.worker) return
    const ground = await openGround(redis, clock, ids, () => {}, undefined, connect)
    const { bus } = ground
    const logs: Logs = new Logs({
      ...ground,
      process: bus.process,
      wheel: new Wheel(clock),
      charge: (job, attempt, tokens) => work.charge(job, attempt, tokens),
      decided: () => bus.settled(),
      fenced: (job, attempt) => work.revoke(job, attempt, 'lost'),
    })
    faults.logs?.(logs, ground)
    const presence = new RedisPresence(ground)
    const work = new FleetWork(ground, logs, () => presence.reading())
    this.jobs = new RedisJobs(ground, () => Promise.resolve())
    this.submissions = new RedisSubmissions(ground, this.jobs, presence, logs, NO_KEYS)
    await logs.start()
    this.logs = logs
    this.presence = presence
    this.work = work
    this.ground = ground
    if (roles.worker) this.worker = new SimWorker(this.#fleet, this, work, logs)
  }

  /** Orderly: what runs is handed back, or ends within the time that it has. */
  async stop(): Promise<void> {
    this.isStopping = true
    this.work?.draining()
    await this.worker?.drain()
    this.presence?.close()
    this.submissions?.close()
    this.jobs?.stop()
    await this.host?.stop()
    this.work?.close()
    this.logs?.close()
    this.ground?.close()
    this.process.isDead = true
  }

  kill(): void {
    this.process.isDead = true
    this.#fleet.network.drop(this.process)
  }
}

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz'

function idsOf(draw: Random): Ids {
  const text = (chars: string, length: number): string =>
    Array.from({ length }, () => chars[draw.below(chars.length)]).join('')
  return {
    job(order) {
      let number = ''
      for (let n = order, i = 0; i < 11; i++, n = Math.floor(n / 32)) number = CROCKFORD[n % 32] + number
      return `job_${number}${text(CROCKFORD, 15)}`
    },
    name: (prefix, bytes) => `${prefix}_${text('0123456789abcdef', 2 * bytes)}`,
    random: (bytes) => Uint8Array.from({ length: bytes }, () => draw.below(256)),
    jitter: () => draw.below(1 << 30) / (1 << 30),
  }
}
