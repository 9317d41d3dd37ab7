/** The models of the scripts, held to the scripts: the same random calls give the same answers, messages and keys. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Argument, Connection } from '../../../src/engines/redis/client/connection.ts'
import { Names } from '../../../src/engines/redis/client/names.ts'
import { Scripts } from '../../../src/engines/redis/client/scripts.ts'
import { Commit } from '../../../src/engines/redis/coordinator/commit.ts'
import { writeChunk, writeFrame } from '../../../src/engines/redis/log/chunk.ts'
import { depth } from '../../depth.ts'
import { NO_REDIS, RedisServer } from '../../redis/server.ts'
import { type Random, random } from '../random.ts'
import { Database, type Value } from './database.ts'
import { Args, bytesOf, type Reach, type Reply } from './model.ts'
import { SCRIPTS } from './scripts.ts'

const CALLS = depth(4_000, 600)
/** Processes, of which the last is deaf; hosts, likewise. */
const PROCESSES = ['p1', 'p2', 'p3']
const HOSTS = ['h1', 'h2', 'h3']
/** They tell what a server is like. */
const OF_THE_SERVER = new Set(['time', 'memory', 'layout'])
const JOBS = ['j1', 'j2', 'j3', 'j4']

describe.skipIf(NO_REDIS)('the model of Redis and its scripts', () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'always' })
  })
  afterAll(() => redis.remove())

  it(`answers, tells and holds what Redis does, over ${CALLS} calls and a restart`, { timeout: 120_000 }, async () => {
    const pair = new Pair(random(Number(process.env['SEED'] ?? 1)))
    await pair.open(redis.url)
    for (let i = 0; i < CALLS / 2; i++) await pair.step()
    await pair.compare()
    await pair.close()
    await redis.kill()
    await redis.restart()
    await pair.open(redis.url)
    for (let i = 0; i < CALLS / 2; i++) await pair.step()
    await pair.compare()
    await pair.close()
    expect([...pair.seen].sort()).toEqual(
      Object.keys(SCRIPTS)
        .filter((name) => !OF_THE_SERVER.has(name))
        .sort(),
    )
  })
})

/** A real server and a simulated one, of which the same is asked. */
class Pair {
  readonly seen = new Set<string>()
  readonly #draw: Random
  readonly #names = new Names()
  readonly #db = new Database()
  #commands!: Connection
  #subscriber!: Connection
  #scripts!: Scripts
  #term = ''
  #number = 0
  #epoch = 1
  #n = 0
  /** Of each log: chunks, and its last seq, about. */
  readonly #written = new Map<string, { chunks: number; seq: number }>()
  #told: string[] = []
  #expected: string[] = []

  constructor(draw: Random) {
    this.#draw = draw
  }

