/** The dashboard of a fleet shows what all of its nodes have measured: real processes on a real Redis. */
import { writeFileSync } from 'node:fs'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import type { JobRow, LiveAsk, LiveTold } from '../../src/core/live.ts'
import { eventually } from '../conformance/harness.ts'
import { freePort } from '../free-port.ts'
import { type LivePage, openPage } from '../front/live.ts'
import { NO_REDIS } from '../redis/server.ts'
import { ADMIN_KEY, call, type Fleet, type FleetProcess, KEY, startFleet } from './fleet.ts'
import { freshFolder, killAll, removeFolders } from './serve.ts'

type Chart = Extract<LiveTold, { t: 'chart' }>

const now = (node: string | null = null): LiveAsk => ({ t: 'watch', page: 'now', range: '15m', rows: 'tenant', node })
const SECRET = 'the canary prompt sings of 7d2e'
type Foot = Extract<LiveTold, { t: 'foot' }>

const allSpeak = ({ nodes }: Foot): boolean => nodes.every(({ silentMs }) => silentMs < 3_000)
const total = (counts: readonly number[]): number => counts.reduce((sum, n) => sum + n, 0)

/** Streams in the heatmap: rows and counts take turns. */
const heated = ({ heat }: Chart): number => total(heat.flatMap((cells) => cells.filter((_, i) => i % 2 === 1)))

