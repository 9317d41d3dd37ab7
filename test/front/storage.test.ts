/** A store that can't be written, as clients see it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp } from './app.ts'

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

it('a kill switch ends what runs while nothing can be stored, and says so', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-storage-'))
  const app = await startTestApp({}, { durability: 'process', data_dir: dir })
  const call = async (key: string, url: string, method: string, body?: object) => {
    const answer = await fetch(url, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    })
    return { status: answer.status, body: (await answer.json()) as Record<string, any> }
  }
  const admin = (method: string, path: string, body?: object) =>
    call(ADMIN_KEY, `http://127.0.0.1:${app.adminPort}${path}`, method, body)
  const run = async (key: string, model = 'demo'): Promise<string> => {
    const request = { model, messages: [{ role: 'user', content: 'demo: tokens=5000 delay=20 ttft=0' }] }
    return (await call(key, `http://127.0.0.1:${app.port}/v1/jobs`, 'POST', { request })).body['id']
  }
  const states = async (): Promise<Record<string, string>> =>
    Object.fromEntries(
      ((await admin('GET', '/admin/jobs')).body['data'] as Array<{ id: string; state: string }>).map((job) => [
        job.id,
        job.state,
      ]),
    )
  try {
    const [ofTenant, disabled, revoked] = await Promise.all(['acme', 'globex', 'initech'].map((id) => app.addKey(id)))
    const stays = await run(app.key)
    const jobs = [await run(ofTenant.key), await run(disabled.key), await run(app.key, 'talks'), await run(revoked.key)]
    await expect.poll(async () => Object.values(await states())).toEqual(Array(5).fill('leased'))
    const other = new DatabaseSync(join(dir, 'sluice.db'))
    other.exec('BEGIN IMMEDIATE')
    const off = (selected: object) => admin('POST', '/admin/disable', { ...selected, running: 'cut', queued: 'cancel' })
    for (const answer of [
      await off({ tenant: 'acme' }),
      await off({ key: disabled.id }),
      await off({ model: 'talks' }),
      await admin('DELETE', `/admin/keys/${revoked.id}?running=cut&queued=cancel`),
    ])
      expect(answer).toMatchObject({ status: 503, body: { error: { code: 'storage_locked' } } })
    const changes = app.log.flatMap((line) => /^admin changed .*"target":"(\w+)/.exec(line)?.[1] ?? [])
    expect(changes.slice(-4)).toEqual(['tenant', 'key', 'model', 'key'])
    other.close()
    // As soon as it can be stored
    const ended = Object.fromEntries(jobs.map((id) => [id, 'canceled']))
    await expect.poll(states).toMatchObject({ ...ended, [stays]: 'leased' })
    await expect
      .poll(async () => (await admin('GET', '/admin/audit?limit=4')).body['data'].map((one: any) => one['action']))
      .toEqual(['key-revoked', 'model-disabled', 'key-disabled', 'tenant-disabled'])
    expect((await admin('GET', '/admin/disable')).body['data']).toHaveLength(3)
  } finally {
    await app.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
