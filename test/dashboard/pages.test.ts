/** The first start, and the playground: whoever started Sluice a minute ago. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'
import { barriers, counted, launch, NO_CHROMIUM, shot, siteOf, visit } from './browser.ts'

const suite = NO_CHROMIUM ? it.skip : it

let app: TestApp
let browser: Browser
let page: Page
let faults: readonly string[]

beforeAll(async () => {
  if (NO_CHROMIUM) return
  app = await startTestApp()
  browser = await launch()
  ;({ page, faults } = await visit(browser, siteOf(app)))
})
afterAll(async () => {
  await browser?.close()
  await app?.stop()
})

const at = (path: string): string => `${siteOf(app).base}${path}`

suite('signs in by a link that works once, and sends the first request, which turns the page into Now', async () => {
  const { path } = (await (await app.admin('/admin/session/links', { role: 'admin' })).json()) as { path: string }
  await page.goto(at(path))
  await page.getByText('Sluice is up. Send the first request.').waitFor()
  expect(page.url()).toBe(at('/'))
  await shot(page, 'first')
  expect(await barriers(page)).toEqual([])
  // In the field that has the focus letters write, and no hint says otherwise; Escape leaves it
  const [request, hint] = [page.getByLabel('Your request'), page.locator('.rail-pages kbd', { hasText: 'g p' })]
  const before = await request.inputValue()
  expect(await hint.isVisible()).toBe(false)
  expect(await page.locator('[type=submit] kbd').isVisible()).toBe(true)
  await page.keyboard.press('x')
  expect(await request.inputValue()).toBe(`${before}x`)
  await page.keyboard.press('Escape')
  expect(await hint.isVisible()).toBe(true)
  await page.getByLabel('Your request').fill('Tell me of rivers. demo: tokens=40 delay=10')
  await page.getByRole('button', { name: /^Send/ }).click()
  await page.getByText('Sluice is up.').waitFor({ state: 'detached' })
  // Last: the playground sends a request of its own
  await page.keyboard.press('g')
  await page.keyboard.press('p')
  await page.locator('h1', { hasText: 'Playground' }).waitFor()
})

suite('cuts its connection: the answer goes on, comes whole on return, nothing lost and nothing twice', async () => {
  await page.goto(at('/playground'))
  const number = (label: string): Promise<number> => counted(page, label)
  await expect.poll(() => number('shown to you')).toBeGreaterThan(20)
  await page.getByRole('button', { name: /^Cut my connection/ }).click()
  await page.getByText('You are cut off.').first().waitFor()
  const shown = await number('shown to you')
  await expect.poll(() => number('wait for you')).toBeGreaterThan(10)
  expect(await number('shown to you')).toBe(shown)
  await shot(page, 'playground-cut')
  expect(await barriers(page)).toEqual([])
  await page.getByRole('button', { name: /^Reconnect/ }).click()
  await expect.poll(() => number('shown to you')).toBeGreaterThan(shown + 10)
  expect(await number('lost')).toBe(0)
  expect(await number('twice')).toBe(0)
  await shot(page, 'playground-back')
  expect(faults).toEqual([])
})

suite('a search leads to what is no row: a job by its whole id, a tenant, a model', async () => {
  const id = 'job_000qf54t0zhprr7m3rxjfm2973'
  for (const [text, what, path] of [
    [id, 'Job', `/jobs/${id}`],
    ['default', 'Tenant', '/tenants/default'],
    ['demo', 'Model', '/models/demo'],
  ]) {
    await page.goto(at(`/jobs?q=${text}`))
    const link = page.locator('.found li', { hasText: what }).getByRole('link', { name: text, exact: true }).first()
    await link.waitFor()
    expect(await link.getAttribute('href')).toBe(path)
  }
  await page.goto(at(`/jobs?q=job_`))
  await page.getByText('No job is like that').or(page.locator('tr[data-key]').first()).first().waitFor()
  expect(await page.locator('.found').count()).toBe(0)
})
