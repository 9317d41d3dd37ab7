/** Flipped bits and lost ends: what is missing is reported, what is wrong is not served, all else works. */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, test } from 'vitest'
import type { Happened } from '../../src/core/facts.ts'
import { embedded } from './embedded.ts'
import { DONE, draft, type Opened, readAll, runJob, submit, TestWorker } from './harness.ts'

const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})
function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-damage-'))
  undo.push(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}
async function start(dir: string): Promise<Opened> {
  const opened = await embedded('power', { dir, disk: (real) => real })()
  undo.push(() => opened.close())
  return opened
}
/** What a kill -9 leaves of the folder. */
function killed(dir: string): string {
  const to = temporary()
  for (const name of readdirSync(dir).filter((name) => name.startsWith('sluice.db') && !name.endsWith('-shm')))
    cpSync(join(dir, name), join(to, name), { preserveTimestamps: true })
  return to
}
function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at < 0 ? bytes.length + at : at] ^= 1
  writeFileSync(path, bytes)
}
const missing = (facts: readonly Happened[]): string[] =>
  facts.flatMap((fact) => (fact.type === 'store-warned' && fact.code === 'commits_missing' ? [fact.detail] : []))

describe('a damaged WAL', () => {
  async function forty() {
    const dir = join(temporary(), 'data')
    const { engine } = await start(dir)
    const jobs = []
    for (let i = 0; i < 40; i++) jobs.push(await submit(engine))
    return { dir: killed(dir), jobs }
  }
  const wal = (dir: string): string => join(dir, 'sluice.db-wal')

  test('whole: nothing is told, nothing is missing', async () => {
    const { dir, jobs } = await forty()
    const { engine, facts } = await start(dir)
    expect(missing(facts)).toEqual([])
    for (const job of jobs) expect(await engine.jobs.get(job.id)).not.toBeNull()
  })

  test.each<[string, (path: string) => void]>([
    ['one bit in a frame', (path) => flip(path, Math.floor(readFileSync(path).length * 0.6))],
    ['one bit in its header', (path) => flip(path, 17)],
    ['one bit in the salt of a frame', (path) => flip(path, 32 + 20 * 4120 + 9)],
    ['its end cut off', (path) => truncateSync(path, Math.floor(readFileSync(path).length * 0.6))],
    ['all of it but the header', (path) => truncateSync(path, 32)],
    ['all of it', (path) => rmSync(path)],
  ])('%s: told at the start, kept for inspection, and the rest goes on', async (what, harm) => {
    const { dir, jobs } = await forty()
    harm(wal(dir))
    const { engine, facts } = await start(dir)
    const [told, ...more] = missing(facts)
    expect(told).toMatch(/are missing/)
    expect(more).toEqual([])
    const left = await Promise.all(jobs.map((job) => engine.jobs.get(job.id)))
    expect(left.filter((job) => job === null).length).toBeGreaterThan(10)
    if (what === 'one bit in a frame') expect(Number(/(\d+) commits/.exec(told)![1])).toBeGreaterThan(10)
    if (what !== 'all of it') expect(existsSync(`${wal(dir)}.damaged-1`)).toBe(true)
    await submit(engine)
  })

  test('that another program moved into the database is not missing', async () => {
    const { dir, jobs } = await forty()
    const other = new DatabaseSync(join(dir, 'sluice.db'))
    other.prepare('SELECT count(*) FROM jobs').get()
    other.close()
    expect(existsSync(wal(dir))).toBe(false)
    const { engine, facts } = await start(dir)
    expect(missing(facts)).toEqual([])
    expect(await engine.jobs.get(jobs[39].id)).not.toBeNull()
  })

  test.each([true, false])(
    'of which only sluice.db was copied is told (the server was killed: %s)',
    async (isKilled) => {
      const dir = join(temporary(), 'data')
      const { engine } = await start(dir)
      await submit(engine)
      const copy = temporary()
      cpSync(join(isKilled ? killed(dir) : dir, 'sluice.db'), join(copy, 'sluice.db'))
      const { facts } = await start(copy)
      expect(missing(facts)).toEqual([expect.stringMatching(/sluice\.db alone/)])
    },
  )

  test('after an orderly end there is nothing to miss', async () => {
    const dir = join(temporary(), 'data')
    const opened = await start(dir)
    for (let i = 0; i < 5; i++) await submit(opened.engine)
    await opened.engine.close()
    expect(missing((await start(dir)).facts)).toEqual([])
  })
})

