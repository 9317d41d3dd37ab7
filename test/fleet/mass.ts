/**
 * Thousands of WebSocket readers over several gateways, through what happens to a fleet: all connections cut at once, a
 * gateway that is stopped and wakes up, a gateway that is killed. Each reader must end with exactly its job's text.
 */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { Names } from '../../src/engines/redis/client/names.ts'
import { readChunk } from '../../src/engines/redis/log/chunk.ts'
import { RedisServer } from '../redis/server.ts'
import { Crowd, type Ended, type Resumed } from './crowd.ts'
import { ADMIN_KEY, cpuMsOf, KEY, Member } from './member.ts'
import { Digest } from './reader.ts'

export interface MassOptions {
  readonly clients: number
  readonly gateways: number
  /** New connections a second, at first. */
  readonly perSecond: number
  /** Of each job. */
  readonly tokens: number
  readonly tokenMs: number
  /** How long a gateway is stopped. */
  readonly frozenMs: number
  readonly log: (line: string) => void
}

export interface Phase {
  readonly resumed: Resumed
  readonly lastMs: number
}

export interface MassReport {
  readonly cut: Resumed
  /** From the end of the stop to when the last of its readers had all that was stored by then, ms; -1: too long. */
  readonly caughtUpMs: number
  /** Connections of its readers that were lost on the way. */
  readonly lostByFreeze: number
  readonly killed: Resumed
  /** What each client's text is not the job's for, and whatever else must not be. */
  readonly faults: readonly string[]
  /** Refusals that clients tried again after, by code. */
  readonly retried: Readonly<Record<string, number>>
  /** Highest resident memory of a gateway, MB. */
  readonly rssMb: { readonly idle: number; readonly open: number; readonly highest: number }
  /** Highest that Redis held for one subscriber, bytes. */
  readonly redisOutput: number
}

const SAMPLE_MS = 250
const RESUME_WITHIN_MS = 120_000
const REST_MS = 3_000
const FETCHES = 32

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))
export const quantile = (values: readonly number[], q: number): number =>
  Math.round(values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)] ?? 0)

export async function runMass(options: MassOptions): Promise<MassReport> {
  const { clients, gateways: count, perSecond, tokens, tokenMs, frozenMs, log } = options
  const redis = await RedisServer.start({ appendfsync: 'everysec' })
  const store = new Redis(redis.port, '127.0.0.1')
  const members: Member[] = []
  const crowd = new Crowd()
  const settings = {
    durability: 'process',
    workers: { concurrency: clients },
    models: [{ name: 'demo', provider: 'demo' }],
  }
  const start = async (role: 'gateway' | 'worker'): Promise<Member> => {
    const member = await Member.start({ role, redis: redis.url, settings })
    members.push(member)
    return member
  }
  let stopSamples = (): void => {}
  try {
    const worker = await start('worker')
    const gateways: Member[] = []
    for (let i = 0; i < count; i++) gateways.push(await start('gateway'))
    let alive = gateways
    const rssNow = (): number => Math.max(...alive.map((gateway) => gateway.rssMb()))
    const idle = rssNow()
    let [highest, redisOutput] = [0, 0]
    const samples = setInterval(() => {
      highest = Math.max(highest, rssNow())
      void store.call('CLIENT', 'LIST', 'TYPE', 'pubsub').then((list) => {
        for (const [, bytes] of String(list).matchAll(/ omem=(\d+)/g))
          redisOutput = Math.max(redisOutput, Number(bytes))
      })
    }, SAMPLE_MS)
    stopSamples = () => clearInterval(samples)
    const cpu = new CpuTimes({ worker: () => worker.cpuMs(), redis: () => cpuMsOf(redis.pid) })
    for (const [i, gateway] of gateways.entries()) cpu.add(`gateway ${i + 1}`, () => gateway.cpuMs())

    await crowd.ports(gateways.map(({ port }) => port))
    const content = `Hello. demo: tokens=${tokens} delay=${tokenMs}`
    const request = { model: 'demo', stream: true, messages: [{ role: 'user', content }] }
    const opened = await crowd.open({ readers: clients, perSecond, key: KEY, request, withinMs: RESUME_WITHIN_MS })
    if (opened.missing > 0) throw new Error(`${opened.missing} of ${clients} readers have no text: ${opened.why}`)
    await sleep(REST_MS)
    const open = rssNow()
    log(`${clients} readers have text; gateways ${idle.toFixed(0)} MB idle, ${open.toFixed(0)} MB now; ${cpu.take()}`)

    const cut = await crowd.cut({ port: null, expected: null, withinMs: RESUME_WITHIN_MS })
    log(`all cut at once: ${told(cut)}; gateways at most ${highest.toFixed(0)} MB; ${cpu.take()}`)
    await sleep(REST_MS)
    cpu.take()

    const frozen = gateways[0]
    const followed = await crowd.jobs(frozen.port)
    const sockets = await socketsOf(frozen)
    frozen.freeze()
    await sleep(frozenMs)
    const heads = await headsOf(store, followed)
    frozen.thaw()
    const caughtUpMs = await crowd.reach(heads, RESUME_WITHIN_MS)
    const lostByFreeze = sockets - (await socketsOf(frozen))
    log(
      `a gateway stopped for ${frozenMs} ms: its ${followed.length} readers have caught up after ` +
        `${caughtUpMs.toFixed(0)} ms, ` +
        `${lostByFreeze} lost their connection; Redis held ${(redisOutput / 2 ** 20).toFixed(1)} MB for it; ` +
        `gateways at most ${highest.toFixed(0)} MB; ${cpu.take()}`,
    )
    await sleep(REST_MS)
    cpu.take()

    const killed = gateways[gateways.length - 1]
    const expected = (await crowd.jobs(killed.port)).length
    alive = gateways.filter((gateway) => gateway !== killed)
    await crowd.ports(alive.map(({ port }) => port))
    cpu.delete(`gateway ${gateways.length}`)
    const resuming = crowd.cut({ port: null, expected, withinMs: RESUME_WITHIN_MS })
    await killed.kill()
    const afterKill = await resuming
    log(`a gateway killed: ${told(afterKill)}; the other at most ${highest.toFixed(0)} MB; ${cpu.take()}`)

    const ended = await crowd.end(tokens * tokenMs + RESUME_WITHIN_MS)
    stopSamples()
    const faults = await faultsOf(ended, alive[0])
    const retried: Record<string, number> = {}
    for (const code of ended.flatMap((each) => each.retried)) retried[code] = (retried[code] ?? 0) + 1
    log(`${ended.length} compared with their jobs, ${faults.length} faults; tried again: ${JSON.stringify(retried)}`)
    return {
      cut,
      caughtUpMs,
      lostByFreeze,
      killed: afterKill,
      faults,
      retried,
      rssMb: { idle, open, highest },
      redisOutput,
    }
  } finally {
    stopSamples()
    await crowd.close()
    store.disconnect()
    await Promise.all(members.map((member) => member.kill()))
    await redis.remove()
  }
}

