/** What pages of the dashboard are told while things happen, on a real server. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { LiveAsk } from '../../src/core/live.ts'
import { RawUpstream, response } from '../../src/routing/providers/testing/upstream.ts'
import { startTestApp, type TestApp } from './app.ts'
import { byKey, type LivePage, openPage } from './live.ts'

const NOW: LiveAsk = { t: 'watch', page: 'now', range: '15m', rows: 'tenant', node: null }
const JOBS: LiveAsk = { t: 'watch', page: 'jobs', filter: {} }
const SECRET = 'the canary prompt sings of 4f1c'

let app: TestApp
const open: LivePage[] = []
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app?.stop())
afterEach(() => {
  for (const page of open.splice(0)) page.close()
})

async function page(headers?: Record<string, string>): Promise<LivePage> {
  const opened = await openPage(app, headers)
  open.push(opened)
  return opened
}
const submit = (content: string, more: object = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'demo', stream: true, messages: [{ role: 'user', content }], ...more }),
  })
async function idOf(answer: Response): Promise<string> {
  const id = answer.headers.get('sluice-job')
  expect(id).toMatch(/^job_/)
  return id!
}

/** Of a page that has signed in so. */
async function signedIn(at: TestApp, role: string): Promise<Record<string, string>> {
  const { path } = (await (await at.admin('/admin/session/links', { role })).json()) as { path: string }
  const url = `http://127.0.0.1:${at.adminPort}`
  const answer = await fetch(`${url}/admin/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code: path.split('=')[1] }),
  })
  return { cookie: answer.headers.get('set-cookie')!.split(';')[0], origin: url }
}

describe('Now', () => {
  it('begins with the first start, and turns into figures with the first answer', async () => {
    const opened = await page()
    expect(await opened.next('hello')).toMatchObject({ isNew: true })
    opened.ask(NOW)
    expect((await opened.next('now')).briefs).toMatchObject([{ kind: 'new' }])
    const whole = await opened.next('chart')
    expect(whole.from).toBe(0)
    expect(whole.ttftP95).toHaveLength(whole.buckets)
    // Nothing is known of the time before the start
    expect(whole.buckets).toBeLessThan(180)
    expect(Date.now() - whole.startAtMs).toBeLessThan(120_000)
    expect((await opened.next('line')).rows).toBe('tenant')
    opened.clear()

    const answers = await Promise.all(Array.from({ length: 6 }, () => submit('demo: tokens=12 delay=2 ttft=30')))
    for (const answer of answers) await answer.text()
    const told = await opened.next('now', ({ ttftP95Ms }) => ttftP95Ms.value !== null)
    expect(told.ttftP95Ms.value).toBeGreaterThan(25)
    expect(told.ttftP95Ms).toMatchObject({ goal: 1_500, isWell: told.ttftP95Ms.value! <= 1_500 })
    const after = await opened.next('now', ({ good }) => good.value === 1)
    expect(after.briefs[0].kind).toMatch(/well|idle/)
    expect(after.deployments.map(({ deployment }) => deployment)).toHaveLength(2)
    expect(after.tokensPerSecond.spark.length).toBeLessThanOrEqual(60)
    const chart = await opened.next('chart', (each) => each.outcomes.done.some((n) => n > 0))
    expect(chart.ttft.upstream.some((ms) => ms !== null && ms > 20)).toBe(true)
    // Answers may end in two buckets, and the last one is told as it grows
    const tokens = (): number => {
      const byBucket = new Map<number, number>()
      for (const each of opened.told)
        if (each.t === 'chart') for (const [i, value] of each.tokensOut.entries()) byBucket.set(each.from + i, value)
      return [...byBucket.values()].reduce((sum, value) => sum + value, 0)
    }
    await opened.next('chart', () => tokens() === 72)
  })

  it('tells less than 8 KB a second once it has told all', async () => {
    const opened = await page()
    opened.ask(NOW)
    await opened.next('chart')
    await opened.next('changes')
    await opened.next('jobs')
    opened.clear()
    const answers = await Promise.all(Array.from({ length: 10 }, () => submit('demo: tokens=40 delay=20 ttft=50')))
    for (const answer of answers) await answer.text()
    await opened.next('chart', ({ from }) => from > 0)
    const told = ['now', 'chart', 'foot'].map((t) =>
      Math.max(...opened.told.flatMap((each, i) => (each.t === t ? [opened.sizes[i]] : []))),
    )
    expect(told.reduce((sum, size) => sum + size, 0)).toBeLessThan(8_192)
  })

  it('shows a piece of the past, and leaves it', async () => {
    const opened = await page()
    const toMs = Date.now()
    opened.ask({ ...NOW, range: { fromMs: toMs - 3_600_000, toMs } })
    const chart = await opened.next('chart')
    expect(chart.buckets).toBeLessThanOrEqual(600)
    await opened.next('now')
    opened.clear()
    await opened.next('now')
    expect(opened.told.some(({ t }) => t === 'chart')).toBe(false)
  })

  it('names what is paused while nothing runs', async () => {
    await app.admin('/admin/pause', { model: 'talks' })
    const waiting = submit('demo: tokens=2 delay=1 ttft=1', { model: 'talks' })
    const opened = await page()
    opened.ask(NOW)
    const isStuck = ({ briefs }: { briefs: ReadonlyArray<{ kind: string }> }): boolean => briefs[0].kind === 'stuck'
    let told = null
    for (let i = 0; i < 3 && told === null; i++) told = await opened.next('now', isStuck).catch(() => null)
    const text = (told?.briefs[0].cause ?? []).map((word) => word.text).join('')
    expect(text).toContain('model talks is paused')
    await app.admin('/admin/resume', { model: 'talks' })
    await (await waiting).text()
  })
})

describe('jobs', () => {
  it('come as rows, change as they run, and are filtered', async () => {
    const opened = await page()
    opened.ask(JOBS)
    await opened.next('jobs')
    opened.clear()
    const answer = await submit('demo: tokens=30 delay=80 ttft=20')
    const id = await idOf(answer)
    const row = async (ok: (state: string) => boolean) =>
      (await opened.next('jobs', ({ jobs }) => jobs.some(({ job, state }) => job === id && ok(state)))).jobs.findLast(
        ({ job, state }) => job === id && ok(state),
      )!
    expect(await row((state) => state === 'leased')).toMatchObject({ tenant: 'default', model: 'demo', attempts: 1 })
    await answer.text()
    const done = await row((state) => state === 'done')
    expect(done).toMatchObject({ tokens: 30, error: null, isCut: false })
    expect(done.ttft?.upstream).toBeGreaterThan(10)
    // The demo model's texts may be shown
    expect(done.words).toBeTruthy()
    opened.clear()
    opened.ask({ ...JOBS, filter: { state: 'done', tenant: 'nobody' } })
    expect((await opened.next('jobs')).jobs).toEqual([])
    opened.clear()
    opened.ask({ ...JOBS, filter: { kind: 'cut' } })
    expect((await opened.next('jobs')).jobs.every(({ isCut }) => isCut)).toBe(true)
  })

  it('show a viewer no text', async () => {
    const opened = await page(await signedIn(app, 'viewer'))
    await (await submit('demo: tokens=9 delay=1 ttft=1')).text()
    opened.ask(JOBS)
    const { jobs } = await opened.next('jobs', (told) => told.jobs.some(({ state }) => state === 'done'))
    expect(jobs.every(({ words }) => words === null)).toBe(true)
  })

  it('are told whole: waterfall, curves, and a reader that was cut and came back', async () => {
    const opened = await page()
    const submitted = await fetch(`http://127.0.0.1:${app.port}/v1/jobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        request: {
          model: 'demo',
          stream: true,
          messages: [{ role: 'user', content: `${SECRET} demo: tokens=60 delay=25 ttft=50` }],
        },
      }),
    })
    const { id } = (await submitted.json()) as { id: string }
    opened.ask({ t: 'watch', page: 'job', job: id })
    const events = (cursor?: string, signal?: AbortSignal): Promise<Response> =>
      fetch(`http://127.0.0.1:${app.port}/v1/jobs/${id}/events`, {
        headers: { authorization: `Bearer ${app.key}`, ...(cursor && { 'last-event-id': cursor }) },
        ...(signal && { signal }),
      })
    const cut = new AbortController()
    let seen = ''
    const first = await events(undefined, cut.signal)
    for await (const bytes of first.body!) {
      seen += Buffer.from(bytes).toString()
      if (seen.split('\n\n').length > 20) break
    }
    cut.abort()
    const cursor = [...seen.matchAll(/^id: ?(.+)$/gm)].at(-1)![1]
    await opened.next('job', ({ row }) => row.isCut)
    await (await events(cursor)).text()
    const trace = await opened.next(
      'job',
      ({ row, readers }) => row.state === 'done' && readers.at(-1)?.complete === true,
    )
    expect(trace.readers).toMatchObject([
      { by: 'SSE', complete: false },
      { by: 'SSE', complete: true },
    ])
    expect(trace.counts).toEqual({ stored: 60, shown: 60, lost: 0, shownTwice: 0 })
    expect(trace.attempts).toMatchObject([{ attempt: 1, mode: 'first', tokens: 60, error: null }])
    const parts = trace.attempts[0].spans.map(({ part }) => part)
    expect(parts.filter((part) => part === 'upstream' || part === 'tokens')).toEqual(['upstream', 'tokens'])
    expect(trace.stored.at(-1)![1]).toBe(60)
    expect(trace.stored.length).toBeLessThanOrEqual(120)
    expect(trace.shown.at(-1)![1]).toBe(60)
    expect(trace.facts.map(({ name }) => name)).toEqual(expect.arrayContaining(['First token', 'Tokens out', 'Key']))
  })

  it('that are not there are an error', async () => {
    const opened = await page()
    opened.ask({ t: 'watch', page: 'job', job: 'job_00000000000000000000000000' })
    expect((await opened.next('error')).error.code).toBe('job_not_found')
  })
})

