/** What `sluice bench --post` sends is kept, listed, told as a change, and given back whole. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createBenchmarks, MOST_BENCHMARKS } from '../../src/observability/benchmarks/benchmarks.ts'
import { startTestApp, type TestApp } from './app.ts'
import { byKey, openPage } from './live.ts'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app?.stop())

const comparison = {
  kind: 'comparison',
  before: { label: 'before' },
  after: { label: 'after' },
  verdict: 'worse',
  sentence: 'Time to first token is worse by 480 ms.',
}
const get = (path: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.adminPort}/admin/benchmarks${path}`, { headers: byKey })

it('keeps what was posted, lists it by its verdict, and tells of it', async () => {
  const page = await openPage(app)
  page.ask({ t: 'watch', page: 'now', range: '15m', rows: 'tenant', node: null })
  const posted = await app.admin('/admin/benchmarks', comparison)
  expect(posted.status).toBe(201)
  const { id } = (await posted.json()) as { id: string }
  const { data } = (await (await get('')).json()) as { data: readonly object[] }
  expect(data[0]).toMatchObject({
    id,
    kind: 'comparison',
    label: 'after against before',
    verdict: 'worse',
    sentence: comparison.sentence,
  })
  expect(await (await get(`/${id}`)).json()).toEqual(comparison)
  await page.next('changes', ({ changes }) => changes.some(({ kind }) => kind === 'bench'))
  page.close()
})

it('refuses what is no benchmark, and what is too large, and knows what it has', async () => {
  expect((await app.admin('/admin/benchmarks', { kind: 'report' })).status).toBe(400)
  expect((await app.admin('/admin/benchmarks', { kind: 'run', text: 'x'.repeat(2_000_001) })).status).toBe(413)
  expect((await get('/bench_00')).status).toBe(404)
})

it('removes one that nobody wants', async () => {
  const { id } = (await (await app.admin('/admin/benchmarks', comparison)).json()) as { id: string }
  const remove = (path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${app.adminPort}/admin/benchmarks/${path}`, { method: 'DELETE', headers: byKey })
  expect((await remove(id)).status).toBe(204)
  expect((await remove(id)).status).toBe(404)
  expect((await get(`/${id}`)).status).toBe(404)
  expect(JSON.stringify(await (await get('')).json())).not.toContain(id)
})

it('keeps nothing of one that does not fit on the disk', async () => {
  // A file where the folder should be: writing fails as on a full disk
  const folder = join(mkdtempSync(join(tmpdir(), 'sluice-benchmarks-')), 'taken')
  writeFileSync(folder, '')
  const benchmarks = createBenchmarks(folder)
  await expect(benchmarks.add({ id: 'bench_00000000', atMs: 1, body: { kind: 'run' } })).rejects.toThrow()
  expect(await benchmarks.list()).toEqual([])
})

it('keeps the last ones over a restart, and leaves a damaged file alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-benchmarks-'))
  const ids = Array.from({ length: MOST_BENCHMARKS + 3 }, (_, n) => `bench_${n.toString(16).padStart(16, '0')}`)
  const first = createBenchmarks(folder)
  for (const [atMs, id] of ids.entries()) await first.add({ id, atMs, body: { kind: 'run', n: atMs } })
  writeFileSync(join(folder, 'bench_ffffffffffffffff.json'), '{"id"')
  const again = createBenchmarks(folder)
  const list = await again.list()
  expect(list).toHaveLength(MOST_BENCHMARKS)
  const newest = { id: ids.at(-1), atMs: ids.length - 1 }
  expect(list[0]).toEqual({ ...newest, body: { kind: 'run' } })
  expect(await again.get(ids.at(-1)!)).toEqual({ ...newest, body: { kind: 'run', n: ids.length - 1 } })
  expect(await again.get(ids[0])).toBeNull()
  rmSync(folder, { recursive: true })
})

it.each([['in a folder'], ['in memory']])(
  '%s, lists hold heads alone, and what is whole is bounded',
  async (where) => {
    const folder = where === 'in memory' ? null : mkdtempSync(join(tmpdir(), 'sluice-benchmarks-'))
    const kept = createBenchmarks(folder)
    const rounds = Array.from({ length: 390_000 }, () => ({}))
    const body = { kind: 'run', label: 'l'.repeat(500), rounds, before: { label: 'b', more: rounds } }
    const ids = Array.from({ length: 24 }, (_, n) => `bench_${n.toString(16).padStart(16, '0')}`)
    for (const [atMs, id] of ids.entries()) await kept.add({ id, atMs, body })
    const list = await kept.list()
    expect(JSON.stringify(list).length).toBeLessThan(24 * 500)
    // 1.6 MB each: 20 MB at most where they are in memory
    expect(list.length).toBe(folder === null ? 8 : 24)
    expect((await kept.get(ids.at(-1)!))!.body).toEqual(body)
    if (folder !== null) rmSync(folder, { recursive: true })
  },
  60_000,
)
