/** The embedded ledger and limits: what they write, and how long they hold the loop. Their promises: the suites. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, it } from 'vitest'
import type { LevelLimits, LimitSettings } from '../../src/core/limits.ts'
import { NO_LIMITS } from '../../src/core/limits.ts'
import { countOf, type Histogram } from '../../src/core/numbers.ts'
import { depth } from '../depth.ts'
import { embedded, type Planted } from './embedded.ts'
import {
  accepted,
  DONE,
  draft,
  eventually,
  type Opened,
  runJob,
  type Settings,
  settled,
  submit,
  TestWorker,
} from './harness.ts'
import { recordsOf, sumsOf } from './ledger.ts'

const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function start(planted: Planted = {}, settings: Settings = {}) {
  const dbs: DatabaseSync[] = []
  const opened = (one: DatabaseSync): void => void dbs.push(one)
  const engine = await embedded('process', { withoutThread: true, opened, ...planted })(settings)
  undo.push(() => engine.close())
  const [db] = dbs
  const rows = (sql: string): unknown[] => db.prepare(sql).all()
  return { ...engine, db, rows }
}

const level = (perSecond: number): LevelLimits => ({
  rates: [{ unit: 'tokens', burst: 1_000, perSecond, whenOut: 'debt', oversize: 'refuse' }],
  budgets: [],
  concurrent: null,
})
const each = (one: LevelLimits): LimitSettings => ({
  ...NO_LIMITS,
  global: one,
  eachTenant: { all: one, eachUser: one, eachRun: null, eachKey: one, models: {} },
})

/** Commits while it runs. */
async function commitsOf({ engine }: Opened, work: () => Promise<unknown>): Promise<number> {
  const commitMs = engine.metrics.find(({ name }) => name === 'commit_ms') as Histogram
  const before = countOf(commitMs)
  await work()
  return countOf(commitMs) - before
}

it.each([NO_LIMITS, each(level(1))])(
  'a plain document is one commit, booked and all, limited or not',
  async (limits) => {
    const opened = await start({}, { limits })
    const worker = new TestWorker(opened.engine)
    worker.accept(1)
    await settled(opened.engine)
    const commits = await commitsOf(opened, async () => {
      const one = draft({ document: true, user: 'ann', options: { policy: 'reject' } })
      accepted((await opened.engine.submissions.begin(one)).result)
      await eventually(() => expect(worker.taken).toHaveLength(1))
      await opened.engine.work.finish(worker.taken[0], DONE)
    })
    expect(commits).toBe(1)
    expect((await recordsOf(opened.engine)).length).toBe(1)
  },
)

it('where nothing is limited no level is stored; ends of one commit are one sum, and each level once', async () => {
  const free = await start()
  await runJob(free.engine, new TestWorker(free.engine))
  expect(free.rows('SELECT * FROM levels')).toEqual([])

  const opened = await start({}, { limits: each(level(1e-6)) })
  const worker = new TestWorker(opened.engine)
  await opened.engine.submissions.submit(Array.from({ length: 20 }, () => draft({ user: 'ann', maxOutputTokens: 9 })))
  const leases = await worker.lease(20)
  expect(leases.length).toBe(20)
  const commits = await commitsOf(opened, () =>
    Promise.all(leases.map((lease) => opened.engine.work.finish(lease, DONE))),
  )
  expect(commits).toBeLessThanOrEqual(2)
  const kinds = opened.rows('SELECT kind FROM levels ORDER BY kind')
  expect(kinds).toEqual(['global', 'key', 'tenant', 'user'].map((kind) => ({ kind })))
  expect(await sumsOf(opened.engine)).toMatchObject([{ attempts: 20, promptTokens: 200 }])
})

it('levels that nothing is used of any more leave the store', async () => {
  const opened = await start({}, { limits: each(level(1_000)) })
  const worker = new TestWorker(opened.engine)
  for (let i = 0; i < 20; i++) {
    await runJob(opened.engine, worker, { user: `u${i}` })
    opened.clock.leap(5_000)
  }
  expect(opened.rows("SELECT * FROM levels WHERE kind = 'user'").length).toBeLessThan(10)
})

it('a full disk keeps what was used with its end, and books it once there is room', async () => {
  const { engine, clock, db } = await start({}, { limits: each(level(1e-6)) })
  const worker = new TestWorker(engine)
  const jobs = [await submit(engine, { user: 'ann' }), await submit(engine, { user: 'bob' })]
  const leases = [await worker.one(jobs[0]), await worker.one(jobs[1])]
  const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
  db.exec(`PRAGMA max_page_count = ${pages}`)
  engine.log.open(leases[0]).append(['x'.repeat(200_000)], 1, true)
  await eventually(() => expect(engine.health().ok).toBe(false))
  const ends = leases.map((lease) => engine.work.finish(lease, DONE))
  clock.leap(1_000)
  expect(await recordsOf(engine)).toEqual([])
  db.exec('PRAGMA max_page_count = 1000000')
  clock.leap(1_000)
  await Promise.all(ends)
  expect((await recordsOf(engine)).map(({ user }) => user)).toEqual(['ann', 'bob'])
  expect((await sumsOf(engine)).map(({ attempts }) => attempts)).toEqual([1, 1])
  expect(db.prepare("SELECT count(*) AS n FROM levels WHERE kind = 'user'").get()).toEqual({ n: 2 })
})

