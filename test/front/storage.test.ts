/** A store that can't be written, as clients see it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { startTestApp } from './app.ts'

it('refuses a list of jobs as one job, and a cancel of a job that runs', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-storage-'))
  const app = await startTestApp({}, { durability: 'process', data_dir: dir })
  const post = async (path: string, body: object): Promise<[number, Record<string, unknown>]> => {
    const answer = await fetch(`http://127.0.0.1:${app.port}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return [answer.status, (await answer.json()) as Record<string, unknown>]
  }
  const job = (content: string) => ({ request: { model: 'demo', messages: [{ role: 'user', content }] } })
  const locked = [503, { error: { code: 'storage_locked' } }]
  try {
    const [, { id }] = await post('/v1/jobs', job('demo: tokens=500 delay=20 ttft=0'))
    const other = new DatabaseSync(join(dir, 'sluice.db'))
    other.exec('BEGIN IMMEDIATE')
    expect(await post('/v1/jobs', { jobs: [job('a'), job('b')] })).toMatchObject(locked)
    expect(await post('/v1/jobs', { jobs: [job('a'), {}] })).toMatchObject(locked)
    expect(await post('/v1/jobs', { jobs: [{}, {}] })).toMatchObject([202, { object: 'list' }])
    expect(await post(`/v1/jobs/${id}/cancel`, {})).toMatchObject(locked)
    other.close()
    let last: [number, Record<string, unknown>]
    do last = await post(`/v1/jobs/${id}/cancel`, {})
    while (last[0] === 503)
    expect(last[0]).toBe(202)
  } finally {
    await app.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
