/** Which servers are refused, and what the operator is told to do. */
import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import {
  type Checked,
  checkConnection,
  checkServers,
  type Demands,
  type Node,
  watchSettings,
} from '../../src/engines/redis/client/check.ts'
import { Connection, type RedisAddress } from '../../src/engines/redis/client/connection.ts'
import { eventually, leapClock } from '../conformance/harness.ts'
import { freePort } from '../free-port.ts'
import { RedisCluster } from './cluster.ts'
import { NO_REDIS, type RedisOptions, RedisServer } from './server.ts'

const opened: Array<() => unknown> = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

async function nodeOf(options: RedisOptions, auth: object = {}): Promise<Node> {
  const server = await RedisServer.start(options)
  opened.push(() => server.remove())
  const client = new Redis({ port: server.port, host: '127.0.0.1', ...auth })
  opened.push(() => client.disconnect())
  return { name: 'redis:6379', call: (command, ...args) => client.call(command, ...args) }
}

const check = (node: Node, demands: Partial<Demands> = {}): Promise<Checked> =>
  checkServers([node], { durability: 'power', cluster: false, allowDataLoss: false, ...demands })

describe.skipIf(NO_REDIS)('Redis: the check of its settings', () => {
  it('a server that syncs each write can keep all levels', async () => {
    const node = await nodeOf({ appendfsync: 'always' })
    for (const durability of ['power', 'process', 'memory'] as const)
      expect(await check(node, { durability })).toEqual({
        servers: [
          expect.stringMatching(
            /^redis:6379: (Redis|Valkey) \d.*policy noeviction, appendonly yes, appendfsync always$/,
          ),
        ],
        losses: [],
        advice: [expect.stringContaining('redis:6379: maxmemory is 0, no limit')],
      })
  })

  it('everysec is not enough for power, and enough for process', async () => {
    const node = await nodeOf({ appendfsync: 'everysec' })
    await expect(check(node)).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(/redis:6379: appendfsync is everysec.*Set "appendfsync always"/) as string,
    })
    expect((await check(node, { durability: 'process' })).losses).toEqual([])
    // The operator may know better
    expect((await check(node, { allowDataLoss: true })).losses).toEqual([expect.stringContaining('everysec')])
  })

  it('without an append-only file only memory can be kept', async () => {
    const node = await nodeOf({ appendfsync: null })
    await expect(check(node)).rejects.toThrow('appendonly is off')
    await expect(check(node, { durability: 'process' })).rejects.toThrow('"appendfsync everysec"')
    expect((await check(node, { durability: 'memory' })).losses).toEqual([])
  })

  it('what changes while a process runs is warned of, once for each change', async () => {
    const server = await RedisServer.start({ appendfsync: 'always', config: { maxmemory: '1gb' } })
    opened.push(() => server.remove())
    const connection = new Connection({ url: server.url })
    opened.push(() => connection.close())
    await connection.open()
    const clock = leapClock()
    const warned: string[] = []
    const known = await checkConnection(connection, { durability: 'power', allowDataLoss: false })
    opened.push(
      watchSettings(connection, 'power', known, clock, (code, detail) => void warned.push(`${code}: ${detail}`)),
    )
    const look = async (times: number): Promise<void> => {
      clock.leap(60_001)
      await eventually(() => expect(warned.length).toBe(times))
    }
    await connection.client.config('SET', 'appendfsync', 'everysec')
    await look(1)
    await look(1)
    await connection.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await look(2)
    await connection.client.config('SET', 'maxmemory', '0')
    await look(3)
    expect(warned).toEqual([
      expect.stringMatching(/^data_may_be_lost: .*appendfsync is everysec/),
      expect.stringMatching(/^data_may_be_lost: .*allkeys-lru/),
      expect.stringMatching(/^redis_settings: .*maxmemory is 0/),
    ])
  })

  it('a server that deletes what it likes is refused at every level', async () => {
    const node = await nodeOf({ appendfsync: 'always', maxmemoryPolicy: 'volatile-lru' })
    for (const durability of ['power', 'process', 'memory'] as const)
      await expect(check(node, { durability })).rejects.toThrow('maxmemory-policy is volatile-lru')
  })

  it('one that skips the sync while it rewrites its file is no better than everysec', async () => {
    const node = await nodeOf({ appendfsync: 'always', config: { 'no-appendfsync-on-rewrite': 'yes' } })
    await expect(check(node)).rejects.toThrow('no-appendfsync-on-rewrite is yes')
    expect((await check(node, { durability: 'process' })).losses).toEqual([])
  })

  it('one that goes on without its replicas, or keeps all that a slow reader does not take, is told', async () => {
    const primary = await RedisServer.start({ appendfsync: 'always', config: { maxmemory: '1gb' } })
    opened.push(() => primary.remove())
    const client = new Redis({ port: primary.port, host: '127.0.0.1' })
    opened.push(() => client.disconnect())
    const node: Node = { name: 'redis-1:6379', call: (command, ...args) => client.call(command, ...args) }
    expect((await check(node)).advice).toEqual([])
    const replica = await RedisServer.start({ config: { replicaof: `127.0.0.1 ${primary.port}` } })
    opened.push(() => replica.remove())
    await eventually(async () => {
      const { advice } = await check(node)
      expect(advice).toEqual([expect.stringContaining('redis-1:6379: It has replicas, and goes on alone')])
    })
    expect((await check(node, { durability: 'memory' })).advice).toEqual([])
    await client.config('SET', 'min-replicas-to-write', '1')
    await client.config('SET', 'client-output-buffer-limit', 'pubsub 0 0 0')
    expect((await check(node)).advice).toEqual([expect.stringContaining('no limit for pubsub')])
  })

  it('where CONFIG is not allowed, what is unknown counts as not kept', async () => {
    const user = 'on >secret ~* &* +@all -config'
    const node = await nodeOf(
      { appendfsync: 'always', config: { user: `app ${user}` } },
      { username: 'app', password: 'secret' },
    )
    await expect(check(node)).rejects.toThrow('CONFIG GET is not allowed here')
    expect((await check(node, { durability: 'process' })).losses).toEqual([])
  })

  it('a replica, and a node that is spoken to as if it were alone, are refused whatever is allowed', async () => {
    const primary = await RedisServer.start({ appendfsync: null })
    opened.push(() => primary.remove())
    const replica = await nodeOf({ appendfsync: 'always', config: { replicaof: `127.0.0.1 ${primary.port}` } })
    await expect(check(replica, { allowDataLoss: true })).rejects.toThrow('This is a replica')
    const config = { 'cluster-enabled': 'yes', 'cluster-port': String(await freePort()) }
    const member = await nodeOf({ appendfsync: 'always', config })
    await expect(check(member, { allowDataLoss: true })).rejects.toThrow(
      'name others of its nodes in engine.redis.nodes',
    )
    expect((await check(member, { cluster: true })).losses).toEqual([])
    const alone = await nodeOf({ appendfsync: 'always' })
    await expect(check(alone, { cluster: true })).rejects.toThrow('leave out engine.redis.nodes')
  })

  it('a version that is too old is refused by its number', async () => {
    const real = await nodeOf({ appendfsync: 'always' })
    const as = (from: RegExp, to: string): Node => ({
      ...real,
      call: async (command, ...args) => {
        const answer = await real.call(command, ...args)
        return command === 'INFO' ? String(answer).replace(from, to) : answer
      },
    })
    const version = /(redis|valkey)_version:[^\r]*/g
    await expect(check(as(version, 'redis_version:6.0.20'))).rejects.toThrow('Redis 6.0.20. Sluice needs 6.2 or newer')
    await check(as(version, 'redis_version:6.2.0'))
    await check(as(version, 'redis_version:10.0.1'))
    const cluster = { cluster: true }
    const member = (text: string): Node => as(/cluster_enabled:0/, `cluster_enabled:1\r\n${text}`)
    await expect(check(member('redis_version:6.2.14'), cluster)).rejects.toThrow('needs 7.0 or newer in a cluster')
    const valkey = (n: string): Node => as(version, `redis_version:7.2.4\r\nvalkey_version:${n}`)
    expect((await check(valkey('8.1.0'))).servers).toEqual([expect.stringContaining(': Valkey 8.1.0,')])
    await expect(check(valkey('7.1.9'))).rejects.toThrow('Valkey 7.1.9. Sluice needs 7.2')
  })

  it('in a cluster each node is looked at, and told by its name', async () => {
    const [good, bad] = [await nodeOf({ appendfsync: 'always' }), await nodeOf({ appendfsync: 'everysec' })]
    const all = [good, { ...bad, name: 'redis-2:6379' }]
    await expect(checkServers(all, { durability: 'power', cluster: false, allowDataLoss: false })).rejects.toThrow(
      / redis-2:6379: appendfsync is everysec/,
    )
  })

  it('a connection is checked by itself, to one server or to a cluster of three', async () => {
    const cluster = await RedisCluster.start({ appendfsync: 'always' })
    opened.push(() => cluster.remove())
    const demands = { durability: 'power', allowDataLoss: false } as const
    const connect = async (address: RedisAddress): Promise<Connection> => {
      const connection = new Connection(address)
      opened.push(() => connection.close())
      await connection.open()
      return connection
    }
    const { url, others } = cluster
    const all = await connect({ url, nodes: others })
    expect((await checkConnection(all, demands)).losses).toEqual([])
    // As if it were alone
    await expect(checkConnection(await connect({ url }), demands)).rejects.toThrow(
      'name others of its nodes in engine.redis.nodes',
    )
    const third = new Redis({ port: cluster.nodes[2].port, host: '127.0.0.1' })
    opened.push(() => third.disconnect())
    await third.config('SET', 'appendfsync', 'everysec')
    const name = `127.0.0.1:${cluster.nodes[2].port}`
    await expect(checkConnection(all, demands)).rejects.toThrow(`${name}: appendfsync is everysec`)
  })
})
