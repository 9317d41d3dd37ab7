/** What the embedded engine keeps when it has a budget: of ended jobs, and of conversations. */
import type { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, test } from 'vitest'
import type { Job } from '../../src/core/job.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import { openDisk } from '../../src/engines/embedded/disk/disk.ts'
import { type ConversationLimitOptions, UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import { depth } from '../depth.ts'
import { HeldLoop } from '../front/loop.ts'
import { embedded, type Planted } from './embedded.ts'
import {
  DONE,
  draft,
  eventually,
  type Opened,
  readConversation,
  runJob,
  type Settings,
  submit,
  TestWorker,
} from './harness.ts'

const opened: Opened[] = []
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
})

const MIB = 1 << 20
const SWEEP_MS = 11_000

async function start(
  retention: Planted['retention'],
  planted: Omit<Planted, 'retention'> = {},
  settings: Settings = {},
) {
  const one = await embedded('process', { ...planted, retention: retention ?? {} })(settings)
  opened.push(one)
  return { ...one, worker: new TestWorker(one.engine) }
}
const limited = (limits: Partial<ConversationLimitOptions>) => start({ conversations: { ...UNLIMITED, ...limits } })

const large = (text: string, bytes = 100_000): string =>
  JSON.stringify({ model: 'm', messages: [{ role: 'user', content: text.repeat(bytes).slice(0, bytes) }] })
const isThere = async (engine: Engine, id: string): Promise<boolean> => (await engine.jobs.get(id)) !== null

test('above its budget the oldest jobs that ended go, and none that waits, or that one comes after', async () => {
  const { engine, clock, worker } = await start({ bytes: MIB })
  const queued = await submit(engine, { body: large('q'), options: { delayMs: 3_000_000 } })
  const awaited = await runJob(engine, worker, { body: large('a') })
  await submit(engine, { after: [awaited.id], options: { delayMs: 3_000_000 } })
  const jobs: Job[] = []
  for (let i = 0; i < 30; i++) jobs.push(await runJob(engine, worker, { body: large(`${i}`) }))
  clock.leap(SWEEP_MS)
  await eventually(async () => expect(await isThere(engine, jobs[19].id)).toBe(false))
  expect(await Promise.all([jobs[0], jobs[21], jobs[29]].map(({ id }) => isThere(engine, id)))).toEqual([
    false,
    true,
    true,
  ])
  expect((await engine.jobs.get(queued.id))?.state).toBe('delayed')
  expect(await isThere(engine, awaited.id)).toBe(true)
})

test('conversations and jobs in line take nothing of the budget of ended jobs', async () => {
  const retentionOf = (tenant: string): number | null => (tenant === 'talks' ? 0 : null) // its conversation stays
  const { engine, clock, worker } = await start({ bytes: MIB }, {}, { retentionOf })
  const kept = [await runJob(engine, worker, { tenant: 'small', body: large('k') })]
  for (let i = 0; i < 8; i++) kept.push(await runJob(engine, worker, { tenant: 'large', body: large('k') }))
  for (let i = 0; i < 30; i++)
    await submit(engine, { tenant: 'waits', body: large('q'), options: { delayMs: 3_000_000 } })
  for (let i = 0; i < 30; i++)
    await runJob(engine, worker, { tenant: 'talks', body: large('c'), options: { conversation: 'c' } })
  await eventually(async () => {
    clock.leap(500)
    expect(await engine.jobs.list({ tenant: 'talks', limit: 1 })).toEqual([])
  })
  for (let i = 0; i < 3; i++) {
    clock.leap(SWEEP_MS)
    await new Promise((done) => setTimeout(done, 100))
  }
  for (const { id } of kept) expect(await isThere(engine, id)).toBe(true)
  expect((await readConversation(engine, 'talks', 'c'))?.turns.length).toBe(30)
})

test('a tenant that takes no more than its share loses nothing to another', async () => {
  const { engine, clock, worker } = await start({ bytes: MIB })
  const small: Job[] = []
  for (let i = 0; i < 4; i++) small.push(await runJob(engine, worker, { tenant: 'small', body: large('s') }))
  const heavy: Job[] = []
  for (let i = 0; i < 40; i++) heavy.push(await runJob(engine, worker, { tenant: 'heavy', body: large('h') }))
  clock.leap(SWEEP_MS)
  await eventually(async () => expect(await isThere(engine, heavy[33].id)).toBe(false))
  expect(await Promise.all(small.map(({ id }) => isThere(engine, id)))).toEqual([true, true, true, true])
  expect(await isThere(engine, heavy[39].id)).toBe(true)
})

