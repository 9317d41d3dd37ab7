/** Every page in every state: axe finds nothing, nothing is cut off at any width, nothing breaks the page's policy. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'
import { barriers, launch, misfits, NO_CHROMIUM, opens, shot, signIn, siteOf, type Visitor, visit } from './browser.ts'
import { type Loaded, startLoaded } from './loaded.ts'

const WIDTHS = [
  [1440, 900],
  [1280, 900],
  [768, 1024],
  [390, 844],
  [320, 640],
] as const
const THEMES = ['dark', 'light'] as const

describe.skipIf(NO_CHROMIUM)('the dashboard', () => {
  let browser: Browser
  let loaded: Loaded
  let fresh: TestApp
  const visitors: Visitor[] = []
  beforeAll(async () => {
    browser = await launch()
    ;[loaded, fresh] = await Promise.all([startLoaded(), startTestApp()])
  })
  afterEach(async () => {
    for (const { context } of visitors.splice(0)) await context.close()
  })
  afterAll(async () => {
    await browser?.close()
    await loaded?.stop()
    await fresh?.stop()
  })
  const enter = async (app: TestApp): Promise<Visitor> => {
    const visitor = await visit(browser, siteOf(app))
    await signIn(visitor, siteOf(app))
    visitors.push(visitor)
    return visitor
  }
  /** At all widths, and in both themes: what is wrong with what is shown. */
  async function looked({ page }: Visitor, name: string): Promise<readonly string[]> {
    const wrong: string[] = []
    for (const [width, height] of WIDTHS) {
      await page.setViewportSize({ width, height })
      for (const colorScheme of THEMES) {
        await page.emulateMedia({ colorScheme })
        await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')
        const where = `${name} at ${width}, ${colorScheme}`
        // Whether it fits is a matter of its width alone
        if (colorScheme === 'light') wrong.push(...(await misfits(page)).map((one) => `${where}: ${one}`))
        // Contrast is a matter of the theme, the rest of what is shown: of wide and narrow
        if (width === 1440 || (width === 390 && colorScheme === 'light'))
          wrong.push(...(await barriers(page)).map((one) => `${where}: ${one}`))
        await shot(page, `${name}-${colorScheme}-${width}`)
      }
    }
    return wrong
  }

  it.each(['/', '/jobs', '/tenants', '/models', '/playground', '/benchmarks', '/changes'])(
    '%s fits, and has no barrier: with work, and without',
    async (path) => {
      const name = path === '/' ? 'now' : path.slice(1)
      const busy = await enter(loaded.app)
      await busy.go(path)
      const wrong = [...(await looked(busy, name))]
      const empty = await enter(fresh)
      await empty.go(path)
      wrong.push(...(await looked(empty, `${name}-empty`)))
      expect(wrong).toEqual([])
      expect([...busy.faults, ...empty.faults]).toEqual([])
    },
  )

  it.each(['done', 'failed', 'canceled', 'running', 'waiting', 'cut'] as const)(
    'the page of a job that is %s fits, and has no barrier',
    async (state) => {
      const visitor = await enter(loaded.app)
      await visitor.go(`/jobs/${loaded.jobs[state]}`)
      expect(await looked(visitor, `job-${state}`)).toEqual([])
      expect(visitor.faults).toEqual([])
    },
  )

  const DIALOGS: ReadonlyArray<readonly [name: string, path: string, open: (page: Page) => Promise<void>]> = [
    ['keys', '/', (page) => opens(page, '?')],
    ['limits', '/tenants/acme', (page) => opens(page, 'l')],
    ['new-key', '/tenants/acme', (page) => opens(page, 'n')],
    ['new-tenant', '/tenants', (page) => page.getByRole('button', { name: 'New tenant' }).click()],
    ['add', '/models', (page) => page.getByRole('button', { name: 'Add a deployment' }).click()],
    ['weight', '/models/vllm-a', (page) => page.getByRole('button', { name: 'Change its weight' }).click()],
    ['rotate', '/tenants/acme', (page) => page.getByRole('button', { name: 'Rotate' }).first().click()],
    ['revoke', '/tenants/acme', (page) => page.getByRole('button', { name: 'Revoke' }).first().click()],
    ['cut-tenant', '/tenants/docs-batch', (page) => page.getByRole('button', { name: 'Cut what runs' }).click()],
  ]
  it.each(DIALOGS)('the dialog %s fits, and has no barrier', async (name, path, open) => {
    const visitor = await enter(loaded.app)
    await visitor.go(path)
    await open(visitor.page)
    await visitor.page.locator('dialog[open]').waitFor()
    expect(await looked(visitor, `dialog-${name}`)).toEqual([])
  })

  it.each([
    ['a job that is not there', '/jobs/job_none'],
    ['a tenant that is not there', '/tenants/nobody'],
    ['a model that is not there', '/models/nothing'],
    ['a deployment', '/models/vllm-a'],
    ['a range of the past', '/?from=1760000000000&to=1760000900000'],
    ['a search without a hit', '/jobs?q=nothing-like-it'],
  ])('%s: a sentence, and no barrier', async (name, path) => {
    const visitor = await enter(loaded.app)
    await visitor.go(path)
    expect(await looked(visitor, name.replaceAll(' ', '-'))).toEqual([])
  })

  it('whoever is not signed in is told how, without a barrier', async () => {
    const visitor = await visit(browser, siteOf(loaded.app))
    await visitor.go('/jobs')
    await visitor.page.getByText('You are not signed in here.').waitFor()
    expect(await looked(visitor, 'signed-out')).toEqual([])
  })
})