it('an attempt that a stop cut off is booked, and nobody is blamed; where it ran needs no log', async () => {
  const opened = await start({}, { maxCrashes: 0 })
  const job = await submit(opened.engine)
  const lease = await new TestWorker(opened.engine).one(job)
  opened.engine.draining()
  await settled(opened.engine)
  const again = await opened.reopen('kill')
  undo.push(() => again.close())
  await settled(again.engine)
  expect(await recordsOf(again.engine)).toMatchObject([
    { job: job.id, end: 'lost', deployment: lease.claim.deployment, usage: { completionTokens: 0, estimated: true } },
  ])
  expect(await new TestWorker(again.engine).one(job)).toMatchObject({ attempt: 2, crashes: 0 })
})

it('records above their bytes go, the oldest first', async () => {
  const opened = await start({ retention: { usageBytes: 20_000 } })
  const worker = new TestWorker(opened.engine)
  await opened.engine.submissions.submit(Array.from({ length: 300 }, (_, i) => draft({ user: `u${i}` })))
  for (let done = 0; done < 300; )
    for (const lease of await worker.lease(100)) {
      await opened.engine.work.finish(lease, DONE)
      done++
    }
  opened.clock.leap(11_000)
  await eventually(() => expect(opened.rows('SELECT n FROM usage').length).toBeLessThan(100))
  const left = await recordsOf(opened.engine)
  expect(left.length).toBeGreaterThan(30)
  expect(left.at(-1)!.user).toBe((await opened.engine.jobs.get(worker.taken.at(-1)!.job.id))!.user)
  expect((await sumsOf(opened.engine)).length).toBe(300)
})

const MANY = depth(100_000, 30_000)

it(`${MANY} records and sums are read and erased without holding the event loop`, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-ledger-'))
  undo.push(() => rmSync(dir, { recursive: true, force: true }))
  const first = await embedded('process', { withoutThread: true, dir })()
  await first.close()
  const db = new DatabaseSync(join(dir, 'sluice.db'))
  const facts = JSON.stringify({ job: 'job_x', attempt: 1, run: null, kind: 'chat', deployment: 'd', end: 'done' })
  db.exec(`BEGIN;
    WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ${MANY})
    INSERT INTO usage SELECT n, 1700000000000 + n, 0, 't' || (n % 10), 'k', 'u' || n, 'm', '${facts}' FROM i;
    INSERT INTO usage_runs VALUES (1, '2023-11-14');
    INSERT INTO usage_sums
      SELECT '2023-11-' || (10 + n % 20), tenant, key, 'u' || user, model, 1, 0, 0, 0, 1, 0, 1, 0, 1 FROM usage;
    INSERT INTO levels SELECT 'user', tenant, user, 0, '{"rates":{"tokens":5},"spent":{}}' FROM usage;
    COMMIT`)
  db.close()
  const opened = await embedded('process', { withoutThread: true, dir })({ limits: each(level(1)) })
  undo.push(() => opened.close())
  const { ledger } = opened.engine
  let longest = 0
  let isOver = false
  const watch = (async () => {
    for (let at = process.threadCpuUsage(); !isOver; ) {
      await new Promise((turned) => setImmediate(turned))
      // CPU of this thread, as the machine may be busy with others
      const { user, system } = process.threadCpuUsage(at)
      longest = Math.max(longest, (user + system) / 1_000)
      at = process.threadCpuUsage()
    }
  })()
  expect((await recordsOf(opened.engine, {}, 1_000)).length).toBe(MANY)
  expect((await recordsOf(opened.engine, { tenant: 't3' }, 100_000)).length).toBe(MANY / 10)
  expect((await recordsOf(opened.engine, { user: `u${MANY - 1}` }, 10)).length).toBe(1)
  expect((await sumsOf(opened.engine, {}, 1_000)).length).toBe(MANY)
  expect((await sumsOf(opened.engine, { tenant: 't3' }, 1_000)).length).toBe(MANY / 10)
  expect((await sumsOf(opened.engine, { user: `u${MANY - 1}` }, 1_000)).length).toBe(1)
  expect((await ledger.records({ fromDay: '2024-01-01' }, null, 10)).items).toEqual([])
  await opened.engine.eraseTenant('t3')
  expect((await recordsOf(opened.engine, {}, 1_000)).length).toBe(0.9 * MANY)
  expect((await sumsOf(opened.engine, { tenant: 't3' })).length).toBe(0)
  isOver = true
  await watch
  expect(longest).toBeLessThan(50)
}, 120_000)
