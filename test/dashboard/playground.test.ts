/** The playground where answers cost money: nothing is asked before somebody asks it. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { RawUpstream } from '../../src/routing/providers/testing/upstream.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { launch, NO_CHROMIUM, signIn, siteOf, visit } from './browser.ts'

const suite = NO_CHROMIUM ? it.skip : it

let app: TestApp
let upstream: RawUpstream
let browser: Browser

beforeAll(async () => {
  if (NO_CHROMIUM) return
  upstream = new RawUpstream()
  await upstream.listen()
  const paid = (name: string) => ({ name, provider: 'openai-compatible', base_url: `${upstream.url}/v1` })
  app = await startTestApp({}, { models: [paid('one'), paid('two')] })
  browser = await launch()
})
afterAll(async () => {
  await browser?.close()
  await app?.stop()
  await upstream?.stop()
})

suite('asks no model that costs money, lets it be chosen, and asks before fifty are sent', async () => {
  const visitor = await visit(browser, siteOf(app))
  const { page, faults } = visitor
  await signIn(visitor, siteOf(app), 'operator')
  await page.goto(`${siteOf(app).base}/playground?try=burst`)
  const choice = page.getByLabel('Model of Rivers')
  await choice.waitFor()
  await page.waitForTimeout(1_500)
  expect(upstream.asked).toEqual([])
  await choice.selectOption('two')
  await page.getByLabel('Message to Rivers').fill('How long is the Danube?')
  await page.getByRole('button', { name: 'Send', exact: true }).first().click()
  await expect.poll(() => upstream.asked.length).toBe(1)
  expect(upstream.asked[0]).toContain('"two"')
  await page.getByRole('button', { name: 'Send 50 at once' }).click()
  await page.getByRole('heading', { name: 'Send 50 requests to one?' }).waitFor()
  await page.keyboard.press('Escape')
  expect(upstream.asked.length).toBe(1)
  expect(faults).toEqual([])
})

suite('what the first page offers to try is one press away', async () => {
  const visitor = await visit(browser, siteOf(app))
  const { page, faults } = visitor
  await signIn(visitor, siteOf(app), 'operator')
  for (const [tried, name] of [
    ['cut', 'Cut my connection'],
    ['kill', 'Break the call'],
    ['type', 'Message to Rivers'],
  ]) {
    await page.goto(`${siteOf(app).base}/playground?try=${tried}`)
    const focused = (): Promise<unknown> =>
      page.evaluate('(document.activeElement.getAttribute("aria-label") ?? document.activeElement.innerText)')
    await expect.poll(focused).toMatch(new RegExp(`^${name}`))
  }
  expect(faults).toEqual([])
})
