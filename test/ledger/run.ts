/** Requests of all kinds, over crashes, and then the provider's ledger beside ours. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../src/core/clock.ts'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { startServer } from '../e2e/server.ts'
import { ADMIN_KEY, KEY, Member } from '../fleet/member.ts'
import { random } from '../random.ts'
import { RedisServer } from '../redis/server.ts'
import { type Booked, type Judged, judge, PRICE, type Sums } from './judge.ts'

export interface LedgerRun {
  readonly engine: 'embedded' | 'redis'
  readonly requests: number
  /** Crashes of a server; on Redis each time of another process, whichever coordinates then. */
  readonly kills: number
  readonly seed: number
  readonly log: (line: string) => void
}

export interface LedgerReport extends Judged {
  readonly calls: number
  readonly answered: number
  readonly unanswered: number
  /** Attempts that were booked, by deployment. */
  readonly deployments: ReadonlyMap<string, number>
  /** Jobs that were tried at more than one. */
  readonly movedOn: number
}

const AT_ONCE = 48
const PROCESSES = 3
const DRAIN_MS = 120_000

interface Servers {
  readonly url: () => string
  readonly adminUrl: () => string
  /** Resolves when it, or what stands for it, is up again. */
  crash(): Promise<void>
  stop(): Promise<void>
}

const SILENT = 'mock-n10-s3'
interface Place {
  /** Of the mock. */
  readonly script: string
  /** Absent: after those that stand before it. */
  readonly order?: number
  readonly more?: object
}
const even = (script: string): Place => ({ script, order: 0 })
const refs = (files: readonly string[]) => files.map((file) => ({ file }))

/** A model's deployments. `keys`: files with keys of one provider. */
const modelsOf = (keys: readonly string[]): Readonly<Record<string, ReadonlyArray<string | Place>>> => ({
  plain: ['mock-n12-d1-f2-c5'],
  bursts: ['mock-n30-b10'],
  slow: ['mock-n40-d5'],
  long: ['mock-n60-d4'],
  quiet: ['mock-n10-u0'],
  undone: ['mock-n9-x0'],
  refused: ['mock-e400'],
  drops: ['mock-n16-k5', 'mock-n9-c2'],
  broken: ['mock-e500', 'mock-n7'],
  told: ['mock-n10-h3', 'mock-n6'],
  silent: [SILENT, 'mock-n8-d1'],
  garbled: ['mock-n10-g4', 'mock-n11'],
  busy: ['mock-e429', 'mock-n5'],
  // Quotas of each key; what has no room there goes on
  keyed: [
    {
      script: 'mock-n9-d1',
      more: {
        ...{ api_key: refs(keys)[0], api_keys: refs(keys).slice(1) },
        limits: { requests_per_minute: 8, tokens_per_minute: 3_000 },
      },
    },
    'mock-n7',
  ],
  crawls: [{ script: 'mock-n60-d25', more: { min_speed: { tokens_per_second: 1_000, over_ms: 200 } } }, 'mock-n9'],
  balanced: [even('mock-n10-k4'), even('mock-n12-c5'), even('mock-n14-d2')],
  falls: [{ script: 'mock-e500', more: { fallbacks: { general: ['plain'] } } }],
  // The second wins, the first does, both are slow, the first fails, the second does
  hedged: ['mock-n12-f300-d2', 'mock-n9-d2'],
  close: ['mock-n12-f70-d2', 'mock-n9-f60-d2'],
  late: ['mock-n12-f400-d2', 'mock-n9-f500-d2'],
  worse: ['mock-e500-f90', 'mock-n7-f120'],
  worsened: ['mock-n12-f200', 'mock-e500'],
})
const HEDGED = ['hedged', 'close', 'late', 'worse', 'worsened']
/** Often enough that its quotas are used up within a minute. */
const KEYED = ['keyed', 'keyed', 'keyed']
const OFTEN = [
  'plain',
  'plain',
  'plain',
  'bursts',
  'bursts',
  'slow',
  'quiet',
  'undone',
  'balanced',
  ...KEYED,
  ...HEDGED,
]
const FAILING = ['refused', 'drops', 'broken', 'told', 'silent', 'garbled', 'busy', 'balanced', 'crawls', 'falls']

