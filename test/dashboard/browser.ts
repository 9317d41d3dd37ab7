/** A real Chromium before a real Sluice: what tests of the dashboard share. They run where SLUICE_TEST_CHROMIUM is. */
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { AxeResults } from 'axe-core'
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core'
import { expect } from 'vitest'
import type { Role } from '../../src/core/live.ts'
import type { TestApp } from '../front/app.ts'

/** A path, or 1: where Debian has it. */
const WANTED = process.env['SLUICE_TEST_CHROMIUM'] ?? ''
const CHROMIUM = WANTED === '1' ? '/usr/bin/chromium' : WANTED
export const NO_CHROMIUM = CHROMIUM === ''
const SHOTS = process.env['SLUICE_TEST_SHOTS'] ?? ''

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })

/** Whose dashboard it is. */
export interface Site {
  readonly base: string
  /** POST with the admin key. */
  admin(path: string, body?: object): Promise<Response>
}
export const siteOf = (app: TestApp): Site => ({ base: `http://127.0.0.1:${app.adminPort}`, admin: app.admin })

export interface Visitor {
  readonly page: Page
  readonly context: BrowserContext
  /** Errors of scripts, and what was written to the console as one: a breach of the policy is. */
  readonly faults: string[]
  /** Goes there, and waits until the page has what it shows. */
  go(path: string): Promise<void>
}

export interface Visit {
  readonly width?: number
  readonly height?: number
  readonly theme?: 'dark' | 'light'
}

/** For what never comes: a busy machine may take a while. */
const PATIENCE_MS = 60_000

/** What a page shows before its data is there. */
const SKELETONS = '[class*="skeleton"]'

/** A browser of its own, with no cookie yet. */
export async function visit(browser: Browser, site: Site, look: Visit = {}): Promise<Visitor> {
  const { width = 1440, height = 900, theme = 'dark' } = look
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme })
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  context.setDefaultTimeout(PATIENCE_MS)
  const page = await context.newPage()
  const faults: string[] = []
  page.on('console', (message) => message.type() === 'error' && faults.push(`${page.url()}: ${message.text()}`))
  page.on('pageerror', (error) => faults.push(`${page.url()}: ${error.stack}`))
  return {
    page,
    context,
    faults,
    async go(path) {
      await page.goto(site.base + path)
      await settled(page)
    },
  }
}

export async function settled(page: Page): Promise<void> {
  await page.locator('h1').first().waitFor()
  await page.locator(SKELETONS).first().waitFor({ state: 'detached' })
  await page.evaluate('document.fonts.ready')
}

/** By a link, as a person does. */
export async function signIn(visitor: Visitor, site: Site, role: Role = 'admin'): Promise<void> {
  const { path } = (await (await site.admin('/admin/session/links', { role })).json()) as { path: string }
  await visitor.go(path)
}

/** The first number there; NaN: none is. Commas part its thousands. */
export const numberAt = async (place: Locator): Promise<number> =>
  Number((await place.first().textContent())?.replaceAll(',', '') || 'NaN')

/** A figure of the playground, by its name. */
export const counted = (page: Page, label: string): Promise<number> =>
  numberAt(page.locator('.count', { hasText: label }).first().locator('b'))

export async function shot(page: Page, name: string): Promise<void> {
  if (SHOTS === '') return
  mkdirSync(SHOTS, { recursive: true })
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true })
}

const AXE = NO_CHROMIUM ? '' : readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

/** What axe finds, one line a rule and place; none: nothing. */
export async function barriers(page: Page): Promise<readonly string[]> {
  // By the debugger: the page's policy would refuse a script of ours
  await page.evaluate(AXE)
  const { violations } = (await page.evaluate(
    `axe.run(document, { runOnly: ${JSON.stringify(TAGS)}, resultTypes: ['violations'] })`,
  )) as AxeResults
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} at ${target}: ${failureSummary?.replaceAll(/\s+/g, ' ')}`),
  )
}

/** In the page: what stands out at a side, if it scrolls sideways; and text that is cut off without telling. */
const MISFITS = `(() => {
  const nameOf = (one) => one.tagName.toLowerCase() + '.' + [...one.classList].join('.') + ' "' +
    (one.textContent ?? '').trim().slice(0, 30) + '"'
  const all = [...document.querySelectorAll('body *')].filter((one) => one.checkVisibility())
  const isHidden = (one) => one.closest('.for-readers, .skip, svg, select') !== null
  const scrolls = document.documentElement.scrollWidth > innerWidth
  const out = all
    .filter((one) => !isHidden(one))
    .filter((one) => {
      const { left, right, width } = one.getBoundingClientRect()
      if (width === 0 || (right <= innerWidth + 0.5 && left >= -0.5)) return false
      for (let above = one.parentElement; above !== null; above = above.parentElement)
        if (/auto|scroll|hidden|clip/.test(getComputedStyle(above).overflowX) && above !== document.body)
          return above.getBoundingClientRect().right > innerWidth + 0.5
      return true
    })
    .map((one) => 'outside: ' + nameOf(one))
  const cut = all
    .filter((one) => !isHidden(one) && [...one.childNodes].some(({ nodeType, data }) => nodeType === 3 && data.trim()))
    .filter((one) => {
      const { overflowX, textOverflow, display } = getComputedStyle(one)
      if (display === 'inline' || overflowX === 'visible' || /auto|scroll/.test(overflowX)) return false
      return textOverflow !== 'ellipsis' && one.scrollWidth > one.clientWidth + 1
    })
    .map((one) => 'cut off: ' + nameOf(one))
  const over = [...document.querySelectorAll('table')]
    .filter((one) => one.checkVisibility() && !isHidden(one) && one.getBoundingClientRect().right >
      one.parentElement.getBoundingClientRect().right + 1)
    .map((one) => 'beyond its place: ' + nameOf(one) + one.getAttribute('aria-label'))
  return [...(scrolls ? ['scrolls sideways: ' + document.documentElement.scrollWidth] : []), ...out, ...cut, ...over]
})()`

export const misfits = (page: Page): Promise<readonly string[]> => page.evaluate(MISFITS)

/** A key that opens a dialog, pressed until it is open: a page may still be loading what the key needs. */
export async function opens(page: Page, key: string): Promise<void> {
  const dialogs = page.locator('dialog[open]')
  await expect
    .poll(async () => {
      if ((await dialogs.count()) === 0) await page.keyboard.press(key)
      return dialogs.count()
    })
    .toBeGreaterThan(0)
}
