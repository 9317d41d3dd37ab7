/**
 * The kill oracle: clients submit and follow over HTTP and WebSocket while the server is killed with -9, at random and
 * at named points, and started again. What they saw is checked offline: 0 lost, 0 doubled, 0 out of order.
 */
import { check } from './checker.ts'
import { Http } from './client.ts'
import { clockOf } from './clocks.ts'
import type { Acked, Final, History, Reader, Seen, UpstreamCall } from './history.ts'
import { freePort, KEY, pause, SluiceProcess, startUpstream } from './server.ts'
import { isOpen, readOnce, submitOnce } from './socket.ts'

const POINTS = [
  'before-commit',
  'after-commit',
  'after-sync',
  'after-lease',
  'mid-stream',
  'before-finish',
  'after-finish',
]
const LANES = 12
const CONVERSATION = 'conversation'
const WRITERS = 4
const FOLLOWERS = 16
const SOCKETS = 4
const JOBS_PER_SOCKET = 8
const STREAMERS = 6
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

/** Small and repeatable; the seed is printed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
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
  const random = randomFrom(seed)
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
  const http = new Http(server.url, KEY)
  const acked: Acked[] = []
  const readers: Reader[] = []
  const toRead: Acked[] = []
  const places = new Map<string, number>()
  let stopping = false
  let over = false
  let resumes = 0
  let keys = 0

  const write = async (writer: number): Promise<void> => {
    const pickLane = (): string => (random(2) === 0 ? CONVERSATION : 'lane')
    while (!stopping) {
      // A lane belongs to one writer, so that its order of acknowledgement is known
      const wanted = Array.from({ length: 5 + random(25) }, () => {
        const tokens = 2 + random(10)
        const lane = random(3) === 0 ? `${pickLane()}-${writer * LANES + random(LANES)}` : null
        return { key: `key-${keys++}`, tokens, lane }
      })
      const jobs = wanted.map(({ key, tokens, lane }) => ({
        idempotency_key: key,
        ...(lane === null ? {} : lane.startsWith(CONVERSATION) ? { conversation: lane } : { lane }),
        request: {
          model: `mock-n${tokens}-d${1 + random(4)}-f${random(8)}`,
          user: key,
          messages: [{ role: 'user', content: key }],
        },
      }))
      // Not acknowledged: the same again, with the same keys, until it is; by either door, whichever it was before
      const ids = new Map<string, string>()
      while (ids.size < wanted.length) {
        const before = ids.size
        if (random(2) === 0)
          await submitOnce(server.url, KEY, jobs, ids, random(3) === 0 ? 200 + random(3_000) : Infinity)
        else {
          const answer = await http.call('POST', '/v1/jobs', { jobs }).catch(() => null)
          if (answer?.status === 202 || answer?.status === 200)
            (answer.json.data as Array<{ id: string }>).forEach(({ id }, i) => void ids.set(wanted[i].key, id))
        }
        if (ids.size === before) {
          if (stopping) break
          await pause(20)
        }
      }
      for (const { key, tokens, lane } of wanted) {
        const id = ids.get(key)
        if (id === undefined) break
        const place = lane === null ? 0 : (places.get(lane) ?? 0)
        if (lane !== null) places.set(lane, place + 1)
        const job: Acked = { id, key, tokens, lane, place, canceled: false }
        acked.push(job)
        if (toRead.length < 200 && random(4) === 0) toRead.push(job)
      }
      if (acked.length > 0 && random(4) === 0) {
        const job = acked[acked.length - 1 - random(Math.min(20, acked.length))]
        job.canceled = true
        await http.call('POST', `/v1/jobs/${job.id}/cancel`).catch(() => null)
      }
      await pause(random(30))
    }
  }

  const follow = async (): Promise<void> => {
    while (!stopping) {
      const job = toRead.shift()
      if (job === undefined) {
        await pause(10)
        continue
      }
      const reader: Reader = { job: job.id, dialect: random(2) === 0 ? 'native' : 'chat', seen: [], complete: false }
      readers.push(reader)
      while (!reader.complete && !over) {
        const last = reader.seen.at(-1)?.id
        const cut = random(3) === 0 ? 200 + random(3_000) : Infinity
        const { status, ended } = await http.events(
          'GET',
          `/v1/jobs/${job.id}/events?dialect=${reader.dialect}`,
          undefined,
          last === undefined ? {} : { 'last-event-id': last },
          (e) => reader.seen.push(e),
          cut,
        )
        if (status === 204 || (status === 200 && ended && isOver(reader.seen.at(-1)))) reader.complete = true
        // Chat says a restart as an error event; what ended otherwise before it said anything has its own status
        else if (reader.dialect === 'chat' ? status >= 400 : status === 404 || status === 410) break
        else {
          resumes++
          await pause(5 + random(20))
        }
      }
    }
  }

  /** Many jobs on one connection, all resumed in the hello of the next. */
  const followOverSocket = async (): Promise<void> => {
    const mine: Reader[] = []
    const take = (): Reader | null => {
      const job = toRead.shift()
      if (job === undefined) return null
      const reader: Reader = { job: job.id, dialect: 'socket', seen: [], complete: false }
      readers.push(reader)
      mine.push(reader)
      return reader
    }
    while (!over && (!stopping || mine.some(isOpen))) {
      mine.splice(0, mine.length, ...mine.filter(isOpen))
      while (!stopping && mine.length < JOBS_PER_SOCKET && take() !== null);
      if (mine.length === 0) {
        await pause(10)
        continue
      }
      const whole = await readOnce(server.url, KEY, mine, random(2) === 0 ? 300 + random(10_000) : Infinity, () =>
        stopping ? null : take(),
      )
      if (!whole) {
        resumes++
        await pause(5 + random(20))
      }
    }
  }

  /**
   * Plain chat streams: answered on their own connection, resumed by their location, and by the SDKs' retry when that
   * is not known.
   */
  const stream = async (): Promise<void> => {
    while (!stopping) {
      const key = `chat-${keys++}`
      const body = {
        model: `mock-n${5 + random(30)}-d${1 + random(5)}-f5`,
        stream: true,
        user: key,
        messages: [{ role: 'user', content: key }],
      }
      const seen: Seen[] = []
      let path: string | null = null
      for (let tries = 0; tries < 40; tries++) {
        const at = seen.at(-1)?.id
        const answer: { status: number; headers: Record<string, unknown> } =
          path === null || at === undefined
            ? await http.events(
                'POST',
                '/v1/chat/completions',
                body,
                tries === 0 ? {} : { 'x-stainless-retry-count': '1' },
                (e) => seen.push(e),
                random(4) === 0 ? 300 + random(5_000) : Infinity,
              )
            : await http.events('GET', path, undefined, { 'last-event-id': at }, (e) => seen.push(e))
        path ??= (answer.headers['location'] as string | undefined) ?? null
        if (answer.status === 204 || isOver(seen.at(-1)) || answer.status >= 400) break
        resumes++
        await pause(10 + random(30))
        if (stopping) break
      }
      const job = path === null ? null : path.split('/')[3]
      if (job !== null && seen.length > 0) readers.push({ job, dialect: 'chat', seen, complete: false })
    }
  }

  const started = await server.start()
  if (!started) throw new Error(`the server did not start:\n${server.printed}`)
  const work = [
    ...Array.from({ length: WRITERS }, (_, i) => write(i)),
    ...Array.from({ length: FOLLOWERS }, follow),
    ...Array.from({ length: SOCKETS }, followOverSocket),
    ...Array.from({ length: STREAMERS }, stream),
  ]
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
  stopping = true
  if (server.dead) await server.start()
  await Promise.race([Promise.all(work), pause(READ_ON_MS)])
  over = true

  const finals = await readFinals(http, [...new Set([...acked.map((j) => j.id), ...readers.map((r) => r.job)])])
  const turns = await readTurns(
    http,
    [...places.keys()].filter((lane) => lane.startsWith(CONVERSATION)),
  )
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
    resumes,
    wrong: check(history),
  }
}

