/** The chat's page in a real browser: through cuts, a reload in mid-answer, a second tab and a server that is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { freePort, type Server, startServer } from '../e2e/server.ts'

const CHROMIUM = '/usr/bin/chromium'
const ROOT = join(import.meta.dirname, '../..')

interface ShownTurn {
  readonly question: string
  readonly answer: string
  readonly state: string
  readonly note: string
}
interface Job {
  readonly id: string
  readonly state: string
  readonly conversation: string
}

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
  }, 60_000)
  afterEach(() => context?.close())
  afterAll(async () => {
    await browser?.close()
    for (const child of children) child.kill()
    await sluice?.stop()
  })

  /** As its README says. Returns what it wrote to stderr, when it serves. */
  async function startChat(port: number, { url, key }: Server): Promise<string> {
    const child = spawn(
      process.execPath,
      ['--conditions=@sluice/source', 'examples/chat/server.ts', '--port', String(port)],
      {
        cwd: ROOT,
        env: { PATH: process.env['PATH'], SLUICE_URL: url, SLUICE_KEY: key },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    children.push(child)
    let err = ''
    child.stderr.on('data', (d: Buffer) => (err += d.toString()))
    await new Promise<void>((done, fail) => {
      child.stdout.once('data', () => done())
      child.once('exit', (code) => fail(new Error(`the chat's server ended with ${code}:\n${err}`)))
    })
    return err
  }

  async function open(): Promise<Page> {
    const page = await context.newPage()
    await page.goto(origin)
    await isOpen(page)
    return page
  }
  const isOpen = (page: Page): Promise<unknown> => page.waitForSelector('#status[data-state=open]', { timeout: 20_000 })

  async function say(page: Page, column: 1 | 2, text: string): Promise<void> {
    await page.fill(`#message-${column}`, text)
    await page.press(`#message-${column}`, 'Enter')
  }

  const turns = (page: Page, column: 1 | 2): Promise<ShownTurn[]> =>
    page.evaluate(`[...document.querySelectorAll('#column-${column} article')].map((a) => ({
      question: a.querySelector('.question').textContent, answer: a.querySelector('.answer').textContent,
      state: a.dataset.state, note: a.querySelector('.note').textContent }))`)

  /** Waits until a column shows what is asked. */
  async function until(page: Page, column: 1 | 2, what: (shown: ShownTurn[]) => boolean): Promise<ShownTurn[]> {
    const giveUpAt = performance.now() + 30_000
    for (;;) {
      const shown = await turns(page, column)
      if (what(shown)) return shown
      if (performance.now() > giveUpAt) throw new Error(`the page shows ${JSON.stringify(shown, null, 1)}`)
      await new Promise((done) => setTimeout(done, 50))
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

  /** What the server kept of a column's conversation, in order. */
  async function kept(page: Page, column: 1 | 2): Promise<string[]> {
    const id = ((await page.evaluate("JSON.parse(localStorage.getItem('conversations'))")) as string[])[column - 1]
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
    await say(page, 1, 'Tell me of rivers. demo: tokens=150 delay=30 ttft=50')
    await say(page, 2, 'Tell me of bread. demo: tokens=150 delay=30 ttft=50')
    // Side by side: both tell at once
    await until(page, 1, isTelling(0))
    await until(page, 2, isTelling(0))
    // While the first is being answered
    await say(page, 1, 'And of the sea? demo: tokens=120 delay=20 ttft=50')
    await say(page, 1, 'Do you remember what I said?')
    const waiting = await until(page, 1, (shown) => shown.length === 3 && shown[2].note === '2nd in line')
    expect(waiting.map(({ state, note }) => [state, note])).toEqual([
      ['answering', ''],
      ['waiting', 'Next in line'],
      ['waiting', '2nd in line'],
    ])

    // Each cut in the middle of an answer; the last one stays away until something was typed
    for (const cut of [1, 2, 3]) {
      const before = (await turns(page, 1))[0].answer.length
      await page.evaluate(
        "void (window.lost = new Promise((done) => new MutationObserver(() => done()).observe(document.querySelector('#status'), { attributes: true })))",
      )
      if (cut === 3) await context.setOffline(true)
      await page.click('#cut')
      await page.evaluate('window.lost')
      if (cut === 3) {
        await page.waitForSelector('#status:text-is("Offline")')
        await say(page, 2, 'And of salt? demo: tokens=20 delay=5')
        await until(page, 2, (shown) => shown[1]?.note === 'Sending…')
        await context.setOffline(false)
      }
      await isOpen(page)
      await until(page, 1, ([first]) => first.answer.length > before)
    }

    // A second tab sees the same, while it is still being told
    const second = await open()
    expect((await until(second, 1, (shown) => shown.length === 3)).map(({ question }) => question)).toEqual(
      (await turns(page, 1)).map(({ question }) => question),
    )
    await until(page, 1, isTelling(1))
    await page.reload()
    await isOpen(page)
    // The first tab follows what the second one says
    await say(second, 2, 'And of honey? demo: tokens=20 delay=5')

    for (const tab of [page, second]) {
      const first = await until(tab, 1, allDone(3))
      expect(first.map(({ answer }) => answer)).toEqual(await kept(tab, 1))
      expect(first[2].answer).toContain('“Tell me of rivers.”, then “And of the sea?”')
      const other = await until(tab, 2, allDone(3))
      expect(other.map(({ question }) => question.split('?')[0])).toEqual([
        'Tell me of bread. demo: tokens=150 delay=30 ttft=50',
        'And of salt',
        'And of honey',
      ])
      expect(other.map(({ answer }) => answer)).toEqual(await kept(tab, 2))
    }
    await say(second, 1, 'Thank you. demo: tokens=10 delay=5')
    expect((await until(page, 1, allDone(4))).map(({ answer }) => answer)).toEqual(await kept(page, 1))
  }, 90_000)

  it('stops an answer, and one that waits; the next goes on, and a reload shows the same', async () => {
    context = await browser.newContext()
    const page = await open()
    await say(page, 1, 'Tell me all. demo: tokens=5000 delay=10 ttft=20')
    await say(page, 1, 'Never mind this one.')
    await say(page, 1, 'Shortly. demo: tokens=10 delay=5')
    await until(page, 1, isTelling(0))
    await page.locator('#column-1 article:nth-child(2) .withdraw').press('Enter')
    await until(page, 1, (shown) => shown[1].state === 'stopped')
    await page.click('#column-1 .halt')
    const shown = await until(page, 1, (all) => all[2].state === 'done')
    expect(shown.map(({ state, note }) => [state, note])).toEqual([
      ['stopped', 'Stopped'],
      ['stopped', 'Stopped'],
      ['done', ''],
    ])
    expect(shown[0].answer.length).toBeGreaterThan(30)
    await page.reload()
    await isOpen(page)
    expect(await until(page, 1, (all) => all.length === 3)).toEqual(shown)
  }, 60_000)

  it('goes on over kill -9 of the server', async () => {
    context = await browser.newContext()
    const page = await open()
    await say(page, 1, 'Tell me of clocks. demo: tokens=100 delay=30 ttft=20')
    await say(page, 1, 'And then? demo: tokens=10 delay=5')
    await until(page, 1, isTelling(0))
    await sluice.crash()
    const shown = await until(page, 1, allDone(2))
    expect(shown.map(({ answer }) => answer)).toEqual(await kept(page, 1))
  }, 60_000)

  it('keeps what was typed while nothing was accepted over a reload, and says it once', async () => {
    context = await browser.newContext()
    const page = await open()
    await say(page, 1, 'Tell me of glass. demo: tokens=10 delay=5 ttft=20')
    await until(page, 1, allDone(1))
    process.kill(sluice.pid, 'SIGSTOP')
    try {
      // The first arrives after all, when its page is gone; the second was never sent
      await say(page, 1, 'And of sand? demo: tokens=10 delay=5 ttft=20')
      await until(page, 1, (shown) => shown[1]?.note === 'Sending…')
      await page.click('#cut')
      await say(page, 1, 'And of fire? demo: tokens=10 delay=5 ttft=20')
      await until(page, 1, (shown) => shown[2]?.note === 'Sending…')
      await page.reload()
    } finally {
      process.kill(sluice.pid, 'SIGCONT')
    }
    const shown = await until(page, 1, allDone(3))
    expect(shown.map(({ question }) => question.slice(0, 12))).toEqual(['Tell me of g', 'And of sand?', 'And of fire?'])
    expect(shown.map(({ answer }) => answer)).toEqual(await kept(page, 1))
  }, 60_000)

  it('knows its own job where it hears of it by another way first', async () => {
    context = await browser.newContext()
    const page = await context.newPage()
    // The server's acceptance is late, while its list of jobs is not
    let release = (): void => {}
    const released = new Promise<void>((done) => {
      release = done
    })
    await page.routeWebSocket(/v1\/ws/, (socket) => {
      const upstream = socket.connectToServer()
      upstream.onMessage(async (message) => {
        if (String(message).includes('"accepted"')) await released
        socket.send(message)
      })
    })
    await page.goto(origin)
    await isOpen(page)
    const listed = page.waitForResponse(
      async (response) =>
        response.url().includes('/v1/jobs?') && ((await response.json()) as { data: Job[] }).data.length === 1,
    )
    await say(page, 1, 'Tell me of wool. demo: tokens=2000 delay=10 ttft=5000')
    await listed
    await page.evaluate('new Promise((done) => setTimeout(done, 500))')
    expect((await turns(page, 1)).map(({ state }) => state)).toEqual(['sending'])
    release()
    await until(page, 1, (shown) => shown.length === 1 && shown[0].state === 'answering')
    await page.click('.halt')
  }, 60_000)

  it('shows markup as text, and a failure where it happened', async () => {
    context = await browser.newContext()
    const page = await open()
    const mischief = '<img src=x onerror="window.hurt=1"><b>bold</b> demo: echo=1'
    await say(page, 1, mischief)
    await say(page, 1, 'Fail, please. demo: fail=400')
    const shown = await until(page, 1, (all) => all[0]?.state === 'done' && all[1]?.state === 'failed')
    expect(shown[0].question).toBe(mischief)
    expect(shown[0].answer).toContain('<b>bold</b>')
    expect(await page.evaluate("document.querySelectorAll('article img, article b').length + (window.hurt ?? 0)")).toBe(
      0,
    )
    expect(shown[1].note).toContain('The demo was asked to fail')
    await page.reload()
    expect(await until(page, 1, (all) => all.length === 2)).toEqual(shown)
  }, 60_000)

  it('shows one conversation at a time where there is no room, and the last words of each', async () => {
    context = await browser.newContext({ viewport: { width: 390, height: 500 } })
    const page = await open()
    const end = (column: 1 | 2): Promise<number> =>
      page.evaluate(
        `(() => { const log = document.querySelector('#column-${column} [role=log]'); return log.scrollHeight - log.scrollTop - log.clientHeight })()`,
      )
    const visible = (): Promise<boolean[]> => Promise.all([page.isVisible('#message-1'), page.isVisible('#message-2')])
    await say(page, 1, 'Tell me of rain. demo: tokens=300 delay=2')
    expect(await visible()).toEqual([true, false])
    await page.click('nav button:last-child')
    expect(await visible()).toEqual([false, true])
    await say(page, 2, 'Tell me of snow. demo: tokens=300 delay=2')
    for (const column of [1, 2] as const) await until(page, column, allDone(1))
    expect(await end(2)).toBeLessThan(2)
    await page.click('nav button:first-child')
    await expect.poll(() => end(1)).toBeLessThan(2)
    // Who reads further up is left there
    await page.evaluate("document.querySelector('#column-1 [role=log]').scrollTop = 0")
    await page.fill('#message-1', 'A\nlonger\nmessage')
    expect(await end(1)).toBeGreaterThan(100)
  }, 60_000)

  it('says how to let it in, where its origin is refused', async () => {
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
  }, 60_000)

  it('says so where Sluice is away, and goes on when it is back', async () => {
    context = await browser.newContext()
    const page = await context.newPage()
    const away = /\/v1\/|readyz/
    await page.route(away, (route) => route.abort('connectionrefused'))
    let isAway = true
    await page.routeWebSocket(
      /v1\/ws/,
      (socket) => void (isAway ? socket.close({ code: 1006 }) : socket.connectToServer()),
    )
    await page.goto(origin)
    await page.waitForSelector(`#problem:text-is("Sluice can't be reached at ${sluice.url}.")`)
    await say(page, 1, 'Are you there? demo: tokens=10 delay=5')
    isAway = false
    await page.unroute(away)
    await until(page, 1, allDone(1))
    expect(await page.isVisible('#problem')).toBe(false)
  }, 60_000)

  it('gives no ticket to who is nobody, and no key to anybody', async () => {
    const asked = await fetch(`${origin}/ticket`, { method: 'POST' })
    expect(asked.status).toBe(401)
    const page = await fetch(origin)
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
    const [html, script] = [await page.text(), await (await fetch(`${origin}/main.js`)).text()]
    expect(script.length).toBeGreaterThan(10_000)
    expect((html + script).includes(sluice.key)).toBe(false)
  })
})
