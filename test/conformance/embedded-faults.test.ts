/**
 * What can go wrong below the embedded engine: a full disk, a failing disk, two owners, other versions, kill -9 of a
 * real process.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, test } from 'vitest'
import { Wheel } from '../../src/core/clock.ts'
import { SluiceError } from '../../src/core/errors.ts'
import type { Happened } from '../../src/core/facts.ts'
import type { DiskEvents, OpenDisk } from '../../src/engines/embedded/disk/disk.ts'
import { isNoRoom } from '../../src/engines/embedded/disk/faults.ts'
import { openFolder } from '../../src/engines/embedded/disk/schema.ts'
import { Store } from '../../src/engines/embedded/disk/store.ts'
import { embedded } from './embedded.ts'
import {
  accepted,
  DONE,
  draft,
  eventually,
  leapClock,
  type Opened,
  readAll,
  refusal,
  runJob,
  submit,
  TestWorker,
} from './harness.ts'
import { numbersOf } from './words.ts'

const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})
async function start<T extends Opened>(opening: Promise<T>): Promise<T> {
  const opened = await opening
  undo.push(() => opened.close())
  return opened
}
function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-faults-'))
  undo.push(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

describe('one write that fails alone', () => {
  test('a turn that can not be stored is left out: the job ends, its readers hear it, its lane continues', async () => {
    let db!: DatabaseSync
    const { engine, facts } = await start(embedded('power', { opened: (d) => (db = d) })())
    db.exec("CREATE TEMP TRIGGER refuse BEFORE INSERT ON turns BEGIN SELECT RAISE(ABORT, 'planted'); END")
    const worker = new TestWorker(engine)
    const [first, second] = [
      await submit(engine, { options: { conversation: 'c' } }),
      await submit(engine, { options: { conversation: 'c' } }),
    ]
    const outcome = { ...DONE, answer: '{"role":"assistant","content":"a"}' }
    expect(await engine.work.finish(await worker.one(first), outcome)).toMatchObject({ kind: 'ended', state: 'done' })
    expect((await engine.jobs.get(first.id))?.state).toBe('done')
    expect((await engine.log.head(first.id))?.ended).toBe(true)
    expect(facts).toContainEqual(expect.objectContaining({ type: 'store-warned', code: 'row_damaged' }))
    db.exec('DROP TRIGGER refuse')
    expect((await engine.work.finish(await worker.one(second), outcome)).kind).toBe('ended')
  })
})

describe('a lock', () => {
  test('a cancel while the commit of a lease waits for it reaches the worker behind its lease', async () => {
    const { engine, dir } = await start(embedded('power')())
    const other = new DatabaseSync(join(dir, 'sluice.db'))
    undo.push(() => other.close())
    const worker = new TestWorker(engine)
    const job = await submit(engine)
    other.exec('BEGIN IMMEDIATE')
    worker.accept(1)
    await eventually(async () => expect((await engine.jobs.get(job.id))?.state).toBe('leased'))
    const canceling = engine.jobs.cancel(job.id)
    expect(worker.heard).toEqual([])
    other.exec('ROLLBACK')
    expect(await canceling).toEqual({ kind: 'canceling' })
    expect(worker.heard).toEqual([`leased ${job.id}`, `canceled ${job.id}`])
    expect(worker.revocations).toEqual([{ job: job.id, attempt: 1, reason: 'canceled' }])
    const finished = await engine.work.finish(worker.taken[0], { kind: 'canceled' })
    expect(finished).toEqual({ kind: 'ended', state: 'canceled' })
  })
})

describe('a full disk', () => {
  test('refuses new work with 507, keeps what runs, reads on, and recovers by itself', async () => {
    let db!: DatabaseSync
    const { engine, facts, clock } = await start(embedded('power', { opened: (d) => (db = d) })())
    const worker = new TestWorker(engine)
    const done = await runJob(engine, worker, {}, ['{"old":1}'])
    const running = await submit(engine)
    const lease = await worker.one(running)
    const writer = engine.log.open(lease)
    const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
    db.exec(`PRAGMA max_page_count = ${pages}`)

    const full = refusal((await engine.submissions.submit([draft({ body: 'x'.repeat(1 << 20) })]))[0])
    expect(full).toMatchObject({ code: 'storage_full', status: 507 })
    expect(engine.health()).toMatchObject({ ok: false, error: { code: 'storage_full' } })
    expect(facts).toContainEqual(expect.objectContaining({ type: 'store-degraded', code: 'storage_full' }))
    expect(refusal((await engine.submissions.submit([draft()]))[0]).code).toBe('storage_full')
    expect((await engine.submissions.begin(draft())).result.kind).toBe('refused')
    const document = { kind: 'file', id: 'f', tenant: 'acme', body: {}, dueAtMs: null, expiresAtMs: null } as const
    await expect(engine.documents.put(document, 0)).rejects.toMatchObject({ code: 'storage_full' })
    expect(await worker.lease()).toEqual([])
    expect(await engine.operations.depth()).toMatchObject({ queued: 0, leased: 1 })
    await expect(engine.conversations.delete('acme', 'c')).rejects.toThrow(SluiceError)

    const large = `{"pending":"${'p'.repeat(1 << 20)}"}`
    writer.append([large], 1, true)
    let finished = false
    const finishing = engine.work.finish(lease, DONE).then((f) => {
      finished = true
      return f
    })
    clock.leap(1_000)
    await new Promise((r) => setTimeout(r, 50))
    expect(finished).toBe(false)
    expect(writer.pendingBytes).toBeGreaterThan(0)
    expect((await readAll(engine, running.id)).records).toEqual([])
    expect((await readAll(engine, done.id)).records[0]).toBe('{"old":1}')
    expect((await engine.jobs.get(running.id))?.state).toBe('leased')

    db.exec('PRAGMA max_page_count = 1000000')
    expect(await finishing).toEqual({ kind: 'ended', state: 'done' })
    expect((await readAll(engine, running.id)).records[0]).toBe(large)
    expect(engine.health()).toEqual({ ok: true })
    expect(await engine.documents.get('file', 'f')).toBeNull()
    expect(facts.filter(({ type }) => type.startsWith('store-')).at(-1)).toEqual({ type: 'store-recovered' })
    await runJob(engine, worker)
  })

  test('a job that was leased in the commit that failed is gone, and its slot is free', async () => {
    let db!: DatabaseSync
    const { engine } = await start(embedded('process', { opened: (d) => (db = d) })())
    const worker = new TestWorker(engine)
    const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
    db.exec(`PRAGMA max_page_count = ${pages}`)
    const submitting = engine.submissions.submit([draft({ body: 'x'.repeat(1 << 20) })])
    const leasing = worker.lease()
    expect(refusal((await submitting)[0]).code).toBe('storage_full')
    db.exec('PRAGMA max_page_count = 1000000')
    expect(await leasing).toEqual([])
    await eventually(() => expect(engine.health()).toEqual({ ok: true }))
    expect(await engine.operations.depth()).toEqual({ queued: 0, delayed: 0, waiting: 0, leased: 0 })
    // It never heard of the job, and has room
    worker.accept(1)
    const job = await submit(engine)
    await eventually(() => expect(worker.taken.map((l) => l.job.id)).toEqual([job.id]))
  })

  test('what waits is leased once there is room, without being asked for again', async () => {
    let db!: DatabaseSync
    const { engine } = await start(embedded('process', { opened: (d) => (db = d) })())
    const worker = new TestWorker(engine)
    const job = await submit(engine)
    const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
    db.exec(`PRAGMA max_page_count = ${pages}`)
    const filling = engine.submissions.submit([draft({ body: 'x'.repeat(1 << 20) })])
    expect(refusal((await filling)[0]).code).toBe('storage_full')
    worker.accept(1)
    await new Promise((turn) => setTimeout(turn, 50))
    expect(worker.taken).toEqual([])
    db.exec('PRAGMA max_page_count = 1000000')
    await eventually(() => expect(worker.taken.map((l) => l.job.id)).toEqual([job.id]))
  })

  test('is found out to have room again when nothing waits to be written', async () => {
    let db!: DatabaseSync
    const { engine } = await start(embedded('process', { opened: (d) => (db = d) })())
    db.exec('PRAGMA max_page_count = 1')
    expect(refusal((await engine.submissions.submit([draft({ body: 'x'.repeat(1 << 20) })]))[0]).code).toBe(
      'storage_full',
    )
    db.exec('PRAGMA max_page_count = 1000000')
    await eventually(() => expect(engine.health()).toEqual({ ok: true }))
    await submit(engine)
  })
})

describe('while the disk is full', () => {
  async function full() {
    let db!: DatabaseSync
    const opened = await start(embedded('power', { opened: (d) => (db = d) })())
    const { engine } = opened
    const worker = new TestWorker(engine)
    const ended = await runJob(engine, worker, { options: { conversation: 'c' } })
    const [running, queued] = [await submit(engine), await submit(engine, { options: { lane: 'l', delayMs: 60_000 } })]
    const lease = await worker.one(running)
    await engine.operations.pause({ model: 'paused' })
    await engine.keys.add({ id: 'k', tenant: 'acme', name: 'n', hint: 'h', createdAtMs: 1 }, 'digest')
    const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
    db.exec(`PRAGMA max_page_count = ${pages}`)
    // Around the key of the store's own probe no page has room
    const filler = db.prepare('INSERT INTO meta VALUES (?, ?)')
    for (const [size, prefix] of [200, 20, 1].flatMap((size) =>
      ['prob', 'probe', 'probz'].map((p) => [size, p] as const),
    ))
      for (let i = 0, refused = 0; refused < 3; i++) {
        try {
          filler.run(`${prefix}${size}-${i}`, 'x'.repeat(size))
        } catch {
          refused++
        }
      }
    const filling = engine.submissions.submit([draft({ body: 'x'.repeat(1 << 20) })])
    expect(refusal((await filling)[0]).code).toBe('storage_full')
    return { ...opened, worker, ended, running, queued, lease, heal: () => db.exec('PRAGMA max_page_count = 1000000') }
  }
  type Full = Awaited<ReturnType<typeof full>>

  test.each<[string, (f: Full) => Promise<unknown>]>([
    ['submit', async (f) => Promise.reject(refusal((await f.engine.submissions.submit([draft()]))[0]))],
    ['cancel of a job in line', (f) => f.engine.jobs.cancel(f.queued.id)],
    ['cancel of it, twice', (f) => f.engine.jobs.cancel(f.queued.id).catch(() => f.engine.jobs.cancel(f.queued.id))],
    ['cancel of a job that runs', (f) => f.engine.jobs.cancel(f.running.id)],
    ['erasing a job that ended', (f) => f.engine.jobs.erase(f.ended.id)],
    ['erasing a job that runs', (f) => f.engine.jobs.erase(f.running.id)],
    ['purge', (f) => f.engine.operations.purge({ lane: 'l', tenant: 'acme' })],
    ['pause', (f) => f.engine.operations.pause({ model: 'm' })],
    ['resume', (f) => f.engine.operations.resume({ model: 'paused' })],
    ['a new key', (f) => f.engine.keys.add({ id: 'n', tenant: 'acme', name: 'n', hint: 'h', createdAtMs: 1 }, 'd2')],
    ['revoking a key', (f) => f.engine.keys.revoke('k', 5)],
    ['naming a conversation', (f) => f.engine.conversations.rename('acme', 'c', 'name')],
    ['cutting a conversation', (f) => f.engine.conversations.truncate('acme', 'c', 0)],
    ['deleting a conversation', (f) => f.engine.conversations.delete('acme', 'c')],
    ['erasing a tenant', (f) => f.engine.eraseTenant('acme')],
  ])('%s is answered with 507 at once, and works once there is room', async (_name, act) => {
    const f = await full()
    await expect(act(f)).rejects.toMatchObject({ code: 'storage_full', status: 507 })
    f.heal()
    await eventually(() => expect(f.engine.health()).toEqual({ ok: true }))
    const { engine } = f
    const worker = new TestWorker(engine, 'w2')
    const ran = submit(engine).then((job) => worker.one(job))
    expect((await engine.work.finish(await ran, DONE)).kind).toBe('ended')
  })

  test('what takes effect in memory does so at once, and is stored when there is room', async () => {
    const f = await full()
    await f.engine.keys.revoke('k', 5).catch(() => {})
    await f.engine.jobs.cancel(f.queued.id).catch(() => {})
    expect(f.engine.keys.get('k')?.revokedAtMs).toBe(5)
    f.heal()
    await eventually(() => expect(f.engine.health()).toEqual({ ok: true }))
    await submit(f.engine) // its sync covers what was kept
    const { engine } = await start(f.reopen('power'))
    expect(engine.keys.get('k')?.revokedAtMs).toBe(5)
    expect((await engine.jobs.get(f.queued.id))?.state).toBe('canceled')
  })

  test('an orderly end has a bound, and loses nothing that was acknowledged', async () => {
    const f = await full()
    const writer = f.engine.log.open(f.lease)
    writer.append(['{"a":1}'], 1, true)
    const waiting = Promise.allSettled([writer.flushed(), f.engine.work.finish(f.lease, DONE)])
    await f.engine.close()
    expect((await waiting).map((one) => one.status)).toEqual(['rejected', 'rejected'])
    const { engine } = await start(f.reopen('kill'))
    for (const job of [f.ended, f.running, f.queued]) expect(await engine.jobs.get(job.id), job.id).not.toBeNull()
  })
})

describe('a write that the system refuses', () => {
  /** SQLite tells only ENOSPC apart: all else is this. */
  const refused = Object.assign(new Error('disk I/O error'), { errcode: 778 })
  async function refusing(whyRefused: (bytes: number) => 'full' | 'failed') {
    const db = new DatabaseSync(':memory:')
    db.exec('CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)')
    const facts: Happened[] = []
    const clock = leapClock()
    const wheel = new Wheel(clock)
    const store = new Store({ db, durability: 'process', clock, wheel, emit: (f) => facts.push(f), whyRefused })
    let broken = true
    store.start({ dirty: () => false, write: () => {}, written: () => {}, failed: () => {} }, null)
    const write = (): Promise<void> =>
      store.run(() => {
        if (broken) throw refused
      }, true)
    return { store, facts, write, mend: () => (broken = false) }
  }

  test('for a quota or a limit of file size is a full disk: it heals', async () => {
    const { store, facts, write, mend } = await refusing(() => 'full')
    const writing = write()
    await eventually(() => expect(store.down?.code).toBe('storage_full'))
    mend()
    await writing
    expect([store.down, facts.at(-1)?.type]).toEqual([null, 'store-recovered'])
  })

  test('for any other reason is a failed disk: it does not', async () => {
    const { store, write, mend } = await refusing(() => 'failed')
    await expect(write()).rejects.toMatchObject({ code: 'storage_failed' })
    mend()
    await expect(write()).rejects.toMatchObject({ code: 'storage_failed' })
    expect(store.down?.code).toBe('storage_failed')
  })

  test('a used-up quota is known, though Node has no name for it', () => {
    const of = (code: string, errno: number): boolean =>
      isNoRoom(Object.assign(new Error(code), { code, errno: -errno }))
    const { ENOSPC, EFBIG, EDQUOT, EIO } = constants.errno
    expect([of('ENOSPC', ENOSPC), of('EFBIG', EFBIG), of('UNKNOWN', EDQUOT), of('EIO', EIO)]).toEqual([
      true,
      true,
      true,
      false,
    ])
  })

  test('a limit of file size (EFBIG) refuses with 507, keeps what runs, and heals when it is raised', async () => {
    const dir = folder()
    const owner = spawnOwner(dir)
    await owner.told('ended', 1)
    const limit = (bytes: string): void =>
      void execFileSync('prlimit', ['--pid', String(owner.process.pid), `--fsize=${bytes}:`])
    const { size } = statSync(join(dir, 'sluice.db-wal'))
    limit(String(size + 4096))
    await owner.told('refused storage_full', 1)
    limit('unlimited')
    const ended = owner.lines.filter((line) => line.startsWith('ended')).length
    await owner.told('ended', ended + 5)
    expect(owner.lines.filter((line) => line.startsWith('refused storage_failed'))).toEqual([])
  })
})

