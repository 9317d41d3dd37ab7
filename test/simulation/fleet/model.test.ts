/** The models of the scripts, held to the scripts: the same random calls give the same answers, messages and keys. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Connection } from '../../../src/engines/redis/client/connection.ts'
import { Names } from '../../../src/engines/redis/client/names.ts'
import { Scripts } from '../../../src/engines/redis/client/scripts.ts'
import { depth } from '../../depth.ts'
import { NO_REDIS, RedisServer } from '../../redis/server.ts'
import { type Random, random } from '../random.ts'
import { Database, type Value } from './database.ts'
import { Args, bytesOf, type Reach } from './model.ts'
import { Calls, HOSTS, PROCESSES } from './model-calls.ts'
import { SCRIPTS } from './scripts.ts'

const CALLS = depth(4_000, 600)
describe.skipIf(NO_REDIS)('the model of Redis and its scripts', () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'always' })
  })
  afterAll(() => redis.remove())

  it(`answers, tells and holds what Redis does, over ${CALLS} calls and a restart`, async () => {
    const pair = new Pair(random(Number(process.env['SEED'] ?? 1)))
    await pair.open(redis.url)
    for (let i = 0; i < CALLS / 2; i++) await pair.step()
    await pair.compare()
    await pair.close()
    await redis.kill()
    await redis.restart()
    await pair.open(redis.url)
    for (let i = 0; i < CALLS / 2; i++) await pair.step()
    for (const name of ['time', 'memory']) await pair.step([name, []])
    await pair.compare()
    await pair.close()
    expect([...pair.seen].sort()).toEqual(Object.keys(SCRIPTS).sort())
  })
})

/** A real server and a simulated one, of which the same is asked. */
class Pair {
  readonly seen = new Set<string>()
  readonly #calls: Calls
  readonly #names = new Names()
  readonly #db = new Database()
  #commands!: Connection
  #subscriber!: Connection
  #scripts!: Scripts
  #n = 0
  #told: string[] = []
  #expected: string[] = []

  constructor(draw: Random) {
    this.#calls = new Calls(draw, this.#names, this.#db)
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

  async step([name, args] = this.#calls.next()): Promise<void> {
    this.seen.add(name)
    const reach: Reach = {
      db: this.#db,
      publish: (channel, message) => {
        if (!this.#heard().includes(channel)) return 0
        this.#expected.push(`${channel} ${message}`)
        return 1
      },
      channels: () => this.#heard(),
      subscribers: (channel) => (this.#heard().includes(channel) ? 1 : 0),
    }
    this.#db.now = Date.now()
    const texts = args.map(bytesOf)
    const modeled = SCRIPTS[name](reach, this.#names.shard, new Args(texts))
    const real = textsOf(await this.#scripts.runBuffer(name, args))
    const of = VARYING[name] ?? counted
    expect(of(real), `${++this.#n}: ${name} ${JSON.stringify(texts)}`).toEqual(of(modeled))
    this.#calls.answered(name, modeled)
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
}

/** Bytes that Redis counts are not compared, nor the ids that its clock gives. */
function shown(key: string, value: Value): unknown {
  if (key.includes(':r:')) return counted(value)
  if (key.endsWith(':unfiled')) return (value as string[]).map((each) => each.replace(/^\d+/, 'N'))
  if (key.endsWith(':bytes')) return [...(value as Map<string, string>).keys()].sort()
  if (key.includes(':ends:'))
    return [...new Set([...(value as Map<string, number>).keys()].map((each) => each.split(':')[0]))].sort()
  if (typeof value === 'string' || Array.isArray(value)) return value
  if (value instanceof Set) return [...value].sort()
  if (value instanceof Map) return Object.fromEntries([...value].sort(([a], [b]) => (a < b ? -1 : 1)))
  return value.entries.map(([, texts]) => texts)
}

/** What of an answer is compared where the rest is the server's own: its clock, the memory that it has in use. */
const VARYING: Readonly<Record<string, (reply: unknown) => unknown>> = {
  inbox: (id) => /^\d+-\d+$/.test(String(id)),
  time: (reply) => (reply as readonly unknown[]).map((each) => /^\d+$/.test(String(each))),
  memory: (reply) => (reply as readonly unknown[]).slice(1),
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
