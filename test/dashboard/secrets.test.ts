/** Key and prompt reach the page in no frame and no answer, where text is not allowed; a key only when made. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from '../front/app.ts'
import { launch, NO_CHROMIUM, signIn, siteOf, type Visitor, visit } from './browser.ts'

const PROMPT = 'canary-prompt-5d81e0'

describe.skipIf(NO_CHROMIUM)('what the page is told', { concurrent: true }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(() => browser?.close())

  /** All that comes over the wire while every page is looked at. */
  async function toldTo(
    app: TestApp,
    role: 'viewer' | 'admin',
  ): Promise<{ told: string; key: string; frames: number }> {
    const { key } = await app.addKey('acme')
    const visitor: Visitor = await visit(browser, siteOf(app))
    const { page, go } = visitor
    const told: string[] = []
    let frames = 0
    page.on('websocket', (socket) => {
      if (!socket.url().endsWith('/admin/live')) return
      socket.on('framereceived', ({ payload }) => {
        frames++
        told.push(String(payload))
      })
    })
    page.on('response', (response) => {
      if (new URL(response.url()).pathname.startsWith('/admin/'))
        void response.text().then(
          (text) => told.push(text),
          () => {},
        )
    })
    await signIn(visitor, siteOf(app), role)
    const ask = (content: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'demo', stream: true, user: 'ann', messages: [{ role: 'user', content }] }),
      })
    const answered = await ask(`${PROMPT} demo: echo=1`)
    const job = answered.headers.get('sluice-job') as string
    expect(await answered.text()).toContain(PROMPT)
    await (await ask(`${PROMPT} demo: fail=400`)).text()
    const running = ask(`${PROMPT} demo: tokens=100 delay=30`).then((response) => response.text())
    for (const path of ['/', '/jobs', `/jobs/${job}`, '/tenants/acme', '/models', '/benchmarks', '/changes']) {
      await go(path)
      // A frame of each kind comes within a second
      await page.waitForTimeout(1_200)
    }
    await running
    await visitor.context.close()
    return { told: told.join('\n'), key, frames }
  }

  it.each([
    ['never', 'admin'],
    ['asked', 'admin'],
    ['shown', 'viewer'],
  ] as const)('with text %s, %s: neither key nor prompt', async (text, role) => {
    const app = await startTestApp({}, { dashboard: { text } })
    try {
      const { told, key, frames } = await toldTo(app, role)
      expect(frames).toBeGreaterThan(10)
      expect(told).toContain('"tenant":"acme"')
      expect(told).not.toContain(PROMPT)
      for (const secret of [key, app.key, ADMIN_KEY]) expect(told).not.toContain(secret)
    } finally {
      await app.stop()
    }
  })

  it('with text shown, an admin reads it: the canary would be found', async () => {
    const app = await startTestApp({}, { dashboard: { text: 'shown' } })
    try {
      const { told, key } = await toldTo(app, 'admin')
      expect(told).toContain(PROMPT)
      expect(told).not.toContain(key)
    } finally {
      await app.stop()
    }
  })
})
