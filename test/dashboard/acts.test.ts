/** What an operator does in the pages, and what comes of it outside of them. */
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Role } from '../../src/core/live.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { launch, NO_CHROMIUM, numberAt, opens, settled, signIn, siteOf, type Visitor, visit } from './browser.ts'

describe.skipIf(NO_CHROMIUM)('in the dashboard', () => {
  let browser: Browser
  let app: TestApp
  const visitors: Visitor[] = []
  beforeAll(async () => {
    browser = await launch()
    app = await startTestApp({ bad_keys_per_minute: 1_000 })
  })
  afterAll(async () => {
    await browser?.close()
    await app?.stop()
  })
  afterEach(async () => {
    const faults = visitors.flatMap((one) => one.faults)
    for (const { context } of visitors.splice(0)) await context.close()
    expect(faults).toEqual([])
  })
  async function enter(role: Role = 'admin'): Promise<Visitor> {
    const visitor = await visit(browser, siteOf(app))
    visitors.push(visitor)
    await signIn(visitor, siteOf(app), role)
    return visitor
  }
  const ask = (key: string, content: string, more: object = {}): Promise<Response> =>
    fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'demo', messages: [{ role: 'user', content }], ...more }),
    })
  const submit = async (key: string, content: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${app.port}/v1/jobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ request: { model: 'demo', messages: [{ role: 'user', content }] } }),
    })
    return ((await response.json()) as { id: string }).id
  }
  const stateOf = async (id: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${app.port}/v1/jobs/${id}`, {
      headers: { authorization: `Bearer ${app.key}` },
    })
    return ((await response.json()) as { state: string }).state
  }
  const dialog = (page: Page): Locator => page.locator('dialog[open]')
  const press = (within: Page | Locator, name: string | RegExp): Promise<void> =>
    within.getByRole('button', { name }).first().click()
  /** The secret that is shown once. */
  async function secretOf(page: Page, words: string): Promise<string> {
    const box = page.locator('.secret', { hasText: words })
    await box.waitFor()
    const key = await box.locator('code').textContent()
    expect(key).toMatch(/^sk-sluice-/)
    return key as string
  }

  it('a running job is canceled, after a question, and what it had written stays', async () => {
    const { page, go } = await enter('operator')
    const id = await submit(app.key, 'Tell me of rivers. demo: tokens=5000 delay=30')
    await go(`/jobs/${id}`)
    await page.locator('.job-state', { hasText: 'runs' }).waitFor()
    await press(page, /^Cancel/)
    await press(dialog(page), 'Leave it')
    expect(await stateOf(id)).toBe('leased')
    await opens(page, 'c')
    await press(dialog(page), 'Cancel the job')
    await page.locator('.job-state', { hasText: 'canceled' }).waitFor()
    expect(await stateOf(id)).toBe('canceled')
    await expect.poll(() => page.getByRole('button', { name: /^Cancel/ }).count()).toBe(0)
    await expect.poll(() => numberAt(page.locator('.job-counts b'))).toBeGreaterThan(0)
  })

  it('a key is made, used over HTTP, rotated and revoked; each secret is shown once', async () => {
    const { page, go } = await enter()
    await go('/tenants/default')
    await press(page, /^New key/)
    await dialog(page).getByLabel('Name, for people').fill('mobile')
    await press(dialog(page), 'Make the key')
    const first = await secretOf(page, 'Key “mobile” is made.')
    expect((await ask(first, 'Hello. demo: tokens=3')).status).toBe(200)

    const row = page.locator('.keys-table tbody tr', { hasText: 'mobile' }).first()
    await press(row, 'Rotate')
    await dialog(page)
      .getByRole('radio', { name: 'now' })
      .or(dialog(page).getByText('now', { exact: true }))
      .click()
    await press(dialog(page), 'Rotate')
    const second = await secretOf(page, 'mobile has a new secret.')
    expect(second).not.toBe(first)
    expect((await ask(second, 'Hello. demo: tokens=3')).status).toBe(200)
    await expect.poll(async () => (await ask(first, 'Hello. demo: tokens=3')).status).toBe(401)

    await press(row, 'Revoke')
    await press(dialog(page), 'Revoke mobile')
    await page.getByText('mobile is revoked.').waitFor()
    await expect.poll(async () => (await ask(second, 'Hello. demo: tokens=3')).status).toBe(401)
    await page.reload()
    await settled(page)
    const text = (await page.locator('body').textContent()) ?? ''
    expect(text).not.toContain(first)
    expect(text).not.toContain(second)
  })

  it('a limit refuses what is over it, as the page has told; the toast takes it back', async () => {
    const { key } = await app.addKey('acme')
    const long = `${'word '.repeat(400)} demo: tokens=3`
    expect((await ask(key, long, { max_tokens: 5 })).status).toBe(200)
    const { page, go } = await enter()
    await go('/tenants/acme')
    await press(page, /^Change limits/)
    await dialog(page).getByLabel('Tokens a minute').fill('0.1k')
    await dialog(page).getByText('Tokens a minute none → 100').or(dialog(page).getByText(/→ 100/)).first().waitFor()
    await press(dialog(page), 'Change limits')
    await page.locator('.toast', { hasText: '→ 100' }).waitFor()
    const refused = await ask(key, long, { max_tokens: 5 })
    expect(refused.status).toBe(429)
    const row = page.locator('table[aria-label="Tenants"] tr', { hasText: 'acme' })
    await row.getByText('of 100 tokens').waitFor()
    await row.locator('td .warn', { hasText: /^1$/ }).waitFor()
    await press(page.locator('.toast'), 'Undo')
    await page.locator('.toast', { hasText: 'as it was' }).waitFor()
    await row.getByText('no limit').waitFor()
    expect((await ask(key, long, { max_tokens: 5 })).status).toBe(200)
  })

  it('a tenant is stopped and served again; what cannot be undone wants its name', async () => {
    const { key } = await app.addKey('tutor')
    const { page, go } = await enter()
    await go('/tenants/tutor')
    await press(page, 'Refuse new work')
    await page.locator('.toast', { hasText: 'tutor is stopped.' }).waitFor()
    expect((await ask(key, 'Hello. demo: tokens=3')).status).toBe(403)
    await press(page.locator('.toast'), 'Undo')
    await expect.poll(async () => (await ask(key, 'Hello. demo: tokens=3')).status).toBe(200)

    const running = ask(key, 'Tell me of rivers. demo: tokens=5000 delay=30')
    const cut = page.getByRole('button', { name: 'Cut what runs' })
    await expect.poll(() => cut.getAttribute('aria-disabled')).toBeNull()
    await cut.click()
    const yes = dialog(page).getByRole('button', { name: /^Cut 1 job/ })
    await expect.poll(() => yes.getAttribute('aria-disabled')).toBe('true')
    await dialog(page).getByRole('textbox').fill('tutor')
    await yes.click()
    expect((await running).status).toBeGreaterThanOrEqual(400)
  })

  it('a viewer sees, and is told what it may not do; pressing does nothing', async () => {
    const { key } = await app.addKey('seen')
    const id = await submit(app.key, 'Tell me of rivers. demo: tokens=5000 delay=30')
    const { page, go } = await enter('viewer')
    const refuses = async (name: string | RegExp, role: Role): Promise<void> => {
      const button = page.getByRole('button', { name }).first()
      await expect.poll(() => button.getAttribute('aria-disabled')).toBe('true')
      await expect.poll(() => button.getAttribute('title')).toBe(`Needs the role ${role}; you are signed in as viewer.`)
      await button.click({ force: true })
      expect(await dialog(page).count()).toBe(0)
    }
    await go(`/jobs/${id}`)
    await page.locator('.job-state', { hasText: 'runs' }).waitFor()
    await refuses(/^Cancel/, 'operator')
    await page.keyboard.press('c')
    expect(await dialog(page).count()).toBe(0)
    await go('/tenants/seen')
    for (const name of [/^New key/, /^Change limits/, 'Refuse new work', 'New tenant'] as const)
      await refuses(name, 'admin')
    await refuses('Pause the queue', 'operator')
    await go('/models')
    await refuses('Take out', 'operator')
    await go('/playground')
    await refuses('Send', 'operator')
    await refuses(/^Break the call/, 'operator')
    expect(await stateOf(id)).toBe('leased')
    expect((await ask(key, 'Hello. demo: tokens=3')).status).toBe(200)
    await app.admin(`/admin/jobs/${id}/cancel`)
  })

  it('a link to a page leads there after signing in, and the code is in no address', async () => {
    const visitor = await visit(browser, siteOf(app))
    visitors.push(visitor)
    const { page, go, faults } = visitor
    await go('/jobs?state=failed')
    await page.getByText('You are not signed in here.').waitFor()
    // The one answer that a browser logs as an error by itself
    expect(faults.splice(0)).toEqual([expect.stringContaining('401')])
    const { path } = (await (await app.admin('/admin/session/links', { role: 'operator' })).json()) as { path: string }
    await page.goto(`${siteOf(app).base}/jobs?state=failed${path.slice(1)}`)
    await page.reload()
    await settled(page)
    await page.locator('h1', { hasText: 'Jobs' }).waitFor()
    expect(page.url()).toBe(`${siteOf(app).base}/jobs?state=failed`)
    await expect.poll(() => page.getByRole('button', { name: 'Failed' }).getAttribute('aria-pressed')).toBe('true')
  })
})