describe('a failing disk', () => {
  test('nothing is acknowledged any more, a failed sync is never repeated, reads go on', async () => {
    let events!: DiskEvents
    let syncs = 0
    let failing = false
    const disk =
      (real: OpenDisk): OpenDisk =>
      (path, e) => {
        events = e
        const inner = real(path, e)
        return {
          ...inner,
          sync() {
            syncs++
            if (failing) setImmediate(() => events.failed('EIO: i/o error, fdatasync'))
            else inner.sync()
          },
        }
      }
    const { engine, facts } = await start(embedded('power', { disk })())
    const worker = new TestWorker(engine)
    const done = await runJob(engine, worker)
    const job = await submit(engine)
    const lease = await worker.one(job)
    const heard: string[] = []
    engine.log.follow(job.id, (_firstSeq, records) => heard.push(...records))
    failing = true
    const finishing = engine.work.finish(lease, DONE)
    await expect(finishing).rejects.toMatchObject({ code: 'storage_failed' })
    const after = syncs
    expect(engine.health()).toMatchObject({ ok: false, error: { code: 'storage_failed' } })
    expect(facts).toContainEqual(expect.objectContaining({ type: 'store-degraded', code: 'storage_failed' }))
    failing = false
    expect(refusal((await engine.submissions.submit([draft()]))[0])).toMatchObject({
      code: 'storage_failed',
      status: 503,
    })
    expect(await worker.lease()).toEqual([])
    expect((await engine.jobs.get(done.id))?.state).toBe('done')
    expect((await readAll(engine, done.id)).ended).toBe(true)
    expect((await readAll(engine, job.id)).ended).toBe(false)
    expect((await engine.jobs.get(job.id))?.state).toBe('leased')
    await expect(engine.operations.pause({ model: 'm' })).rejects.toMatchObject({ code: 'storage_failed' })
    await new Promise((r) => setTimeout(r, 100))
    expect(syncs).toBe(after)
    expect(heard.some((r) => r.startsWith('@end'))).toBe(false)
  })

  test('flushed rejects, append goes on without throwing', async () => {
    let events!: DiskEvents
    const disk =
      (real: OpenDisk): OpenDisk =>
      (path, e) => {
        events = e
        return real(path, e)
      }
    const { engine } = await start(embedded('power', { disk })())
    const writer = engine.log.open(await new TestWorker(engine).one(await submit(engine)))
    writer.append(['{"a":1}'], 1, false)
    const flushing = writer.flushed()
    events.failed('EIO')
    await expect(flushing).rejects.toMatchObject({ code: 'storage_failed' })
    writer.append(['{"a":2}'], 1, true)
    await expect(writer.flushed()).rejects.toMatchObject({ code: 'storage_failed' })
    expect(writer.pendingBytes).toBeGreaterThan(0)
  })
})

