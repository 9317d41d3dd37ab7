/** A folder of schema 1, as commit 2aea9ec wrote it, opens: jobs run, results can be read, conversations continue. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, test } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import { endRecord } from '../../src/core/record.ts'
import { openFolder } from '../../src/engines/embedded/disk/schema.ts'
import { SCHEMA_1 } from '../../src/engines/embedded/disk/testing/schema-1.ts'
import { Encoder } from '../../src/engines/shared/codec.ts'
import { embedded } from './embedded.ts'
import { DONE, eventually, type Opened, readAll, runJob, submit, TestWorker } from './harness.ts'

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz'
const HOUR_MS = 3_600_000

const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** Ids as they were: ms since 1970 × 2048. */
function idOf(order: number): string {
  let text = ''
  for (let n = order, i = 0; i < 11; i++, n = Math.floor(n / 32)) text = CROCKFORD[n % 32] + text
  return `job_${text}${'7'.repeat(15)}`
}

interface OldJob {
  readonly atMs: number
  readonly options?: object
  readonly ended?: { readonly atMs: number }
  readonly unfinished?: { readonly attempts: number; readonly crashes: number; readonly notBeforeMs: number }
}

/** A folder with these jobs; returns their ids. */
function oldFolder(jobs: readonly OldJob[]): { readonly dir: string; readonly ids: readonly string[] } {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-schema-1-'))
  undo.push(() => rmSync(dir, { recursive: true, force: true }))
  const db = new DatabaseSync(join(dir, 'sluice.db'))
  db.exec(`PRAGMA journal_mode = WAL; ${SCHEMA_1}`)
  const ids = jobs.map(({ atMs, options, ended, unfinished = { attempts: 0, crashes: 0, notBeforeMs: 0 } }, i) => {
    const order = atMs * 2048 + i
    const id = idOf(order)
    const wishes = {
      pool: 'text',
      priority: 'normal',
      deadlineMs: HOUR_MS,
      policy: 'wait',
      onWorkerLoss: 'continue',
      onDisconnect: 'continue',
      ...options,
    }
    const { lane = null, conversation = null } = wishes as { lane?: string; conversation?: string }
    const facts = {
      keyId: 'key_1',
      kind: 'chat',
      bodyHash: `hash ${i}`,
      wishes,
      stream: true,
      includeUsage: false,
      promptTokens: 10,
      metadata: { é: 'ü "quoted" \\ 9007199254740993' },
      acceptedAtMs: atMs,
    }
    db.prepare('INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)').run(
      ...[order, id, 'acme', null, 'm', lane, conversation],
      JSON.stringify(facts),
      Buffer.from(`{"messages":[{"role":"user","content":"${i}"}]}`),
    )
    if (ended === undefined)
      db.prepare('INSERT INTO unfinished VALUES (?, ?, ?, ?)').run(
        order,
        unfinished.attempts,
        unfinished.crashes,
        unfinished.notBeforeMs,
      )
    else {
      const encoder = new Encoder()
      const log = encoder.encode('{"a":1}') + encoder.encode(endRecord({ state: 'done' }))
      db.prepare('INSERT INTO results VALUES (?, ?, ?, 1, 1, ?, 2, 0, ?)').run(
        ...[order, 'done', ended.atMs, '{}'],
        Buffer.from(log, 'latin1'),
      )
    }
    return id
  })
  db.close()
  return { dir, ids }
}

async function open(dir: string): Promise<Opened> {
  const opened = await embedded('process', { dir })()
  undo.push(() => opened.close())
  return opened
}

