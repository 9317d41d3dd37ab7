import { afterAll, describe } from 'vitest'
import type { Durability } from '../../src/engines/shared/durability.ts'
import { RedisCluster } from '../redis/cluster.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { briefCases } from './brief.ts'
import { controlCases } from './control.ts'
import { conversationCases } from './conversations.ts'
import { durabilityCases } from './durability.ts'
import { factCases } from './facts.ts'
import { fleetCases } from './fleet.ts'
import { type Case, conform } from './harness.ts'
import { keyCases } from './keys.ts'
import { leaseCases } from './leases.ts'
import { ledgerCases } from './ledger.ts'
import { limitCases } from './limits.ts'
import { logCases } from './log.ts'
import { peerCases } from './peers.ts'
import { queueCases } from './queue.ts'
import { redis, type Store } from './redis.ts'
import { signInCases } from './sign-ins.ts'
import { tenantCases } from './tenants.ts'
import { timeCases } from './time.ts'

const EPOCH = "a log's epoch is that of what Redis has, which outlives our processes"

/** What the Redis engine does not do, or not yet, and why. */
const GAPS: Readonly<Record<string, string>> = {
  'the end is neither readable nor followed nor in the job before finish resolves':
    'all are told by the commit, readers and who finishes; the answer of finish may come last',
  'a kill loses no record that was flushed; the log goes on where it was, and cursors of all starts hold': EPOCH,
  'each start is a new epoch for logs that had not ended; ended ones keep theirs, new ones begin at 1': EPOCH,
}

export const SUITES: Readonly<Record<string, readonly Case[]>> = {
  queue: queueCases,
  brief: briefCases,
  control: controlCases,
  leases: leaseCases,
  log: logCases,
  conversations: conversationCases,
  keys: keyCases,
  tenants: tenantCases,
  'sign-ins': signInCases,
  peers: peerCases,
  durability: durabilityCases,
  facts: factCases,
  time: timeCases,
  fleet: fleetCases,
  limits: limitCases,
  ledger: ledgerCases,
}

/**
 * All suites, or some, on one server, side by side, as most of them wait for a takeover; or one after the other on a
 * cluster of three, which they share with the cases that crash it.
 */
export function conformRedis(
  name: string,
  durability: Durability,
  options: { readonly cluster?: boolean; readonly suites?: readonly string[] } = {},
): void {
  let started: Promise<Store> | null = null
  const shared = (): Promise<Store> => {
    started ??= options.cluster === true ? startCluster(durability) : startServer(durability)
    return started
  }
  const open = redis(shared, durability)
  const openAlone = options.cluster === true ? open : redis(() => startServer(durability), durability, { own: true })
  const gaps = {
    ...GAPS,
    ...(durability !== 'power' && { power: 'not promised' }),
    ...(options.cluster === true && { cut: 'its processes know all nodes' }),
  }
  describe.skipIf(NO_REDIS)(`Redis: ${name}`, { concurrent: options.cluster !== true }, () => {
    afterAll(async () => (await started)?.remove())
    for (const suite of options.suites ?? Object.keys(SUITES)) {
      const [crashes, others] = [true, false].map((is) =>
        SUITES[suite].filter(({ needs }) => (needs === 'power') === is),
      )
      conform(`${name}: ${suite}`, others, open, gaps)
      // A server to itself: the others' must not crash
      conform(`${name}: ${suite}`, crashes, openAlone, gaps)
    }
  })
}

const SYNCS = { power: 'always', process: 'everysec', memory: null } as const

async function startServer(durability: Durability): Promise<Store> {
  const server = await RedisServer.start({ appendfsync: SYNCS[durability] })
  return {
    address: { url: server.url },
    port: server.port,
    async crash() {
      await server.kill()
      await server.restart()
    },
    remove: () => server.remove(),
  }
}

async function startCluster(durability: Durability): Promise<Store> {
  const cluster = await RedisCluster.start({ appendfsync: SYNCS[durability] })
  return {
    address: { url: cluster.url, nodes: cluster.others },
    async crash() {
      await Promise.all(cluster.nodes.map((node) => node.kill()))
      await Promise.all(cluster.nodes.map((node) => node.restart()))
      await cluster.whole()
    },
    remove: () => cluster.remove(),
  }
}
