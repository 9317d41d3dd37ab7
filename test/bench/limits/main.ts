/**
 * npm run bench -- limits [--streams 500] [--seconds 2] [--rounds 3] [--per-second 400] [--json]
 *
 * What limits cost: a refusal while streams run, beside a request that Node alone answers at the same pace, with the
 * same headers; and what a JSON call, a job and a token cost more than without limits, by two servers in turn.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { call } from '../call.ts'
import { median, quantile } from '../report.ts'
import { answers, ended, freePort, KEY, launch, pause, ROOT, type Running, sluiceIn } from '../targets.ts'
import { cpuNs } from '../tools.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    streams: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    'per-second': { type: 'string', default: '400' },
    json: { type: 'boolean', default: false },
  },
})
const [streams, seconds, rounds, perSecond] = [values.streams, values.seconds, values.rounds, values['per-second']].map(
  Number,
)

const WIDE = 'tokens_per_minute: 1_000_000_000, requests_per_minute: 100_000_000, dollars_per_month: 1_000_000'
const LIMITS = `
limits:
  global: { ${WIDE}, concurrent: 100_000 }
  models: [{ name: "mock-*", ${WIDE} }]
tenants:
  - name: default
    limits:
      { ${WIDE}, concurrent: 100_000,
        each_user: { requests_per_minute: 1, burst: 1 }, each_key: { ${WIDE} } }
`
const PRICE = 'price: { input: 1, output: 4 }'

/** Short: what the streams cost drifts from second to second by more than the refusals do. */
const WINDOW_S = 0.25
const WARM_REFUSALS = 20_000

const children: ChildProcess[] = []
const running: Running[] = []
interface Refusals {
  /** CPU of the server's process for each, µs: Sluice's, without what the streams cost; and Node's own. */
  readonly cpuUs: number
  readonly bareCpuUs: number
  /** From the request's last byte, ms. */
  readonly p50: number
  readonly p99: number
  readonly bareP50: number
  readonly bareP99: number
  readonly upstreamCalls: number
}

async function measureRefusals(upstream: string, upstreamPort: number): Promise<Refusals> {
  const sluice = await start(upstreamPort, LIMITS)
  const port = await freePort()
  const bare = launch('ordinary', process.execPath, [join(import.meta.dirname, 'bare.ts'), String(port)])
  children.push(bare)
  const bareUrl = `http://127.0.0.1:${port}`
  await answers(bareUrl)
  await holdStreams(sluice.url, streams)
  // Its bucket of one is empty from now on
  await call('POST', `${sluice.url}/v1/chat/completions`, bodyOf('out'))
  for (const url of [sluice.url, bareUrl]) await warmUp(url)
  const calls = async (): Promise<number> => (await call('GET', `${upstream}/stats`)).json['requests'] as number
  const callsBefore = await calls()
  const [cpu, own, took, bareTook] = [[], [], [], []] as number[][]
  const streaming = () => cpuOf(sluice.pid, () => pause(WINDOW_S * 500))
  const refusals = perSecond * WINDOW_S
  for (let window = 0; window < (rounds * seconds) / WINDOW_S; window++) {
    const before = await streaming()
    const busy = await cpuOf(sluice.pid, async () => took.push(...(await refuse(sluice.url, WINDOW_S))))
    const after = await streaming()
    const alone = await cpuOf(bare.pid!, async () => bareTook.push(...(await refuse(bareUrl, WINDOW_S))))
    const streamsUs = ((before.us + after.us) / (before.ms + after.ms)) * busy.ms
    cpu.push((busy.us - streamsUs) / refusals)
    own.push(alone.us / refusals)
  }
  const callsAfter = await calls()
  for (const all of [took, bareTook]) all.sort((a, b) => a - b)
  return {
    ...{ cpuUs: median(cpu), bareCpuUs: median(own), upstreamCalls: callsAfter - callsBefore },
    ...{ p50: quantile(took, 0.5), p99: quantile(took, 0.99) },
    ...{ bareP50: quantile(bareTook, 0.5), bareP99: quantile(bareTook, 0.99) },
  }
}

/** Until V8 has compiled what a refusal runs: the smaller server would be done with that sooner. */
async function warmUp(url: string): Promise<void> {
  const body = bodyOf('out')
  let left = WARM_REFUSALS
  const one = async (): Promise<void> => {
    while (left-- > 0) await call('POST', `${url}/v1/chat/completions`, body)
  }
  await Promise.all(Array.from({ length: 8 }, one))
}

/** Open loop; from the last byte of each request to the first of its answer, ms. */
async function refuse(url: string, forS: number): Promise<readonly number[]> {
  const took: number[] = []
  const due: Promise<void>[] = []
  const body = JSON.stringify(bodyOf('out'))
  const startedAt = performance.now()
  for (let i = 0; i < perSecond * forS; i++) {
    const at = startedAt + (i * 1_000) / perSecond
    if (performance.now() < at) await pause(Math.max(0, at - performance.now()))
    due.push(
      new Promise((resolve, reject) => {
        let sentAt = 0
        const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
        const sent = request(`${url}/v1/chat/completions`, { method: 'POST', agent, headers }, (response) => {
          took.push(performance.now() - sentAt)
          if (response.statusCode !== 429) reject(new Error(`answered ${response.statusCode}`))
          response.on('end', resolve).resume()
        })
        sent.on('error', reject)
        sent.on('finish', () => (sentAt = performance.now()))
        sent.end(body)
      }),
    )
  }
  await Promise.all(due)
  return took
}