test('jobs in line run with their options, in order, before new ones, though their clock was ahead', async () => {
  const now = Date.now()
  const ahead = now + 10 * 365 * 24 * HOUR_MS
  const { dir, ids } = oldFolder([
    { atMs: now - 5_000, options: { lane: 'l' } },
    { atMs: ahead, options: { lane: 'l' } },
  ])
  const { engine } = await open(dir)
  const next = await submit(engine, { options: { lane: 'l' } })
  expect((await engine.jobs.list({ limit: 10 })).map((job) => job.id)).toEqual([next.id, ids[1], ids[0]])
  const worker = new TestWorker(engine)
  for (const id of [...ids, next.id]) {
    const lease = await worker.one()
    expect(lease).toMatchObject({ attempt: 1, job: { id, options: { lane: 'l', pool: 'text', deadlineMs: HOUR_MS } } })
    await engine.work.finish(lease, DONE)
  }
  const job = (await engine.jobs.get(ids[0]))!
  expect(job).not.toHaveProperty('wishes')
  expect(job.metadata).toEqual({ é: 'ü "quoted" \\ 9007199254740993' })
  expect(job.acceptedAtMs).toBe(now - 5_000)
  // It streamed, in the one dialect that there was
  expect(job).toMatchObject({ dialect: 'chat', takesBack: false })
  expect(job).not.toHaveProperty('stream')
})

test('a delay goes on where it was, a deadline begins anew, a retry is due', async () => {
  const now = Date.now()
  const { dir, ids } = oldFolder([
    { atMs: now - 50_000, options: { delayMs: 60_000 } },
    { atMs: now - 2 * HOUR_MS },
    { atMs: now - 1_000, unfinished: { attempts: 2, crashes: 1, notBeforeMs: now + 10 * 365 * 24 * HOUR_MS } },
    { atMs: now + HOUR_MS, options: { delayMs: 60_000 } },
  ])
  const { engine, clock } = await open(dir)
  const states = async () => Promise.all(ids.map(async (id) => (await engine.jobs.get(id))?.state))
  expect(await states()).toEqual(['delayed', 'queued', 'queued', 'delayed'])
  clock.leap(11_000)
  await eventually(async () => expect(await states()).toEqual(['queued', 'queued', 'queued', 'delayed']))
  clock.leap(50_000)
  await eventually(async () => expect((await states())[3]).toBe('queued'))
  const lease = (await new TestWorker(engine).lease(10)).find((l) => l.job.id === ids[2])
  expect(lease).toMatchObject({ attempt: 3, crashes: 1 })
})

test('results read as before, and go when their time is over', async () => {
  const now = Date.now()
  const { dir, ids } = oldFolder([
    { atMs: now - 23.99 * HOUR_MS, ended: { atMs: now - 23.99 * HOUR_MS } },
    { atMs: now - 1_000, ended: { atMs: now - 500 } },
  ])
  const { engine, clock } = await open(dir)
  expect((await readAll(engine, ids[0])).records).toEqual(['{"a":1}', endRecord({ state: 'done' })])
  expect(await engine.jobs.get(ids[1])).toMatchObject({ state: 'done', endedAtMs: now - 500 })
  clock.leap(0.02 * HOUR_MS)
  await eventually(async () => expect(await engine.jobs.get(ids[0])).toBeNull())
  expect((await engine.jobs.get(ids[1]))?.state).toBe('done')
})

test('turns of jobs that are gone still come before new ones', async () => {
  const { dir } = oldFolder([])
  const db = new DatabaseSync(join(dir, 'sluice.db'))
  const order = Date.now() * 2048 + 10 * 365 * 24 * HOUR_MS * 2048
  db.exec(`INSERT INTO conversations VALUES ('acme', 'c', NULL, 1, 1);
    INSERT INTO turns VALUES ('acme', 'c', ${order}, '${idOf(order)}', 'done', '[]', NULL)`)
  db.close()
  const { engine } = await open(dir)
  const job = await runJob(engine, new TestWorker(engine), { options: { conversation: 'c' } })
  const page = await engine.conversations.turns('acme', 'c', { from: 'oldest', limit: 10, maxBytes: 1 << 20 })
  expect(page?.turns.map((turn) => turn.job)).toEqual([idOf(order), job.id])
})

