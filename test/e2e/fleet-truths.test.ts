/** What holds of a fleet however its processes are started: their folders, their clocks, their links to Redis. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { canFake, clockOf } from '../chaos/clocks.ts'
import { eventually } from '../conformance/harness.ts'
import { expectInTime } from '../in-time.ts'
import { FaultProxy } from '../redis/proxy.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { ADMIN_KEY, call, type FleetProcess, type Role } from './fleet.ts'
import { freshFolder, killAll, removeFolders, serve } from './serve.ts'

const HOUR_S = 3_600
/** Each machine may have one of its own: session tokens don't depend on it. */
const LATE_ADMIN_KEY = 'another-admin-key-of-the-tests-0123456789'

describe.skipIf(NO_REDIS)('Redis: the truths of a fleet', () => {
  let redis: RedisServer
  let proxy: FaultProxy
  let early: FleetProcess
  let late: FleetProcess
  let cut: FleetProcess
  let worker: FleetProcess
  let key: string
  const folders = [freshFolder(), freshFolder(), freshFolder()]
  const keyFiles = (): readonly string[] => folders.map((folder) => join(folder, 'first-api.key')).filter(existsSync)

  beforeAll(async () => {
    redis = await RedisServer.start()
    proxy = await FaultProxy.start(redis.port)
    const start = async (role: Role, folder: string, env: Record<string, string> = {}): Promise<FleetProcess> => {
      const started = serve({
        folder,
        args: ['--role', role, '--admin-port', '0'],
        env: { SLUICE_REDIS_URL: redis.url, SLUICE_ADMIN_KEY: ADMIN_KEY, ...env },
      })
      const { url, admin_url: adminUrl } = await started.ready()
      return { ...started, role, url, adminUrl }
    }
    // At the same moment, and without a key
    ;[early, late, cut, worker] = await Promise.all([
      start('gateway', folders[0], clockOf(0)),
      start('gateway', folders[1], { ...clockOf(0), FAKETIME: '+1h', SLUICE_ADMIN_KEY: LATE_ADMIN_KEY }),
      start('gateway', folders[2], { SLUICE_REDIS_URL: `redis://127.0.0.1:${proxy.port}` }),
      // A folder that can't be made
      start('worker', '/proc/sluice'),
    ])
  })
  afterAll(async () => {
    const all = [early, late, cut, worker].filter((each) => each !== undefined)
    for (const { child } of all) child.kill('SIGTERM')
    await Promise.all(all.map(({ ended }) => ended))
    killAll()
    await proxy?.close()
    await redis?.remove()
    removeFolders()
  })

  const json = async <T>(response: Promise<Response>): Promise<T> => (await response).json() as Promise<T>
  const now = (): number => Date.now() / 1000

  it('of processes that start at the same moment one makes the first key, and it is valid everywhere', async () => {
    expect(keyFiles()).toHaveLength(1)
    key = readFileSync(keyFiles()[0], 'utf8').trim()
    for (const { url } of [early, late, cut]) expect((await call(url!, '/v1/models', { key })).status).toBe(200)
    const { data } = await json<{ data: Array<{ created_at: number }> }>(
      call(early.adminUrl, '/admin/keys', { key: ADMIN_KEY }),
    )
    expect(data).toHaveLength(1)
    expect(Math.abs(data[0].created_at - now())).toBeLessThan(60)
  })

  it.skipIf(!canFake)('clocks two hours apart: sessions, keys and dates are the same for both', async () => {
    const job = await json<{ created_at: number; id: string }>(
      call(late.url!, '/v1/jobs', {
        key,
        body: { request: { model: 'demo', messages: [{ role: 'user', content: 'Hi' }] } },
      }),
    )
    const seen = await json<{ created_at: number }>(call(early.url!, `/v1/jobs/${job.id}`, { key }))
    for (const { created_at: at } of [job, seen]) expect(Math.abs(at - now())).toBeLessThan(60)
    for (const [from, to] of [
      [early, late],
      [late, early],
    ]) {
      const { ticket } = await json<{ ticket: string }>(call(from.url!, '/v1/tickets', { key, body: {} }))
      const { token, expires_in_ms: ms } = await json<{ token: string; expires_in_ms: number }>(
        call(to.url!, '/v1/sessions', { key: '', body: { ticket } }),
      )
      expect(ms).toBe(600_000)
      for (const { url } of [from, to]) expect((await call(url!, '/v1/models', { key: token })).status).toBe(200)
      const made = await json<{ key: string; expires_at: number }>(
        call(from.adminUrl, '/admin/keys', {
          key: from === late ? LATE_ADMIN_KEY : ADMIN_KEY,
          body: { expires_in_ms: HOUR_S * 500 },
        }),
      )
      for (const { url } of [from, to]) expect((await call(url!, '/v1/models', { key: made.key })).status).toBe(200)
    }
  })

  it('a gateway that is cut from Redis says so at /readyz, and why; the others are ready', async () => {
    const ready = async (): Promise<readonly [number, string]> => {
      const response = await fetch(`${cut.url}/readyz`)
      return [response.status, await response.text()]
    }
    expect((await ready())[0]).toBe(200)
    proxy.cut()
    await eventually(async () =>
      expect(await ready()).toEqual([503, expect.stringContaining('Redis cannot be reached')]),
    )
    expect((await fetch(`${cut.url}/livez`)).status).toBe(200)
    const began = performance.now()
    const stats = await json<Record<string, number>>(call(cut.adminUrl, '/admin/stats', { key: ADMIN_KEY }))
    expectInTime(performance.now() - began, 4_000)
    expect(stats).toMatchObject({ redis_away: 1, uncoordinated: 0 })
    for (const { adminUrl } of [early, late, worker]) expect((await fetch(`${adminUrl}/readyz`)).status).toBe(200)
    proxy.heal()
    await eventually(async () => expect((await ready())[0]).toBe(200))
  })

  it('a Redis that is gone is told by all of them, workers too, until it is back', async () => {
    await redis.kill()
    const states = async (): Promise<readonly number[]> =>
      Promise.all([early, late, cut, worker].map(async ({ adminUrl }) => (await fetch(`${adminUrl}/readyz`)).status))
    await eventually(async () => expect(await states()).toEqual([503, 503, 503, 503]))
    await redis.restart()
    await eventually(async () => expect(await states()).toEqual([200, 200, 200, 200]), 30_000)
  })
})