describe.skipIf(NO_REDIS)('Redis: the dashboard of a fleet', () => {
  let fleet: Fleet
  const pages: LivePage[] = []
  afterEach(async () => {
    for (const page of pages.splice(0)) page.close()
    // One that was stopped hears no signal
    for (const { child } of fleet?.processes ?? []) child.kill('SIGCONT')
    await fleet?.stop()
    killAll()
  })
  afterAll(removeFolders)

  async function pageOf({ adminUrl }: Pick<FleetProcess, 'adminUrl'>): Promise<LivePage> {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` }
    const page = await openPage({ adminPort: Number(new URL(adminUrl).port) }, headers)
    pages.push(page)
    await page.next('hello')
    return page
  }

  async function stream(url: string, content: string): Promise<{ readonly job: string; readonly tokens: number }> {
    const messages = [{ role: 'user', content }]
    const body = { model: 'demo', stream: true, stream_options: { include_usage: true }, messages }
    const answer = await call(url, '/v1/chat/completions', { body })
    expect(answer.status).toBe(200)
    const text = await answer.text()
    return { job: answer.headers.get('sluice-job')!, tokens: Number(/"completion_tokens":(\d+)/.exec(text)![1]) }
  }

  /** All that is known now, of one node or of all. */
  async function chartOf(page: LivePage, node: string | null = null): Promise<Chart> {
    page.clear()
    page.ask(now(node))
    return page.next('chart', ({ from }) => from === 0)
  }

  it('its sums are what clients did, at whichever node one looks; a node alone shows its part', async () => {
    fleet = await startFleet('gateway', 'gateway', 'worker', 'worker')
    const { Redis } = await import('ioredis')
    const heard = new Redis(fleet.redis.url)
    const crossed: string[] = []
    heard.on('error', () => {})
    heard.on('pmessage', (_pattern, channel: string, message: string) => crossed.push(`${channel} ${message}`))
    await heard.psubscribe('*:ask', '*:ans:*')

    const all = await Promise.all(fleet.processes.map(pageOf))
    for (const page of all) await page.next('foot', ({ nodes }) => nodes.length === 4)
    const [a, b] = fleet.gateways
    const streams = Array.from({ length: 12 }, (_, n) =>
      stream(n % 3 === 0 ? b : a, `${SECRET}. demo: tokens=${20 + n}`),
    )
    const answered = await Promise.all(streams)
    const tokens = total(answered.map((each) => each.tokens))
    await call(a, '/v1/chat/completions', { body: { model: 'nobody-has-it', messages: [] } })

    for (const page of all)
      await eventually(async () => {
        const chart = await chartOf(page)
        expect(total(chart.outcomes.done)).toBe(12)
        expect(total(chart.tokensOut)).toBe(tokens)
        expect(total(chart.judged)).toBe(12)
        expect(heated(chart)).toBe(12)
        expect(chart.ttftP95.some((ms) => ms !== null)).toBe(true)
      })
    // Who has run what is known of each, and none of it twice
    const foot = await all[0].next('foot')
    expect(foot.nodes.map(({ role }) => role).sort()).toEqual(['gateway', 'gateway', 'worker', 'worker'])
    expect(foot.nodes.filter(({ coordinates }) => coordinates)).toHaveLength(1)
    expect(new Set(foot.nodes.map(({ id }) => id)).size).toBe(4)
    const parts = []
    for (const { id } of foot.nodes) parts.push(await chartOf(all[0], id))
    expect(total(parts.map((chart) => total(chart.tokensOut)))).toBe(tokens)
    expect(parts.filter((chart) => total(chart.tokensOut) > 0).length).toBeGreaterThan(0)
    expect(total((await chartOf(all[0], 'nobody')).tokensOut)).toBe(0)
    all[0].clear()
    all[0].ask(now())
    // A picture of the node before may be on its way
    const { deployments } = await all[0].next('now', (told) => told.deployments[0].attempts > 0)
    expect(deployments.map(({ attempts, failed }) => [attempts, failed])).toEqual([[12, 0]])

    // A job that was submitted at one gateway, decided on, run and read elsewhere: whole at the other one
    const [{ job, tokens: ofOne }] = answered.filter((_, n) => n % 3 === 0)
    const { jobs } = await all[0].next('jobs', (told) => told.jobs.length >= 12)
    expect(new Set(jobs.map((row) => row.job))).toEqual(new Set(answered.map((each) => each.job)))
    expect(jobs.find((row) => row.job === job)).toMatchObject({ state: 'done', attempts: 1, tokens: ofOne })
    all[0].ask({ t: 'watch', page: 'job', job })
    // Its reader may be through before the worker has told of the call
    const trace = await all[0].next(
      'job',
      ({ counts, attempts }) =>
        counts.shown === ofOne && attempts[0]?.spans.some(({ part }: { readonly part: string }) => part === 'tokens'),
    )
    expect(trace.counts).toEqual({ stored: ofOne, shown: ofOne, lost: 0, shownTwice: 0 })
    expect(trace.spans).not.toBeNull()
    expect(trace.attempts).toMatchObject([{ attempt: 1, deployment: expect.stringContaining('demo'), tokens: ofOne }])
    expect(trace.attempts[0].spans.map(({ part }) => part)).toContain('tokens')
    expect(trace.readers).toMatchObject([{ by: 'SSE', complete: true }])
    expect(trace.stored.at(-1)?.[1]).toBe(ofOne)

    expect(crossed.some((text) => text.includes(job))).toBe(true)
    for (const text of [...crossed, ...all.flatMap(({ told }) => told.map((frame) => JSON.stringify(frame)))]) {
      expect(text).not.toContain(KEY)
      expect(text).not.toContain(ADMIN_KEY)
    }
    for (const text of crossed) expect(text).not.toContain(SECRET)
    // Nobody looks any more: nobody is asked
    for (const page of pages.splice(0)) {
      page.close()
      await page.closed
    }
    await eventually(async () => {
      const before = crossed.length
      await new Promise((next) => setTimeout(next, 2_500))
      expect(crossed.length).toBe(before)
    })
    heard.disconnect()
  })

  it('a gateway that is frozen is silent within seconds, and its figures are left out; the rest goes on', async () => {
    fleet = await startFleet('gateway', 'gateway', 'worker')
    const [first, frozen] = fleet.processes.filter(({ role }) => role === 'gateway')
    const page = await pageOf(first)
    await page.next('foot', ({ nodes }) => nodes.length === 3)
    await stream(frozen.url!, 'demo: tokens=5')
    await stream(first.url!, 'demo: tokens=5')
    await eventually(async () => expect(total((await chartOf(page)).outcomes.done)).toBe(2))
    frozen.child.kill('SIGSTOP')
    page.clear()
    const silent = ({ nodes }: Foot) => nodes.filter(({ silentMs }) => silentMs > 3_000).map(({ role }) => role)
    const { nodes } = await page.next('foot', (foot) => String(silent(foot)) === 'gateway')
    expect(nodes).toHaveLength(3)
    const { tokens } = await stream(first.url!, 'demo: tokens=9')
    await eventually(async () => {
      page.clear()
      page.ask({ t: 'watch', page: 'jobs', filter: {} })
      const { jobs } = await page.next('jobs')
      expect(jobs.filter((row: JobRow) => row.state === 'done' && row.tokens === tokens).length).toBeGreaterThan(0)
    })
    frozen.child.kill('SIGCONT')
    page.clear()
    await page.next('foot', (foot) => foot.nodes.length === 3 && allSpeak(foot))
    await eventually(async () => expect(total((await chartOf(page)).outcomes.done)).toBe(3))
  })

  it('a worker that is killed is named as the cause of late answers; one that leaves is not missed', async () => {
    const file = `${freshFolder()}.yaml`
    writeFileSync(
      file,
      JSON.stringify({
        models: [{ name: 'demo', provider: 'demo' }],
        goals: { ttft_ms: 300 },
        workers: { concurrency: 1 },
      }),
    )
    fleet = await startFleet()
    const args = ['--config', file]
    const gateway = await fleet.add('gateway', { args })
    const workers = await Promise.all([1, 2, 3].map(() => fleet.add('worker', { args })))
    const page = await pageOf(gateway)
    const { nodes } = await page.next('foot', (foot) => foot.nodes.length === 4)
    workers[2].child.kill('SIGTERM')
    await workers[2].ended
    page.clear()
    await page.next('foot', (foot) => foot.nodes.length === 3 && allSpeak(foot))

    const idOf = (pid: number): string => nodes.find(({ id }) => id.endsWith(`:${pid}`))!.id
    const victim = idOf(workers[1].child.pid!)
    workers[1].child.kill('SIGKILL')
    page.clear()
    await page.next('foot', (foot) => foot.nodes.some(({ id, silentMs }) => id === victim && silentMs > 3_000))
    page.ask(now())
    const streams = Array.from({ length: 12 }, () => stream(gateway.url!, 'demo: tokens=20 delay=20'))
    const causeOf = ({ cause }: { readonly cause: ReadonlyArray<{ readonly text: string }> }): string =>
      cause.map(({ text }) => text).join('')
    const { briefs } = await page.next('now', (told) => told.briefs.some((brief) => causeOf(brief).includes(victim)))
    expect(briefs[0].kind).toBe('late')
    expect(causeOf(briefs[0])).toContain(`the queue. ${victim} is gone, with the slots of its workers.`)
    await Promise.all(streams)
  })

  it('several processes on one port are nodes; one that follows a killed one takes its place', async () => {
    fleet = await startFleet()
    const ports = ['--port', String(await freePort()), '--admin-port', String(await freePort())]
    const all = await fleet.add('all', { args: ['--processes', '2', ...ports] })
    const page = await pageOf(all)
    const { nodes } = await page.next('foot', (foot) => foot.nodes.length === 2)
    const answered = await Promise.all(Array.from({ length: 6 }, () => stream(all.url!, 'demo: tokens=7')))
    await eventually(async () => {
      const chart = await chartOf(page)
      expect(total(chart.outcomes.done)).toBe(6)
      expect(total(chart.tokensOut)).toBe(total(answered.map(({ tokens }) => tokens)))
    })
    // Not the one that the page is connected to
    const hello = await (await pageOf(all)).next('hello')
    const others = nodes.filter(({ id }) => id !== hello.node)
    process.kill(Number(others[0].id.split(':').at(-1)), 'SIGKILL')
    const last = pages.at(-1)!
    last.clear()
    const isReplaced = ({ nodes }: Foot): boolean => nodes.length === 2 && nodes.every(({ id }) => id !== others[0].id)
    await last.next('foot', (foot) => isReplaced(foot) && allSpeak(foot))
  })
})
