/** By keyboard alone: everything is reached, the focus is seen, nothing holds it; letters do what `?` lists. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'
import { launch, NO_CHROMIUM, opens, settled, signIn, siteOf, type Visitor, visit } from './browser.ts'

/** In the page: what has the focus, as a path, and what is wrong with how it looks. */
const FOCUSED = `(() => {
  const one = document.activeElement
  if (one === null || one === document.body) return null
  const path = []
  for (let each = one; each !== document.body && each !== null; each = each.parentElement)
    path.unshift(each.tagName + ':' + [...(each.parentElement?.children ?? [])].indexOf(each))
  const ringed = ({ outlineStyle, outlineWidth }) => outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2
  const { top, bottom, left, right, width, height } = one.getBoundingClientRect()
  // A field in a box has its ring around the box
  const isRinged = [one, one.closest('form')].some((each) => each !== null && ringed(getComputedStyle(each)))
  const isSeen = width > 0 && height > 0 && bottom > 0 && right > 0 && top < innerHeight && left < innerWidth
  const name = one.tagName + ' "' + (one.getAttribute('aria-label') ?? one.textContent ?? '').trim().slice(0, 30) + '"'
  return { path: path.join(' '), wrong: isSeen ? (isRinged ? '' : name + ' has no ring') : name + ' is out of sight' }
})()`

interface Focused {
  readonly path: string
  readonly wrong: string
}
const focused = (page: Page): Promise<Focused | null> => page.evaluate(FOCUSED)

describe.skipIf(NO_CHROMIUM)('by the keyboard alone', () => {
  let browser: Browser
  let app: TestApp
  let visitor: Visitor
  let job: string
  beforeAll(async () => {
    browser = await launch()
    app = await startTestApp()
    visitor = await visit(browser, siteOf(app))
    await signIn(visitor, siteOf(app))
    const response = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: 'Hello. demo: tokens=5' }] }),
    })
    job = response.headers.get('sluice-job') as string
    await response.text()
  })
  afterAll(async () => {
    await browser?.close()
    await app?.stop()
  })

  it.each(['/', '/jobs', 'the job', '/tenants', '/models', '/playground', '/benchmarks', '/changes'])(
    '%s: Tab goes through all of it, with a ring, and out of it',
    async (path) => {
      const { page, go } = visitor
      await go(path === 'the job' ? `/jobs/${job}` : path)
      const seen = new Set<string>()
      const wrong: string[] = []
      for (let presses = 0; presses < 150; presses++) {
        await page.keyboard.press('Tab')
        const now = await focused(page)
        if (now === null || (seen.has(now.path) && seen.size > 3)) break
        expect([...seen], `${now.path} is reached twice`).not.toContain(now.path)
        seen.add(now.path)
        if (now.wrong !== '') wrong.push(now.wrong)
      }
      expect(wrong).toEqual([])
      // The rail's pages at least
      expect(seen.size).toBeGreaterThan(8)
      expect(seen.size).toBeLessThan(149)
    },
  )

  it('g and a letter go to each page, ? lists what letters do, Esc closes it where one was', async () => {
    const { page, go } = visitor
    await go('/')
    for (const [letter, title] of [
      ['j', 'Jobs'],
      ['t', 'Tenants'],
      ['m', 'Models'],
      ['p', 'Playground'],
      ['b', 'Benchmarks'],
      ['c', 'Changes'],
      ['n', 'Now'],
    ] as const) {
      await page.keyboard.press('g')
      await page.keyboard.press(letter)
      await page.locator('h1', { hasText: title }).waitFor()
    }
    await page.keyboard.press('Tab')
    const before = await focused(page)
    await opens(page, '?')
    const help = page.locator('dialog[open]')
    await help.getByText('all keys').waitFor()
    for (const what of ['Jobs', 'Tenants', 'close']) await help.getByText(what, { exact: true }).first().waitFor()
    await page.keyboard.press('g')
    await page.keyboard.press('j')
    expect(await help.count()).toBe(1)
    await page.keyboard.press('Escape')
    await help.waitFor({ state: 'detached' })
    await expect.poll(async () => (await focused(page))?.path).toBe(before?.path)
    expect(await page.locator('h1').textContent()).toBe('Now')
  })

  it('letters write where there is a field, and can be switched off', async () => {
    const { page, go } = visitor
    await go('/jobs')
    await page.keyboard.press('/')
    await page.keyboard.type('g t')
    await expect.poll(() => page.locator('.search input').inputValue()).toBe('g t')
    expect(await page.locator('h1').textContent()).toBe('Jobs')
    await page.keyboard.press('Escape')
    await go('/jobs')
    await opens(page, '?')
    await page.getByLabel('Letters are keys').uncheck()
    await page.keyboard.press('Escape')
    // While it is open, keys are its own
    await page.locator('dialog[open]').waitFor({ state: 'detached' })
    await page.keyboard.press('g')
    await page.keyboard.press('t')
    await opens(page, '?')
    await page.getByLabel('Letters are keys').check()
    // Where it was: a page that had changed would have done so before the help was there
    expect(await page.locator('h1').textContent()).toBe('Jobs')
    await page.keyboard.press('Escape')
    await page.locator('dialog[open]').waitFor({ state: 'detached' })
  })

  it('a job is found by j, opened by Enter', async () => {
    const { page, go } = visitor
    await go('/jobs')
    await page.locator('tr[data-key]').first().waitFor()
    const chosen = (): Promise<string> => page.evaluate('document.activeElement.dataset.key ?? ""')
    const pressed = async (): Promise<string> => {
      await page.keyboard.press('j')
      return chosen()
    }
    await expect.poll(pressed).toMatch(/^job_/)
    const id = await chosen()
    await page.keyboard.press('Enter')
    await page.waitForURL(`**/jobs/${id}`)
    await settled(page)
  })
})
