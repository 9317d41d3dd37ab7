/** Sign-ins end by Redis's clock; one that is turned back signs everybody out. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { redis, type Store } from '../conformance/redis.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const HOURS = 3_600_000

describe.skipIf(NO_REDIS)('Redis: sign-ins', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server?.remove())

  it('where the clock of Redis was turned back, nobody stays signed in for longer: they sign in again', async () => {
    const store: Store = { address: { url: server.url }, crash: async () => {}, remove: async () => {} }
    const { engine, close } = await redis(async () => store, 'process')()
    const { Redis } = await import('ioredis')
    const client = new Redis(server.url)
    const enter = async (name: string): Promise<void> => {
      await engine.signIns.issue(name, 'admin', HOURS)
      expect(await engine.signIns.redeem(name, name, HOURS)).toBe('admin')
    }
    try {
      await enter('before')
      const [seen] = await client.keys('*:signin:seen')
      const shownMs = Number(await client.get(seen))
      // What two machines differ by, after a failover, is no such thing
      await client.set(seen, String(shownMs + 3_000))
      expect(await engine.signIns.keep('before', HOURS)).toBe('admin')
      await client.set(seen, String(shownMs + 24 * HOURS))
      expect(await engine.signIns.keep('before', HOURS)).toBeNull()
      await enter('after')
      expect(await engine.signIns.keep('after', HOURS)).toBe('admin')
    } finally {
      client.disconnect()
      await close()
    }
  })
})
