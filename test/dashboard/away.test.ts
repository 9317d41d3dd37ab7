/** What the dashboard shows while it is paused, and while the server is away; and that nothing is lost or doubled. */
import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'
import { barriers, counted, launch, NO_CHROMIUM, type Site, shot, signIn, type Visitor, visit } from './browser.ts'

/** Stands before the admin listener: what it passes on can be cut off. */
class Relay {
  #server: Server | null = null
  readonly #to: number
  readonly #sockets = new Set<Socket>()
  port = 0

  constructor(to: number) {
    this.#to = to
  }

  async open(): Promise<void> {
    const server = createServer((socket) => {
      const upstream = dial(this.#to, '127.0.0.1')
      for (const each of [socket, upstream]) {
        this.#sockets.add(each)
        each.on('error', () => {}).on('close', () => this.#sockets.delete(each))
      }
      socket.pipe(upstream).pipe(socket)
    })
    await new Promise<void>((done, failed) => server.once('error', failed).listen(this.port, '127.0.0.1', done))
    this.port = (server.address() as { port: number }).port
    this.#server = server
  }

  async cut(): Promise<void> {
    const closed = new Promise((done) => this.#server?.close(done) ?? done(null))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

describe.skipIf(NO_CHROMIUM)('the dashboard', () => {
  let browser: Browser
  let app: TestApp
  let relay: Relay
  let site: Site
  const visitors: Visitor[] = []
  beforeAll(async () => {
    browser = await launch()
    app = await startTestApp()
    relay = new Relay(app.adminPort)
    await relay.open()
    site = { base: `http://127.0.0.1:${relay.port}`, admin: app.admin }
  })
  afterEach(async () => {
    for (const { context } of visitors.splice(0)) await context.close()
  })
  afterAll(async () => {
    await browser?.close()
    await relay?.cut()
    await app?.stop()
  })
  async function enter(): Promise<Visitor> {
    const visitor = await visit(browser, site)
    visitors.push(visitor)
    await signIn(visitor, site, 'operator')
    return visitor
  }
  let asked = 0
  const answer = async (): Promise<void> => {
    asked++
    const response = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'demo',
        stream: true,
        messages: [{ role: 'user', content: 'Hello. demo: tokens=12 delay=5' }],
      }),
    })
    await response.text()
  }
  const rows = (page: Page): Promise<string[]> =>
    page
      .locator('table[aria-label="Jobs, newest first"] tbody tr')
      .evaluateAll((all) => all.map((one) => one.dataset['key'] ?? ''))

  it('paused, shows what was, counts what comes, and catches up in one step', async () => {
    await answer()
    const { page, go, faults } = await enter()
    await go('/')
    await page.locator('table[aria-label="Latest jobs"]').waitFor()
    const latest = (): Promise<number> => page.locator('table[aria-label="Latest jobs"] tbody tr').count()
    await expect.poll(latest).toBe(asked)
    const before = asked
    await page.keyboard.press(' ')
    await page.getByText(/^Paused at \d\d:\d\d:\d\d/).waitFor()
    for (let n = 0; n < 3; n++) await answer()
    await expect
      .poll(async () => Number(/(\d+) events? since/.exec((await page.locator('.bars').textContent()) ?? '')?.[1]))
      .toBeGreaterThanOrEqual(3)
    expect(await latest()).toBe(before)
    await shot(page, 'now-paused')
    expect(await barriers(page)).toEqual([])
    await page.locator('.bars').getByRole('button', { name: 'Go on' }).click()
    await expect.poll(latest).toBe(before + 3)
    await expect.poll(() => page.getByText(/^Paused at/).count()).toBe(0)
    expect(faults).toEqual([])
  })

  it('while the server is away keeps its figures and tells their age; then every job is there once', async () => {
    await answer()
    const { page, go } = await enter()
    await go('/jobs')
    await expect.poll(async () => (await rows(page)).length).toBe(asked)
    const before = await rows(page)
    await relay.cut()
    await page.getByText(/^No word from Sluice for \d+ s\. Trying again\. Figures are from/).waitFor()
    expect(await rows(page)).toEqual(before)
    await shot(page, 'jobs-away')
    expect(await barriers(page)).toEqual([])
    for (let n = 0; n < 4; n++) await answer()
    await relay.open()
    await expect.poll(async () => (await rows(page)).length).toBe(before.length + 4)
    const after = await rows(page)
    expect(new Set(after).size).toBe(after.length)
    expect(after.slice(4)).toEqual(before)
    await expect.poll(() => page.getByText(/^No word from Sluice/).count()).toBe(0)
  })

  it('in the playground, too: the answer that went on meanwhile comes whole', async () => {
    const { page, go } = await enter()
    await go('/playground')
    const number = (label: string): Promise<number> => counted(page, label)
    await expect.poll(() => number('shown to you')).toBeGreaterThan(10)
    await relay.cut()
    await page.getByText('Connecting.').first().waitFor()
    const shown = await number('shown to you')
    await relay.open()
    await expect.poll(() => number('shown to you')).toBeGreaterThan(shown + 10)
    expect(await number('lost')).toBe(0)
    expect(await number('twice')).toBe(0)
  })

  it('a server that stops ends no session; one that was started again does, and the page says so', async () => {
    const { page, go } = await enter()
    await go('/jobs')
    await page.route('**/admin/session', (route) => route.fulfill({ status: 503, body: '{}' }))
    const checked = page.waitForResponse('**/admin/session')
    await relay.cut()
    await page.getByText(/^No word from Sluice/).waitFor()
    await checked
    expect(await page.locator('h1').textContent()).toBe('Jobs')
    await page.unroute('**/admin/session')
    await page.route('**/admin/session', (route) => route.fulfill({ status: 401, body: '{}' }))
    await page.getByText('Sluice was started again').waitFor()
    await page.getByText('You are not signed in here.').waitFor()
    await relay.open()
    await page.unroute('**/admin/session')
    await signIn({ page, go, context: page.context(), faults: [] }, site, 'viewer')
    await expect.poll(() => page.getByText('You are not signed in here.').count()).toBe(0)
  })

  it('a link that comes while the server is away is not called used', async () => {
    const visitor = await visit(browser, site)
    visitors.push(visitor)
    const { path } = (await (await app.admin('/admin/session/links', { role: 'viewer' })).json()) as { path: string }
    await visitor.page.route('**/admin/session', (route) => route.fulfill({ status: 502, body: 'bad gateway' }))
    await visitor.go(path)
    await visitor.page.getByText('The link is not used up').waitFor()
  })
})
