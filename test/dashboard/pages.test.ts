/** The dashboard in a real browser, against a real server: what people do there, and how its pages fit. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'

/** A path, or 1: where Debian has it. */
const WANTED = process.env['SLUICE_TEST_CHROMIUM'] ?? ''
const CHROMIUM = WANTED === '1' ? '/usr/bin/chromium' : WANTED
const SHOTS = process.env['SLUICE_TEST_SHOTS'] ?? ''
const suite = CHROMIUM === '' ? it.skip : it
/** In the page: what stands out at the right, if it scrolls sideways. */
const TOO_WIDE = `document.documentElement.scrollWidth <= innerWidth
  ? []
  : [...document.querySelectorAll('body *')]
      .filter((one) => one.getBoundingClientRect().right > innerWidth)
      .map(({ tagName, className }) => tagName + '.' + className)`
const PAGES = ['/', '/jobs', '/tenants', '/models', '/playground', '/benchmarks', '/changes']

let app: TestApp
let browser: Browser
let page: Page
const faults: string[] = []

beforeAll(async () => {
  if (CHROMIUM === '') return
  app = await startTestApp()
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  page = await browser.newPage()
  page.on('console', (message) => message.type() === 'error' && faults.push(`${page.url()}: ${message.text()}`))
  page.on('pageerror', (error) => faults.push(`${page.url()}: ${error.stack}`))
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await app?.stop()
})

const at = (path: string): string => `http://127.0.0.1:${app.adminPort}${path}`
async function shot(name: string): Promise<void> {
  if (SHOTS === '') return
  mkdirSync(SHOTS, { recursive: true })
  await page.screenshot({ path: join(SHOTS, `${name}.png`) })
}

suite('signs in by a link that works once, and sends the first request, which turns the page into Now', async () => {
  const { path } = (await (await app.admin('/admin/session/links', { role: 'admin' })).json()) as { path: string }
  await page.goto(at(path))
  await page.getByText('Sluice is up. Send the first request.').waitFor()
  expect(page.url()).toBe(at('/'))
  await shot('first')
  await page.getByLabel('Your request').fill('Tell me of rivers. demo: tokens=40 delay=10')
  await page.getByRole('button', { name: /^Send/ }).click()
  await page.getByText('Sluice is up.').waitFor({ state: 'detached', timeout: 20_000 })
}, 60_000)

suite('cuts its connection: the answer goes on, comes whole on return, nothing lost and nothing twice', async () => {
  await page.goto(at('/playground'))
  const number = async (label: string): Promise<number> =>
    Number(
      (await page.locator('.count', { hasText: label }).first().locator('b').textContent())?.replaceAll(',', '') ??
        'NaN',
    )
  await expect.poll(() => number('shown to you'), { timeout: 15_000 }).toBeGreaterThan(20)
  await page.getByRole('button', { name: /^Cut my connection/ }).click()
  await page.getByText('You are cut off.').first().waitFor()
  const shown = await number('shown to you')
  await expect.poll(() => number('wait for you'), { timeout: 15_000 }).toBeGreaterThan(10)
  expect(await number('shown to you')).toBe(shown)
  await shot('playground-cut')
  await page.getByRole('button', { name: /^Reconnect/ }).click()
  await expect.poll(() => number('shown to you'), { timeout: 15_000 }).toBeGreaterThan(shown + 10)
  expect(await number('lost')).toBe(0)
  expect(await number('twice')).toBe(0)
  await shot('playground-back')
}, 60_000)

suite('fits at three widths, dark and light, without an error or a breach of its policy', async () => {
  for (const [width, height] of [
    [1440, 900],
    [1024, 800],
    [390, 844],
  ] as const)
    for (const theme of ['dark', 'light'] as const) {
      await page.setViewportSize({ width, height })
      await page.emulateMedia({ colorScheme: theme })
      for (const path of PAGES) {
        await page.goto(at(path))
        await page.locator('h1').waitFor()
        const wide = await page.evaluate(TOO_WIDE)
        expect(wide, `${path} at ${width}`).toEqual([])
        await shot(`${path.slice(1) || 'now'}-${theme}-${width}`)
      }
    }
  expect(faults).toEqual([])
}, 90_000)
