/** `/`: a page for people that loads nothing and runs nothing; JSON for programs. */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app?.stop())

const look = (target: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
  send(app.port, request(method, target, { accept: BROWSER, ...headers }), {
    withinMs: method === 'HEAD' ? 300 : 20_000,
  })

it('shows a browser the first request, as it reached us', async () => {
  const page = await look('/?utm_source=x', { host: 'sluice.example:8443', 'x-forwarded-proto': 'https' })
  expect([page.status, page.headers['content-type'], page.headers['vary']]).toEqual([
    200,
    'text/html; charset=utf-8',
    'accept',
  ])
  expect(page.body).toContain('curl -N https://sluice.example:8443/v1/chat/completions')
  expect(page.body).toContain('"model": "demo"')
  expect((await look('/', { host: '[::1]:4100' })).body).toContain('curl -N http://[::1]:4100/v1/chat/completions')
})

it('runs no script, loads nothing, and is held to that by its policy', async () => {
  const { body, headers } = await look('/')
  const [, style] = /<style>([\s\S]*)<\/style>/.exec(body)!
  const policy = headers['content-security-policy']
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain(`style-src 'sha256-${hash('sha256', style, 'base64')}'`)
  expect(headers['x-content-type-options']).toBe('nosniff')
  expect(body).not.toMatch(/<script|style="|\son\w+=|<link(?! rel="icon" href="data:)|url\(|@import/i)
  for (const [, address] of body.matchAll(/(?:href|src)="([^"]*)"/g)) expect(address).toMatch(/^(?:data:|\/)/)
})

it.each(['a"><script>', 'a b', "a'", 'a/b', 'a@b', `${'a'.repeat(300)}`, 'a:123456'])(
  'shows nothing of a host that is none: %s',
  async (host) => {
    const page = await look('/', { host })
    expect([page.status, page.body.includes('curl -N http://localhost:4100/v1/chat/completions')]).toEqual([200, true])
    expect(page.body).not.toContain(host.includes('<') ? '<script>' : `//${host}/`)
  },
)

it('names what is there', async () => {
  const { body } = await look('/')
  const root = join(import.meta.dirname, '../..')
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }
  for (const [, script] of body.matchAll(/npm run ([\w:-]+)/g)) expect(Object.keys(scripts)).toContain(script)
  for (const [, path] of body.matchAll(/<a href="(\/[^"]*)"/g)) expect((await look(path)).status, path).toBe(200)
})

it('gives programs JSON', async () => {
  for (const accept of ['*/*', 'application/json', '']) {
    const got = await look('/', { accept })
    expect([got.status, JSON.parse(got.body)]).toEqual([
      200,
      { name: 'Sluice', api: '/v1', models: '/v1/models', health: '/readyz' },
    ])
  }
  const head = await look('/', {}, 'HEAD')
  expect([head.status, head.body]).toEqual([200, ''])
})

it('errors stay JSON, also for a browser', async () => {
  for (const path of ['/nothing', '/v1', '/v1/models', '/index.html']) {
    const got = await look(path)
    expect([got.status >= 400, got.headers['content-type'], got.code === null]).toEqual([
      true,
      'application/json; charset=utf-8',
      false,
    ])
  }
})
