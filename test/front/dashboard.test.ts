/** The dashboard's door: its page, how one signs in, and its one WebSocket. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { roleOf } from '../../src/gateway/caller/roles.ts'
import { startTestApp, type TestApp } from './app.ts'
import { byKey, type LivePage, openPage } from './live.ts'

let app: TestApp
let url: string
const open: LivePage[] = []
beforeAll(async () => {
  app = await startTestApp({ bad_keys_per_minute: 1_000 })
  url = `http://127.0.0.1:${app.adminPort}`
})
afterAll(() => app?.stop())
afterEach(async () => {
  for (const page of open.splice(0)) page.close()
})

const page = async (headers?: Record<string, string>): Promise<LivePage> => {
  const opened = await openPage(app, headers)
  open.push(opened)
  return opened
}
const link = async (role: string): Promise<string> => {
  const { path } = (await (await app.admin('/admin/session/links', { role })).json()) as { path: string }
  expect(path).toMatch(/^\/#code=[\w-]{43}$/)
  return path.slice('/#code='.length)
}
const redeem = (code: string): Promise<Response> =>
  fetch(`${url}/admin/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  })
async function signIn(role: string): Promise<string> {
  const answer = await redeem(await link(role))
  expect(answer.status).toBe(201)
  return answer.headers.get('set-cookie')!.split(';')[0]
}
const withCookie = (cookie: string, path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(url + path, { ...init, headers: { cookie, 'x-sluice-page': '1', 'content-type': 'application/json' } })

describe('signing in', () => {
  it('turns a link into a cookie that no script reads, once', async () => {
    const code = await link('operator')
    const answer = await redeem(code)
    expect(await answer.json()).toEqual({ role: 'operator' })
    const cookie = answer.headers.get('set-cookie')!
    expect(cookie).toMatch(
      new RegExp(`^sluice_page_${app.adminPort}=[\\w-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict$`),
    )
    expect(cookie).not.toContain(code)
    const again = await redeem(code)
    expect(again.status).toBe(401)
    expect(await again.json()).toMatchObject({ error: { code: 'invalid_ticket' } })
  })

  it('marks the cookie for TLS alone behind a proxy that ends it', async () => {
    const code = await link('viewer')
    const { headers } = await fetch(`${url}/admin/session`, {
      method: 'POST',
      headers: { 'x-forwarded-proto': 'https', 'content-type': 'application/json' },
      body: JSON.stringify({ code }),
    })
    expect(headers.get('set-cookie')).toMatch(/; SameSite=Strict; Secure$/)
  })

  it('lets a role do what is its own, and no more', async () => {
    const cookies = { viewer: await signIn('viewer'), operator: await signIn('operator'), admin: await signIn('admin') }
    const statusOf = async (who: keyof typeof cookies, method: string, path: string, body?: object) =>
      (await withCookie(cookies[who], path, { method, ...(body && { body: JSON.stringify(body) }) })).status
    expect(await statusOf('viewer', 'GET', '/admin/deployments')).toBe(200)
    expect(await statusOf('viewer', 'GET', '/admin/session')).toBe(200)
    expect(await statusOf('viewer', 'GET', '/admin/keys')).toBe(403)
    expect(await statusOf('viewer', 'GET', '/admin/tenants/acme/provider-keys')).toBe(403)
    expect(await statusOf('operator', 'GET', '/admin/tenants/acme/provider-keys')).toBe(200)
    expect(await statusOf('viewer', 'POST', '/admin/route/explain', { model: 'talks' })).toBe(200)
    expect(await statusOf('viewer', 'POST', '/admin/pause', { model: 'talks' })).toBe(403)
    expect(await statusOf('viewer', 'GET', '/admin/backup')).toBe(403)
    expect(await statusOf('operator', 'POST', '/admin/pause', { model: 'talks' })).toBe(200)
    expect(await statusOf('operator', 'POST', '/admin/resume', { model: 'talks' })).toBe(200)
    expect(await statusOf('operator', 'GET', '/admin/keys')).toBe(200)
    expect(await statusOf('operator', 'POST', '/admin/keys', { tenant: 'mine' })).toBe(403)
    expect(await statusOf('operator', 'POST', '/admin/session/links', {})).toBe(403)
    expect(await statusOf('admin', 'POST', '/admin/keys', { tenant: 'mine' })).toBe(201)
    expect(await statusOf('admin', 'POST', '/admin/session/links', {})).toBe(201)
  })

  it('gives what changes anything, and is named nowhere, to admins', () => {
    expect(roleOf({ method: 'POST', path: '/admin/new' })).toBe('admin')
    expect(roleOf({ method: 'DELETE', path: '/admin/tenants/:id' })).toBe('admin')
    expect(roleOf({ method: 'POST', path: '/admin/deployments/:id/drain' })).toBe('operator')
  })

  it('takes no request that another page of the same host could have sent', async () => {
    const cookie = await signIn('admin')
    const bare = await fetch(`${url}/admin/pause`, { method: 'POST', headers: { cookie }, body: '{"lane": "x"}' })
    expect(bare.status).toBe(403)
    const preflight = await fetch(`${url}/admin/pause`, {
      method: 'OPTIONS',
      headers: {
        origin: 'http://127.0.0.1:1',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'x-sluice-page',
      },
    })
    expect(preflight.status).toBe(403)
    expect(preflight.headers.get('access-control-allow-origin')).toBeNull()
  })

  it('ends with signing out, for open pages too', async () => {
    const cookie = await signIn('viewer')
    const opened = await page({ cookie, origin: url })
    await opened.next('hello')
    const out = await withCookie(cookie, '/admin/session', { method: 'DELETE' })
    expect(out.status).toBe(204)
    expect(out.headers.get('set-cookie')).toContain('Max-Age=0')
    expect((await withCookie(cookie, '/admin/deployments')).status).toBe(401)
    expect((await opened.closed).reason).toContain('invalid_token')
  })

  it('is refused without a code, and with a wrong or an endless one', async () => {
    for (const code of ['', 'x', 'y'.repeat(3_000)]) expect((await redeem(code)).status).toBe(401)
    expect((await app.admin('/admin/session/links', { role: 'king' })).status).toBe(400)
  })
})

describe('/admin/live', () => {
  it('greets, and tells the foot every second', async () => {
    const opened = await page()
    const hello = await opened.next('hello')
    expect(hello).toMatchObject({
      role: 'admin',
      engine: 'embedded',
      durability: 'memory',
      text: 'shown',
      goals: { ttftMs: 1_500, tpotMs: 50, good: 0.99 },
      noKill: null,
      kills: 'call',
      models: ['demo', 'talks'],
    })
    expect(hello.publicUrl).toBe(`http://127.0.0.1:${app.port}`)
    expect(hello.glossary).toHaveProperty('ttft')
    const foot = await opened.next('foot')
    expect(foot).toMatchObject({ deployments: { all: 2, out: 0 }, storeError: null })
    expect(foot.nodes).toEqual([{ id: hello.node, role: 'all', coordinates: true, silentMs: 0 }])
    await opened.next('foot', ({ atMs }) => atMs > foot.atMs)
  })

  it('knows its reader by the cookie, if the page is its own', async () => {
    const cookie = await signIn('viewer')
    const opened = await page({ cookie, origin: url })
    expect(await opened.next('hello')).toMatchObject({ role: 'viewer' })
    for (const origin of ['http://127.0.0.1:3000', 'https://evil.example'])
      await expect(openPage(app, { cookie, origin })).rejects.toThrow('403')
    await expect(openPage(app, { cookie })).rejects.toThrow('403')
  })

  it('lets nobody else in', async () => {
    await expect(openPage(app, {})).rejects.toThrow('401')
    await expect(openPage(app, { authorization: `Bearer ${app.key}` })).rejects.toThrow('403')
    await expect(openPage(app, { cookie: `sluice_page_${app.adminPort}=nonsense`, origin: url })).rejects.toThrow('401')
  })

  it('answers what it can’t make sense of, and stays', async () => {
    const opened = await page()
    await opened.next('hello')
    for (const ask of [
      {},
      { t: 'watch', page: 'moon' },
      { t: 'watch', page: 'now', range: '3y' },
      { t: 'watch', page: 'now', range: { fromMs: 2, toMs: 1 } },
      { t: 'watch', page: 'jobs', filter: { tenant: 'x'.repeat(500) } },
      { t: 'watch', page: 'foot', more: 1 },
    ]) {
      opened.clear()
      opened.ask(ask)
      expect((await opened.next('error')).error.code).toBe('invalid_request')
    }
    opened.clear()
    opened.ws.send('no json')
    await opened.next('error')
    await opened.next('foot')
  })

  it('bounds what a page may send', async () => {
    const large = await page()
    large.ws.send(JSON.stringify({ t: 'watch', page: 'job', job: 'x'.repeat(5_000) }))
    expect((await large.closed).reason).toContain('message_too_large')
    const flooding = await page()
    for (let i = 0; i < 80; i++) flooding.ask({ t: 'watch', page: 'foot' })
    expect((await flooding.closed).reason).toContain('message_flood')
  })

  it('opens for 32 pages', async () => {
    const pages = await Promise.all(Array.from({ length: 32 }, () => page()))
    await expect(openPage(app)).rejects.toThrow('429')
    pages[0].close()
    await pages[0].closed
    // The server hears of it a moment later
    await expect
      .poll(() =>
        openPage(app).then(
          (p) => p.close(),
          (error: Error) => error.message,
        ),
      )
      .toBeUndefined()
  })

  it('wants the subprotocol, and is no route for anything else', async () => {
    const get = await fetch(`${url}/admin/live`, { headers: byKey })
    expect(get.status).toBe(426)
  })
})

describe('its page', () => {
  const dist = join(import.meta.dirname, '../../dashboard/dist')
  const isBuilt = existsSync(join(dist, 'index.html'))
  const html = { accept: 'text/html,application/xhtml+xml' }

  it('is not for programs, where it has other addresses than "/"', async () => {
    const answer = await fetch(`${url}/jobs`, { headers: { accept: 'application/json' } })
    expect(answer.status).toBe(404)
    expect(answer.headers.get('content-type')).toContain('json')
  })

  it.skipIf(isBuilt)('tells how it is built, where it is not', async () => {
    const answer = await fetch(url, { headers: html })
    expect(answer.status).toBe(404)
    expect(await answer.text()).toContain('npm ci')
  })

  it.skipIf(!isBuilt)('is served with a policy that lets in nothing foreign', async () => {
    for (const path of ['/', '/jobs', '/models/a', '/changes']) {
      const answer = await fetch(url + path, { headers: html })
      expect(answer.status).toBe(200)
      const policy = answer.headers.get('content-security-policy')!
      expect(policy).toContain("default-src 'none'")
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy).not.toMatch(/unsafe|\*|https?:|data:/)
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(await answer.text()).toMatch(/^<!doctype html>/i)
    }
  })
})
