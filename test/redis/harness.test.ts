/** The servers and faults that the suites of the Redis engine are built on. */
import { Cluster, Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { RedisCluster } from './cluster.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const opened: Array<() => unknown> = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

async function server(...options: Parameters<typeof RedisServer.start>): Promise<RedisServer> {
  const started = await RedisServer.start(...options)
  opened.push(() => started.remove())
  return started
}

function client(port: number): Redis {
  const redis = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: null, retryStrategy: () => 20 })
  redis.on('error', () => {})
  opened.push(() => redis.disconnect())
  return redis
}

describe.skipIf(NO_REDIS)('Redis: the harness', () => {
  it('a server that was killed comes back with what it has synced, on the same port', async () => {
    const redis = await server({ appendfsync: 'always' })
    const a = client(redis.port)
    await a.set('k', 'v')
    const before = redis.pid
    await redis.kill()
    await redis.restart()
    expect(redis.pid).not.toBe(before)
    expect(await a.get('k')).toBe('v')
    await redis.shutdown()
    await redis.restart()
    expect(await a.get('k')).toBe('v')
    expect(await a.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction'])
  })

  it('one whose port is taken fails, and hangs nobody', async () => {
    const { port } = await server({ appendfsync: null })
    await expect(RedisServer.start({ config: { port: String(port) } })).rejects.toThrow('Address already in use')
  })

  it('a stopped server answers when it is resumed', async () => {
    const redis = await server({ appendfsync: null })
    const a = client(redis.port)
    await a.ping()
    redis.stop()
    let answered = false
    const ping = a.ping().then(() => (answered = true))
    await new Promise((done) => setTimeout(done, 100))
    expect(answered).toBe(false)
    redis.resume()
    await ping
  })

  it('a cluster of three serves each slot, and a client that was told of one node finds the others', async () => {
    const cluster = await RedisCluster.start({ appendfsync: null, proxied: true })
    opened.push(() => cluster.remove())
    const redis = new Cluster([cluster.url])
    opened.push(() => redis.disconnect())
    for (let i = 0; i < 30; i++) await redis.set(`k${i}`, i)
    for (let i = 0; i < 30; i++) expect(await redis.get(`k${i}`)).toBe(String(i))
    expect(redis.nodes('master').length).toBe(3)
    // It knows only the proxies
    const ports = redis.nodes('all').map(({ options }) => options.port)
    expect(ports.sort()).toEqual(cluster.proxies.map(({ port }) => port).sort())
  })

  it('the proxy cuts, stalls one way, delays and heals', async () => {
    const redis = await server({ appendfsync: null })
    const proxy = await FaultProxy.start(redis.port)
    opened.push(() => proxy.close())
    const [direct, through] = [client(redis.port), client(proxy.port)]
    await through.set('n', 0)

    // The command arrives, its answer is lost
    proxy.stall('down')
    const lost = through.incr('n').catch((error: Error) => error.message)
    await expect.poll(() => direct.get('n')).toBe('1')
    proxy.cut()
    proxy.heal()
    await lost // ioredis repeats it
    expect(await direct.get('n')).toBe('2')

    proxy.stall()
    const late = through.incr('n')
    await new Promise((done) => setTimeout(done, 50))
    expect(await direct.get('n')).toBe('2')
    proxy.heal()
    expect(await late).toBe(3)

    proxy.delay(60)
    const from = performance.now()
    await through.ping()
    expect(performance.now() - from).toBeGreaterThanOrEqual(119)
    // A shorter delay overtakes nothing
    const first = through.rpush('l', 'a')
    await new Promise((done) => setTimeout(done, 5))
    proxy.delay(0)
    await Promise.all([first, through.rpush('l', 'b')])
    expect(await direct.lrange('l', 0, -1)).toEqual(['a', 'b'])

    proxy.cut()
    await expect.poll(() => proxy.connections).toBe(0)
    expect(through.status).not.toBe('ready')
    proxy.heal()
    expect(await through.ping()).toBe('PONG')
  })
})