describe('the data folder', () => {
  test('has one owner; the lock dies with its process', async () => {
    const dir = folder()
    const held = openFolder(dir)
    expect(() => openFolder(dir)).toThrow(
      expect.objectContaining({ code: 'in_use', message: expect.stringContaining(dir) }),
    )
    held.release()
    const child = spawnOwner(dir)
    await child.ready
    expect(() => openFolder(dir)).toThrow(expect.objectContaining({ code: 'in_use' }))
    child.process.kill('SIGKILL')
    await child.gone
    openFolder(dir).release()
  })

  test('of a newer version is refused, and left as it is', () => {
    const dir = folder()
    openFolder(dir).release()
    const db = new DatabaseSync(join(dir, 'sluice.db'))
    db.exec('PRAGMA user_version = 99')
    db.close()
    const before = readFileSync(join(dir, 'sluice.db'))
    expect(() => openFolder(dir)).toThrow(
      expect.objectContaining({ code: 'config_invalid', message: expect.stringContaining('newer') }),
    )
    expect(() => openFolder(dir)).toThrow('newer')
    expect(readFileSync(join(dir, 'sluice.db')).equals(before)).toBe(true)
  })

  test('is synced with each commit while it is opened, and by the disk thread from then on', async () => {
    const folderOpened = openFolder(folder())
    undo.push(() => folderOpened.release())
    expect(folderOpened.db.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 })
    let db!: DatabaseSync
    await start(embedded('power', { opened: (d) => (db = d) })())
    expect(db.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 1 })
  })

  test('closed in good order keeps all cursors when the machine starts anew', async () => {
    const opened = await start(embedded('power')())
    const job = await submit(opened.engine)
    const writer = opened.engine.log.open(await new TestWorker(opened.engine).one(job))
    writer.append(['{"a":1}'], 1, false)
    await opened.engine.close()
    const { engine } = await start(opened.reopen('power'))
    expect(await readAll(engine, job.id)).toMatchObject({ records: ['{"a":1}'], ended: false })
    expect(await engine.log.commonWith(job.id, 1)).toBe(1)
  })
})

