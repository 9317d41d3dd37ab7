/** The dashboard of a fleet: real processes on a real Redis, and one page that is any gateway's. */
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { eventually } from '../conformance/harness.ts'
import { freePort } from '../free-port.ts'
import { openPage } from '../front/live.ts'
import { NO_REDIS } from '../redis/server.ts'
import { ADMIN_KEY, call, type Fleet, startFleet } from './fleet.ts'
import { killAll, removeFolders } from './serve.ts'

const portOf = (url: string): number => Number(new URL(url).port)

async function linkOf(adminUrl: string, role: string): Promise<string> {
  const answer = await call(adminUrl, '/admin/session/links', { key: ADMIN_KEY, body: { role } })
  return ((await answer.json()) as { path: string }).path.slice('/#code='.length)
}

const redeem = (adminUrl: string, code: string, cookie = ''): Promise<Response> =>
  fetch(`${adminUrl}/admin/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close', ...(cookie !== '' && { cookie }) },
    body: JSON.stringify({ code }),
  })

const cookieOf = (answer: Response): string => answer.headers.get('set-cookie')!.split(';')[0]

const asPage = (adminUrl: string, cookie: string, method = 'GET'): Promise<Response> =>
  fetch(`${adminUrl}/admin/session`, { method, headers: { cookie, 'x-sluice-page': '1', connection: 'close' } })

describe.skipIf(NO_REDIS)('Redis: signing in to the dashboard of a fleet', () => {
  let fleet: Fleet | null = null
  afterEach(async () => {
    await fleet?.stop()
    fleet = null
    killAll()
  })
  afterAll(removeFolders)

  it('a link of one gateway signs in at another, once; a session holds at all, and ends at all', async () => {
    fleet = await startFleet('gateway', 'gateway', 'worker')
    const [a, b, c] = fleet.processes.map(({ adminUrl }) => adminUrl)
    const code = await linkOf(a, 'operator')
    const both = await Promise.all([redeem(a, code), redeem(b, code)])
    expect(both.map(({ status }) => status).sort()).toEqual([201, 401])
    const cookie = cookieOf(both.find(({ status }) => status === 201)!)
    for (const url of [a, b, c]) expect(await (await asPage(url, cookie)).json()).toEqual({ role: 'operator' })
    const pages = await Promise.all([a, b].map((url) => openPage({ adminPort: portOf(url) }, { cookie, origin: url })))
    for (const page of pages) expect(await page.next('hello')).toMatchObject({ role: 'operator' })

    // Another link in the same browser: the old session is over, everywhere
    const viewer = await redeem(b, await linkOf(b, 'viewer'), cookie)
    expect(viewer.status).toBe(201)
    for (const page of pages) expect((await page.closed).reason).toContain('invalid_token')
    for (const url of [a, b, c]) {
      expect((await asPage(url, cookie)).status).toBe(401)
      expect(await (await asPage(url, cookieOf(viewer))).json()).toEqual({ role: 'viewer' })
    }
    expect((await asPage(c, cookieOf(viewer), 'DELETE')).status).toBe(204)
    for (const url of [a, b, c]) expect((await asPage(url, cookieOf(viewer))).status).toBe(401)
    await expect(openPage({ adminPort: portOf(a) }, { cookie, origin: a })).rejects.toThrow('401')
  })

  it('of several processes on one port, each knows who has signed in at any', async () => {
    fleet = await startFleet()
    const ports = ['--port', String(await freePort()), '--admin-port', String(await freePort())]
    const { adminUrl } = await fleet.add('all', { args: ['--processes', '2', ...ports] })
    const cookie = cookieOf(await redeem(adminUrl, await linkOf(adminUrl, 'admin')))
    // Connections go to the processes in turn
    for (let n = 0; n < 6; n++) expect((await asPage(adminUrl, cookie)).status).toBe(200)
    for (let n = 0; n < 4; n++) {
      const page = await openPage({ adminPort: portOf(adminUrl) }, { cookie, origin: adminUrl })
      await page.next('hello')
      page.close()
    }
    expect((await asPage(adminUrl, cookie, 'DELETE')).status).toBe(204)
    await eventually(async () => {
      for (let n = 0; n < 4; n++) expect((await asPage(adminUrl, cookie)).status).toBe(401)
    })
  })
})
