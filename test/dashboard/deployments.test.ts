/** Deployments in the pages: added, weighed, removed, taken out; what is refused stands beside its field. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from '../front/app.ts'
import { barriers, launch, NO_CHROMIUM, shot, signIn, siteOf, type Visitor, visit } from './browser.ts'

describe.skipIf(NO_CHROMIUM)('deployments in the dashboard', () => {
  let browser: Browser
  let app: TestApp
  let upstream: Server
  let url: string
  /** Errors of scripts, and what a browser logs of answers that are refusals. */
  const visitors: Visitor[] = []
  beforeAll(async () => {
    browser = await launch()
    upstream = createServer((request, response) => {
      request.resume()
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":{"message":"no"}}')
    })
    await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
    url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
    const models = [
      {
        name: 'chat',
        provider: 'demo',
        deployment: 'filed',
        limits: { requests_per_minute: 600, tokens_per_minute: 9e4 },
      },
      { name: 'chat', provider: 'demo', deployment: 'fixed', weight: 7 },
      { name: 'broken', provider: 'openai-compatible', base_url: url, deployment: 'breaks' },
    ]
    app = await startTestApp({}, { models, queue: { max_attempts: 1 } })
  })
  afterAll(async () => {
    await browser?.close()
    await app?.stop()
    upstream?.close()
  })
  afterEach(async () => {
    const faults = visitors.flatMap((one) => one.faults).filter((one) => !/status of 4\d\d/.test(one))
    for (const { context } of visitors.splice(0)) await context.close()
    expect(faults).toEqual([])
  })
  async function enter(role: 'admin' | 'operator' | 'viewer' = 'admin', width = 1440): Promise<Visitor> {
    const visitor = await visit(browser, siteOf(app), { width })
    visitors.push(visitor)
    await signIn(visitor, siteOf(app), role)
    return visitor
  }
  const ask = (model: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello. demo: tokens=3' }] }),
    })
  const get = async (path: string): Promise<any> =>
    (
      await fetch(`http://127.0.0.1:${app.adminPort}${path}`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
    ).json()
  const find = async (name: string): Promise<any> =>
    (await get('/admin/models')).data.flatMap((one: any) => one.deployments).find((one: any) => one.name === name)
  const lastChange = async (): Promise<string> => {
    const [{ action, target }] = (await get('/admin/audit?limit=1')).data
    return `${action} ${target}`
  }
  const dialog = (page: Page): Locator => page.locator('dialog[open]')
  const press = (within: Page | Locator, name: string | RegExp): Promise<void> =>
    within.getByRole('button', { name }).first().click()
  const fill = (page: Page, label: string, text: string): Promise<void> => dialog(page).getByLabel(label).fill(text)
  const complaint = (page: Page, label: string): Locator =>
    dialog(page).locator('label', { hasText: label }).getByRole('alert')

  it('one is added: what is wrong stands beside its field; then it serves, and can be taken back', async () => {
    const { page, go } = await enter()
    await go('/models')
    await press(page, 'Add a deployment')
    await fill(page, 'Model, as clients name it', 'extra')
    await fill(page, 'Provider', 'demoo')
    await press(dialog(page), 'Add the deployment')
    await complaint(page, 'Provider').filter({ hasText: 'demo' }).waitFor()
    expect(await dialog(page).getByLabel('Provider').getAttribute('aria-invalid')).toBe('true')
    expect(await barriers(page)).toEqual([])
    await shot(page, 'deployment-add-refused')
    await fill(page, 'Provider', 'demo')
    await press(dialog(page), 'Add the deployment')
    await complaint(page, 'Name of the deployment').filter({ hasText: 'a name of its own' }).waitFor()
    await fill(page, 'Name of the deployment', 'own-gpu')
    await fill(page, 'Tokens a minute', 'many')
    await press(dialog(page), 'Add the deployment')
    await complaint(page, 'Tokens a minute').waitFor()
    await fill(page, 'Tokens a minute', '600k')
    await fill(page, 'Weight', '2')
    await press(dialog(page), 'Add the deployment')
    await page.locator('.toast', { hasText: 'own-gpu is added.' }).waitFor()
    await page.locator('.models-table', { hasText: 'own-gpu' }).waitFor()
    expect(await find('own-gpu')).toMatchObject({ weight: 2, tokens_per_minute: 600_000, source: 'api' })
    expect((await ask('extra')).status).toBe(200)
    expect(await lastChange()).toBe('deployment-added deployment own-gpu')
    await press(page.locator('.toast'), 'Undo')
    await expect.poll(() => find('own-gpu')).toBeUndefined()
  })

  it('its weight is changed, and back; what the file says is refused beside the field', async () => {
    const { page, go } = await enter('operator')
    await go('/models/filed')
    await press(page, 'Change its weight')
    await fill(page, 'Weight', 'much')
    await press(dialog(page), 'Change the weight')
    await complaint(page, 'Weight').filter({ hasText: '0 to 1000000' }).waitFor()
    await fill(page, 'Weight', '30')
    await dialog(page).getByText('Weight 1 → 30').waitFor()
    await press(dialog(page), 'Change the weight')
    await page.locator('.toast', { hasText: 'weight 1 → 30' }).waitFor()
    expect(await find('filed')).toMatchObject({ weight: 30 })
    expect(await lastChange()).toBe('deployment-changed deployment filed')
    await press(page.locator('.toast'), 'Undo')
    await expect.poll(async () => (await find('filed')).weight).toBe(1)
    expect(await find('filed')).toMatchObject({ weight_source: 'default' })
    await go('/models/fixed')
    await press(page, 'Change its weight')
    await fill(page, 'Weight', '3')
    await press(dialog(page), 'Change the weight')
    await complaint(page, 'Weight').filter({ hasText: 'sets its weight' }).waitFor()
    expect(await find('fixed')).toMatchObject({ weight: 7, weight_source: 'config' })
  })

  it('one that was added is removed after a question; one of the file can’t be, and says so', async () => {
    await app.admin('/admin/deployments', { name: 'spare', provider: 'demo', deployment: 'spare' })
    const { page, go } = await enter()
    await go('/models/filed')
    const remove = page.getByRole('button', { name: 'Remove' })
    expect(await remove.getAttribute('aria-disabled')).toBe('true')
    await page.getByText('sluice.yaml has it').first().waitFor()
    await go('/models/spare')
    await remove.click()
    await press(dialog(page), 'Leave it')
    expect(await find('spare')).toBeDefined()
    await remove.click()
    await dialog(page).getByText('No call begins there').waitFor()
    await press(dialog(page), 'Remove spare')
    await page.locator('.toast', { hasText: 'spare is removed.' }).waitFor()
    expect(await find('spare')).toBeUndefined()
    expect(await lastChange()).toBe('deployment-removed deployment spare')
    expect(page.url()).toMatch(/\/models$/)
  })

  it('what is used of a minute, and what a breaker opened for and when it is tried again, can be read', async () => {
    for (let n = 0; n < 3; n++) expect((await ask('chat')).status).toBe(200)
    const { page, go } = await enter('viewer', 390)
    await go('/models/filed')
    const fact = (title: string): Locator => page.locator('.deployment-facts div', { hasText: title }).locator('dd')
    await fact('Requests in the last minute')
      .filter({ hasText: /of 600$/ })
      .waitFor()
    await fact('Tokens in the last minute').filter({ hasText: 'of 90k' }).waitFor()
    await fact('Breaker').filter({ hasText: 'closed' }).waitFor()
    for (let n = 0; n < 5; n++) await ask('broken')
    await go('/models/breaks')
    await fact('Breaker')
      .filter({ hasText: /^open: provider_error; (tried again in|one call tries it now)/ })
      .waitFor()
    await page.locator('.models-table', { hasText: 'provider_error' }).waitFor()
    await shot(page, 'deployment-broken-390')
    const { data } = await get('/admin/jobs?model=broken&limit=1')
    await go(`/jobs/${data[0].id}`)
    const route = page.locator('.job-route')
    await route.getByText(/^It went to breaks\. One like it would (?:go to breaks|wait) now: /).waitFor()
    await route.locator('li', { hasText: 'breaks' }).first().waitFor()
    await go('/models/breaks')
    const button = page.getByRole('button', { name: 'Change its weight' })
    await expect.poll(() => button.getAttribute('aria-disabled')).toBe('true')
  })
})