const isOver = (event: Seen | undefined): boolean =>
  event !== undefined && (event.event === 'end' || event.data === '[DONE]' || event.data.startsWith('{"error"'))

async function died(server: SluiceProcess): Promise<boolean> {
  while (!server.dead) await pause(5)
  return true
}

/** Jobs of each conversation's turns, oldest first. */
async function readTurns(http: Http, conversations: readonly string[]): Promise<Map<string, string[]>> {
  const turns = new Map<string, string[]>()
  for (const id of conversations) {
    const jobs: string[] = []
    for (let after: string | null = ''; after !== null; ) {
      const from: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`
      const page = await http.call('GET', `/v1/conversations/${id}?order=oldest&limit=1000${from}`)
      for (const turn of (page.json.turns ?? []) as Array<{ job: string }>) jobs.push(turn.job)
      after = (page.json.next as string | null | undefined) ?? null
    }
    turns.set(id, jobs)
  }
  return turns
}

/** Waits for each to end, at most a minute in all, and reads its whole log. */
async function readFinals(http: Http, ids: readonly string[]): Promise<Map<string, Final>> {
  const finals = new Map<string, Final>()
  const left = [...ids]
  const giveUpAt = performance.now() + 60_000
  const one = async (): Promise<void> => {
    for (let id = left.shift(); id !== undefined; id = left.shift()) {
      const log: Seen[] = []
      const job = await http
        .call(
          'GET',
          `/v1/jobs/${id}?wait_ms=${Math.max(0, Math.min(30_000, Math.floor(giveUpAt - performance.now())))}`,
        )
        .catch(() => null)
      if (job?.status !== 200) continue
      if (['done', 'failed', 'canceled', 'expired'].includes(job.json.state as string))
        await http.events('GET', `/v1/jobs/${id}/events`, undefined, {}, (e) => log.push(e))
      finals.set(id, { id, state: job.json.state as string, log })
    }
  }
  await Promise.all(Array.from({ length: 16 }, one))
  return finals
}