interface Costs {
  readonly what: string
  /** CPU for each, µs. */
  readonly without: number
  readonly with: number
}

/** Two servers, in turn. */
async function measureCosts(upstreamPort: number): Promise<readonly Costs[]> {
  const pair = [await start(upstreamPort, ''), await start(upstreamPort, LIMITS)]
  const loads: ReadonlyArray<readonly [what: string, run: (url: string) => Promise<number>]> = [
    ['JSON call', (url) => callsFor(url, '/v1/chat/completions', { ...bodyOf(null), model: 'mock-n5' })],
    ['job, submitted and run', (url) => callsFor(url, '/v1/jobs', { request: { ...bodyOf(null), model: 'mock-n5' } })],
    ['token of 100 streams', tokensOf],
  ]
  const found: Costs[] = []
  for (const [what, run] of loads) {
    const took: number[][] = [[], []]
    for (const { url } of pair) await run(url)
    for (let round = 0; round < rounds; round++)
      for (const [i, { url, pid }] of pair.entries()) {
        const before = cpuNs(pid)
        const count = await run(url)
        took[i].push((cpuNs(pid) - before) / 1_000 / count)
      }
    found.push({ what, without: median(took[0]), with: median(took[1]) })
  }
  return found
}

/** 16 at a time; how many were answered. */
async function callsFor(url: string, path: string, body: object): Promise<number> {
  const until = performance.now() + seconds * 1_000
  let count = 0
  const one = async (): Promise<void> => {
    while (performance.now() < until) {
      await call('POST', url + path, body)
      count++
    }
  }
  await Promise.all(Array.from({ length: 16 }, one))
  return count
}

async function tokensOf(url: string): Promise<number> {
  const [count, tokens] = [100, Math.round((seconds * 1_000) / 20)]
  const body = { ...bodyOf(null), model: `mock-n${tokens}-d20`, stream: true }
  await Promise.all(Array.from({ length: count }, () => call('POST', `${url}/v1/chat/completions`, body)))
  return count * tokens
}

async function start(upstreamPort: number, settings: string): Promise<Running> {
  const target = sluiceIn(ROOT, 'Sluice', [], settings, PRICE)
  const started = await target.start(upstreamPort, 'ordinary')
  running.push(started)
  return started
}

/** They go on until the bench ends. */
async function holdStreams(url: string, count: number): Promise<void> {
  const args = [join(import.meta.dirname, 'streams.ts'), url, String(count), 'mock-n100000-d100']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  await once(child.stdout, 'data')
}

async function cpuOf(pid: number, during: () => Promise<unknown>): Promise<{ us: number; ms: number }> {
  const [before, startedAt] = [cpuNs(pid), performance.now()]
  await during()
  return { us: (cpuNs(pid) - before) / 1_000, ms: performance.now() - startedAt }
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })
const bodyOf = (user: string | null) => ({
  model: 'mock-n1',
  messages: [{ role: 'user', content: 'One more question.' }],
  ...(user !== null && { user }),
})

function tableOf({ cpuUs, bareCpuUs, p50, p99, bareP50, bareP99, upstreamCalls }: Refusals): string {
  const ms = (value: number): string => value.toFixed(2)
  return `| refused, ${perSecond}/s while ${streams} streams run | CPU µs | p50 ms | p99 ms | upstream calls |
| --- | --- | --- | --- | --- |
| Node alone | ${bareCpuUs.toFixed(0)} | ${ms(bareP50)} | ${ms(bareP99)} | |
| Sluice | ${cpuUs.toFixed(0)} (${(cpuUs - bareCpuUs).toFixed(0)} more) | ${ms(p50)} | ${ms(p99)} | ${upstreamCalls} |
`
}

function costTable(costs: readonly Costs[]): string {
  const rows = costs.map((cost) => {
    const more = cost.with - cost.without
    return `| ${cost.what} | ${cost.without.toFixed(1)} | ${cost.with.toFixed(1)} | ${more.toFixed(1)} |`
  })
  return `| CPU µs | without limits | with limits on 5 levels | more |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n`
}

try {
  const upstreamPort = await freePort()
  const mock = ['mock', '--port', String(upstreamPort)]
  children.push(launch('ordinary', process.execPath, [join(ROOT, 'bin/sluice.js'), ...mock], {}, 1))
  const upstream = `http://127.0.0.1:${upstreamPort}`
  await answers(`${upstream}/stats`)
  const refusals = await measureRefusals(upstream, upstreamPort)
  const costs = await measureCosts(upstreamPort)
  if (values.json) process.stdout.write(`${JSON.stringify({ refusals, costs })}\n`)
  else process.stdout.write(`${tableOf(refusals)}\n${costTable(costs)}`)
} finally {
  await Promise.all([...running.map((each) => each.stop()), ...children.map((child) => ended(child, 'SIGKILL'))])
}
process.exit(0)
