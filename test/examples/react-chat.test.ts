/** The React example as it is built, in a real browser: chats, their places in line, uploads, cuts, a reload. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AxeResults } from 'axe-core'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Network, network } from '../../client/test/network.ts'
import { type Server, startServer } from '../e2e/server.ts'
import { bareEnvironment } from '../environment.ts'
import { freePort } from '../free-port.ts'
import { launch, NO_CHROMIUM } from '../sdk/pages.ts'

const ROOT = join(import.meta.dirname, '../..')
const EXAMPLE = 'examples/react-chat'
const VITE = [join(ROOT, 'node_modules/vite/bin/vite.js')]
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** A folder for pictures of the page. */
const SHOTS = process.env['SLUICE_TEST_SHOTS'] ?? ''

describe.skipIf(NO_CHROMIUM)('react-chat in headless Chromium', () => {
  let server: Server
  let net: Network
  let browser: Browser
  let context: BrowserContext
  let preview: ChildProcess
  let origin: string
  let out: string
  let faults: string[]

  beforeAll(async () => {
    const port = await freePort()
    origin = `http://127.0.0.1:${port}`
    const models = 'models:\n  - { name: demo, provider: demo, limits: { concurrent: 2 } }\n'
    server = await startServer(`http: { cors_origins: ["${origin}"] }\n${models}log: { level: silent }\n`)
    net = await network(server.url)
    out = mkdtempSync(join(tmpdir(), 'sluice-react-chat-'))
    const env = { ...bareEnvironment(), SLUICE_URL: net.url, SLUICE_API_KEY: server.key, PORT: String(port) }
    const args = [EXAMPLE, '--config', `${EXAMPLE}/vite.config.ts`, '--outDir', out, '--logLevel', 'warn']
    const built = spawnSync(process.execPath, [...VITE, 'build', ...args, '--emptyOutDir'], {
      cwd: ROOT,
      env,
      encoding: 'utf8',
    })
    expect([built.status, built.stdout + built.stderr]).toEqual([0, ''])
    preview = spawn(process.execPath, [...VITE, 'preview', ...args], { cwd: ROOT, env, stdio: 'ignore' })
    await vi.waitFor(() => fetch(origin), { timeout: 60_000, interval: 100 })
    browser = await launch()
  })
  afterEach(() => context?.close())
  afterAll(async () => {
    await browser?.close()
    preview?.kill()
    net?.close()
    await server?.stop()
    rmSync(out, { recursive: true, force: true })
  })

  async function visit(options: object = {}): Promise<Page> {
    context = await browser.newContext({ viewport: { width: 1400, height: 800 }, ...options })
    faults = []
    return open(origin)
  }
  async function open(url: string): Promise<Page> {
    const page = await context.newPage()
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()))
    page.on('pageerror', (error) => faults.push(String(error.stack)))
    await page.goto(url)
    await ready(page)
    return page
  }
  const ready = (page: Page): Promise<unknown> =>
    page.waitForSelector('.connection[data-state=open]', { timeout: 60_000, state: 'attached' })
  const until = (what: () => Promise<unknown>): ReturnType<typeof expect.poll> => expect.poll(what, { interval: 50 })
  async function say(page: Page, text: string): Promise<void> {
    await page.fill('textarea', text)
    await page.press('textarea', 'Enter')
  }
  const states = (page: Page, where = '.thread'): Promise<Array<string | null>> =>
    page.locator(`${where} article`).evaluateAll((all) => all.map((one) => one.getAttribute('data-state')))
  const answers = (page: Page): Promise<string[]> => page.locator('.answer').allTextContents()
  const notes = (page: Page): Promise<string[]> => page.locator('.thread .note').allTextContents()
  /** What axe finds, a line a rule; and a picture for who wants one. */
  async function look(page: Page, name: string): Promise<void> {
    await page.evaluate(AXE)
    const { violations } = (await page.evaluate('axe.run()')) as AxeResults
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)).toEqual([])
    if (SHOTS === '') return
    mkdirSync(SHOTS, { recursive: true })
    await page.screenshot({ path: join(SHOTS, `react-chat-${name}.png`) })
  }

  const get = async <T>(path: string): Promise<T> =>
    (await (await fetch(server.url + path, { headers: { authorization: `Bearer ${server.key}` } })).json()) as T
  async function stored(page: Page): Promise<Array<string | null>> {
    const id = new URL(page.url()).hash.slice(1)
    const { data } = await get<{ data: Array<{ id: string }> }>('/v1/conversations?limit=100')
    const own = data.find((one) => one.id.endsWith(id))!.id
    const { turns } = await get<{ turns: Array<{ answer: { content: string } | null }> }>(
      `/v1/conversations?id=${encodeURIComponent(own)}`,
    )
    return turns.map(({ answer }) => answer?.content ?? null)
  }

  it('keeps what is said while it answers, over cuts and a reload; tells places in line; stops for good', async () => {
    const page = await visit()
    await say(page, 'Tell me of rivers. demo: tokens=250 delay=40 ttft=20')
    await until(() => states(page)).toEqual(['answering'])
    await say(page, 'And of the sea? demo: tokens=30 delay=10')
    await say(page, 'Never mind this one.')
    await until(() => states(page)).toEqual(['answering', 'waiting', 'waiting'])
    await until(() => notes(page)).toEqual(['Next in line', '2nd in line'])
    for (let cut = 0; cut < 3; cut++) {
      const [{ length }] = await answers(page)
      net.cut()
      await until(async () => (await answers(page))[0].length).toBeGreaterThan(length + 20)
    }
    await look(page, 'answering')
    await page.reload()
    await ready(page)
    await until(() => states(page)).toEqual(['answering', 'waiting', 'waiting'])
    await page.click('.thread article:nth-of-type(3) button')
    await until(() => states(page)).toEqual(['answering', 'waiting', 'stopped'])
    await until(() => states(page)).toEqual(['done', 'done', 'stopped'])
    expect(await answers(page)).toEqual((await stored(page)).slice(0, 2))

    await say(page, 'Tell me all. demo: tokens=5000 delay=20 ttft=20')
    await until(async () => (await states(page)).at(-1)).toBe('answering')
    await page.click('.stop')
    await until(async () => (await states(page)).at(-1)).toBe('stopped')
    expect((await get<{ data: Array<{ state: string }> }>('/v1/jobs?limit=1')).data[0].state).toBe('canceled')
    expect(faults).toEqual([])
  })

  it('shows in the list what goes on in every chat, and in a second tab the same', async () => {
    const page = await visit({ colorScheme: 'dark' })
    await say(page, 'Tell me of glass. demo: tokens=300 delay=40 ttft=20')
    await until(() => states(page)).toEqual(['answering'])
    const first = page.url()
    await page.click('.chats header button')
    await until(() => states(page)).toEqual([])
    await say(page, 'Tell me of sand. demo: tokens=300 delay=40 ttft=20')
    await page.click('.chats header button')
    await until(() => states(page)).toEqual([])
    // Two calls at once are all that the model takes here
    await say(page, 'Tell me of fire. demo: tokens=20 delay=10')
    const list = (): Promise<string[]> => page.locator('.chat').allTextContents()
    await until(list).toEqual([
      expect.stringMatching(/^Tell me of fire\..*Next in line$/),
      expect.stringMatching(/^Tell me of sand\..*Answering…$/),
      expect.stringMatching(/^Tell me of glass\..*Answering…$/),
    ])
    await look(page, 'dark')
    const other = await open(first)
    await until(() => states(other)).toEqual(['answering'])
    await say(other, 'And of lead? demo: tokens=20 delay=10')
    await page.click('.chat:last-of-type >> text=glass')
    await until(() => states(page)).toEqual(['done', 'done'])
    await until(() => states(other)).toEqual(['done', 'done'])
    expect(await answers(page)).toEqual(await stored(page))
    expect(await answers(other)).toEqual(await answers(page))
    expect(faults).toEqual([])
  })

  it('reads files one after the other, keeps their line over a reload, and stops one', async () => {
    const page = await visit()
    const png = Buffer.from(
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
      'base64',
    )
    await page.fill('.uploads input:not([type])', 'Describe it. demo: tokens=150 delay=40 ttft=20')
    await page.setInputFiles('.uploads input[type=file]', [
      { name: 'one.png', mimeType: 'image/png', buffer: png },
      { name: 'two.txt', mimeType: 'text/plain', buffer: Buffer.from('Two words.') },
      { name: 'three.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.4') },
      { name: 'large.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(5_000_001) },
    ])
    const rows = (): Promise<string[]> => page.locator('.uploads article header').allTextContents()
    await until(rows).toEqual(['three.pdf2nd in lineStop', 'two.txtNext in lineStop', 'one.pngReading…Stop'])
    expect(await page.locator('.uploads [role=alert]').textContent()).toBe('large.bin is larger than 5 MB.')
    await look(page, 'uploads')
    await page.click('button[aria-label="Stop two.txt"]')
    await page.reload()
    await ready(page)
    await until(rows).toEqual(['three.pdfDone', 'two.txtStopped', 'one.pngDone'])
    const { data } = await get<{ data: Array<{ id: string; state: string; lane: string | null }> }>('/v1/jobs?limit=3')
    expect(data.map(({ state }) => state)).toEqual(['done', 'canceled', 'done'])
    const { messages } = await get<{ messages: [{ content: unknown }] }>(`/v1/jobs/${data[2].id}/request`)
    expect(messages[0].content).toEqual([
      { type: 'text', text: expect.stringContaining('File: one.png') },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${png.toString('base64')}` } },
    ])
    expect(faults).toEqual([])
  })

  it('fits a narrow screen', async () => {
    const page = await visit({ viewport: { width: 360, height: 640 } })
    await say(page, 'Tell me of a narrow place. demo: tokens=40 delay=5')
    await until(() => states(page)).toEqual(['done'])
    for (const view of ['Chat', 'Uploads', 'Chats']) {
      await page.click(`.views >> text="${view}"`)
      await look(page, `narrow-${view}`)
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
    }
  })
})
