/** The page of examples/eventsource in a real browser: its backend dies in mid-answer, it is loaded again, and ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { bareEnvironment } from '../environment.ts'
import { freePort } from '../free-port.ts'

const CHROMIUM = '/usr/bin/chromium'
const ROOT = join(import.meta.dirname, '../..')
/** As long as a busy machine may take. */
const IN_TIME = { timeout: 45_000, interval: 100 }
const TOKENS = 150

describe.skipIf(!existsSync(CHROMIUM))('eventsource in headless Chromium', () => {
  let sluice: Server
  let browser: Browser
  let backend: ChildProcess
  let port: number

  beforeAll(async () => {
    sluice = await startServer('models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n')
    port = await freePort()
    await startBackend()
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] })
  })
  afterAll(async () => {
    await browser?.close()
    backend?.kill()
    await sluice?.stop()
  })

  async function startBackend(): Promise<void> {
    backend = spawn(process.execPath, ['examples/eventsource/server.ts', '--port', String(port)], {
      cwd: ROOT,
      env: { ...bareEnvironment(), SLUICE_URL: sluice.url, SLUICE_API_KEY: sluice.key },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [told] = (await once(backend.stdout!, 'data')) as [Buffer]
    expect(told.toString()).toBe(`Page: http://127.0.0.1:${port}\n`)
  }

  it('is complete in the end, each token once; nobody reads another user’s job', { timeout: 120_000 }, async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(`http://127.0.0.1:${port}/`)
    await page.fill('input', `Rivers. demo: tokens=${TOKENS} delay=40`)
    await page.click('button')
    const textOf = async (id: string): Promise<string> => (await page.locator(id).textContent())!
    const shown = (): Promise<string> => textOf('#answer')
    const state = (): Promise<string> => textOf('#state')
    await expect.poll(async () => (await shown()).length, IN_TIME).toBeGreaterThan(20)

    const closed = once(backend, 'close')
    backend.kill('SIGKILL')
    await closed
    await expect.poll(state, IN_TIME).toBe('cut; it comes back by itself')
    const cut = await shown()
    await startBackend()
    await expect.poll(async () => (await shown()).length, IN_TIME).toBeGreaterThan(cut.length)
    const resumed = await shown()
    await page.reload()
    await expect.poll(state, IN_TIME).toBe('done')

    const job = new URL(page.url()).hash.slice(1)
    const headers = { authorization: `Bearer ${sluice.key}` }
    const result = await (await fetch(`${sluice.url}/v1/jobs/${job}/result`, { headers })).json()
    const text = (result as { choices: [{ message: { content: string } }] }).choices[0].message.content
    expect(text.startsWith(resumed)).toBe(true)
    expect(await shown()).toBe(text)

    const other = await (await browser.newContext()).newPage()
    await other.goto(`http://127.0.0.1:${port}/`)
    const denied = await other.evaluate(async (id) => (await fetch(`/events?job=${id}`)).status, job)
    expect(denied).toBe(404)
  })
})
