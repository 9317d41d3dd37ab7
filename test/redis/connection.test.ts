/** What a connection does when it is cut. */
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { Connection, PING_MS, type RedisAddress } from '../../src/engines/redis/client/connection.ts'
import { RedisCluster } from './cluster.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const opened: Array<() => unknown> = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

describe.skipIf(NO_REDIS)('Redis: a connection', () => {
  it('that is cut while it subscribes again hears all its channels once it is back', async () => {
    const server = await RedisServer.start({ appendfsync: null })
    opened.push(() => server.remove())
    const proxy = await FaultProxy.start(server.port)
    opened.push(() => proxy.close())
    const [subscriber, publisher] = [new Connection({ url: proxy.url }), new Connection({ url: server.url })]
    opened.push(
      () => subscriber.close(),
      () => publisher.close(),
    )
    await Promise.all([subscriber.open(), publisher.open()])
    const heard: string[] = []
    for (const channel of ['a', 'b'])
      await subscriber.subscribe(channel, (message) => void heard.push(`${channel} ${message}`))
    let turns = 0
    subscriber.onTurn((back) => {
      if (back) turns++
    })
    for (let i = 0; i < 10; i++) {
      // Cut as soon as it is ready again: what it then sends is not answered
      const ready = new Promise((done) => subscriber.client.once('ready', done))
      proxy.drop()
      await ready
      if (i % 2 === 0) proxy.stall('down')
      proxy.drop()
      proxy.heal()
      await new Promise((done) => subscriber.client.once('close', done))
    }
    await expect.poll(() => subscriber.away).toBe(false)
    expect(turns).toBeGreaterThan(0)
    // It hears from the moment that it is told to be back
    await publisher.publish('a', '1')
    await publisher.publish('b', '2')
    await expect.poll(() => heard).toEqual(['a 1', 'b 2'])
  })

  it.each(['a server', 'a cluster'])('whose peer vanishes without a word is given up: to %s', async (to) => {
    let proxy: FaultProxy
    let address: RedisAddress
    if (to === 'a server') {
      const server = await RedisServer.start({ appendfsync: null })
      opened.push(() => server.remove())
      proxy = await FaultProxy.start(server.port)
      opened.push(() => proxy.close())
      address = { url: proxy.url }
    } else {
      const cluster = await RedisCluster.start({ appendfsync: null, proxied: true })
      opened.push(() => cluster.remove())
      proxy = cluster.proxies[await cluster.ownerOf('{s0}')]
      address = { url: cluster.url, nodes: cluster.others }
    }
    const subscriber = new Connection(address)
    opened.push(() => subscriber.close())
    await subscriber.open()
    const heard: string[] = []
    await subscriber.subscribe('{s0}:a', (message) => void heard.push(message.toString()))
    const stopPings = systemClock.every(PING_MS, () => subscriber.ping())
    opened.push(stopPings)
    proxy.stall()
    await expect.poll(() => subscriber.away).toBe(true)
    proxy.drop()
    proxy.heal()
    await expect.poll(() => subscriber.away).toBe(false)
    const publisher = subscriber.another()
    opened.push(() => publisher.close())
    await publisher.open()
    await publisher.publish('{s0}:a', '1')
    await expect.poll(() => heard).toEqual(['1'])
  })
})
