import { afterAll, describe } from 'vitest'
import type { Durability } from '../../src/engines/shared/durability.ts'
import { RedisCluster } from '../redis/cluster.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { afterCases } from './after.ts'
import { arrivalCases } from './arrivals.ts'
import { briefCases } from './brief.ts'
import { controlCases } from './control.ts'
import { conversationCases } from './conversations.ts'
import { documentCases } from './documents.ts'
import { durabilityCases } from './durability.ts'
import { factCases } from './facts.ts'
import { fileCases } from './files.ts'
import { fleetCases } from './fleet.ts'
import { type Case, conform, type Open } from './harness.ts'
import { hedgeCases } from './hedges.ts'
import { keyCases } from './keys.ts'
import { leaseCases } from './leases.ts'
import { ledgerCases } from './ledger.ts'
import { limitCases } from './limits.ts'
import { logCases } from './log.ts'
import { ownKeyCases } from './own-keys.ts'
import { peerCases } from './peers.ts'
import { queueCases } from './queue.ts'
import { redis, type Store } from './redis.ts'
import { routeCases } from './routes.ts'
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
  after: afterCases,
  arrivals: arrivalCases,
  brief: briefCases,
  control: controlCases,
  leases: leaseCases,
  log: logCases,
  conversations: conversationCases,
  keys: keyCases,
  tenants: tenantCases,
  documents: documentCases,
  files: fileCases,
  'own keys': ownKeyCases,
  'sign-ins': signInCases,
  peers: peerCases,
  durability: durabilityCases,
  facts: factCases,
  time: timeCases,
  fleet: fleetCases,
  limits: limitCases,
  routes: routeCases,
  hedges: hedgeCases,
  ledger: ledgerCases,
}

/**
 * All suites, or some, side by side, as most of them wait for a takeover, on one server or on a cluster of three; one
 * after the other where they share a cluster with what crashes it.
 */
export function conformRedis(
  name: string,
  durability: Durability,
  options: { readonly cluster?: boolean; readonly suites?: readonly string[] } = {},
): void {
  const isShared = options.cluster === true
  let started: Promise<Store> | null = null
  const shared = (): Promise<Store> => {
    started ??= isShared ? startCluster(durability) : startServer(durability)
    return started
  }
  const open = redis(shared, durability)
  const openAlone = redis(() => startServer(durability), durability, { own: true })
  const gaps = {
    ...GAPS,
    ...(durability !== 'power' && { power: 'not promised' }),
    ...(isShared && { cut: 'its processes know all nodes' }),
  }
  const suites = options.suites ?? Object.keys(SUITES)
  const run = (openOne: Open, crash: boolean): void => {
    for (const suite of suites) {
      const cases = SUITES[suite].filter(({ needs }) => (needs === 'power') === crash)
      conform(`${name}: ${suite}`, cases, openOne, gaps)
    }
  }
  const crashes = suites.some((suite) => SUITES[suite].some(({ needs }) => needs === 'power'))
  describe.skipIf(NO_REDIS)(`Redis: ${name}`, { concurrent: !isShared || !crashes }, () => {
    afterAll(async () => (await started)?.remove())
    run(open, false)
    run(isShared ? open : openAlone, true)
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
