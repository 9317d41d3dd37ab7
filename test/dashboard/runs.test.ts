/** A run of an agent: its jobs as a tree, what it used, how one gets there, and its end. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'
import { barriers, launch, misfits, NO_CHROMIUM, shot, signIn, siteOf, type Visitor, visit } from './browser.ts'

const LONG = 'demo: tokens=4000 delay=200'

describe.skipIf(NO_CHROMIUM)('the page of a run', () => {
  let browser: Browser
  let app: TestApp
  beforeAll(async () => {
    browser = await launch()
    app = await startTestApp(
      {},
      {
        models: [
          { name: 'demo', provider: 'demo', demo: { ttft_ms: 150, token_ms: 8 }, price: { input: 1, output: 4 } },
        ],
      },
    )
  })
  afterAll(async () => {
    await browser?.close()
    await app?.stop()
  })
  async function post(path: string, body: object): Promise<{ id: string }> {
    const response = await fetch(`http://127.0.0.1:${app.port}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    expect(response.ok).toBe(true)
    return (await response.json()) as { id: string }
  }
  const submit = async (content: string, more: object): Promise<string> =>
    (await post('/v1/jobs', { request: { model: 'demo', messages: [{ role: 'user', content }] }, ...more })).id
  async function ended(id: string): Promise<void> {
    const state = async (): Promise<string> => {
      const headers = { authorization: `Bearer ${app.key}` }
      const response = await fetch(`http://127.0.0.1:${app.port}/v1/jobs/${id}`, { headers })
      return ((await response.json()) as { state: string }).state
    }
    await expect.poll(state, { timeout: 30_000 }).toMatch(/^(?:done|failed)$/)
  }
  async function enter(role: 'operator' | 'viewer'): Promise<Visitor> {
    const visitor = await visit(browser, siteOf(app))
    await signIn(visitor, siteOf(app), role)
    return visitor
  }
  /** A plan, three that it asks for, one that comes after them, and one that runs on. */
  async function work(run: string): Promise<{ readonly plan: string; readonly last: string; readonly long: string }> {
    await post('/v1/runs', {
      id: run,
      budget: { tokens: 9_000, usd: 0.05, steps: 5, depth: 4 },
      metadata: { task: 'tidy' },
    })
    const plan = await submit('Plan. demo: tokens=30', { run })
    await ended(plan)
    const parts = await Promise.all(
      ['tokens=60', 'tokens=40 cut=20 faults=1', 'fail=400'].map((how) =>
        submit(`Do. demo: ${how}`, { run, parent: plan }),
      ),
    )
    await Promise.all(parts.map(ended))
    const long = await submit(LONG, { run, parent: parts[0] })
    const last = await submit('Join. demo: tokens=20', {
      ...{ run, parent: plan, after: [parts[0], long] },
      metadata: { name: 'The writer' },
    })
    return { plan, last, long }
  }

  it('is a tree of its jobs on one axis, reached from a job, without a barrier in any width or theme', async () => {
    const { plan, last, long } = await work('tidy-up')
    const visitor = await enter('operator')
    const { page, go, faults } = visitor
    await go('/runs')
    const listed = page.getByRole('row', { name: /tidy-up/ })
    await listed.getByText('4 of 6').waitFor()
    await listed.getByText(/^\d+ % of its \w+$/).waitFor()
    await listed.getByRole('link', { name: 'tidy-up', exact: true }).click()
    await page.getByRole('link', { name: 'Runs', exact: true }).first().waitFor()
    await go(`/jobs/${plan}`)
    await page.getByRole('link', { name: 'tidy-up' }).click()
    await page.locator('.job-title', { hasText: 'Runs: 4 of 6 jobs ended.' }).waitFor()
    expect(new URL(page.url()).pathname).toBe('/runs/default/tidy-up')
    const rows = page.locator('.run-tree li')
    const links = await rows.getByRole('link').evaluateAll((all) => all.map((one) => one.getAttribute('title')))
    expect(links).toHaveLength(6)
    expect([links[0], links[2], links[5]]).toEqual([plan, long, last])
    // Its name, and what it may use before all of its jobs
    await rows.nth(5).getByText('The writer').waitFor()
    const tops = ['Budget', 'Jobs'].map((title) =>
      page.getByRole('heading', { name: title, exact: true }).boundingBox(),
    )
    const [budget, jobs] = await Promise.all(tops)
    expect(budget!.y).toBeLessThan(jobs!.y)
    await rows
      .nth(0)
      .getByRole('img', { name: /^tokens: / })
      .waitFor()
    await rows
      .nth(5)
      .getByText(`after ${links[1]?.slice(-6)}, ${long.slice(-6)}`)
      .waitFor()
    await page.getByRole('img', { name: /^Steps: [34] of 5$/ }).waitFor()
    const wrong: string[] = []
    for (const theme of ['dark', 'light'] as const)
      for (const [width, height] of [
        [1440, 900],
        [768, 1024],
        [390, 844],
        [320, 640],
      ] as const) {
        await page.emulateMedia({ colorScheme: theme })
        await page.setViewportSize({ width, height })
        await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')
        wrong.push(...(await misfits(page)), ...(width === 1440 || width === 390 ? await barriers(page) : []))
        await shot(page, `run-${theme}-${width}`)
      }
    await go('/runs')
    await page.getByRole('row', { name: /tidy-up/ }).waitFor()
    for (const theme of ['dark', 'light'] as const)
      for (const [width, height] of [
        [1440, 900],
        [768, 1024],
        [320, 640],
      ] as const) {
        await page.emulateMedia({ colorScheme: theme })
        await page.setViewportSize({ width, height })
        await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')
        wrong.push(...(await misfits(page)), ...(width === 768 ? [] : await barriers(page)))
        await shot(page, `runs-${theme}-${width}`)
      }
    expect([wrong, faults]).toEqual([[], []])
    await go('/runs/default/tidy-up')
    await rows.nth(1).getByRole('link').click()
    await page.getByText('Where the time went').waitFor()
    await visitor.context.close()
    await app.admin('/admin/runs/default/tidy-up/cancel')
  })

  it('is canceled by an operator, who is asked once; a viewer may not', async () => {
    await work('to-end')
    const viewer = await enter('viewer')
    await viewer.go('/runs/default/to-end')
    const button = viewer.page.getByRole('button', { name: /^Cancel/ })
    await expect.poll(() => button.getAttribute('title')).toContain('Needs the role operator')
    const refused = await viewer.page.evaluate(
      `fetch('/admin/runs/default/to-end/cancel', { method: 'POST', headers: { 'x-sluice-page': '1' } })
        .then(({ status }) => status)`,
    )
    expect(refused).toBe(403)
    await viewer.context.close()
    const visitor = await enter('operator')
    const { page, go, faults } = visitor
    await go('/runs/default/to-end')
    await page.getByRole('button', { name: /^Cancel/ }).click()
    await page.getByRole('button', { name: 'Cancel the run' }).click()
    await page.locator('.job-title', { hasText: 'Canceled: 6 jobs, 3 done, 1 failed, 2 canceled.' }).waitFor()
    await go('/changes')
    await page.getByText('Run to-end').waitFor()
    expect(faults).toEqual([])
    await go('/runs/default/nothing')
    await page.getByText('There is no such run of default.').waitFor()
    await visitor.context.close()
  })
})