describe('a copy of the data folder', () => {
  /** As a hot backup takes it. */
  function copied(from: string): string {
    const to = folder()
    for (const name of readdirSync(from)) cpSync(join(from, name), join(to, name), { preserveTimestamps: true })
    return to
  }
  test.each([
    ['while it ran', false],
    ['while it was stopped', true],
  ])('taken %s serves its own text to no cursor of the original', async (_when, stopped) => {
    let original = await start(embedded('power')())
    const job = await submit(original.engine)
    let writer = original.engine.log.open(await new TestWorker(original.engine).one(job))
    const say = async (who: string): Promise<void> => {
      writer.append([`{"${who}":1}`, `{"${who}":2}`], 1, false)
      await writer.flushed()
    }
    await say('both')
    if (stopped) await original.engine.close()
    const backup = copied(original.dir)
    if (stopped) {
      original = await start(embedded('power', { dir: original.dir })())
      writer = original.engine.log.open(await new TestWorker(original.engine).one(job))
    }
    await say('original')
    const epochs = [1, writer.epoch]
    const restored = await start(embedded('power', { dir: backup })())
    writer = restored.engine.log.open(await new TestWorker(restored.engine).one(job))
    await say('restored')
    expect(epochs).not.toContain(writer.epoch)
    expect(await restored.engine.log.commonWith(job.id, 1)).toBe(2)
    expect(await restored.engine.log.commonWith(job.id, epochs[1])).toBe(stopped ? 0 : 2)
    expect(await original.engine.log.commonWith(job.id, writer.epoch)).toBe(0)
  })
})

