/**
 * npm run bench -- parts [--rounds 3] [--only dashboard,traces] [--json]
 *
 * What each part costs: CPU of a token and of a JSON call with it, beside what ships (recorder on, dashboard closed,
 * the rest off), and beside a server without recorder and dashboard. Interleaved rounds in random order, each server
 * fresh and warmed; medians, in brackets least and most. Some 15 s a part and round.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { WebSocket } from 'ws'
import { type Load, put, warmUp } from '../loads.ts'
import { median } from '../report.ts'
import { freePort, KEY, pause, ROOT, type Running, sluiceIn } from '../targets.ts'
import { buildTools, isAllowed, type Priority, pinned, type Tools } from '../tools.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
})
const note = (text: string): void => void process.stderr.write(`${text}\n`)

interface Part {
  readonly name: string
  readonly title: string
  /** More of the file. */
  readonly settings?: string
  readonly env?: Readonly<Record<string, string>>
  /** While it is measured; returns what ends that. */
  readonly beside?: (running: Running) => Promise<() => void>
}

const WIDE = 'tokens_per_minute: 1_000_000_000, requests_per_minute: 100_000_000, dollars_per_month: 1_000_000'
const LIMITS = `limits:
  global: { ${WIDE}, concurrent: 100_000 }
  models: [{ name: "mock-*", ${WIDE} }]
  unpriced: count
  unpriced_dollars_per_million_tokens: 1
tenants:
  - name: default
    limits: { ${WIDE}, concurrent: 100_000, each_user: { ${WIDE} }, each_key: { ${WIDE} } }
`
const GUARDS = `tenants:
  - name: default
    guards: [{ guard: max-context, tokens: 100_000 }, { guard: pii }, { guard: secrets, on: answer, action: redact }]
`

/** A collector that takes all, in this process: what it costs is not Sluice's. */
const collector = createServer((request, response) => {
  request.resume()
  request.on('end', () => response.writeHead(200).end())
})
collector.listen(0, '127.0.0.1')
await once(collector, 'listening')
const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
const otlp = (what: string): string => `telemetry: { otlp: { endpoint: "${endpoint}", interval: 1s, ${what} } }\n`

const PARTS: readonly Part[] = [
  { name: 'shipped', title: 'as it ships: recorder on, dashboard closed' },
  { name: 'bare', title: 'without recorder and dashboard', env: { SLUICE_TEST_WITHOUT: 'recorder,dashboard' } },
  { name: 'recorder', title: 'with the recorder, without the dashboard', env: { SLUICE_TEST_WITHOUT: 'dashboard' } },
  { name: 'dashboard', title: 'the dashboard open, one page', beside: openPage },
  { name: 'metrics', title: 'OTLP metrics, each second', settings: otlp('traces: false') },
  { name: 'traces', title: 'OTLP traces, all requests', settings: otlp('metrics: false') },
  { name: 'sampled', title: 'OTLP traces, one of a hundred', settings: otlp('metrics: false, sample: 1%') },
  { name: 'limits', title: 'limits on five levels', settings: LIMITS },
  { name: 'guards', title: 'guards: size, pii, secrets of answers', settings: GUARDS },
  {
    name: 'cache',
    title: 'the cache on, no hit',
    settings: 'tenants: [{ name: default, cache: { ttl: 1ms, coalesce: false } }]\n',
  },
]

async function openPage({ adminUrl }: Running): Promise<() => void> {
  const ws = new WebSocket(`${adminUrl!.replace(/^http/, 'ws')}/admin/live`, 'sluice.live.v1', {
    headers: { authorization: `Bearer ${KEY}` },
  })
  await once(ws, 'open')
  ws.on('message', () => {})
  ws.send(JSON.stringify({ t: 'watch', page: 'now', range: '15m', rows: 'tenant', node: null }))
  return () => ws.close()
}

/** Of each stream, as its model's name says. */
const TOKENS = 100
const STREAMS: Load = {
  ...{ name: 'streams', mode: 'sse', model: 'mock-n100-d20-f50', connections: 200 },
  ...{ window: { ramp: 1, warm: 2, measured: 3 }, tail: 2 },
}
const CALLS: Load = {
  ...{ name: 'json', mode: 'http', model: 'mock-n10', connections: 64 },
  ...{ window: { ramp: 0.1, warm: 3, measured: 2 }, tail: 0.1 },
}

interface Cost {
  readonly token: number
  readonly call: number
}

async function measure(tools: Tools, priority: Priority, part: Part, upstreamPort: number): Promise<Cost> {
  const { settings = '', env = {}, beside } = part
  const running = await sluiceIn(ROOT, part.title, [], settings, '', env).start(upstreamPort, priority)
  let end = (): void => {}
  try {
    await warmUp(tools, priority, running)
    if (beside !== undefined) end = await beside(running)
    const call = await put(tools, priority, running, CALLS)
    const token = await put(tools, priority, running, STREAMS)
    if (call.errors + token.errors > 0) note(`${part.name}: ${call.errors + token.errors} errors`)
    // Guards of answers put tokens together, which the load's client then does not count
    return { call: call.usPerRequest, token: token.usPerRequest / TOKENS }
  } finally {
    end()
    await running.stop()
  }
}

const tools = buildTools()
if (tools === null) {
  note('This needs the C tools of the benchmark, which are not here.')
  process.exit(1)
}
const priority: Priority = isAllowed('raised') ? 'raised' : 'ordinary'
const only = values.only.split(',').filter((name) => name !== '')
const parts = PARTS.filter(({ name }) => only.length === 0 || name === 'shipped' || only.includes(name))
const upstreamPort = await freePort()
const [command, args] = pinned(1, priority, tools.upstream, ['-p', String(upstreamPort)])
const upstream = spawn(command, args, { stdio: 'ignore' })
await pause(300)
const costs = new Map<string, Cost[]>(parts.map(({ name }) => [name, []]))
try {
  for (let round = 1; round <= Number(values.rounds); round++)
    for (const part of parts.toSorted(() => Math.random() - 0.5)) {
      const cost = await measure(tools, priority, part, upstreamPort)
      costs.get(part.name)!.push(cost)
      note(`round ${round}, ${part.name}: call ${cost.call.toFixed(1)} µs, token ${cost.token.toFixed(2)} µs`)
    }
} finally {
  upstream.kill('SIGKILL')
  collector.close()
}

if (values.json) process.stdout.write(`${JSON.stringify(Object.fromEntries(costs))}\n`)
else process.stdout.write(`${table()}\n`)
process.exit(0)

function table(): string {
  /** By the shipped one of the same round: what drifts from round to round is in both. */
  const shipped = costs.get('shipped')!
  const more = (all: readonly Cost[], of: keyof Cost): string => {
    const by = all.map((cost, i) => cost[of] - shipped[i][of])
    return `${sign(median(by))} (${sign(Math.min(...by))} to ${sign(Math.max(...by))})`
  }
  const own = (all: readonly Cost[], of: keyof Cost): string => median(all.map((cost) => cost[of])).toFixed(1)
  const rows = parts.map(({ name, title }) => {
    const all = costs.get(name)!
    const cells = (['call', 'token'] as const).flatMap((of) => [own(all, of), name === 'shipped' ? '' : more(all, of)])
    return `| ${[title, ...cells].join(' | ')} |`
  })
  return [
    '| CPU µs | JSON call | than as it ships | token of 200 streams | than as it ships |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}

function sign(us: number): string {
  return `${us < 0 ? '−' : '+'}${Math.abs(us).toFixed(1)}`
}
