/**
 * The data folder: links, modes, folders that can't be used, and what others do to it, before and while the engine
 * runs.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, test } from 'vitest'
import { readMark } from '../../src/engines/embedded/disk/mark.ts'
import { openFolder } from '../../src/engines/embedded/disk/schema.ts'
import type { Durability } from '../../src/engines/shared/durability.ts'
import { embedded, type Planted } from './embedded.ts'
import { draft, eventually, type Opened, refusal, runJob, submit, TestWorker } from './harness.ts'
import { numbersOf } from './words.ts'

const SCHEMA = new URL('../../src/engines/embedded/disk/schema.ts', import.meta.url).href
const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})
function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-folder-'))
  undo.push(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}
/** A folder that does not exist yet. */
const folder = (): string => join(temporary(), 'data')
async function start(dir: string, durability: Durability = 'power', planted: Planted = {}): Promise<Opened> {
  const opened = await embedded(durability, { dir, ...planted })()
  undo.push(() => opened.close())
  return opened
}
function thrown(run: () => unknown): Error & { code?: string } {
  try {
    run()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}
const modes = (dir: string): string[] =>
  readdirSync(dir).map((name) => `${name} ${(statSync(join(dir, name)).mode & 0o777).toString(8)}`)

describe('links', () => {
  test('a linked folder and a linked database are opened by their real names, by every thread', async () => {
    const [real, disk] = [folder(), temporary()]
    const link = join(temporary(), 'data')
    mkdirSync(real, { mode: 0o700 })
    symlinkSync(real, link)
    symlinkSync(join(disk, 'elsewhere.db'), join(real, 'sluice.db'))
    openFolder(disk).release() // makes a database there
    renameSync(join(disk, 'sluice.db'), join(disk, 'elsewhere.db'))
    const { engine } = await start(link)
    await runJob(engine, new TestWorker(engine))
    expect(readdirSync(real)).toEqual(['sluice.db'])
    expect(readdirSync(disk)).toContain('elsewhere.db-wal')
    expect(Number(numbersOf(engine)['wal_bytes'])).toBe(statSync(join(disk, 'elsewhere.db-wal')).size)
  })

  test('two folders whose databases are one file have one owner', () => {
    const [first, second] = [folder(), folder()]
    const held = openFolder(first)
    undo.push(() => held.release())
    mkdirSync(second)
    symlinkSync(join(first, 'sluice.db'), join(second, 'sluice.db'))
    expect(thrown(() => openFolder(second))).toMatchObject({ code: 'in_use', message: /in use by another/ })
  })

  test.each([
    [
      'a folder link that leads nowhere',
      (at: string) => symlinkSync(join(at, 'gone'), join(at, 'data')),
      /link to .*gone/,
    ],
    ['a loop of links', (at: string) => symlinkSync(join(at, 'data'), join(at, 'data')), /loop/],
    [
      'a database link that leads nowhere',
      (at: string) => {
        mkdirSync(join(at, 'data'))
        symlinkSync('/nowhere/x.db', join(at, 'data', 'sluice.db'))
      },
      /sluice\.db: it is a symbolic link to \/nowhere\/x\.db/,
    ],
    [
      'a database with two names',
      (at: string) => {
        openFolder(join(at, 'data')).release()
        linkSync(join(at, 'data', 'sluice.db'), join(at, 'copy.db'))
      },
      /second name/,
    ],
  ])('%s is refused', (_name, plant, message) => {
    const at = temporary()
    plant(at)
    expect(thrown(() => openFolder(join(at, 'data')))).toMatchObject({ code: 'config_invalid', message })
  })
})

describe('modes', () => {
  test('a folder of ours is closed to others, whatever the umask', async () => {
    const umask = process.umask(0)
    undo.push(() => process.umask(umask))
    const dir = folder()
    const { engine, facts } = await start(dir)
    await submit(engine)
    expect((statSync(dir).mode & 0o777).toString(8)).toBe('700')
    expect(modes(dir).filter((line) => !line.endsWith(' 600'))).toEqual([])
    expect(facts.filter((fact) => fact.type === 'store-warned')).toEqual([])
  })

  test('in a folder that was there our files are closed, older ones too, and its mode is told', async () => {
    const dir = temporary()
    openFolder(dir).release()
    chmodSync(dir, 0o755)
    chmodSync(join(dir, 'sluice.db'), 0o644)
    chmodSync(join(dir, 'owner.lock'), 0o644)
    const { engine, facts } = await start(dir)
    await submit(engine)
    expect(modes(dir).filter((line) => !line.endsWith(' 600'))).toEqual([])
    expect((statSync(dir).mode & 0o777).toString(8)).toBe('755')
    expect(facts).toContainEqual({
      type: 'store-warned',
      code: 'folder_exposed',
      detail: expect.stringMatching(/755.*chmod 700/),
    })
  })
})

describe('a folder that can not be used', () => {
  const file = (at: string): string => {
    writeFileSync(join(at, 'file'), 'x')
    return join(at, 'file')
  }
  test.each([
    ['is a file', file, /not a folder/],
    ['has a file in its path', (at: string) => join(file(at), 'data'), /not a folder/],
    ['lies where the kernel makes no folders', () => '/proc/sluice/data', /can't be made here/],
    ['has too long a name', (at: string) => join(at, 'x'.repeat(300)), /too long/],
    [
      'has a folder where the database should be',
      (at: string) => {
        mkdirSync(join(at, 'sluice.db'))
        return at
      },
      /sluice\.db: it is not a regular file/,
    ],
    [
      'has a folder where the WAL should be',
      (at: string) => {
        mkdirSync(join(at, 'sluice.db-wal'))
        return at
      },
      /sluice\.db-wal: it is not a regular file/,
    ],
    [
      'has a text where the database should be',
      (at: string) => {
        writeFileSync(join(at, 'sluice.db'), 'not a database, and long enough for a header')
        return at
      },
      /not an SQLite database/,
    ],
    [
      "has another program's database",
      (at: string) => {
        const db = new DatabaseSync(join(at, 'sluice.db'))
        db.exec('CREATE TABLE recipes (name TEXT)')
        db.close()
        return at
      },
      /another program's/,
    ],
  ])('%s: path, reason and what to do', (_name, plant, message) => {
    const dir = plant(temporary())
    const error = thrown(() => openFolder(dir))
    expect(error).toMatchObject({ code: 'config_invalid', message })
    expect(error.message).toContain(dir)
  })

  test('leaves too few file descriptors: that is told, and not the disk blamed', () => {
    const open = `import { openFolder } from ${JSON.stringify(SCHEMA)}
      try { openFolder(process.argv[1]) } catch (error) { console.log(error.message) }`
    const node = [process.execPath, '--input-type=module', '-e', open, folder()]
    expect(execFileSync('prlimit', ['--nofile=40:40', ...node], { encoding: 'utf8' })).toMatch(/ulimit -n/)
  })

  test.each(['jobs', 'segments', 'parts', 'meta', 'epochs', 'keys', 'unfinished', 'results'])(
    'is damaged in its table %s: one error with a remedy, at whatever step it is found',
    async (table) => {
      const dir = folder()
      const { engine } = await start(dir)
      await submit(engine)
      await engine.close()
      const path = join(dir, 'sluice.db')
      const db = new DatabaseSync(path)
      const { page } = db.prepare('SELECT rootpage AS page FROM sqlite_schema WHERE name = ?').get(table) as {
        page: number
      }
      db.close()
      const bytes = readFileSync(path)
      bytes.fill(0xff, (page - 1) * 4096, page * 4096)
      writeFileSync(path, bytes)
      const opening = await start(dir).then(
        () => null,
        (error: unknown) => error,
      )
      if (opening !== null || table !== 'results')
        expect(opening).toMatchObject({ code: 'storage_failed', message: expect.stringMatching(/damaged.*backup/) })
    },
  )

  test('is damaged: where the backup goes, not a phrase of SQLite alone', async () => {
    const dir = folder()
    const { engine } = await start(dir)
    for (let i = 0; i < 20; i++) await submit(engine, { body: 'x'.repeat(10_000) })
    await engine.close()
    const path = join(dir, 'sluice.db')
    const bytes = readFileSync(path)
    bytes.fill(0xff, 100, 4096) // the schema's page, after the header
    writeFileSync(path, bytes)
    expect(thrown(() => openFolder(dir))).toMatchObject({
      code: 'storage_failed',
      message: expect.stringMatching(/damaged.*backup/),
    })
  })
})

describe('an empty or missing database', () => {
  test('in a folder that held a store is refused, and nothing beside it is touched', async () => {
    const dir = folder()
    const opened = await start(dir)
    await submit(opened.engine)
    await opened.engine.close()
    const path = join(dir, 'sluice.db')
    const kept = readFileSync(path)
    truncateSync(path, 0)
    expect(thrown(() => openFolder(dir))).toMatchObject({ code: 'config_invalid', message: /is empty, but.*backup/ })
    rmSync(path)
    expect(thrown(() => openFolder(dir))).toMatchObject({ code: 'config_invalid', message: /is missing, but.*backup/ })
    writeFileSync(path, kept)
    openFolder(dir).release()
  })

  test('beside a WAL with something in it is refused: SQLite would delete it', async () => {
    const [from, to] = [folder(), temporary()]
    const { engine } = await start(from)
    await submit(engine)
    writeFileSync(join(to, 'sluice.db-wal'), readFileSync(join(from, 'sluice.db-wal')))
    for (const plant of [() => {}, () => writeFileSync(join(to, 'sluice.db'), '')]) {
      plant()
      expect(thrown(() => openFolder(to))).toMatchObject({ code: 'config_invalid' })
      expect(statSync(join(to, 'sluice.db-wal')).size).toBeGreaterThan(1_000)
    }
  })

  test('in a new folder is a new store', () => {
    const dir = temporary()
    writeFileSync(join(dir, 'sluice.db'), '')
    openFolder(dir).release()
  })
})

describe('another program at the database', () => {
  function other(dir: string): DatabaseSync {
    const db = new DatabaseSync(join(dir, 'sluice.db'))
    undo.push(() => db.isOpen && db.close())
    return db
  }

  test('its lock at the start is waited for a little, then told', () => {
    const dir = folder()
    openFolder(dir).release()
    const foreign = other(dir)
    foreign.exec('BEGIN IMMEDIATE')
    const startedMono = performance.now()
    expect(thrown(() => openFolder(dir, 200))).toMatchObject({
      code: 'in_use',
      message: expect.stringMatching(/Another program holds a lock.*lsof/),
    })
    expect(performance.now() - startedMono).toBeGreaterThan(150)
    foreign.exec('ROLLBACK')
    openFolder(dir, 200).release()
  })

  test('its lock while we run refuses new work, is told by health, and heals', async () => {
    const dir = folder()
    const { engine, facts } = await start(dir)
    const foreign = other(dir)
    foreign.exec('BEGIN IMMEDIATE')
    expect(refusal((await engine.submissions.submit([draft()]))[0])).toMatchObject({
      code: 'storage_locked',
      status: 503,
    })
    expect(engine.health()).toMatchObject({ ok: false, error: { code: 'storage_locked' } })
    await expect(engine.operations.pause({ model: 'm' })).rejects.toMatchObject({ code: 'storage_locked' })
    foreign.exec('ROLLBACK')
    await eventually(() => expect(engine.health()).toEqual({ ok: true }))
    expect(facts).toContainEqual({ type: 'store-recovered' })
    await submit(engine)
  })

  test('its lock does not keep us from ending', async () => {
    const dir = folder()
    const { engine } = await start(dir)
    const job = await submit(engine)
    other(dir).exec('BEGIN IMMEDIATE')
    const submitting = engine.submissions.submit([draft()])
    await engine.close()
    expect(refusal((await submitting)[0]).code).toMatch(/draining|storage_locked/)
    undo.splice(-1)[0]()
    const again = await start(dir)
    expect(await again.engine.jobs.get(job.id)).not.toBeNull()
  })

  test('its read transaction makes the WAL grow: told, with the size', async () => {
    const dir = folder()
    const { engine, facts } = await start(dir, 'process', { walWarnBytes: 16 << 20 })
    const foreign = other(dir)
    foreign.exec('BEGIN; SELECT count(*) FROM jobs')
    foreign.prepare('SELECT count(*) FROM jobs').get()
    for (let i = 0; i < 30; i++) await submit(engine, { body: 'x'.repeat(1 << 20) })
    await eventually(() =>
      expect(facts).toContainEqual({
        type: 'store-warned',
        code: 'wal_held',
        detail: expect.stringMatching(/grown to \d+ MiB.*read transaction/),
      }),
    )
    expect(engine.health()).toEqual({ ok: true })
  })
})

describe('while it runs', () => {
  const ways: ReadonlyArray<readonly [string, (dir: string) => void]> = [
    ['deleted', (dir) => rmSync(dir, { recursive: true })],
    ['moved', (dir) => renameSync(dir, `${dir}-moved`)],
    ['without its database', (dir) => rmSync(join(dir, 'sluice.db'))],
    ['without its WAL', (dir) => rmSync(join(dir, 'sluice.db-wal'))],
    ["without its WAL's index", (dir) => rmSync(join(dir, 'sluice.db-shm'))],
    [
      'given another database',
      (dir) => {
        writeFileSync(join(dir, 'new'), readFileSync(join(dir, 'sluice.db')))
        renameSync(join(dir, 'new'), join(dir, 'sluice.db'))
      },
    ],
  ]
  const changes: ReadonlyArray<readonly [string, (dir: string, backup: string) => void]> = [
    ['with a backup copied over it', (dir, backup) => copyOver(backup, dir, ['sluice.db', 'sluice.db-wal'])],
    ['with a backup of the WAL copied over it', (dir, backup) => copyOver(backup, dir, ['sluice.db-wal'])],
    ['with a backup of the mark copied over it', (dir, backup) => copyOver(backup, dir, ['sluice.db-mark'])],
    ['with its WAL cut to nothing', (dir) => truncateSync(join(dir, 'sluice.db-wal'), 0)],
    ['with its database cut in half', (dir) => truncateSync(join(dir, 'sluice.db'), 4096)],
    ['without its lock', (dir) => rmSync(join(dir, 'owner.lock'))],
  ]
  function copyOver(from: string, to: string, names: readonly string[]): void {
    for (const name of names) writeFileSync(join(to, name), readFileSync(join(from, name)))
  }
  test.each(changes)('power: a folder %s acknowledges nothing more, and the next start tells', async (name, harm) => {
    const [dir, backup] = [folder(), temporary()]
    const { engine, close } = await start(dir, 'power', { disk: (real) => real })
    await submit(engine)
    await eventually(() => expect(readMark(join(dir, 'sluice.db'))?.frames).toBeGreaterThan(0))
    copyOver(dir, backup, ['sluice.db', 'sluice.db-wal', 'sluice.db-mark'])
    for (let i = 0; i < 5; i++) await submit(engine)
    harm(dir, backup)
    await expect(engine.submissions.submit([draft()]).then(([result]) => refusal(result))).rejects.toMatchObject({
      code: 'storage_failed',
    })
    await close()
    if (name === 'without its lock') return
    const again = await start(dir).catch((error: unknown) => error)
    if (again instanceof Error) expect(again).toMatchObject({ code: 'storage_failed', message: /damaged.*backup/ })
    else
      expect((again as Opened).facts).toContainEqual(
        expect.objectContaining({ code: 'commits_missing', detail: expect.stringMatching(/changed.*empty folder/) }),
      )
  })

  test('without its lock it is not given to a second server', async () => {
    const dir = folder()
    await start(dir, 'process')
    rmSync(join(dir, 'owner.lock'))
    for (const _twice of [1, 2])
      expect(thrown(() => openFolder(dir, 100))).toMatchObject({ code: 'in_use', message: /in use by another/ })
  })

  test("another program's writes, checkpoints and VACUUM are no harm", async () => {
    const dir = folder()
    const { engine } = await start(dir, 'power', { disk: (real) => real })
    for (let i = 0; i < 20; i++) await submit(engine)
    const other = new DatabaseSync(join(dir, 'sluice.db'), { timeout: 5_000 })
    undo.push(() => other.close())
    for (const sql of ["INSERT INTO meta VALUES ('x', '')", 'PRAGMA wal_checkpoint(PASSIVE)', 'VACUUM']) {
      other.exec(sql)
      for (let i = 0; i < 5; i++) await submit(engine)
      other.exec('PRAGMA wal_checkpoint(RESTART)')
      for (let i = 0; i < 5; i++) await submit(engine)
    }
    expect(engine.health()).toEqual({ ok: true })
  })

  test.each(ways)('power: a folder %s acknowledges nothing more', async (_name, harm) => {
    const dir = folder()
    const { engine } = await start(dir, 'power', { disk: (real) => real })
    await submit(engine)
    harm(dir)
    await expect(engine.submissions.submit([draft()]).then(([result]) => refusal(result))).rejects.toMatchObject({
      code: 'storage_failed',
    })
    expect(engine.health()).toMatchObject({ ok: false, error: { code: 'storage_failed' } })
    expect(refusal((await engine.submissions.submit([draft()]))[0]).code).toBe('storage_failed')
  })

  test.each(ways)('process: a folder %s is noticed within a second or so', async (_name, harm) => {
    const dir = folder()
    const { engine, facts } = await start(dir, 'process', { disk: (real) => real })
    await submit(engine)
    harm(dir)
    await eventually(() => expect(engine.health()).toMatchObject({ ok: false }))
    expect(refusal((await engine.submissions.submit([draft()]))[0]).code).toBe('storage_failed')
    expect(facts).toContainEqual(
      expect.objectContaining({ type: 'store-degraded', detail: expect.stringMatching(/deleted, moved or replaced/) }),
    )
  })
})
