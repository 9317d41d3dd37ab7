/**
 * What the embedded engine's ledger and limits cost: CPU of a job, in interleaved rounds.
 *
 *   node test/limits/measure-store.ts [--rounds 6] [--jobs 4000] [--atOnce 64]
 *
 * `without`: attempts are not booked. `usage`: they are, nothing is limited. `limits`: they are, and each job is under
 * levels of its key, user, tenant, tenant's model, model and everybody.
 */
import { parseArgs } from 'node:util'
import type { LevelLimits, LimitSettings } from '../../src/core/limits.ts'
import type { Coordinator } from '../../src/core/ports/coordinator.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { Lease } from '../../src/core/ports/work.ts'
import { documentRecord } from '../../src/core/record.ts'
import { embedded } from '../conformance/embedded.ts'
import { DONE, draft } from '../conformance/words.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '6' },
    jobs: { type: 'string', default: '4000' },
    atOnce: { type: 'string', default: '64' },
  },
})
const [rounds, jobs, atOnce] = [values.rounds, values.jobs, values.atOnce].map(Number)

const level: LevelLimits = {
  rates: (['tokens', 'requests'] as const).map((unit) => ({
    unit,
    burst: 1e9,
    perSecond: 1e6,
    whenOut: 'debt',
    oversize: 'refuse',
  })),
  budgets: [{ window: 'day', nanoDollars: 1e15, whenOut: 'cut' }],
  concurrent: 1e6,
}
const tenant = { all: level, eachUser: level, eachRun: level, eachKey: level, models: { m: level } }
const LIMITS: LimitSettings = { global: level, models: { m: level }, tenants: {}, eachTenant: tenant, keys: {} }

const unbooked = (real: Coordinator): Coordinator =>
  new Proxy(real, {
    get(target, name) {
      if (name === 'changes') return () => target.changes().filter(({ type }) => type !== 'used')
      const value = target[name as keyof Coordinator] as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
const same = (real: Coordinator): Coordinator =>
  new Proxy(real, {
    get(target, name) {
      if (name === 'changes') return () => target.changes().filter(() => true)
      const value = target[name as keyof Coordinator] as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })

const ANSWER = documentRecord(`{"choices":[{"message":{"content":"${'x'.repeat(400)}"}}]}`)
const KINDS = ['without', 'usage', 'limits'] as const

async function opened(kind: (typeof KINDS)[number]) {
  const open = embedded('process', { withoutThread: true, coordinator: kind === 'without' ? unbooked : same })
  const { engine, close } = await open(kind === 'limits' ? { limits: LIMITS } : {})
  const run = (lease: Lease): void => {
    engine.log.open(lease).append([ANSWER], 100, true)
    void engine.work.finish(lease, { ...DONE, cost: { nanoDollars: 1_000, priceVersion: 'v' } })
  }
  engine.work.attach({
    id: 'w',
    pools: [],
    slots: Infinity,
    leased: (leases) => leases.forEach(run),
    revoked() {},
    cut() {},
  })
  return { engine, close }
}

let serial = 0
async function round(engine: Engine): Promise<number> {
  const begun = process.cpuUsage()
  let left = jobs
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0) {
        const one = draft({
          document: true,
          user: `user ${serial++ % 1_000}`,
          price: { input: 10, output: 30 },
          options: { policy: 'reject', onDisconnect: 'cancel' },
        })
        const { result } = await engine.submissions.begin(one)
        if (result.kind !== 'accepted') throw new Error(result.kind)
        await new Promise<void>((done) => {
          const { ready } = engine.log.follow(result.job.id, (_, records) => {
            if (records.at(-1)!.startsWith('@end')) done()
          })
          if (ready !== null) done()
        })
      }
    }),
  )
  const { user, system } = process.cpuUsage(begun)
  return (user + system) / jobs
}

const engines = new Map<string, Awaited<ReturnType<typeof opened>>>()
for (const kind of KINDS) engines.set(kind, await opened(kind))
for (const { engine } of engines.values()) await round(engine)
const found = new Map<string, number[]>(KINDS.map((kind) => [kind, []]))
for (let i = 0; i < rounds; i++)
  for (const kind of i % 2 === 0 ? KINDS : KINDS.toReversed())
    found.get(kind)!.push(await round(engines.get(kind)!.engine))
for (const { close } of engines.values()) await close()
const median = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)]
console.table(
  Object.fromEntries(
    [...found].map(([kind, all]) => [
      kind,
      {
        'µs a job': Math.round(median(all)),
        least: Math.round(Math.min(...all)),
        most: Math.round(Math.max(...all)),
        'of without': +(median(all) / median(found.get('without')!)).toFixed(3),
      },
    ]),
  ),
)