  async open(url: string): Promise<void> {
    this.#commands = new Connection({ url })
    this.#subscriber = new Connection({ url })
    await Promise.all([this.#commands.open(), this.#subscriber.open()])
    this.#scripts = new Scripts(this.#commands, this.#names.shard)
    for (const channel of this.#heard())
      await this.#subscriber.subscribe(channel, (message) => {
        this.#told.push(`${channel} ${message.toString('latin1')}`)
      })
    const info = String(await this.#commands.client.info('server'))
    this.#db.runId = /run_id:(\w+)/.exec(info)![1]
  }

  async close(): Promise<void> {
    this.#commands.close()
    this.#subscriber.close()
  }

  #heard(): string[] {
    const { process, tail, host, control } = this.#names
    const processes = PROCESSES.slice(0, -1)
    return [...processes.map(process), ...processes.map(tail), ...HOSTS.slice(0, -1).map(host), control()]
  }

  async step(): Promise<void> {
    const [name, args] = this.#call()
    this.seen.add(name)
    const reach: Reach = {
      db: this.#db,
      publish: (channel, message) => {
        if (!this.#heard().includes(channel)) return 0
        this.#expected.push(`${channel} ${message}`)
        return 1
      },
      subscribers: (channel) => (this.#heard().includes(channel) ? 1 : 0),
    }
    this.#db.now = Date.now()
    const texts = args.map(bytesOf)
    const modeled = SCRIPTS[name](reach, this.#names.shard, new Args(texts))
    const real = textsOf(await this.#scripts.runBuffer(name, args))
    if (name !== 'inbox')
      expect(counted(real), `${++this.#n}: ${name} ${JSON.stringify(texts)}`).toEqual(counted(modeled))
    if (name === 'takeover' && (modeled as Reply[])[0] === 1) {
      ;[, this.#term, this.#epoch] = modeled as [number, string, number]
      this.#number = 0
    }
    if (name === 'commit' && (modeled as Reply[])[0] === 'ok') this.#number++
  }

  /** Keys, and all that was published. */
  async compare(): Promise<void> {
    const { client } = this.#commands
    await this.#commands.publish(this.#names.control(), 'over')
    this.#expected.push(`${this.#names.control()} over`)
    await expect.poll(() => this.#told.length).toBe(this.#expected.length)
    expect(this.#told).toEqual(this.#expected)
    const keys = await client.keys('*')
    const found: Record<string, unknown> = {}
    for (const key of keys) found[key] = [(await client.pttl(key)) > 0, await this.#read(key)]
    const modeled: Record<string, unknown> = {}
    for (const key of this.#db.keys()) modeled[key] = [this.#db.isExpiring(key), shown(key, this.#db.value(key)!)]
    expect(modeled).toEqual(found)
  }

  async #read(key: string): Promise<unknown> {
    const { client } = this.#commands
    switch (await client.type(key)) {
      case 'string':
        return shown(key, String((await client.getBuffer(key))?.toString('latin1')))
      case 'list':
        return shown(
          key,
          (await client.lrangeBuffer(key, 0, -1)).map((each) => each.toString('latin1')),
        )
      case 'hash':
        return shown(key, new Map(Object.entries(await client.hgetall(key))))
      case 'set':
        return shown(key, new Set(await client.smembers(key)))
      case 'zset': {
        const all = await client.zrange(key, '0', '-1', 'WITHSCORES')
        const scores = new Map<string, number>()
        for (let i = 0; i < all.length; i += 2) scores.set(all[i], Number(all[i + 1]))
        return shown(key, scores)
      }
      default: {
        const entries = await client.xrange(key, '-', '+')
        return shown(key, {
          entries: entries.map(([id, fields]) => [id, fields.filter((_, i) => i % 2 === 1)]),
          last: '',
        })
      }
    }
  }

  // ------------------------------------------------------------ calls

  #call(): readonly [name: string, args: readonly Argument[]] {
    const draw = this.#draw
    const id = draw.of(JOBS)
    const process = draw.of(PROCESSES)
    const dice = draw.below(1_000) / 10
    if (dice < 5)
      return ['takeover', [draw.of(HOSTS), 600_000, draw.of(['', ...HOSTS]), draw.below(1_000), draw.of([0, 1, 2])]]
    if (dice < 9) return ['renew', [draw.of(HOSTS), draw.of([this.#term, '0.x']), 600_000, draw.below(1_000)]]
    if (dice < 9.5) return ['join', []]
    if (dice < 10) return ['tell', [draw.of([this.#term, '0.x']), draw.of(PROCESSES), 'one', draw.of(PROCESSES), '']]
    if (dice < 11) return ['inbox', [`[{"n":${draw.below(100)}}]`]]
    if (dice < 13) return ['release', [draw.of(HOSTS)]]
    if (dice < 40) return ['commit', this.#commit()]
    if (dice < 70) return ['append', this.#append()]
    if (dice < 74) return ['submit', this.#submit()]
    if (dice < 76) return ['submit-end', JOBS.filter(() => draw.chance(0.5))]
    if (dice < 80) return ['jobs-get', JOBS.filter(() => draw.chance(0.5))]
    if (dice < 90) {
      const after = draw.of([-1, 0, 1, 2, 3, 5, 9, Number.MAX_SAFE_INTEGER])
      const one = [id, after, draw.of([0, 30, 1e6]), draw.below(2), draw.of(['', process])]
      return ['log-read', [draw.below(9), ...one, ...(draw.chance(0.3) ? one : [])]]
    }
    if (dice < 94) return ['log-look', [draw.of(['', process]), ...JOBS.filter(() => draw.chance(0.5))]]
    if (dice < 96) return ['log-leave', [process, ...JOBS.filter(() => draw.chance(0.5))]]
    if (dice < 98) return ['log-common', [id, draw.of([this.#epoch, 1, 7])]]
    return ['heard', PROCESSES.filter(() => draw.chance(0.5))]
  }

  #commit(): readonly Argument[] {
    const draw = this.#draw
    const commit = new Commit()
    commit.keepFrom = draw.of([null, '0-1', '9999999999999-0'])
    for (const id of JOBS) {
      if (draw.chance(0.25)) {
        commit.live(id, `{"i":"${id}"}`)
        const key = draw.chance(0.3) ? this.#names.key('t', draw.of(['k1', 'k2'])) : ''
        commit.taken.push({ id, key, value: key === '' ? '' : `${id} digest`, turn: null })
      }
      if (draw.chance(0.4)) commit.run(id, `${draw.of([0, 1, 1, 2])} ${draw.of(PROCESSES)}.1 {}`)
      if (draw.chance(0.12)) {
        const state = draw.of(['done', 'failed'])
        const end = { id, record: Buffer.from(`@end {"state":"${state}"}`), tenant: draw.of(['t', 'u']), state }
        const times = {
          seq: draw.below(100),
          endedAtMs: draw.below(1_000_000),
          text: '{"n":1}',
          bodyBytes: 9,
          joinMs: 60_000,
        }
        const join = state === 'done' ? draw.of(['', 'digest']) : ''
        const kept = { keepMs: draw.of([null, 0, 5_000]), key: '', join, conversation: '', attempt: 1 }
        commit.over.push({ ...end, ...times, ...kept })
      }
      if (draw.chance(0.2)) {
        const about = { worker: `${draw.of(PROCESSES)}.1`, id, row: '{}', attempt: 1, crashes: 0, epoch: 1 }
        const times = { sinceAcceptedMs: 0, queuedMs: 0, ttftMs: null }
        const claim = { deployment: 'd', reservation: null }
        commit.lease(about.worker.slice(0, 2), { ...about, ...times, claim, bodyBytes: draw.of([10, 1 << 20]) })
      }
    }
    if (draw.chance(0.3)) commit.tell(draw.of(PROCESSES), { type: 'answer', n: 1, is: null })
    if (draw.chance(0.2)) commit.change('SET', 'seq', draw.below(1_000))
    if (draw.chance(0.2)) commit.change(draw.of(['SADD', 'SREM']), 'drain', draw.of(PROCESSES))
    const [term, number] = [draw.chance(0.9) ? this.#term : '0.x', this.#number + draw.of([0, 0, 0, 0, 0, -1, 1])]
    return commit.args(term, number, draw.chance(0.95) ? this.#epoch : 3, draw.below(1_000))
  }

  #append(): readonly Argument[] {
    const draw = this.#draw
    const groups: Argument[] = []
    const left = new Set(JOBS)
    let isOpening = false
    for (let g = 1 + draw.below(2); g > 0; g--) {
      let frames = ''
      for (const id of [...left].filter(() => draw.chance(0.5))) {
        left.delete(id)
        const chunks = this.#db.list(this.#names.log(id))
        const written = this.#written.get(id) ?? { chunks: 0, seq: 0 }
        const opens = draw.chance(0.3)
        isOpening ||= opens
        // At times what was stored last comes again
        const repeats = chunks.length > 0 && draw.chance(0.1)
        const number = chunks.length - (repeats ? 1 : 0) + draw.of([0, 0, 0, 0, 0, 1, -1])
        const count = 1 + draw.below(3)
        const head = chunks.length === 0 ? 0 : written.seq
        const body = `body of ${id} ${number} ${draw.below(1_000)} \0\xff`
        const seqs = { firstSeq: head + 1 + draw.of([0, 0, 0, 0, 1]), count, back: draw.below(Math.max(1, number)) }
        const of = opens && draw.chance(0.2) ? 3 : this.#epoch
        const chunk = repeats
          ? chunks.at(-1)!
          : writeChunk({ isEnd: false, isOpening: opens, epoch: of, ...seqs, bytes: body.length, body })
        frames += writeFrame(id, draw.of([1, 1, 2]), Math.max(0, number), chunk)
        this.#written.set(id, { chunks: number, seq: seqs.firstSeq + count - 1 })
      }
      if (frames !== '') groups.push(draw.of(['', 'p1', 'p1 p2', 'p3', 'p2 p3']), Buffer.from(frames, 'latin1'))
    }
    const args: Argument[] = [draw.of(PROCESSES), isOpening ? draw.below(1_000) : '', groups.length / 2, ...groups]
    for (const id of JOBS)
      if (draw.chance(0.2)) {
        const head = draw.chance(0.7) ? (this.#written.get(id)?.seq ?? 0) : draw.below(9)
        args.push(id, draw.of([1, 2]), draw.of(['ttft', 'command']), draw.of(['12', '[]']), head)
      }
    return args
  }

  #submit(): readonly Argument[] {
    const draw = this.#draw
    const args: Argument[] = [60, draw.of([0, 10_000, 10_000])]
    for (let n = 1 + draw.below(2); n > 0; n--) {
      args.push(`[{"n":${n}}]`, ...(draw.chance(0.8) ? [0] : [1, 'unknown']))
      const ids = JOBS.filter(() => draw.chance(0.3))
      args.push(2 * ids.length, ...ids.flatMap((id) => [id, draw.chance(0.2) ? '' : `body ${id} ${draw.below(100)}`]))
    }
    return args
  }
}

/** Bytes that Redis counts are not compared, nor the ids that its clock gives. */
function shown(key: string, value: Value): unknown {
  if (key.includes(':r:')) return counted(value)
  if (key.endsWith(':bytes')) return [...(value as Map<string, string>).keys()].sort()
  if (key.includes(':ends:'))
    return [...new Set([...(value as Map<string, number>).keys()].map((each) => each.split(':')[0]))].sort()
  if (typeof value === 'string' || Array.isArray(value)) return value
  if (value instanceof Set) return [...value].sort()
  if (value instanceof Map) return Object.fromEntries([...value].sort(([a], [b]) => (a < b ? -1 : 1)))
  return value.entries.map(([, texts]) => texts)
}

/** Without the bytes that a row begins with. */
const counted = (reply: unknown): unknown =>
  typeof reply === 'string'
    ? reply.replace(/^\d+(?= \d+ \d+\n)/, 'N')
    : Array.isArray(reply)
      ? reply.map(counted)
      : reply

const textsOf = (reply: unknown): unknown =>
  Buffer.isBuffer(reply) ? reply.toString('latin1') : Array.isArray(reply) ? reply.map(textsOf) : reply
