/** useChat of the AI SDK and of TanStack AI over what the client has for them, in a browser whose network is cut. */
import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Network, network } from '../../client/test/network.ts'
import { type Server, startServer } from '../e2e/server.ts'
import { launch, NO_CHROMIUM, type ServedPage, servePage } from './pages.ts'

interface StoredTurn {
  readonly job: string
  readonly state: string
  readonly messages: ReadonlyArray<{ readonly role: string; readonly content: string }>
  readonly answer: { readonly content: string | null } | null
}
interface Shown {
  readonly role: string
  readonly text: string
}

const CLIENTS = [
  { name: 'AI SDK', page: 'use-chat', hasSteps: false },
  // Each step of an answer is a message of its own
  { name: 'TanStack AI', page: 'tanstack', hasSteps: true },
] as const

describe.skipIf(NO_CHROMIUM).each(CLIENTS)('useChat of $name in headless Chromium', ({ page: folder, hasSteps }) => {
  let served: ServedPage
  let server: Server
  let net: Network
  let browser: Browser
  let context: BrowserContext
  let faults: string[]

  beforeAll(async () => {
    served = await servePage(join(import.meta.dirname, folder))
    const http = `http: { cors_origins: ["${served.origin}"] }\n`
    server = await startServer(`${http}models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n`)
    served.grant(server, 'u1')
    net = await network(server.url)
    browser = await launch()
  })
  afterEach(() => context?.close())
  afterAll(async () => {
    await browser?.close()
    net?.close()
    served?.close()
    await server?.stop()
  })

  const fresh = (): string => `chat-${Math.random().toString(36).slice(2)}`
  const ready = (page: Page): Promise<unknown> => page.waitForSelector('#text', { timeout: 60_000 })
  async function begin(id: string, tools = false): Promise<Page> {
    context = await browser.newContext()
    faults = []
    return open(id, tools)
  }
  async function open(id: string, tools = false): Promise<Page> {
    const page = await context.newPage()
    page.on('pageerror', (error) => faults.push(String(error.stack)))
    await page.goto(`${served.origin}/?sluice=${encodeURIComponent(net.url)}${tools ? '&tools' : ''}#${id}`)
    await ready(page)
    return page
  }
  async function say(page: Page, text: string): Promise<void> {
    await page.fill('#text', text)
    await page.press('#text', 'Enter')
  }
  const shown = (page: Page): Promise<Shown[]> =>
    page.evaluate(`[...document.querySelectorAll('article')].map((one) => ({ role: one.dataset.role,
      text: [...one.querySelectorAll('.text')].map((part) => part.textContent).join('') }))`)
  const status = (page: Page): Promise<string | null> => page.textContent('#status')
  const until = (what: () => Promise<unknown>): ReturnType<typeof expect.poll> => expect.poll(what, { interval: 50 })
  const length = async (page: Page): Promise<number> => (await shown(page)).at(-1)!.text.length
  const grows = (page: Page, from: number): Promise<void> => until(() => length(page)).toBeGreaterThan(from + 20)
  async function told(page: Page, messages: number): Promise<void> {
    await until(async () => (await shown(page)).length).toBe(messages)
    await until(() => status(page)).toBe('streaming')
    await grows(page, 0)
  }

  const get = async <T>(path: string): Promise<T> =>
    (await (await fetch(server.url + path, { headers: { authorization: `Bearer ${server.key}` } })).json()) as T
  /** The server's name of a user's conversation. */
  async function nameOf(id: string): Promise<string> {
    const { data } = await get<{ data: Array<{ id: string }> }>('/v1/conversations?limit=100')
    return encodeURIComponent(data.find((one) => one.id.endsWith(id))!.id)
  }
  const turnsOf = async (id: string): Promise<StoredTurn[]> =>
    (await get<{ turns: StoredTurn[] }>(`/v1/conversations?id=${await nameOf(id)}`)).turns
  const jobsOf = async (id: string): Promise<Array<{ id: string; state: string }>> =>
    (await get<{ data: Array<{ id: string; state: string }> }>(`/v1/jobs?limit=10&conversation=${await nameOf(id)}`))
      .data

  /** All of the log, and nothing else, once. */
  async function isExact(page: Page, id: string): Promise<void> {
    await until(() => status(page)).toBe('ready')
    const turns = await turnsOf(id)
    expect(await shown(page)).toEqual(
      turns.flatMap(({ messages, answer }) => [
        { role: 'user', text: messages[0].content },
        { role: 'assistant', text: answer?.content ?? '' },
      ]),
    )
    expect(faults).toEqual([])
  }

  it('keeps an answer whole over three cuts, and a reload in its middle', async () => {
    const id = fresh()
    const page = await begin(id)
    await say(page, 'Tell me of rivers. demo: tokens=500 delay=40 ttft=20')
    await told(page, 2)
    for (let cut = 1; cut <= 3; cut++) {
      const before = await length(page)
      net.cut()
      await grows(page, before)
    }
    await page.reload()
    await ready(page)
    await told(page, 2)
    await isExact(page, id)
    // And what was said before is known to what comes after
    await say(page, 'Do you remember what I said?')
    await until(async () => (await shown(page)).length).toBe(4)
    await isExact(page, id)
    expect((await shown(page))[3].text).toContain('Tell me of rivers')
  })

  it('is told in a second tab while it is told in the first, and stopped from there for good', async () => {
    const id = fresh()
    const page = await begin(id)
    await say(page, 'Tell me of the sea. demo: tokens=100 delay=20 ttft=20')
    await told(page, 2)
    const other = await open(id)
    await told(other, 2)
    await isExact(page, id)
    await isExact(other, id)

    await say(page, 'Tell me all. demo: tokens=5000 delay=20 ttft=20')
    await told(page, 4)
    await other.reload()
    await ready(other)
    await told(other, 4)
    await other.click('#stop')
    await until(async () => (await jobsOf(id))[0].state).toBe('canceled')
    // The other tab hears of it
    await until(() => status(page)).toBe('ready')
    await until(async () => (await turnsOf(id)).length).toBe(2)
    await page.reload()
    await ready(page)
    await until(async () => (await shown(page)).length).toBe(4)
    expect((await turnsOf(id))[1].state).toBe('canceled')
    await isExact(page, id)
  })

  it('goes on while another chat is shown, and answers anew in place of the last answer', async () => {
    const [one, two] = [fresh(), fresh()]
    const page = await begin(one)
    await say(page, 'Tell me of salt. demo: tokens=150 delay=20 ttft=20')
    await told(page, 2)
    await page.evaluate(`location.hash = ${JSON.stringify(two)}`)
    await until(async () => (await shown(page)).length).toBe(0)
    await say(page, 'Tell me of honey. demo: tokens=10 delay=5')
    await until(async () => (await shown(page)).length).toBe(2)
    await isExact(page, two)
    await page.evaluate(`location.hash = ${JSON.stringify(one)}`)
    await until(async () => (await shown(page)).length).toBe(2)
    await isExact(page, one)
    const [{ job, state }] = await turnsOf(one)
    expect(state).toBe('done')
    await page.click('#again')
    await until(async () => (await turnsOf(one))[0]?.job ?? job).not.toBe(job)
    await isExact(page, one)
    expect(await turnsOf(one)).toHaveLength(1)
  })

  it('calls a tool and goes on with what it said, over a reload in mid-answer, and tells errors', async () => {
    const id = fresh()
    const page = await begin(id, true)
    await say(page, 'What is the weather? demo: delay=80 ttft=20')
    // The answer after the tool's
    await until(async () => (await shown(page)).at(-1)?.text ?? '').toContain('clear')
    expect(await shown(page)).toHaveLength(hasSteps ? 3 : 2)
    const called = await page.locator('code').textContent()
    expect(called).toMatch(/^weather \{"city":".+"\} \{"sky":"clear, 21 degrees"\}$/)
    await page.reload()
    await ready(page)
    await told(page, hasSteps ? 3 : 2)
    await until(() => status(page)).toBe('ready')
    const turns = await turnsOf(id)
    expect(turns.map(({ messages }) => messages[0].role)).toEqual(['user', 'tool'])
    await until(() => shown(page)).toEqual([
      { role: 'user', text: turns[0].messages[0].content },
      ...(hasSteps ? [{ role: 'assistant', text: '' }] : []),
      { role: 'assistant', text: turns[1].answer!.content },
    ])
    expect(await page.locator('code').allTextContents()).toEqual([called])
    expect(await page.locator('code').getAttribute('data-state')).toBe(hasSteps ? 'complete' : 'output-available')

    await say(page, 'Fail. demo: fail=400')
    await until(() => page.textContent('#error')).toContain('asked to fail')
    expect(await status(page)).toBe('error')
    expect(faults).toEqual([])
  })
})