describe('what was erased', () => {
  test('can be found in no table, though others stream on beside it', async () => {
    const { engine, dir } = await start(embedded('power')())
    const worker = new TestWorker(engine)
    const other = engine.log.open(await worker.one(await submit(engine)))
    const job = await submit(engine, {
      body: '{"messages":["s3cret-prompt"]}',
      options: { conversation: 'c', idempotencyKey: 's3cret-key' },
    })
    const lease = await worker.one(job)
    const writer = engine.log.open(lease)
    for (let i = 0; i < 20; i++) {
      other.append([`{"keep":${i}}`], 1, false)
      writer.append([`{"s3cret-answer":${i}}`], 1, false)
      await writer.flushed()
    }
    expect(secrets(dir)).toBeGreaterThan(0)
    await engine.work.finish(lease, { ...DONE, answer: '"s3cret"' })
    expect(await engine.jobs.erase(job.id)).toBe(true)
    expect(secrets(dir)).toBe(0)
    other.append(['{"keep":"on"}'], 1, false)
    await other.flushed()
    const id = (await engine.jobs.list({ limit: 1 }))[0].id
    expect((await readAll(engine, id)).records.length).toBe(21)
  })
})

/** Rows that hold the text, by another connection. */
function secrets(dir: string): number {
  const db = new DatabaseSync(join(dir, 'sluice.db'), { readOnly: true })
  try {
    const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all() as Array<{ name: string }>
    let found = 0
    for (const { name } of tables)
      for (const row of db.prepare(`SELECT * FROM ${name}`).all())
        for (const value of Object.values(row))
          if (Buffer.from(value instanceof Uint8Array ? value : String(value)).includes('s3cret')) found++
    return found
  } finally {
    db.close()
  }
}

