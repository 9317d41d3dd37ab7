/**
 * A rolling restart under load: two gateways behind nginx, two workers, and clients of each kind that never stop. Each
 * process is stopped as an operator stops it, and started again, perhaps with another version of the program. No
 * request may fail, and each answer must be exactly its job's.
 */
import type { IntakeName } from '../chaos/fleet/broker.ts'
import { FrontProxy } from '../deploy/proxy.ts'
import { freePort } from '../free-port.ts'
import { RedisServer } from '../redis/server.ts'
import { type Broker, POOL, startBroker } from './broker.ts'
import { Load, type LoadOptions } from './load.ts'
import { Member, type Role, type Version } from './member.ts'

export interface RollOptions extends LoadOptions {
  /** Of each process in the beginning; absent: this one. */
  readonly from?: Version
  /** Absent: the same. */
  readonly to?: Version
  /** In front of the pool; absent: jobs come directly. */
  readonly intake?: IntakeName
  readonly log: (line: string) => void
  /**
   * Only clients that ask again, as SDKs do. A proxy may send a POST on a connection at the moment at which a gateway
   * that stops closes it, and may not send it twice: whoever asks once gets its 502.
   */
  readonly isPatient?: boolean
}

export interface RollReport {
  /** By kind of client. */
  readonly served: Readonly<Record<string, number>>
  readonly faults: readonly string[]
  /** Of each stop, ms. */
  readonly stopsMs: readonly number[]
}

/** Longer than any answer of the load: what runs may finish. */
const DRAIN_MS = 30_000
/** After each start: a balancer takes a while to notice. */
const SETTLE_MS = 3_000
const ROLES: readonly Role[] = ['gateway', 'gateway', 'worker', 'worker']

/** Which process is started again, and whether with the version that it goes to. */
type Step = readonly [member: number, isUpdated: boolean]
const SAME: readonly Step[] = [0, 1, 2, 3].map((i) => [i, false])
/** The first one goes back once: that holds until the last of the old version is gone. */
const UPDATE: readonly Step[] = [
  [0, true],
  [0, false],
  [2, true],
  [0, true],
  [1, true],
  [3, true],
]

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

export async function runRoll(options: RollOptions): Promise<RollReport> {
  const { streams, from = {}, to, intake, log } = options
  const redis = await RedisServer.start({ appendfsync: 'everysec' })
  const members: Member[] = []
  let broker: Broker | null = null
  let front: FrontProxy | null = null
  let load: Load | null = null
  try {
    if (intake !== undefined) broker = await startBroker(intake)
    const settings = {
      durability: 'process',
      workers: { drain_ms: DRAIN_MS },
      models: [{ name: 'demo', provider: 'demo', ...(broker && { pool: POOL }) }],
      ...broker?.settings,
    }
    const ports = [await freePort(), await freePort()]
    const start = (i: number, version: Version): Promise<Member> =>
      Member.start({
        role: ROLES[i],
        redis: redis.url,
        settings,
        ...(i < ports.length && { port: ports[i] }),
        version,
      })
    for (let i = 0; i < ROLES.length; i++) members.push(await start(i, from))
    front = await FrontProxy.start('nginx', ports)
    load = new Load(front.url, options, broker)
    load.start(streams)
    await load.moves()
    const stopsMs: number[] = []
    let toldFaults = 0
    for (const [i, isUpdated] of to === undefined ? SAME : UPDATE) {
      const startedMono = performance.now()
      const code = await members[i].stop()
      stopsMs.push(performance.now() - startedMono)
      if (code !== 0) load.faults.push(`a ${ROLES[i]} stopped with ${code}:\n${members[i].output()}`)
      members[i] = await start(i, isUpdated ? to! : from)
      await sleep(SETTLE_MS)
      log(
        `${ROLES[i]} ${(i % 2) + 1}: stopped in ${stopsMs.at(-1)!.toFixed(0)} ms, ` +
          `started${isUpdated ? ' as the version that follows' : ''}; ` +
          `${load.faults.length} faults, served ${JSON.stringify(load.served)}`,
      )
      for (const fault of load.faults.slice(toldFaults)) log(fault)
      toldFaults = load.faults.length
    }
    await load.moves()
    await load.stop()
    log(`all is over: ${load.faults.length} faults, served ${JSON.stringify(load.served)}`)
    if (load.faults.length > 0) load.faults.push(`nginx noted:\n${front.errors()}`)
    return { served: load.served, faults: load.faults, stopsMs }
  } finally {
    load?.close()
    await front?.close()
    await Promise.all(members.map((member) => member.kill()))
    await broker?.remove()
    await redis.remove()
  }
}