/** Changes one byte of a stored blob, and nothing else. */
function harmBlob(dir: string, table: string, column: string, where: string): void {
  const db = new DatabaseSync(join(dir, 'sluice.db'))
  const row = db.prepare(`SELECT rowid AS id, ${column} AS data FROM ${table} WHERE ${where}`).get() as {
    id: number
    data: Uint8Array
  }
  const at = Buffer.from(row.data).indexOf('tok')
  row.data[at] = 'T'.charCodeAt(0)
  db.prepare(`UPDATE ${table} SET ${column} = ? WHERE rowid = ?`).run(row.data, row.id)
  db.close()
}
const orderOf = (dir: string, id: string): number => {
  const db = new DatabaseSync(join(dir, 'sluice.db'), { readOnly: true })
  try {
    return (db.prepare('SELECT ord FROM jobs WHERE id = ?').get(id) as { ord: number }).ord
  } finally {
    db.close()
  }
}

describe('wrong bytes', () => {
  test('in the facts of one job leave it out of lists, and everything else as it is', async () => {
    const dir = join(temporary(), 'data')
    const first = await start(dir)
    const ended = await runJob(first.engine, new TestWorker(first.engine))
    const [bad, key, good] = [
      await submit(first.engine),
      await submit(first.engine, { options: { idempotencyKey: 'k' } }),
      await submit(first.engine),
    ]
    await first.engine.keys.add({ id: 'k', tenant: 'acme', name: 'n', hint: 'h', createdAtMs: 1 }, 'digest')
    await first.engine.operations.pause({ model: 'paused' })
    await first.engine.close()
    const db = new DatabaseSync(join(dir, 'sluice.db'))
    const cut = db.prepare('UPDATE jobs SET facts = ? WHERE id = ?')
    cut.run('{"acceptedAtMs":', bad.id)
    cut.run('{}', key.id)
    db.exec("UPDATE results SET facts = '{'; UPDATE keys SET facts = '{'; UPDATE pauses SET selector = '{'")
    db.close()
    const { engine, facts } = await start(dir)
    expect((await engine.jobs.list({ limit: 10 })).map((job) => job.id)).toEqual([good.id])
    await expect(engine.jobs.get(ended.id)).rejects.toMatchObject({ code: 'job_damaged' })
    const [resubmitted] = await engine.submissions.submit([draft({ options: { idempotencyKey: 'k' } })])
    expect(resubmitted).toMatchObject({ kind: 'refused', error: { code: 'job_damaged' } })
    expect([await engine.keys.list(), await engine.operations.paused()]).toEqual([[], []])
    const codes = facts.flatMap((fact) => (fact.type === 'store-warned' ? [fact.code] : []))
    expect(new Set(codes)).toEqual(new Set(['job_damaged', 'row_damaged']))
    await new TestWorker(engine).one(good)
    for (const job of [bad, ended]) expect(await engine.jobs.erase(job.id)).toBe(true)
  })

  test('in what is set of a tenant leave it out, and are gone once it is erased', async () => {
    const dir = join(temporary(), 'data')
    const first = await start(dir)
    const times = { createdAtMs: 1, changedAtMs: 1 }
    const record = { kind: 'tenant', label: '', models: null, limits: null, disabled: null, ...times } as const
    for (const id of ['bad', 'good']) await first.engine.tenants.change('tenant', id, () => ({ ...record, id }))
    await first.engine.close()
    const db = new DatabaseSync(join(dir, 'sluice.db'))
    db.exec("UPDATE tenants SET facts = '{' WHERE facts LIKE '%bad%'")
    db.close()
    const second = await start(dir)
    const known = async ({ engine }: Opened) => (await engine.tenants.list()).map(({ id }) => id)
    const warned = ({ facts }: Opened) => facts.filter((fact) => fact.type === 'store-warned').length
    expect([await known(second), warned(second)]).toEqual([['good'], 1])
    await second.engine.eraseTenant('bad')
    await second.engine.close()
    const third = await start(dir)
    expect([await known(third), warned(third)]).toEqual([['good'], 0])
  })

  test('in the log of a job that ended are not served; other jobs are', async () => {
    const dir = join(temporary(), 'data')
    const first = await start(dir)
    const worker = new TestWorker(first.engine)
    const [bad, good] = [
      await runJob(first.engine, worker, {}, ['{"tok":1}']),
      await runJob(first.engine, worker, {}, ['{"tok":2}']),
    ]
    await first.engine.close()
    harmBlob(dir, 'results', 'log', `ord = ${orderOf(dir, bad.id)}`)
    const { engine, facts } = await start(dir)
    await expect(readAll(engine, bad.id)).rejects.toMatchObject({ code: 'job_damaged', status: 500 })
    expect(facts).toContainEqual({
      type: 'store-warned',
      code: 'job_damaged',
      detail: expect.stringContaining(bad.id),
    })
    expect((await engine.jobs.get(bad.id))?.state).toBe('done')
    expect((await readAll(engine, good.id)).records[0]).toBe('{"tok":2}')
    expect(engine.health()).toEqual({ ok: true })
    await runJob(engine, new TestWorker(engine))
    expect(await engine.jobs.erase(bad.id)).toBe(true)
  })

  test('in a stored request fail that job when it is leased, and leave the others alone', async () => {
    const dir = join(temporary(), 'data')
    const first = await start(dir)
    const jobs = []
    for (const conversation of ['a', 'b'])
      jobs.push(await submit(first.engine, { body: '{"messages":["tok"]}', options: { conversation } }))
    await first.engine.close()
    harmBlob(dir, 'jobs', 'body', `ord = ${orderOf(dir, jobs[0].id)}`)
    const { engine } = await start(dir)
    const leases = await new TestWorker(engine).lease(2)
    expect(leases.map(({ job, damaged }) => [job.id, damaged?.code])).toEqual([
      [jobs[0].id, 'job_damaged'],
      [jobs[1].id, undefined],
    ])
    await engine.work.finish(leases[0], { kind: 'failed', error: leases[0].damaged!, retry: false })
    expect(await engine.jobs.get(jobs[0].id)).toMatchObject({ state: 'failed', error: { code: 'job_damaged' } })
    await expect(engine.jobs.request(jobs[0].id)).rejects.toMatchObject({ code: 'job_damaged' })
    expect(engine.health()).toEqual({ ok: true })
  })

  test('in the segments of running jobs end their logs there; later cursors are void, the jobs run again', async () => {
    const dir = join(temporary(), 'data')
    const { engine } = await start(dir)
    const worker = new TestWorker(engine)
    const jobs = [await submit(engine), await submit(engine)]
    for (const job of jobs) {
      const writer = engine.log.open(await worker.one(job))
      for (let i = 0; i < 5; i++) {
        writer.append([`{"tok":${i}}`], 1, true)
        await writer.flushed()
      }
    }
    await submit(engine) // its sync covers them
    const left = killed(dir)
    const db = new DatabaseSync(join(left, 'sluice.db'))
    const { n } = db
      .prepare("SELECT n FROM segments WHERE instr(data, 'tok') > 0 ORDER BY n LIMIT 1 OFFSET 3")
      .get() as {
      n: number
    }
    db.close()
    harmBlob(left, 'segments', 'data', `n = ${n}`)
    const again = await start(left)
    expect(missing(again.facts)).toEqual([expect.stringContaining(`Segment ${n}`)])
    expect((await readAll(again.engine, jobs[0].id)).records).toEqual(['{"tok":0}', '{"tok":1}', '{"tok":2}'])
    expect(await again.engine.log.commonWith(jobs[0].id, 1)).toBe(3)
    expect(await again.engine.log.commonWith(jobs[1].id, 1)).toBe(0)
    const next = new TestWorker(again.engine)
    for (const lease of [await next.one(jobs[0])])
      expect((await again.engine.work.finish(lease, DONE)).kind).toBe('ended')
  })

  test('in a part of a running log fail that job, once it is read, and no other', async () => {
    const dir = join(temporary(), 'data')
    const { engine } = await start(dir)
    const job = await submit(engine)
    const writer = engine.log.open(await new TestWorker(engine).one(job))
    writer.append(['{"tok":1}'], 1, true)
    await writer.flushed()
    await submit(engine)
    const left = killed(dir)
    const second = await start(left) // moves it into a part
    await second.engine.close()
    harmBlob(left, 'parts', 'data', 'true')
    const again = await start(left)
    await expect(readAll(again.engine, job.id)).rejects.toMatchObject({ code: 'job_damaged' })
    expect(again.engine.health()).toEqual({ ok: true })
  })
})