test('is migrated once, and has the tables of a new folder', () => {
  const { dir } = oldFolder([{ atMs: 1_750_000_000_000 }])
  const tables = (folder: string): unknown => {
    const { db, release } = openFolder(folder)
    const found = (
      db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all() as Array<{ name: string }>
    ).map(({ name }) => [name, db.prepare(`SELECT name, type FROM pragma_table_info('${name}') ORDER BY name`).all()])
    release()
    return Object.fromEntries(found)
  }
  const fresh = mkdtempSync(join(tmpdir(), 'sluice-schema-new-'))
  undo.push(() => rmSync(fresh, { recursive: true, force: true }))
  expect(tables(dir)).toEqual(tables(fresh))
  expect(tables(dir)).toEqual(tables(fresh))
})

/** A folder as schema 5 had it. */
const backTo5 = (db: DatabaseSync): void =>
  db.exec(`ALTER TABLE unfinished DROP COLUMN reservation; ALTER TABLE unfinished DROP COLUMN unbooked;
    DROP TABLE levels; DROP TABLE usage; DROP TABLE usage_runs; DROP TABLE usage_sums; DROP TABLE tenants;
    DROP TABLE audit; DROP TABLE documents; DROP TABLE run_jobs;
    PRAGMA user_version = 5`)

test('jobs of schema 5 run on, in the tables of a new folder', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-schema-5-'))
  undo.push(() => rmSync(dir, { recursive: true, force: true }))
  const first = await embedded('process', { dir })()
  const ended = await runJob(first.engine, new TestWorker(first.engine), { run: 'r' })
  const waiting = await submit(first.engine)
  await first.engine.close()
  const db = new DatabaseSync(join(dir, 'sluice.db'))
  const tables = (of: DatabaseSync): unknown =>
    of.prepare("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name").all()
  const before = tables(db)
  backTo5(db)
  db.close()
  const { engine } = await open(dir)
  expect((await engine.jobs.get(ended.id))?.state).toBe('done')
  expect((await engine.jobs.list({ tenant: 'acme', run: 'r', limit: 5 })).map(({ id }) => id)).toEqual([ended.id])
  const lease = await new TestWorker(engine).one(waiting)
  expect(await engine.work.finish(lease, DONE)).toEqual({ kind: 'ended', state: 'done' })
  await engine.close()
  const after = new DatabaseSync(join(dir, 'sluice.db'), { readOnly: true })
  expect(tables(after)).toEqual(before)
  expect(after.prepare('PRAGMA user_version').get()).toEqual({ user_version: 8 })
  after.close()
})

test('jobs in line of schema 2 run; from then on they remember where they failed', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-schema-2-'))
  undo.push(() => rmSync(dir, { recursive: true, force: true }))
  const first = await embedded('process', { dir })()
  const job = await submit(first.engine)
  const worker = new TestWorker(first.engine)
  await first.engine.work.finish(await worker.one(job), { kind: 'released' })
  await first.engine.close()
  const db = new DatabaseSync(join(dir, 'sluice.db'))
  backTo5(db)
  db.exec(`ALTER TABLE unfinished DROP COLUMN ttft; ALTER TABLE unfinished DROP COLUMN failed_at;
    ALTER TABLE unfinished DROP COLUMN ran; DROP TABLE moved;
    PRAGMA user_version = 2`)
  db.close()
  const { engine } = await open(dir)
  const lease = await new TestWorker(engine).one(job)
  expect(lease).toMatchObject({ attempt: 2, ttftMs: null })
  const error = new SluiceError('provider_cut')
  expect((await engine.work.finish(lease, { kind: 'failed', error, retry: true })).kind).toBe('again')
  await engine.close()
  const after = new DatabaseSync(join(dir, 'sluice.db'), { readOnly: true })
  const [row] = after.prepare('SELECT attempts, failed_at FROM unfinished').all()
  after.close()
  expect({ ...row }).toEqual({ attempts: 2, failed_at: '[{"deployment":"d of *","never":false}]' })
})