test('what ended lately stays whatever it takes, and its idempotency key holds', async () => {
  const { engine, clock, worker } = await start({ bytes: MIB, atLeastMs: 600_000 })
  const jobs: Job[] = []
  for (let i = 0; i < 30; i++)
    jobs.push(await runJob(engine, worker, { body: large('b'), options: { idempotencyKey: `k${i}` } }))
  for (let i = 0; i < 3; i++) {
    clock.leap(SWEEP_MS)
    await new Promise((done) => setTimeout(done, 100))
  }
  expect(await isThere(engine, jobs[0].id)).toBe(true)
  const [again] = await engine.submissions.submit([draft({ body: large('b'), options: { idempotencyKey: 'k0' } })])
  expect(again).toMatchObject({ kind: 'joined', job: { id: jobs[0].id } })
  clock.leap(600_000)
  await eventually(async () => expect(await isThere(engine, jobs[0].id)).toBe(false))
})

test('a conversation keeps its newest turns, and the instructions that it began with', async () => {
  const { engine, clock, worker } = await limited({ turns: 3 })
  const rules = [{ role: 'system', content: 'brief' }]
  const jobs: Job[] = []
  for (let i = 1; i <= 8; i++) {
    const messages = [...(i === 1 ? rules : []), { role: 'user', content: `${i}` }]
    const body = JSON.stringify({ model: 'm', messages })
    jobs.push(await runJob(engine, worker, { options: { conversation: 'c' }, body }))
  }
  await runJob(engine, worker, { options: { conversation: 'other' } })
  clock.leap(SWEEP_MS)
  await eventually(async () => expect((await engine.conversations.get('acme', 'c'))?.turns).toBe(3))
  const { turns } = (await readConversation(engine, 'acme', 'c'))!
  expect(turns.map(({ messages }) => JSON.parse(messages)[0].content)).toEqual(['6', '7', '8'])
  expect(await engine.conversations.instructions('acme', 'c')).toBe(JSON.stringify(rules))
  expect((await engine.conversations.get('acme', 'other'))?.turns).toBe(1)
  // Who erases the job that they came with erases them, too
  await engine.jobs.erase(jobs[0].id)
  expect(await engine.conversations.instructions('acme', 'c')).toBeNull()
})

test('a conversation is bounded in bytes; its newest turn stays', async () => {
  const { engine, clock, worker } = await limited({ bytes: 250_000 })
  for (let i = 0; i < 4; i++) await runJob(engine, worker, { options: { conversation: 'c' }, body: large('x') })
  await runJob(engine, worker, { options: { conversation: 'huge' }, body: large('x', 300_000) })
  clock.leap(SWEEP_MS)
  await eventually(async () => expect((await engine.conversations.get('acme', 'c'))?.turns).toBe(2))
  expect((await engine.conversations.get('acme', 'huge'))?.turns).toBe(1)
})

test('a tenant’s conversations are bounded: the least recent go, none of another tenant, none at work', async () => {
  const { engine, clock, worker } = await limited({ tenantBytes: 250_000 })
  for (const id of ['waits', 'a', 'b', 'c'])
    await runJob(engine, worker, { options: { conversation: id }, body: large('x') })
  await runJob(engine, worker, { tenant: 'other', options: { conversation: 'a' }, body: large('x') })
  await submit(engine, { options: { conversation: 'waits', delayMs: 3_000_000 } })
  clock.leap(SWEEP_MS)
  const left = async (tenant: string) =>
    (await engine.conversations.list(tenant, { limit: 9 })).conversations.map(({ id }) => id)
  await eventually(async () => expect(await left('acme')).toEqual(['c', 'waits']))
  expect(await left('other')).toEqual(['a'])
})

test('a conversation that rests is deleted after its time, where there is one', async () => {
  const { engine, clock, worker } = await limited({ maxAgeMs: 60_000 })
  await runJob(engine, worker, { options: { conversation: 'old' } })
  clock.leap(50_000)
  await runJob(engine, worker, { options: { conversation: 'new' } })
  clock.leap(20_000)
  await eventually(async () => expect(await engine.conversations.get('acme', 'old')).toBeNull())
  expect(await engine.conversations.get('acme', 'new')).not.toBeNull()
})

