/**
 * npm run bench -- page [--streams 1000] [--rounds 8] [--seconds 3] [--json]
 *
 * What a dashboard that is open costs a token: streams run on, and in turn nobody looks, one page shows Now, and three
 * pages show Now, the jobs and one job. Windows of one round are compared, in an order that changes, as streams drift.
 * By default about two minutes. The goal: at most 2 % more with a page open.
 */
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { WebSocket } from 'ws'
import type { LiveAsk } from '../../../src/core/live.ts'
import { call } from '../call.ts'
import { median, spread } from '../report.ts'
import { ended, freePort, KEY, launch, pause, type Running, sluice } from '../targets.ts'
import { buildTools, cpuNs, isAllowed, type Priority, runLoad } from '../tools.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    streams: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '3' },
    priority: { type: 'string', default: 'raised' },
    json: { type: 'boolean', default: false },
  },
})
const [streams, rounds, seconds] = [values.streams, values.rounds, values.seconds].map(Number)
const priority = isAllowed(values.priority as Priority) ? (values.priority as Priority) : 'ordinary'
const tools = buildTools()
if (tools === null) {
  process.stderr.write('The C tools are not here, and no compiler: nothing to measure with.\n')
  process.exit(2)
}

/** Until what a new page is told at once has been told. */
const SETTLED_MS = 700
const WARM_S = 8
const LOOKS = ['nobody', 'one page', 'three pages'] as const
type Look = (typeof LOOKS)[number]

const upstreamPort = await freePort()
const upstream = launch(priority, tools.upstream, ['-p', String(upstreamPort)], {}, 1)
await pause(300)
const running = await sluice.start(upstreamPort, priority)
/** CPU of the server in each second, ms, by round. */
const found = new Map<Look, number[]>(LOOKS.map((look) => [look, []]))
let frames = 0
try {
  const measured = rounds * LOOKS.length * (seconds + SETTLED_MS / 1_000)
  const window = { ramp: 2, warm: WARM_S, measured }
  const load = runLoad(tools, priority, running.pid, window, [
    ...['sse', '-u', `${running.url}/v1/chat/completions`, '-m', 'mock-n100-d20-f50', '-c', String(streams)],
    ...running.headers.flatMap((header) => ['-H', header]),
  ])
  await pause((window.ramp + window.warm) * 1_000)
  for (let round = 0; round < rounds; round++) {
    const order = LOOKS.map((_, i) => LOOKS[(i + round) % LOOKS.length])
    for (const look of round % 2 === 0 ? order : order.reverse()) found.get(look)!.push(await cpuWhile(look))
    process.stderr.write(
      `round ${round + 1}: ${LOOKS.map((each) => `${each} ${found.get(each)!.at(-1)!.toFixed(0)} ms/s`).join(', ')}\n`,
    )
  }
  const { tok_s, errors } = await load
  const failed = Object.values(errors).reduce((sum, n) => sum + n, 0)
  if (values.json)
    process.stdout.write(`${JSON.stringify({ streams, tok_s, failed, frames, found: Object.fromEntries(found) })}\n`)
  else
    process.stdout.write(`${table(tok_s)}\n\nFrames that the pages were told: ${frames}; failed streams: ${failed}.\n`)
} finally {
  await running.stop()
  await ended(upstream, 'SIGKILL')
}
process.exit(0)

async function cpuWhile(look: Look): Promise<number> {
  const pages = await Promise.all((await asksOf(look)).map((ask) => open(running, ask)))
  await pause(SETTLED_MS)
  const [before, startedAt] = [cpuNs(running.pid), performance.now()]
  await pause(seconds * 1_000)
  const ms = (cpuNs(running.pid) - before) / 1e6 / ((performance.now() - startedAt) / 1_000)
  for (const page of pages) page.terminate()
  return ms
}

/** What a page of each kind asks for, at its most. */
async function asksOf(look: Look): Promise<readonly LiveAsk[]> {
  const now: LiveAsk = { t: 'watch', page: 'now', range: '15m', rows: 'tenant', node: null }
  if (look === 'nobody') return []
  if (look === 'one page') return [now]
  const { json } = await call('GET', `${running.adminUrl}/admin/jobs?limit=1`)
  const [{ id }] = json['data'] as ReadonlyArray<{ readonly id: string }>
  return [now, { t: 'watch', page: 'jobs', filter: {} }, { t: 'watch', page: 'job', job: id }]
}

async function open({ adminUrl }: Running, ask: LiveAsk): Promise<WebSocket> {
  const url = `${adminUrl!.replace('http', 'ws')}/admin/live`
  const page = new WebSocket(url, 'sluice.live.v1', { headers: { authorization: `Bearer ${KEY}` } })
  page.on('message', () => frames++)
  await once(page, 'open')
  page.send(JSON.stringify(ask))
  return page
}

function table(tokensPerS: number): string {
  const nobody = found.get('nobody')!
  const rows = LOOKS.map((look) => {
    const all = found.get(look)!
    const more = all.map((ms, round) => (ms / nobody[round] - 1) * 100)
    const us = all.map((ms) => (ms * 1_000) / tokensPerS)
    const against = look === 'nobody' ? '' : `${median(more).toFixed(1)} %${spread(more)}`
    return `| ${look} | ${median(us).toFixed(2)}${spread(us, 2)} | ${against} |`
  })
  return [
    `| ${streams} streams, ${(tokensPerS / 1_000).toFixed(1)}k tok/s, looked at by | CPU µs/token | more |`,
    '| --- | --- | --- |',
    ...rows,
  ].join('\n')
}
