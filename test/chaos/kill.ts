/**
 * The kill oracle: clients submit and follow over HTTP and WebSocket while the server is killed with -9, at random and
 * at named points, and started again. What they saw is checked offline: 0 lost, 0 doubled, 0 out of order.
 */

import { freePort } from '../free-port.ts'
import { random as seeded } from '../random.ts'
import { check } from './checker.ts'
import { Http } from './client.ts'
import { clockOf } from './clocks.ts'
import { readFinals, readTurns } from './finals.ts'
import type { History, UpstreamCall } from './history.ts'
import { Load } from './load.ts'
import { KEY, pause, SluiceProcess, startUpstream } from './server.ts'

const POINTS = [
  'before-commit',
  'after-commit',
  'after-sync',
  'after-lease',
  'mid-stream',
  'before-finish',
  'after-finish',
]
/** After the last restart every reader must reach its end within this. */
const READ_ON_MS = 60_000

export interface KillReport {
  readonly kills: number
  readonly atPoints: number
  readonly acked: number
  readonly readers: number
  /** Of the readers, those over WebSocket. */
  readonly sockets: number
  readonly events: number
  readonly resumes: number
  /** Stops that were cut short. */
  readonly stops: number
  readonly wrong: readonly string[]
}

/**
 * `deaths`: by kill -9 at any time or point; or by stops that are cut short, which blame nobody: there one crash would
 * be too many. Each life has another clock, where one can be faked. `env`: settings for the server, to plant a fault.
 */
export async function runKills(
  kills: number,
  jobs: number,
  seed: number,
  deaths: 'kill' | 'stop' = 'kill',
  env: Record<string, string> = {},
): Promise<KillReport> {
  const random = seeded(seed)
  const upstream = await startUpstream()
  const server = new SluiceProcess(
    [await freePort(), await freePort()],
    `models:
  - { name: "mock-*", provider: openai-compatible, base_url: "${upstream.url}/v1" }
queue: { max_crashes: ${deaths === 'stop' ? 0 : 1000}, max_queued_per_lane: 100000 }
workers: { drain_ms: 5s }
log: { level: silent }
retention: { bytes: 8GiB }
`,
    env,
  )
  const load = new Load({
    url: () => server.url,
    random,
    patienceMs: READ_ON_MS,
    isFleet: false,
    writers: 4,
    followers: 16,
    sockets: 4,
    streamers: 6,
    askers: 0,
    model: (tokens) => `mock-n${tokens}-d${1 + random(4)}-f${random(8)}`,
    tokens: () => 2 + random(10),
    mayWrite: () => true,
  })
  const { acked, readers } = load
  const started = await server.start()
  if (!started) throw new Error(`the server did not start:\n${server.printed}`)
  load.start()
  let killed = 0
  let atPoints = 0
  let stops = 0
  while (killed < kills || acked.length < jobs) {
    const dies = await Promise.race([died(server), pause(150 + random(900)).then(() => false)])
    if (dies) atPoints++
    else if (killed >= kills && acked.length < jobs) continue
    if (deaths === 'kill') await server.kill()
    else {
      await server.cutStop(random(400))
      stops++
    }
    killed++
    // Half of the lives end at a named point, the others whenever
    const crash: Record<string, string> =
      deaths === 'kill' && random(2) === 0
        ? { SLUICE_TEST_CRASH_AT: `${POINTS[random(POINTS.length)]}:${1 + random(60)}` }
        : {}
    while (!(await server.start({ ...clockOf(killed), ...(killed >= kills ? {} : crash) }))) {
      // It died at its point while it started: that counts as well
      killed++
      atPoints++
    }
  }
  if (server.dead) await server.start()
  await load.stop(READ_ON_MS)

  const http = new Http(server.url, KEY)
  const finals = await readFinals(http, [...new Set([...acked.map((j) => j.id), ...readers.map((r) => r.job)])])
  const turns = await readTurns(http, load.conversations)
  const calls = (await new Http(upstream.url, '').call('GET', '/calls')).json as UpstreamCall[]
  http.close()
  await server.remove()
  upstream.stop()
  const history: History = { acked, readers, finals, calls, turns }
  return {
    kills: killed,
    atPoints,
    stops,
    acked: acked.length,
    readers: readers.length,
    sockets: readers.filter((r) => r.dialect === 'socket').length,
    events: readers.reduce((n, r) => n + r.seen.length, 0),
    resumes: load.resumes,
    wrong: check(history),
  }
}

async function died(server: SluiceProcess): Promise<boolean> {
  while (!server.dead) await pause(5)
  return true
}