it('tells what was changed', async () => {
  const opened = await page()
  opened.ask(NOW)
  const first = await opened.next('changes')
  const started = first.changes.findLast(({ kind }) => kind === 'config')
  expect(started?.words.map(({ text }) => text).join('')).toMatch(/^\S+ started \(Sluice \d/)
  opened.clear()
  await app.addKey('acme')
  const { changes } = await opened.next('changes', (told) => told.changes.some(({ kind }) => kind === 'key'))
  expect(changes[0].words.map(({ text }) => text).join('')).toMatch(/^Key \S+ created/)
})

it('shows nobody who signed in what a provider quotes of a prompt, unless it is asked for', async () => {
  const upstream = new RawUpstream()
  await upstream.listen()
  upstream.answer = (socket) =>
    socket.end(response('400 Bad Request', JSON.stringify({ error: { message: `Bad prompt: ${SECRET}` } })))
  const strict = await startTestApp(
    {},
    { models: [{ name: 'm', provider: 'openai-compatible', base_url: `${upstream.url}/v1` }] },
  )
  try {
    const failed = await fetch(`http://127.0.0.1:${strict.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${strict.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: SECRET }] }),
    })
    expect(await failed.text()).toContain(SECRET)
    const job = await idOf(failed)
    for (const role of ['viewer', 'admin']) {
      const headers = await signedIn(strict, role)
      const opened = await openPage(strict, headers)
      opened.ask({ t: 'watch', page: 'job', job })
      const trace = await opened.next('job')
      expect(trace.row.error?.code).toBe('provider_rejected')
      opened.ask(JOBS)
      await opened.next('jobs')
      opened.close()
      const admin = async (path: string): Promise<string> =>
        (
          await fetch(`http://127.0.0.1:${strict.adminPort}${path}`, { headers: { ...headers, 'x-sluice-page': '1' } })
        ).text()
      const list = await admin('/admin/jobs')
      expect(list).toContain(job)
      expect(JSON.stringify(opened.told) + list).not.toContain(SECRET)
      const text = await admin(`/admin/jobs/${job}/text?part=error`)
      expect(text.includes(SECRET)).toBe(role === 'admin')
    }
    const audit = await fetch(`http://127.0.0.1:${strict.adminPort}/admin/audit`, { headers: byKey })
    expect(await audit.text()).toContain('text-viewed')
  } finally {
    await strict.stop()
    await upstream.stop()
  }
})

it('tells nobody a key, nor a prompt', async () => {
  const opened = await page(byKey)
  opened.ask(NOW)
  await opened.next('changes')
  opened.ask(JOBS)
  await (await submit(`${SECRET} demo: tokens=3 delay=1 ttft=1`)).text()
  await opened.next('jobs', ({ jobs }) => jobs.some(({ state }) => state === 'done'))
  const all = JSON.stringify(opened.told)
  expect(all).not.toContain(app.key)
  expect(all).not.toContain(SECRET)
})