const perMillion = (nanoDollars: number): number => nanoDollars / 1_000

function settingsOf(mock: MockServer, keys: readonly string[]): Record<string, unknown> {
  const price = {
    input: perMillion(PRICE.input),
    cached_input: perMillion(PRICE.cached),
    output: perMillion(PRICE.output),
  }
  return {
    durability: 'process',
    models: Object.entries(modelsOf(keys)).flatMap(([name, places]) =>
      places.map((place, at) => {
        const { script, order = at, more = {} } = typeof place === 'string' ? { script: place } : place
        return {
          name,
          deployment: `${name}-${at}`,
          provider: 'openai-compatible',
          base_url: `${mock.url}/v1`,
          model: script,
          order,
          price,
          stream_usage: name !== 'quiet',
          ...(HEDGED.includes(name) && { hedge: { after: '50ms' } }),
          ...(script === SILENT && { timeouts: { inter_token_ms: 400 } }),
          ...more,
        }
      }),
    ),
    // An attempt that a crash ends may have used its user's minute: then the next one, and the run, takes a minute more
    tenants: [{ name: 'limited', limits: { each_user: { output_tokens_per_minute: 24, when_out: 'cut' } } }],
    http: { disconnect_grace_ms: 100, max_requests_per_key: 5_000 },
    workers: { lease_ms: 3_000, heartbeat_ms: 500 },
    queue: { job_deadline_ms: 60_000, max_crashes: 50, retry_base_ms: 20, retry_cap_ms: 200 },
  }
}

async function startEmbedded(settings: object): Promise<Servers> {
  const server = await startServer(JSON.stringify(settings))
  return {
    url: () => server.url,
    adminUrl: () => server.adminUrl,
    crash: () => server.crash(),
    stop: () => server.stop(),
  }
}

async function startFleet({ durability: _, ...settings }: Record<string, unknown>): Promise<Servers> {
  const redis = await RedisServer.start()
  const start = (): Promise<Member> => Member.start({ role: 'all', redis: redis.url, settings })
  const members = await Promise.all(Array.from({ length: PROCESSES }, start))
  let turn = 0
  return {
    url: () => members[turn++ % members.length].url,
    adminUrl: () => members[0].adminUrl,
    async crash() {
      // The oldest: it has coordinated for the longest
      const oldest = members.shift()!
      await oldest.kill()
      members.push(await start())
    },
    async stop() {
      await Promise.all(members.map((member) => member.stop()))
      await redis.remove()
    },
  }
}