describe('memory and disk', () => {
  test('a long log is mostly on disk, its segments go, and all of it survives a kill', async () => {
    const opened = await start(embedded('process')())
    const { engine } = opened
    const worker = new TestWorker(engine)
    const job = await submit(engine)
    const writer = engine.log.open(await worker.one(job))
    const records = Array.from({ length: 400 }, (_, i) => `{"n":${i},"text":"${String(i).repeat(1_000)}"}`)
    for (let i = 0; i < records.length; i += 4) {
      writer.append(records.slice(i, i + 4), 1, true)
      await writer.flushed()
    }
    await eventually(() => expect(numbersOf(engine)['segments']).toBeLessThan(70))
    await eventually(() => expect(numbersOf(engine)['live_log_bytes']).toBeLessThan(400_000))
    expect((await readAll(engine, job.id)).records).toEqual(records)
    const killed = await start(opened.reopen('kill'))
    expect((await readAll(killed.engine, job.id)).records).toEqual(records)
    expect(numbersOf(killed.engine)['segments']).toBe(0)
    const lease = await new TestWorker(killed.engine).one(job)
    killed.engine.log.open(lease).append(['{"last":1}'], 1, false)
    await killed.engine.work.finish(lease, DONE)
    const again = await start(killed.reopen('kill'))
    expect((await readAll(again.engine, job.id)).records.slice(0, -1)).toEqual([...records, '{"last":1}'])
  })

  test('segments of jobs that ended are dropped', async () => {
    const { engine } = await start(embedded('process')())
    const worker = new TestWorker(engine)
    for (let i = 0; i < 100; i++) await runJob(engine, worker)
    await eventually(() => expect(numbersOf(engine)['segments']).toBe(0))
    expect(numbersOf(engine)).toMatchObject({ live_jobs: 0, live_log_bytes: 0 })
  })
})