const told = ({ resumedMs, attempts, missing }: Resumed): string => {
  const ms = (q: number): string => `${quantile(resumedMs, q)} ms`
  return (
    `${resumedMs.length} readers have resumed, p50 ${ms(0.5)}, p99 ${ms(0.99)}, last ${ms(1)}, ` +
    `by ${attempts} connections; ${missing} have not`
  )
}

async function socketsOf({ adminUrl }: Member): Promise<number> {
  const response = await fetch(`${adminUrl}/admin/stats`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
  return ((await response.json()) as { sockets: number }).sockets
}

/** How far each job's log goes, as it is stored. */
async function headsOf(store: Redis, jobs: readonly string[]): Promise<Record<string, number>> {
  const names = new Names()
  const lasts = await Promise.all(jobs.map((job) => store.lindexBuffer(names.log(job), -1)))
  return Object.fromEntries(
    lasts.flatMap((last, i) => {
      if (last === null) return []
      const { firstSeq, count } = readChunk(last.toString('latin1'))
      return [[jobs[i], firstSeq + count - 1]]
    }),
  )
}

/** Compared with what any gateway says that the job's answer is. */
export async function faultsOf(ended: readonly Ended[], { url }: Member): Promise<readonly string[]> {
  const faults: string[] = []
  const left = [...ended.entries()]
  const check = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const [n, reader] = next
      faults.push(...reader.faults)
      if (!reader.isOver) faults.push(`reader ${n} of ${reader.job} has not come to its end`)
      else {
        const text = await textOf(url, reader.job!)
        if (text !== reader.text) faults.push(`${reader.job}: ${reader.text} where the job has ${text}`)
      }
    }
  }
  await Promise.all(Array.from({ length: FETCHES }, check))
  return faults
}

async function textOf(url: string, job: string): Promise<string> {
  const response = await fetch(`${url}/v1/jobs/${job}/result`, { headers: { authorization: `Bearer ${KEY}` } })
  if (response.status !== 200) return `${response.status} ${await response.text()}`
  const { choices } = (await response.json()) as { choices: ReadonlyArray<{ message: { content: string } }> }
  const digest = new Digest()
  digest.add(choices[0].message.content)
  return digest.toString()
}

/** CPU time of each process, since the last time it was asked. */
class CpuTimes {
  readonly #of: Map<string, () => number>
  readonly #before = new Map<string, number>()

  constructor(of: Readonly<Record<string, () => number>>) {
    this.#of = new Map(Object.entries(of))
    this.take()
  }

  add(name: string, of: () => number): void {
    this.#of.set(name, of)
    this.#before.set(name, of())
  }

  delete(name: string): void {
    this.#of.delete(name)
  }

  take(): string {
    const told: string[] = []
    for (const [name, of] of this.#of) {
      const now = of()
      told.push(`${name} ${((now - (this.#before.get(name) ?? 0)) / 1_000).toFixed(1)} s`)
      this.#before.set(name, now)
    }
    return `CPU: ${told.join(', ')}`
  }
}

/** What processes of this user may open: two thirds of the clients' sockets, and theirs, are in one process each. */
export const openFiles = (): number =>
  Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))![1])
