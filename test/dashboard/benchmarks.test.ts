/** A comparison and a run, as `sluice bench --post` sends them, in the page. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compareRuns } from '../../src/bench/compare.ts'
import { summarize } from '../../src/bench/summary.ts'
import { SYSTEM, simulate } from '../bench/simulated.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { barriers, launch, misfits, NO_CHROMIUM, shot, signIn, siteOf, type Visitor, visit } from './browser.ts'

const paired = { seed: 1, load: 0.5, rounds: 8, requests: 60, loadOf: SYSTEM }
const before = simulate({ ...paired, noiseSeed: 1, system: SYSTEM, label: 'before' })
/** The article's queue: half a second that is no model's. */
const after = simulate({ ...paired, noiseSeed: 2, system: { ...SYSTEM, holdMs: 500 }, label: 'after' })

describe.skipIf(NO_CHROMIUM)('benchmarks in the dashboard', () => {
  let browser: Browser
  let app: TestApp
  let visitor: Visitor
  const post = async (body: object): Promise<string> => {
    const response = await app.admin('/admin/benchmarks', body)
    expect(response.status).toBe(201)
    return ((await response.json()) as { id: string }).id
  }
  beforeAll(async () => {
    browser = await launch()
    app = await startTestApp()
    visitor = await visit(browser, siteOf(app), { theme: 'light' })
    await signIn(visitor, siteOf(app), 'viewer')
  })
  afterAll(async () => {
    await browser?.close()
    await app?.stop()
  })
  async function looked(name: string): Promise<void> {
    const { page, faults } = visitor
    expect(faults).toEqual([])
    for (const [width, height] of [
      [1440, 900],
      [390, 844],
      [320, 640],
    ] as const) {
      await page.setViewportSize({ width, height })
      expect(await misfits(page), `${name} at ${width}`).toEqual([])
      expect(await barriers(page), `${name} at ${width}`).toEqual([])
      await shot(page, `${name}-${width}`)
    }
    await page.setViewportSize({ width: 1440, height: 900 })
  }

  it('a comparison: the verdict first, each effect with its interval, and where the time went', async () => {
    const comparison = compareRuns(before, after, { margin: 0.05, across: new Set(), atMs: Date.now() })
    const id = await post(comparison)
    const { page, go } = visitor
    await go(`/benchmarks/${id}`)
    await page.getByRole('heading', { name: comparison.sentence }).waitFor()
    expect(comparison.sentence).toMatch(/^Time to first token is worse by/)
    await expect.poll(() => page.locator('.effects tbody tr').count()).toBe(comparison.effects.length)
    await page.getByText('unexplained').first().waitFor()
    await page.getByText('May they be compared?').waitFor()
    await looked('benchmark-comparison')
    await page.getByRole('button', { name: 'Copy as Markdown' }).click()
    expect(await page.evaluate('navigator.clipboard.readText()')).toContain(comparison.sentence)
    await go('/benchmarks')
    await page.getByText(comparison.sentence).waitFor()
    await looked('benchmarks-list')
  })

  it('what another version has posted breaks neither the list nor its own page', async () => {
    const { page, go } = visitor
    const ids = [
      await post({ kind: 'run', label: 'odd', rounds: 5, options: null, validity: 'x' }),
      await post({ kind: 'run', rounds: [null] }),
      await post({ kind: 'comparison', before: 'str', after: 7, verdict: 'odd' }),
    ]
    await go('/benchmarks')
    await page.getByText('odd').first().waitFor()
    for (const id of ids) {
      await go(`/benchmarks/${id}`)
      await page.getByText('in a form that this dashboard doesn’t know').waitFor()
    }
  })

  it('a run: whether it counts, and its rounds', async () => {
    const id = await post({ ...after.run, summary: summarize(after.records, 60_000, []) })
    const { page, go } = visitor
    await go(`/benchmarks/${id}`)
    await page.getByText('Does it count?').waitFor()
    const rounds = page.getByRole('region', { name: 'Rounds' })
    await expect.poll(() => rounds.locator('tbody tr').count()).toBe(after.run.rounds.length)
    await looked('benchmark-run')
  })
})