// ---------------------------------------------------------------- a real process

interface Owner {
  readonly process: ChildProcess
  readonly ready: Promise<void>
  /** Resolves when it has told as much `n` times. */
  told(what: string, n: number): Promise<void>
  readonly gone: Promise<void>
  readonly lines: string[]
}

/** A process that submits, streams and ends jobs as fast as it can, and prints what it was told. */
function spawnOwner(dir: string): Owner {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'owner.ts'), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  let rest = ''
  const waiting: Array<() => void> = []
  const ready = new Promise<void>((done, failed) => {
    child.stdout!.on('data', (data: Buffer) => {
      const parts = (rest + data.toString()).split('\n')
      rest = parts.pop()!
      lines.push(...parts)
      if (lines.length > 0) done()
      for (const check of waiting) check()
    })
    child.once('exit', () => failed(new Error('the owner ended')))
  })
  const gone = new Promise<void>((done) => void child.once('close', () => done()))
  undo.push(() => child.kill('SIGKILL'))
  const told = (what: string, n: number): Promise<void> =>
    new Promise((done) => {
      const check = (): void => void (lines.filter((line) => line.startsWith(what)).length >= n && done())
      waiting.push(check)
      check()
    })
  return { process: child, ready, told, gone, lines }
}

test('kill -9 of a real process at any time loses nothing it was told (J1), and doubles nothing', async () => {
  const dir = folder()
  const told = { accepted: new Set<string>(), ended: new Set<string>(), flushed: new Map<string, number>() }
  for (let round = 0; round < 6; round++) {
    const owner = spawnOwner(dir)
    // Killed at some work done, not at some time: a busy machine only takes longer
    await owner.told('ended', 1 + round)
    owner.process.kill('SIGKILL')
    await owner.gone
    for (const line of owner.lines) {
      const [what, id, n] = line.split(' ')
      if (what === 'accepted' || what === 'ended') told[what].add(id)
      else if (what === 'flushed') told.flushed.set(id, Number(n))
    }
  }
  expect(told.ended.size).toBeGreaterThan(5)
  const opened = await start(embedded('power', { dir })())
  for (const id of told.accepted) expect(await opened.engine.jobs.get(id), id).not.toBeNull()
  for (const id of told.ended) {
    expect((await opened.engine.jobs.get(id))?.state).toBe('done')
    const { records, ended } = await readAll(opened.engine, id)
    expect(ended).toBe(true)
    expect(records.filter((r) => r.startsWith('@end')).length).toBe(1)
  }
  for (const [id, n] of told.flushed) {
    const { records } = await readAll(opened.engine, id)
    expect(records.length).toBeGreaterThanOrEqual(n)
    expect(records.filter((r) => !r.startsWith('@')).map((r) => Number(JSON.parse(r).i))).toEqual(
      records.filter((r) => !r.startsWith('@')).map((_, i) => i),
    )
  }
  accepted((await opened.engine.submissions.submit([draft()]))[0])
})