export async function runLedger({ engine, requests, kills, seed, log }: LedgerRun): Promise<LedgerReport> {
  const mock = await startMock({ port: 0, keepCalls: true })
  const dir = mkdtempSync(join(tmpdir(), 'sluice-ledger-'))
  const keys = ['one', 'two', 'three'].map((name) => join(dir, name))
  for (const file of keys) writeFileSync(file, `sk-of-the-ledger-${keys.indexOf(file)}`, { mode: 0o600 })
  const settings = settingsOf(mock, keys)
  const servers = await (engine === 'embedded' ? startEmbedded(settings) : startFleet(settings))
  try {
    const limitedKey = await keyOf(servers, 'limited')
    const draw = random(seed)
    const crashes: Array<{ fromMs: number; toMs: number }> = []
    const answered = new Set<string>()
    let unanswered = 0
    let begun = 0
    let up: Promise<void> = Promise.resolve()
    const crashEvery = Math.ceil(requests / (kills + 1))

    const one = async (n: number): Promise<void> => {
      await up
      if (kills > 0 && n > 0 && n % crashEvery === 0) {
        log(`${n} requests; a crash`)
        const crash = { fromMs: systemClock.monoMs(), toMs: Infinity }
        crashes.push(crash)
        up = servers.crash().then(() => {
          crash.toMs = systemClock.monoMs()
        })
      }
      const pick = draw(100)
      const often = draw(5) > 0
      const model = often ? OFTEN[draw(OFTEN.length)] : FAILING[draw(FAILING.length)]
      const delayMs = draw(60)
      const url = servers.url()
      const user = `user-${n}`
      const asked: Promise<boolean> =
        pick < 8
          ? ask(url, limitedKey, user, 'long', pick < 6)
          : pick < 16
            ? canceled(url, user, delayMs)
            : pick < 22
              ? left(url, user, delayMs)
              : pick < 40
                ? submit(url, user, model).then(() => true)
                : ask(url, KEY, user, model, pick < 75)
      await asked.then(
        (whole) => {
          if (whole) answered.add(user)
        },
        () => unanswered++,
      )
    }
    const lane = async (): Promise<void> => {
      while (begun < requests) await one(begun++)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane))
    await up
    await allEnded(servers, mock)
    const calls = JSON.parse(await (await fetch(`${mock.url}/calls`)).text())
    const records = await allRecords(servers)
    const { total } = (await admin(servers, '/admin/usage')) as { readonly total: Sums }
    return {
      ...judge(calls, records, total, { crashes, answered }),
      calls: calls.length,
      answered: answered.size,
      unanswered,
      deployments: new Map(
        [...Map.groupBy(records, (each) => each.deployment)].map(([name, all]) => [name, all.length]),
      ),
      movedOn: [...Map.groupBy(records, ({ job }) => job).values()].filter(
        (attempts) => new Set(attempts.map(({ deployment }) => deployment)).size > 1,
      ).length,
    }
  } finally {
    await servers.stop()
    await mock.close()
    rmSync(dir, { recursive: true })
  }
}

// ---------------------------------------------------------------- requests

const messages = [{ role: 'user', content: 'Which of these contracts can be terminated early, and by whom?' }]

function post(url: string, key: string, path: string, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  })
}

/** These resolve with whether it was answered. */
async function ask(url: string, key: string, user: string, model: string, stream: boolean): Promise<boolean> {
  await (await post(url, key, '/v1/chat/completions', { model, messages, stream, user })).text()
  return true
}

/** A client that goes away in the middle. */
async function left(url: string, user: string, afterMs: number): Promise<boolean> {
  const body = { model: 'slow', messages, stream: true, user }
  const response = await post(url, KEY, '/v1/chat/completions', body, AbortSignal.timeout(30 + afterMs))
  await response.text().catch(() => {})
  return false
}

async function submit(url: string, user: string, model: string): Promise<string> {
  const response = await post(url, KEY, '/v1/jobs', { request: { model, messages, user } })
  return ((await response.json()) as { readonly id: string }).id
}

async function canceled(url: string, user: string, afterMs: number): Promise<boolean> {
  const id = await submit(url, user, 'slow')
  await sleep(afterMs)
  await (await post(url, KEY, `/v1/jobs/${id}/cancel`, {})).text()
  return true
}

// ---------------------------------------------------------------- the operator

async function admin(servers: Servers, path: string, body?: object): Promise<unknown> {
  const response = await fetch(`${servers.adminUrl()}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response.json()
}

const keyOf = async (servers: Servers, tenant: string): Promise<string> =>
  ((await admin(servers, '/admin/keys', { tenant })) as { readonly key: string }).key

async function allEnded(servers: Servers, mock: MockServer): Promise<void> {
  const giveUpAt = performance.now() + DRAIN_MS
  for (;;) {
    const path = '/admin/jobs?state=queued,delayed,waiting,leased&limit=5'
    const { data } = (await admin(servers, path)) as { readonly data: readonly unknown[] }
    if (data.length === 0 && mock.stats.active === 0) return
    if (performance.now() > giveUpAt) throw new Error(`some never end: ${JSON.stringify(data)}`)
    await sleep(100)
  }
}

async function allRecords(servers: Servers): Promise<Booked[]> {
  const records: Booked[] = []
  for (let after = ''; ; ) {
    const page = (await admin(servers, `/admin/usage/records?limit=5000${after}`)) as {
      readonly data: readonly Booked[]
      readonly next: string | null
    }
    for (const record of page.data) records.push(record)
    if (page.next === null) return records
    after = `&after=${encodeURIComponent(page.next)}`
  }
}
