/** The client's React hooks in a browser, in StrictMode: mounted twice, unmounted in mid-answer, in a second tab. */
import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { launch, NO_CHROMIUM, type ServedPage, servePage } from './pages.ts'

type Shown = ReadonlyArray<readonly [question: string, answer: string]>

describe.skipIf(NO_CHROMIUM)('hooks in StrictMode, in headless Chromium', () => {
  let served: ServedPage
  let server: Server
  let browser: Browser
  let context: BrowserContext
  let faults: string[]

  beforeAll(async () => {
    served = await servePage(join(import.meta.dirname, 'react-hooks'))
    const http = `http: { cors_origins: ["${served.origin}"] }\n`
    server = await startServer(`${http}models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n`)
    served.grant(server, 'u1')
    browser = await launch()
  })
  afterEach(() => context?.close())
  afterAll(async () => {
    await browser?.close()
    served?.close()
    await server?.stop()
  })

  async function begin(): Promise<{ readonly page: Page; readonly id: string }> {
    context = await browser.newContext()
    faults = []
    const id = `chat-${Math.random().toString(36).slice(2)}`
    return { page: await open(id), id }
  }
  async function open(id: string): Promise<Page> {
    const page = await context.newPage()
    page.on('pageerror', (error) => faults.push(String(error.stack)))
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()))
    await page.goto(`${served.origin}/?sluice=${encodeURIComponent(server.url)}#${id}`)
    await until(() => page.textContent('#state')).toBe('open')
    return page
  }
  const until = (what: () => Promise<unknown>): ReturnType<typeof expect.poll> =>
    expect.poll(what, { interval: 25, timeout: 30_000 })
  const shown = (page: Page): Promise<Shown> =>
    page.evaluate(`[...document.querySelectorAll('article')].map((one) =>
      [one.querySelector('h2').textContent, one.querySelector('p').textContent])`)
  const told = (page: Page): Promise<void> =>
    until(async () => (await shown(page)).at(-1)?.[1].length ?? 0).toBeGreaterThan(20)
  async function say(page: Page, text: string): Promise<void> {
    await page.fill('#text', text)
    await page.press('#text', 'Enter')
  }
  const get = async <T>(path: string): Promise<T> =>
    (await (await fetch(server.url + path, { headers: { authorization: `Bearer ${server.key}` } })).json()) as T
  async function kept(id: string): Promise<Shown> {
    const { data } = await get<{ data: Array<{ id: string }> }>('/v1/conversations?limit=100')
    const name = encodeURIComponent(data.find((one) => one.id.endsWith(id))!.id)
    type Turns = {
      turns: Array<{ messages: [{ content: string }]; answer: { content: string } | null; state: string }>
    }
    const { turns } = await get<Turns>(`/v1/conversations?id=${name}`)
    return turns.map(({ messages, answer, state }) => [messages[0].content, state === 'done' ? answer!.content : state])
  }

  it('mounts twice, and sends and shows once', async () => {
    const { page, id } = await begin()
    await say(page, 'One. demo: tokens=40 delay=10')
    // StrictMode is at work
    await until(() => page.textContent('#mounts')).toBe('2')
    await told(page)
    await until(() => page.textContent('#status')).toBe('ready')
    const all = await shown(page)
    expect(all).toHaveLength(1)
    expect(await kept(id)).toEqual(all)
    expect(faults).toEqual([])
  })

  it('is hidden in mid-answer: the answer goes on, and is whole when it is shown again', async () => {
    const { page, id } = await begin()
    await say(page, 'Two. demo: tokens=200 delay=20')
    await page.click('#submit')
    await told(page)
    for (const text of ['#job', 'article p'])
      await until(async () => (await page.textContent(text))!.length).toBeGreaterThan(20)
    await page.click('#toggle')
    await until(() => shown(page)).toEqual([])
    await page.click('#toggle')
    await told(page) // in the middle
    expect(await page.textContent('#status')).toBe('answering')
    await page.click('#toggle')
    await until(async () => (await kept(id).catch(() => []))[0]?.[1].length ?? 0).toBeGreaterThan(500)
    await page.click('#toggle')
    await until(() => page.textContent('#status')).toBe('ready')
    expect(await shown(page)).toEqual(await kept(id))
    await until(() => page.getAttribute('#job', 'data-state')).toBe('done')
    const job = await page.getAttribute('#job', 'data-job')
    const result = await get<{ choices: [{ message: { content: string } }] }>(`/v1/jobs/${job}/result`)
    expect(await page.textContent('#job')).toBe(result.choices[0].message.content)
    expect(faults).toEqual([])
  })

  it('is told in a second tab too, which goes on when the first is hidden', async () => {
    const { page, id } = await begin()
    const other = await open(id)
    await say(page, 'Three. demo: tokens=150 delay=20')
    await told(other)
    await page.click('#toggle')
    await say(other, 'Four. demo: tokens=5 delay=5')
    await until(async () => (await shown(other)).length).toBe(2)
    await page.click('#toggle')
    for (const tab of [page, other]) {
      await until(async () => [(await shown(tab)).length, await tab.textContent('#status')]).toEqual([2, 'ready'])
      expect(await shown(tab)).toEqual(await kept(id))
    }
    expect(faults).toEqual([])
  })
})