test('limits that were lowered hold after a restart', async () => {
  const first = await start({})
  for (let i = 0; i < 5; i++)
    await runJob(first.engine, first.worker, { options: { conversation: 'c' }, body: large('x') })
  await first.engine.close()
  const next = await start({ conversations: { ...UNLIMITED, turns: 2 } }, { dir: first.dir })
  next.clock.leap(SWEEP_MS)
  await eventually(async () => expect((await next.engine.conversations.get('acme', 'c'))?.turns).toBe(2))
})

const TURNS = depth(150, 40)
test(`${TURNS} turns of 4 MiB hold the event loop for no longer than 50 ms at a time`, async () => {
  let db: DatabaseSync | null = null
  const planted = {
    opened(own: DatabaseSync) {
      db = own
    },
    disk: () => openDisk, // the harness's own copies the folder with each sync
  }
  const { engine, clock, worker } = await start({}, planted)
  await runJob(engine, worker, { options: { conversation: 'c' } })
  const text = JSON.stringify([{ role: 'user', content: 'é'.repeat(2 << 20) }])
  plantTurns(db!, text, TURNS)
  const held = await watchLoop()
  const page = await engine.conversations.turns('acme', 'c', { from: 'newest', limit: 1_000, maxBytes: 4 << 20 })
  await held.pause()
  expect([page!.turns.length, page!.more]).toEqual([1, true])
  await engine.conversations.truncate('acme', 'c', TURNS - 20)
  await held.pause()
  await runJob(engine, worker, { options: { conversation: 'c' } }, [], DONE)
  await held.pause()
  await engine.conversations.delete('acme', 'c')
  expect(await engine.conversations.get('acme', 'c')).toBeNull()
  clock.leap(SWEEP_MS)
  await held.pause()
  if (held.longestCpuMs() >= 50) throw new HeldLoop(held.longestCpuMs())
})

/** As they would be after as many jobs; in one transaction, since that is not what is measured. */
function plantTurns(db: DatabaseSync, messages: string, turns: number): void {
  const insert = db.prepare("INSERT INTO turns VALUES (?, 'acme', 'c', ?, 'done', ?, ?, '{}')")
  db.exec('BEGIN')
  const bytes = Buffer.byteLength(messages)
  for (let i = 1; i <= turns; i++) insert.run(i, `j${i}`, bytes, messages)
  db.prepare("UPDATE conversations SET turns = turns + ?, bytes = bytes + ? WHERE id = 'c'").run(turns, turns * bytes)
  db.exec('COMMIT')
}

/** How long turns of the event loop take, in CPU time of this thread, so that a busy machine changes nothing. */
async function watchLoop() {
  let longest = 0
  let last = process.threadCpuUsage()
  const cpuMs = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1e3
  const timer = setInterval(() => {
    const now = process.threadCpuUsage()
    longest = Math.max(longest, cpuMs(now) - cpuMs(last))
    last = now
  }, 1)
  timer.unref()
  return { longestCpuMs: () => longest, pause: () => new Promise((done) => setTimeout(done, 5)) }
}

test('of a tenant that keeps nothing, what nobody reads at its end can be fetched for a while', async () => {
  const retentionOf = (tenant: string): number | null => (tenant === 'secret' ? 0 : null)
  const { engine, clock, worker } = await start({ atLeastMs: 600_000 }, {}, { retentionOf })
  const unread = await runJob(engine, worker, { tenant: 'secret' })
  const read = await submit(engine, { tenant: 'secret' })
  const lease = await worker.one(read)
  const following = engine.log.follow(read.id, () => {})
  await engine.work.finish(lease, DONE)
  following.stop()
  await eventually(async () => {
    clock.leap(1_000)
    expect(await isThere(engine, read.id)).toBe(false)
  })
  clock.leap(SWEEP_MS)
  await new Promise((done) => setTimeout(done, 100))
  expect((await engine.jobs.get(unread.id))?.state).toBe('done')
  clock.leap(600_000)
  await eventually(async () => {
    clock.leap(SWEEP_MS)
    expect(await isThere(engine, unread.id)).toBe(false)
  })
})
