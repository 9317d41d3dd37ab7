/** The second knife: a provider’s call that is broken, or a worker’s process that is killed; the page says which. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN_KEY, startProcess } from '../e2e/fleet.ts'
import { killAll, removeFolders } from '../e2e/serve.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { counted, launch, NO_CHROMIUM, type Site, shot, signIn, siteOf, visit } from './browser.ts'

describe.skipIf(NO_CHROMIUM)('the playground', () => {
  let browser: Browser
  let app: TestApp
  beforeAll(async () => {
    browser = await launch()
    app = await startTestApp()
  })
  afterAll(async () => {
    await browser?.close()
    await app?.stop()
    killAll()
    removeFolders()
  })
  /** Presses the knife while it answers: the answer goes on, with a seam, and nothing is lost. */
  async function cutsThrough(site: Site, knife: RegExp, lost: string, next: string): Promise<void> {
    const visitor = await visit(browser, site)
    const { page, go } = visitor
    await signIn(visitor, site, 'operator')
    await go('/playground')
    await expect.poll(() => counted(page, 'shown to you')).toBeGreaterThan(20)
    await page.getByRole('button', { name: knife }).click()
    await page.locator('.seam', { hasText: lost }).first().waitFor()
    await page.locator('.seam', { hasText: next }).first().waitFor()
    const shown = await counted(page, 'shown to you')
    await expect.poll(() => counted(page, 'shown to you')).toBeGreaterThan(shown + 10)
    expect([await counted(page, 'lost'), await counted(page, 'twice')]).toEqual([0, 0])
    await page.getByText(new RegExp(`${lost} at token \\d+ of`)).waitFor()
    await shot(page, `playground-${lost.replaceAll(/\W+/g, '-')}`)
    await visitor.context.close()
  }

  it('breaks the provider’s call where the worker is the gateway’s own process', () =>
    cutsThrough(siteOf(app), /^Break the call/, 'provider’s call broken', 'next call'))

  it.skipIf(NO_REDIS)('kills the worker’s process where there are several', async () => {
    const redis = await RedisServer.start()
    try {
      const { adminUrl, ended, child } = await startProcess(redis.url, 'all', { args: ['--processes', '2'] })
      const admin: Site['admin'] = (path, body = {}) =>
        fetch(adminUrl + path, {
          method: 'POST',
          headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      await cutsThrough({ base: adminUrl, admin }, /^Kill the worker/, 'worker killed', 'new worker')
      child.kill('SIGTERM')
      await ended
    } finally {
      await redis.remove()
    }
  })
})
