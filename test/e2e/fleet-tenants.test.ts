/** What an operator sets at one gateway holds in the whole fleet, whoever coordinates, and after restarts. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NO_REDIS } from '../redis/server.ts'
import { ADMIN_KEY, call, type Fleet, type FleetProcess, startFleet } from './fleet.ts'
import { killAll, removeFolders } from './serve.ts'

type Body = Record<string, any>
const WITHIN = { interval: 50 }

describe.skipIf(NO_REDIS)('Redis: tenants of a fleet', () => {
  let fleet: Fleet
  let a: string
  let b: string
  beforeAll(async () => {
    fleet = await startFleet('gateway', 'gateway', 'worker', 'worker')
    ;[a, b] = fleet.gateways
  })
  afterAll(async () => {
    await fleet?.stop()
    killAll()
    removeFolders()
  })

  const admins = (): readonly string[] =>
    fleet.processes.filter(({ role }) => role === 'gateway').map(({ adminUrl }) => adminUrl)
  async function admin(at: number, method: string, path: string, body?: object): Promise<Body> {
    const response = await call(admins()[at], path, { key: ADMIN_KEY, method, body })
    const text = await response.text()
    return { status: response.status, ...(text === '' ? {} : JSON.parse(text)) }
  }
  const make = (tenant: string, more: object = {}) => admin(0, 'POST', '/admin/keys', { tenant, ...more })
  const chat = (text: string) => ({ model: 'demo', messages: [{ role: 'user', content: text }] })
  const ask = async (url: string, key: string): Promise<number> =>
    (await call(url, '/v1/chat/completions', { key, body: chat('Hi. demo: tokens=2') })).status
  async function submit(url: string, key: string, text: string): Promise<string> {
    const response = await call(url, '/v1/jobs', { key, body: { request: chat(text) } })
    expect(response.status).toBe(202)
    return ((await response.json()) as Body)['id']
  }
  const state = async (id: string, key: string, url = b): Promise<string> =>
    ((await (await call(url, `/v1/jobs/${id}`, { key })).json()) as Body)['state']
  async function coordinator(): Promise<FleetProcess> {
    for (const each of fleet.processes) {
      const stats = (await (await call(each.adminUrl, '/admin/stats', { key: ADMIN_KEY })).json()) as Body
      if (stats['coordinating'] === 1) return each
    }
    throw new Error('nobody coordinates')
  }

  it('a limit that is set at one gateway is counted over both', async () => {
    const { key } = await make('limited')
    expect([await ask(a, key), await ask(b, key)]).toEqual([200, 200])
    await admin(1, 'PATCH', '/admin/tenants/limited', { limits: { requests_per_minute: 3 } })
    await expect
      .poll(async () => {
        const codes = [await ask(a, key), await ask(b, key), await ask(a, key), await ask(b, key)]
        return codes.filter((code) => code === 429).length > 0
      }, WITHIN)
      .toBe(true)
    await admin(0, 'PATCH', '/admin/tenants/limited', { limits: null })
    await expect.poll(() => ask(b, key), WITHIN).toBe(200)
  })

  it('a rotated key works at both, and the secret before it at neither', async () => {
    const { id, key } = await make('turns')
    const rotated = await admin(1, 'POST', `/admin/keys/${id}/rotate`, {})
    for (const url of [a, b]) {
      expect(await ask(url, rotated['key'])).toBe(200)
      await expect.poll(() => ask(url, key), WITHIN).toBe(401)
    }
    const { data } = await admin(0, 'GET', '/admin/audit?limit=2')
    expect((data as Body[]).map(({ action }) => action)).toEqual(['key-rotated', 'key-created'])
  })

  it('a tenant that is disabled at one is so at both, over a takeover, until it is enabled', async () => {
    const { key } = await make('stopped')
    const other = await make('other')
    // In force once answers tell of it
    await admin(0, 'PATCH', '/admin/tenants/stopped', { limits: { concurrent: 1, requests_per_minute: 50 } })
    await expect
      .poll(async () => {
        const answer = await call(a, '/v1/chat/completions', { key, body: chat('Hi. demo: tokens=2') })
        return answer.headers.get('x-ratelimit-limit-requests')
      }, WITHIN)
      .toBe('50')
    const running = await submit(a, key, 'demo: tokens=2000 delay=20')
    await expect.poll(() => state(running, key), WITHIN).toBe('leased')
    const waiting = await submit(b, key, 'Hi. demo: tokens=2')
    const off = await admin(1, 'POST', '/admin/disable', { tenant: 'stopped', running: 'cut' })
    expect(off['canceled']['running']).toBe(1)
    await expect.poll(() => state(running, key), WITHIN).toBe('canceled')
    for (const url of [a, b]) await expect.poll(() => ask(url, key), WITHIN).toBe(403)
    // Whoever coordinates dies; another one knows as much
    const coordinating = await coordinator()
    coordinating.child.kill('SIGKILL')
    await coordinating.ended
    const late = await fleet.add('gateway')
    const alive = [...fleet.gateways].filter((url) => url !== coordinating.url)
    await fleet.add('worker')
    for (const url of alive) {
      await expect.poll(() => ask(url, other['key'])).toBe(200)
      expect(await ask(url, key)).toBe(403)
    }
    const [url] = alive
    expect(await state(waiting, key, url)).not.toMatch(/leased|done/)
    await call(late.adminUrl, '/admin/enable', { key: ADMIN_KEY, body: { tenant: 'stopped' } })
    await expect.poll(() => state(waiting, key, url)).toBe('done')
    for (const each of alive) await expect.poll(() => ask(each, key), WITHIN).toBe(200)
  })
})
