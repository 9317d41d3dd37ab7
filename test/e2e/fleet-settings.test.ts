/** Two machines of a fleet, each with a configuration file of its own: a reload of one, and what the other is told. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { eventually } from '../conformance/harness.ts'
import { bareEnvironment } from '../environment.ts'
import { NO_REDIS } from '../redis/server.ts'
import { ADMIN_KEY, call, KEY, startFleet } from './fleet.ts'
import { BIN, killAll, lines, removeFolders } from './serve.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-fleet-settings-'))
afterEach(killAll)
afterAll(() => {
  removeFolders()
  rmSync(dir, { recursive: true })
})

const BEFORE = 'models: [{ name: demo, provider: demo }]\n'
const AFTER = `${BEFORE}queue: { max_queued_per_tenant: 2 }
tenants: [{ name: default, weight: 3, retention: { logs: 0 } }]
`

function doctor(file: string, redisUrl: string): Promise<string> {
  return new Promise((done) => {
    const env = { ...bareEnvironment(), SLUICE_REDIS_URL: redisUrl, SLUICE_KEY: KEY, SLUICE_ADMIN_KEY: ADMIN_KEY }
    const child = spawn(process.execPath, [BIN, 'doctor', '--quiet', '--config', file], { env })
    let out = ''
    child.stdout.on('data', (text: Buffer) => {
      out += text.toString()
    })
    child.on('close', () => done(out))
  })
}

describe.skipIf(NO_REDIS)('Redis: a reload on one machine of two', () => {
  it('reaches the coordinator on the other, caps and retention included; who has not reloaded is told', async () => {
    const files = ['a.yaml', 'b.yaml'].map((name) => join(dir, name))
    for (const file of files) writeFileSync(file, BEFORE)
    const fleet = await startFleet()
    const [a, b] = [
      await fleet.add('all', { args: ['--config', files[0]] }),
      await fleet.add('gateway', { args: ['--config', files[1]] }),
    ]
    expect(await doctor(files[1], fleet.redis.url)).toMatch(/^ok +fleet +.+ \(pid \d+\) coordinates it by these/m)

    writeFileSync(files[1], AFTER)
    const reload = await call(b.adminUrl, '/admin/reload', { key: ADMIN_KEY, body: {} })
    expect(await reload.json()).toMatchObject({ needs_restart: [] })
    // Caps of the queue: of what waits
    await call(b.adminUrl, '/admin/pause', { key: ADMIN_KEY, body: { lane: 'held', tenant: 'default' } })
    const request = { model: 'demo', messages: [{ role: 'user', content: 'Hi. demo: tokens=2' }] }
    const submit = (more: object) => call(a.url!, '/v1/jobs', { body: { request, ...more } })
    const waiting: string[] = []
    await eventually(async () => {
      const response = await submit({ lane: 'held' })
      if (response.status !== 202) return expect(response.status).toBe(429)
      waiting.push(((await response.json()) as { id: string }).id)
      expect(waiting.length).toBeLessThan(10)
      throw new Error('nothing was refused yet')
    })
    expect(waiting).toHaveLength(2)
    for (const id of waiting) await call(a.url!, `/v1/jobs/${id}/cancel`, { body: {} })
    // Retention of a tenant: what was read is not kept
    const slow = { ...request, messages: [{ role: 'user', content: 'Hi. demo: tokens=20 delay=50' }] }
    const { id } = (await (await submit({ request: slow })).json()) as { id: string }
    await (await call(a.url!, `/v1/jobs/${id}/events`)).text()
    await eventually(async () => expect((await call(a.url!, `/v1/jobs/${id}`)).status).toBe(404))

    const differs = /are not those of this process/
    const told = () => lines(a.err()).filter(({ msg }) => differs.test(String(msg)))
    await eventually(() => expect(told()).toHaveLength(1))
    expect(told()[0]).toMatchObject({ level: 'warn', differ: ['queue', 'tenants'] })
    expect(await doctor(files[0], fleet.redis.url)).toMatch(
      /^note +fleet .* by other settings than these: queue, tenants/m,
    )
    expect(await doctor(files[1], fleet.redis.url)).toMatch(/^ok +fleet /m)
    expect(lines(b.err()).filter(({ msg }) => differs.test(String(msg)))).toEqual([])

    writeFileSync(files[0], AFTER)
    a.child.kill('SIGHUP')
    const same = /settings in force in the fleet are those of this process/
    await eventually(() => expect(lines(a.err()).some(({ msg }) => same.test(String(msg)))).toBe(true))
    await fleet.stop()
  })
})
