/**
 * A child of the benchmark's measurement of jobs (test/bench/fleet/jobs.ts): Sluice's Redis engine, as a process of a
 * fleet opens it, with its coordinator in a thread. It submits, half of the jobs in lanes, for 50 tenants; or works,
 * ending each job at once.
 */
import { createHash } from 'node:crypto'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import { systemIds } from '../../src/core/ids.ts'
import { openRedis } from '../../src/engines/redis/open.ts'
import { UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import { requestOf, serve } from '../bench/fleet/protocol.ts'
import { DONE, draft } from '../conformance/words.ts'

const TENANTS = 50
const LANES = 1_000

serve(async ({ role, port, fsync, slots, bytes }, ended) => {
  const { engine } = await openRedis({
    redis: { url: `redis://127.0.0.1:${port}` },
    durability: fsync === 'always' ? 'power' : 'process',
    allowDataLoss: false,
    coordinator: {
      module: new URL('./decisions.ts', import.meta.url).href,
      options: () => ({ maxQueuedPerTenant: 1_000_000 }),
    },
    clock: systemClock,
    ids: systemIds(),
    wheel: new Wheel(systemClock),
    retention: {
      logsMs: 3_600_000,
      bytes: 2 ** 40,
      atLeastMs: 0,
      usageMs: 86_400_000,
      usageBytes: 1 << 30,
      conversations: UNLIMITED,
      tenant: () => null,
    },
    joinAfterEndMs: 60_000,
    disconnectGraceMs: 15_000,
    onFact() {},
  })
  await engine.restore()
  if (role === 'work') {
    const { work } = engine
    const end = (lease: Parameters<typeof work.finish>[0]): void =>
      void work.finish(lease, DONE).then(({ kind }) => {
        if (kind !== 'ended') throw new Error(`a job came to be ${kind}`)
        ended()
      })
    work.attach({ id: 'w', pools: [], slots, leased: (leases) => leases.forEach(end), revoked() {}, cut() {} })
    return async () => {}
  }
  return async (count, from) => {
    const drafts = Array.from({ length: count }, (_, i) => {
      const n = from + i
      const body = requestOf(n, bytes)
      const bodyHash = createHash('sha256').update(body).digest('hex')
      const options = n % 2 === 0 ? { lane: `lane ${n % LANES}` } : {}
      return draft({ tenant: `tenant ${n % TENANTS}`, options, body, bodyHash })
    })
    for (const submitted of await engine.submissions.submit(drafts)) {
      if (submitted.kind === 'refused') throw submitted.error
      if (submitted.kind !== 'accepted') throw new Error(`a job was ${submitted.kind}`)
    }
  }
})
