/**
 * The chat's page in a real browser: through cuts, a reload in mid-answer, a second tab, and a server that is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { DEEP } from '../depth.ts'
import { type Server, startServer } from '../e2e/server.ts'
import { bareEnvironment } from '../environment.ts'
import { freePort } from '../free-port.ts'
import { expectInTime } from '../in-time.ts'

const CHROMIUM = '/usr/bin/chromium'
/** For what happens when it happens: as long as a busy machine may take. */
const WITHIN_MS = 45_000
/** The page is asked at such times: asking costs it more than what it does. */
const POLL_MS = 100
const ROOT = join(import.meta.dirname, '../..')

interface ShownTurn {
  readonly question: string
  readonly answer: string
  readonly state: string
  readonly note: string
  /** What is told of each cut. */
  readonly seams: readonly string[]
}
interface Job {
  readonly id: string
  readonly state: string
  readonly conversation: string
}

/** What is shown of the page alone, and dear. */
const deep = it.skipIf(!DEEP)

describe.skipIf(!existsSync(CHROMIUM))('chat in headless Chromium', () => {
  let sluice: Server
  let browser: Browser
  let context: BrowserContext
  let origin: string
  const children: ChildProcess[] = []

  beforeAll(async () => {
    const port = await freePort()
    origin = `http://127.0.0.1:${port}`
    sluice = await startServer(
      `http: { cors_origins: ["${origin}"] }\nmodels:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n`,
    )
    await startChat(port, sluice)
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    })
  })
  afterEach(() => context?.close())
  afterAll(async () => {
    await browser?.close()
    for (const child of children) child.kill()
    await sluice?.stop()
  })

  /** A script of the example. Returns what it has printed when `ready` is in it. */
  async function run(
    script: string,
    args: readonly string[],
    env: object,
    ready: string,
  ): Promise<[ChildProcess, string]> {
    const child = spawn(process.execPath, ['--conditions=@sluice/source', `examples/chat/${script}`, ...args], {
      cwd: ROOT,
      env: { ...bareEnvironment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    children.push(child)
    let printed = ''
    await new Promise<void>((done, fail) => {
      const read = (data: Buffer): void => {
        printed += data.toString()
        if (printed.includes(ready)) done()
      }
      child.stdout.on('data', read)
      child.stderr.on('data', read)
      child.once('exit', (code) => fail(new Error(`${script} ended with ${code}:\n${printed}`)))
    })
    return [child, printed]
  }
  const startChat = async (port: number, { url, key }: Server): Promise<string> =>
    (await run('server.ts', ['--port', String(port)], { SLUICE_URL: url, SLUICE_API_KEY: key }, 'Chat: '))[1]

  async function open(at = origin): Promise<Page> {
    const page = await context.newPage()
    await page.goto(at)
    await isOpen(page)
    return page
  }
  /** Polls by `evaluate`: the page's CSP forbids what waitForFunction does. */
  async function eventually(what: string, isSo: () => Promise<boolean>, withinMs = WITHIN_MS): Promise<void> {
    for (const giveUpAt = performance.now() + withinMs; !(await isSo()); ) {
      if (performance.now() > giveUpAt) throw new Error(`never: ${what}`)
      await new Promise((done) => setTimeout(done, POLL_MS))
    }
  }
  const isOpen = (page: Page): Promise<unknown> =>
    page.waitForSelector('#status[data-state=open]', { timeout: WITHIN_MS, state: 'attached' })

  async function say(page: Page, text: string): Promise<void> {
    await page.fill('#message', text)
    await page.press('#message', 'Enter')
  }
  const turns = (page: Page): Promise<ShownTurn[]> =>
    page.evaluate(`[...document.querySelectorAll('#log article:not([hidden])')].map((a) => {
      const answer = a.querySelector('.answer').cloneNode(true)
      const seams = [...answer.querySelectorAll('.seam')].map((s) => s.remove() ?? s.textContent)
      return {
        question: a.querySelector('.question').textContent,
        answer: [...answer.children].map((block) => block.textContent).join('\\n\\n'),
        state: a.dataset.state, note: a.querySelector('.note').textContent, seams } })`)

  /** Waits until the page shows what is asked. */
  async function until(page: Page, what: (shown: ShownTurn[]) => boolean): Promise<ShownTurn[]> {
    for (const giveUpAt = performance.now() + WITHIN_MS; ; ) {
      const shown = await turns(page)
      if (what(shown)) return shown
      if (performance.now() > giveUpAt) throw new Error(`the page shows ${JSON.stringify(shown, null, 1)}`)
      await new Promise((done) => setTimeout(done, POLL_MS))
    }
  }
  const allDone =
    (n: number) =>
    (shown: ShownTurn[]): boolean =>
      shown.length === n && shown.every(({ state }) => state === 'done')
  const isTelling =
    (turn: number, chars = 30) =>
    (shown: ShownTurn[]): boolean =>
      shown[turn]?.state === 'answering' && shown[turn].answer.length > chars

  const get = async <T>(path: string): Promise<T> =>
    (await (await fetch(sluice.url + path, { headers: { authorization: `Bearer ${sluice.key}` } })).json()) as T

  /** What the server kept of the conversation that a page shows, in order. */
  async function kept(page: Page): Promise<string[]> {
    const id = new URLSearchParams(new URL(page.url()).hash.slice(1)).get('c')
    const { data } = await get<{ data: Job[] }>('/v1/jobs?limit=100')
    const jobs = data.filter(({ conversation }) => conversation.endsWith(`/${id}`)).reverse()
    return Promise.all(
      jobs.map(
        async (job) =>
          (await get<{ choices: Array<{ message: { content: string } }> }>(`/v1/jobs/${job.id}/result`)).choices[0]
            .message.content,
      ),
    )
  }

  it('keeps every word and the order, through three cuts, a reload and a second tab', async () => {
    context = await browser.newContext()
    const page = await open()
    await say(page, 'Tell me of rivers. demo: tokens=200 delay=45 ttft=50')
    await until(page, isTelling(0))
    // While it is being answered
    await say(page, 'And of the sea? demo: tokens=150 delay=20 ttft=50')
    await say(page, 'Do you remember what I said?')
    const waiting = await until(page, (shown) => shown.length === 3 && shown[2].note === '2nd in line')
    expect(waiting.map(({ state, note }) => [state, note])).toEqual([
      ['answering', ''],
      ['waiting', 'Next in line'],
      ['waiting', '2nd in line'],
    ])

    // Each cut in the middle of the answer; the last one stays away until something was typed
    for (const cut of [1, 2, 3]) {
      const before = (await turns(page))[0].answer.length
      if (cut === 3) await context.setOffline(true)
      await page.click('#cut')
      if (cut === 3) {
        await until(page, ([first]) => /^cut at token \d+, reconnecting…$/.test(first.seams[2] ?? ''))
        await eventually('offline', async () => (await page.textContent('#status'))!.startsWith('Offline'))
        await say(page, 'And of salt? demo: tokens=20 delay=5')
        await until(page, (shown) => shown[3]?.note === 'Sending…')
        await context.setOffline(false)
      }
      await until(page, ([first]) => first.seams.filter((seam) => seam.endsWith('none lost')).length === cut)
      await until(page, ([first]) => first.state === 'done' || first.answer.length > before)
    }
    expect((await turns(page))[0].seams[0]).toMatch(/^cut at token \d+, back after [\d.]+ m?s, none lost$/)

    // A second tab sees the same, while it is still being told
    const second = await open(page.url())
    expect((await until(second, (shown) => shown.length === 4)).map(({ question }) => question)).toEqual(
      (await turns(page)).map(({ question }) => question),
    )
    await page.reload()
    await isOpen(page)
    // The first tab follows what the second one says
    await say(second, 'And of honey? demo: tokens=20 delay=5')
    for (const tab of [page, second]) {
      const shown = await until(tab, allDone(5))
      expect(shown.map(({ answer }) => answer)).toEqual(await kept(tab))
      expect(shown[2].answer).toContain('“Tell me of rivers.”, then “And of the sea?”')
    }
    // It has a name by now, which the server keeps
    await eventually('named', async () => (await page.textContent('#list button')) === 'Tell me of rivers.')
    const elsewhere = await open()
    await eventually('named', async () => (await elsewhere.textContent('#title')) === 'Tell me of rivers.')
  })

  it('stops an answer by Esc or in place of Send, takes back one that waits; a reload shows the same', async () => {
    context = await browser.newContext()
    const page = await open()
    await say(page, 'Tell me all. demo: tokens=5000 delay=10 ttft=20')
    await say(page, 'Never mind this one.')
    await say(page, 'Tell me more. demo: tokens=5000 delay=10 ttft=20')
    await say(page, 'Shortly. demo: tokens=10 delay=5')
    await until(page, isTelling(0))
    // The message box may take the focus once more, when the new conversation gets its name
    await eventually('withdrawn', async () => {
      await page
        .locator('article:nth-child(2) .withdraw')
        .press('Enter', { timeout: 1_000 })
        .catch(() => {})
      return (await turns(page))[1].state === 'stopped'
    })
    expect([await page.isVisible('#stop'), await page.isVisible('#send')]).toEqual([true, false])
    await page.fill('#message', 'x')
    await eventually('Send', () => page.isVisible('#send'))
    await page.fill('#message', '')
    await page.click('#stop')
    await until(page, isTelling(2))
    await page.press('#message', 'Escape')
    const shown = await until(page, (all) => all[3].state === 'done')
    expect(shown.map(({ state, note }) => [state, note])).toEqual([
      ['stopped', 'Stopped'],
      ['stopped', 'Stopped'],
      ['stopped', 'Stopped'],
      ['done', ''],
    ])
    await page.reload()
    await isOpen(page)
    expect(await until(page, (all) => all.length === 4)).toEqual(shown)
  })

  deep('sends what was typed before it knew which conversation it shows', async () => {
    context = await browser.newContext()
    const page = await context.newPage()
    let release = (): void => {}
    const held = new Promise<void>((done) => (release = done))
    await page.route(/\/v1\/conversations\?limit/, async (route) => {
      await held
      await route.continue()
    })
    await page.goto(origin)
    await isOpen(page)
    await say(page, 'Are you there? demo: tokens=10 delay=5')
    expect(await turns(page)).toEqual([])
    release()
    expect((await until(page, allDone(1)))[0].question).toContain('Are you there?')
  })

  it('goes on over kill -9 of the server', async () => {
    context = await browser.newContext()
    const page = await open()
    await say(page, 'Tell me of clocks. demo: tokens=100 delay=30 ttft=20')
    await say(page, 'And then? demo: tokens=10 delay=5')
    await until(page, isTelling(0))
    await sluice.crash()
    const shown = await until(page, allDone(2))
    expect(shown.map(({ answer }) => answer)).toEqual(await kept(page))
  })

  deep('npm run demo: its button kills the server before your eyes, and the text goes on', async () => {
    const port = await freePort()
    const [demo, printed] = await run('demo.ts', ['--port', String(port)], {}, 'Open http://')
    expect(printed).toContain(`Open http://127.0.0.1:${port}`)
    context = await browser.newContext()
    const page = await open(`http://127.0.0.1:${port}`)
    await page.click('#chips button')
    await until(page, isTelling(0, 100))
    expect(await page.locator('#list button').allTextContents()).toHaveLength(1)
    await page.click('#kill')
    await until(page, ([{ seams }]) => seams.some((seam) => /^cut at token \d+, it continues when/.test(seam)))
    await until(page, ([{ seams }]) => seams.some((seam) => seam.endsWith('none lost')))
    await eventually('told', async () => /^(A new server is up|Back after)/.test((await page.textContent('#story'))!))
    const [{ answer }] = await until(page, allDone(1))
    // The next question is about something else
    await page.click('#cut')
    await eventually('told', async () => (await page.textContent('#story')) !== '')
    await say(page, 'What is Sluice?')
    expect(await page.textContent('#story')).toBe('')
    await until(page, allDone(2))
    // The whole of it, once: an answer of so many tokens of prose that says nothing twice
    const again = await open(page.url())
    expect((await until(again, allDone(2)))[0].answer).toBe(answer)
    expect(answer.split('\n\n').length).toBe(new Set(answer.split('\n\n')).size)
    // Nobody else can use it
    for (const headers of [{}, { origin: 'http://evil.example' }])
      expect((await fetch(`http://127.0.0.1:${port}/kill`, { method: 'POST', headers })).status).toBe(404)
    demo.kill('SIGTERM')
    await new Promise((done) => demo.once('exit', done))
    expect(existsSync(/removes (\S+)\./.exec(printed)![1])).toBe(false)
  })

  deep('keeps what was typed while nothing was accepted over a reload, and says it once', async () => {
    context = await browser.newContext()
    const page = await open()
    await say(page, 'Tell me of glass. demo: tokens=10 delay=5 ttft=20')
    await until(page, allDone(1))
    process.kill(sluice.pid, 'SIGSTOP')
    try {
      // The first arrives after all, when its page is gone; the second was never sent
      await say(page, 'And of sand? demo: tokens=10 delay=5 ttft=20')
      await until(page, (shown) => shown[1]?.note === 'Sending…')
      await page.click('#cut')
      await say(page, 'And of fire? demo: tokens=10 delay=5 ttft=20')
      await until(page, (shown) => shown[2]?.note === 'Sending…')
      await page.reload()
    } finally {
      process.kill(sluice.pid, 'SIGCONT')
    }
    const shown = await until(page, allDone(3))
    expect(shown.map(({ question }) => question.slice(0, 12))).toEqual(['Tell me of g', 'And of sand?', 'And of fire?'])
    expect(shown.map(({ answer }) => answer)).toEqual(await kept(page))
  })

  deep('knows its own job where it hears of it by another way first', async () => {
    context = await browser.newContext()
    const page = await context.newPage()
    // The server's acceptance is late, while its news is not
    let release = (): void => {}
    const released = new Promise<void>((done) => {
      release = done
    })
    let news = (): void => {}
    const told = new Promise<void>((done) => {
      news = done
    })
    await page.routeWebSocket(/v1\/ws/, (socket) => {
      const upstream = socket.connectToServer()
      upstream.onMessage(async (message) => {
        if (String(message).includes('"accepted"')) await released
        socket.send(message)
        // Where the conversation is read while it is submitted, what stands in it is told in place of the news
        if (/"submitted"|"jobs":\[\{/.test(String(message))) news()
      })
    })
    await page.goto(origin)
    await isOpen(page)
    await say(page, 'Tell me of wool. demo: tokens=2000 delay=10 ttft=5000')
    await told
    await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')
    expect((await turns(page)).map(({ state }) => state)).toEqual(['sending'])
    release()
    await until(page, (shown) => shown.length === 1 && shown[0].state === 'answering')
    await page.click('#stop')
  })

  it('renders Markdown, and nothing in it can be more than text', async () => {
    context = await browser.newContext()
    const page = await open()
    const errors: string[] = []
    page.on('pageerror', (error) => errors.push(String(error)))
    const mischief =
      '<img src=x onerror="window.hurt=1"><b>no</b> **bold** *em* `code <i>` [good](https://example.com/?a=1) ' +
      '[bad](javascript:window.hurt=1) [worse](data:text/html,x) [odd](https://a"onclick="window.hurt=1) ' +
      '![i](https://x/y.png)'
    await say(page, `${mischief} demo: echo=1`)
    const [shown] = await until(page, allDone(1))
    expect(shown.question).toContain('<b>no</b> **bold**')
    const made = (await page.evaluate(`(() => {
      const all = [...document.querySelectorAll('article *')]
      return { tags: [...new Set(all.map((e) => e.localName))].sort(), hurt: window.hurt ?? null,
        links: [...document.querySelectorAll('article a')].map((a) => a.href),
        attributes: [...new Set(document.querySelector('.answer').querySelectorAll('*'))]
          .flatMap((e) => [...e.attributes].map((a) => a.name)).sort() } })()`)) as {
      tags: string[]
      hurt: unknown
      links: string[]
      attributes: string[]
    }
    expect(made.hurt).toBeNull()
    expect(made.links).toEqual(['https://example.com/?a=1', 'https://x/y.png'])
    expect(new Set(made.attributes)).toEqual(new Set(['href', 'rel', 'target']))
    expect(made.tags).toEqual(['a', 'button', 'code', 'div', 'em', 'p', 'span', 'strong'])
    expect(shown.answer).toContain('[bad](javascript:window.hurt=1)')
    expect(errors).toEqual([])
  })

  deep('shows a failure where it happened, and tries again in its place', async () => {
    context = await browser.newContext()
    const page = await open()
    await say(page, 'Fail, please. demo: fail=400')
    const shown = await until(page, (all) => all[0]?.state === 'failed')
    expect(shown[0].note).toContain('The demo was asked to fail')
    await page.reload()
    await isOpen(page)
    expect(await until(page, (all) => all.length === 1 && all[0].note !== '')).toEqual(shown)
    await page.click('.again')
    await eventually('a second try', async () => (await page.locator('#log article').count()) === 2)
    await until(page, (all) => all.length === 1 && all[0].state === 'failed')
  })

  deep('on a phone: the list is a menu, targets are large, who reads further up stays there', async () => {
    context = await browser.newContext({ viewport: { width: 390, height: 600 }, hasTouch: true, isMobile: true })
    const page = await open()
    await say(page, 'Tell me of rain. demo: tokens=400 delay=2')
    await until(page, allDone(1))
    const end = (): Promise<number> =>
      page.evaluate(
        "(() => { const s = document.querySelector('#scroll'); return s.scrollHeight - s.scrollTop - " +
          's.clientHeight })()',
      )
    await eventually('at the end', async () => (await end()) < 2)
    expect(await page.isVisible('#newest')).toBe(false)
    await page.evaluate("document.querySelector('#scroll').scrollTop = 0")
    await page.waitForSelector('#newest', { state: 'visible' })
    await page.fill('#message', 'A\nlonger\nmessage')
    expect(await end()).toBeGreaterThan(100)
    await page.click('#newest')
    await eventually('at the end again', async () => (await end()) < 2)
    expect(await page.isVisible('#new')).toBe(false)
    await page.click('#menu')
    await page.waitForSelector('#new', { state: 'visible' })
    // The focus is seen: nothing cuts its outline off
    await page.press('#new', 'Tab')
    const focused = `(() => { const e = document.activeElement, { outlineStyle, outlineWidth, outlineOffset } =
      getComputedStyle(e); return [e.localName, outlineStyle, outlineWidth, outlineOffset].join(' ') })()`
    expect(await page.evaluate(focused)).toBe('button solid 2px -2px')
    const small = await page.evaluate(
      "[...document.querySelectorAll('button')].filter((b) => b.checkVisibility({ visibilityProperty: true " +
        '})).filter((b) => b.getBoundingClientRect().height < 44).map((b) => b.textContent)',
    )
    expect(small).toEqual([])
    await page.click('#new')
    await page.waitForSelector('#empty', { state: 'visible' })
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
    await page.focus('#message')
    expect(await page.evaluate(focused)).toBe('textarea solid 2px 0px')
    // What is told of the connection leaves the thread its place
    await say(page, 'Tell me of ice. demo: tokens=300 delay=10')
    await until(page, isTelling(0))
    await page.click('#cut')
    await eventually('told', async () => (await page.textContent('#story'))!.startsWith('Back after'))
    const [story, scroll] = (await page.evaluate(
      "['#story', '#scroll'].map((id) => document.querySelector(id).getBoundingClientRect().toJSON())",
    )) as Array<{ height: number; top: number; bottom: number }>
    expect([story.height <= 60, story.bottom <= scroll.top]).toEqual([true, true])
    await eventually('at the end still', async () => (await end()) < 2)
  })

  deep('asks for nothing that is not there, and for nothing while nothing happens', async () => {
    context = await browser.newContext()
    const page = await context.newPage()
    const [problems, calls]: [string[], string[]] = [[], []]
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
    page.on('pageerror', (error) => problems.push(String(error)))
    page.on(
      'response',
      (response) => response.status() >= 400 && problems.push(`${response.status()} ${response.url()}`),
    )
    await page.goto(origin)
    await isOpen(page)
    await page.waitForSelector('#empty', { state: 'visible' })
    expect(await page.evaluate('document.activeElement.id')).toBe('message')
    const called = await page.locator('button').allTextContents()
    expect(called.filter((name) => name === 'New chat')).toHaveLength(1)
    await say(page, 'Hello. demo: tokens=5 delay=1')
    await until(page, allDone(1))
    await eventually('named', async () => (await page.textContent('#list button')) === 'Hello.')
    await page.waitForLoadState('networkidle')
    page.on('request', (request) => calls.push(request.url()))
    await page.evaluate('new Promise((done) => setTimeout(done, 3_000))')
    expect([problems, calls]).toEqual([[], []])
  })

  it('without WebSockets: connected at once at load, nothing is blamed, and cuts are told as well', async () => {
    context = await browser.newContext()
    const page = await context.newPage()
    let blamed = false
    await page.exposeFunction('blame', () => {
      blamed = true
    })
    await page.routeWebSocket(/v1\/ws/, (socket) => void socket.close({ code: 1006 }))
    await page.goto(origin)
    await page.evaluate(
      "void new MutationObserver(() => document.querySelector('#problem').hidden || " +
        "blame()).observe(document.querySelector('#problem'), { attributes: true })",
    )
    await isOpen(page)
    expect(await page.textContent('#status')).toBe('Connected, without WebSockets')
    await page.waitForSelector('#empty', { state: 'visible' })
    await say(page, 'Tell me of wood. demo: tokens=150 delay=20')
    await until(page, isTelling(0))
    await page.click('#cut')
    await until(page, ([{ seams }]) => seams.some((seam) => seam.endsWith('none lost')))
    const shown = await until(page, allDone(1))
    expect(shown.map(({ answer }) => answer)).toEqual(await kept(page))
    expect(blamed).toBe(false)
  })

  deep('tells within seconds that it is offline, also over a connection that seems open', async () => {
    context = await browser.newContext()
    const page = await context.newPage()
    let muffled = false
    await page.routeWebSocket(/v1\/ws/, (socket) => {
      const upstream = socket.connectToServer()
      upstream.onMessage((message) => {
        if (!muffled) socket.send(message)
      })
    })
    await page.goto(origin)
    await isOpen(page)
    muffled = true
    const from = performance.now()
    await context.setOffline(true)
    await eventually('offline', async () => (await page.textContent('#status'))!.startsWith('Offline'))
    expectInTime(performance.now() - from, 12_000) // the heartbeat alone would take 30 s
    muffled = false
    await context.setOffline(false)
    await isOpen(page)
  })

  deep('on a slow network a reload says that it loads, and shows no empty conversation', async () => {
    context = await browser.newContext()
    const page = await open()
    await say(page, 'Tell me of peat. demo: tokens=10 delay=1')
    await until(page, allDone(1))
    let release = (): void => {}
    const released = new Promise<void>((done) => {
      release = done
    })
    await page.route(/\/v1\/conversations/, async (route) => {
      await released
      await route.continue()
    })
    await page.reload()
    await isOpen(page)
    await page.waitForSelector('#loading', { state: 'visible' })
    expect([await page.isVisible('#empty'), await page.textContent('#title')]).toEqual([false, 'Loading…'])
    release()
    await until(page, allDone(1))
    expect(await page.isVisible('#loading')).toBe(false)
  })

  deep('says how to let it in, where its origin is refused', async () => {
    const port = await freePort()
    const refused = `http://127.0.0.1:${port}`
    expect(await startChat(port, sluice)).toContain(`--http-cors-origins ${refused}`)
    context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(refused)
    await page.waitForSelector('#problem:not([hidden])')
    expect(await page.textContent('#problem')).toBe(
      `Sluice refuses pages of ${refused}: start it with --http-cors-origins ${refused}`,
    )
  })

  deep('says so where Sluice is away, and goes on when it is back', async () => {
    context = await browser.newContext()
    const page = await context.newPage()
    const away = /\/v1\//
    await page.route(away, (route) => route.abort('connectionrefused'))
    let isAway = true
    await page.routeWebSocket(
      /v1\/ws/,
      (socket) => void (isAway ? socket.close({ code: 1006 }) : socket.connectToServer()),
    )
    await page.goto(origin)
    await page.waitForSelector(`#problem:text-is("Sluice can't be reached at ${sluice.url}. Trying again.")`)
    await say(page, 'Are you there? demo: tokens=10 delay=5')
    isAway = false
    await page.unroute(away)
    await until(page, allDone(1))
    expect(await page.isVisible('#problem')).toBe(false)
  })

  it('gives no ticket to who is nobody, no key to anybody, and has no button to kill', async () => {
    const asked = await fetch(`${origin}/ticket`, { method: 'POST' })
    expect(asked.status).toBe(401)
    expect((await fetch(`${origin}/kill`, { method: 'POST', headers: { origin } })).status).toBe(404)
    const page = await fetch(origin)
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
    const [html, script] = [await page.text(), await (await fetch(`${origin}/main.js`)).text()]
    expect(script.length).toBeGreaterThan(10_000)
    expect((html + script).includes(sluice.key)).toBe(false)
    expect(html).toContain('<meta name="can-kill" content="false">')
  })
})
