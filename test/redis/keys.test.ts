/** Keys and tickets of a fleet: what one process does, all know. */
import type { IncomingMessage } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import type { SluiceError } from '../../src/core/errors.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { ApiKey, Keys } from '../../src/core/ports/keys.ts'
import { RedisKeys } from '../../src/engines/redis/keys.ts'
import { RedisTickets } from '../../src/engines/redis/tickets.ts'
import { mintKey } from '../../src/gateway/caller/api-key.ts'
import { createAuth } from '../../src/gateway/caller/auth.ts'
import { createSessions } from '../../src/gateway/caller/sessions.ts'
import { openParts, type Parts } from './parts.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, type RedisOptions, RedisServer } from './server.ts'

const opened: Array<() => unknown> = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

async function server(options: RedisOptions = {}): Promise<RedisServer> {
  const started = await RedisServer.start(options)
  opened.push(() => started.remove())
  return started
}

async function partsOf(url: string): Promise<Parts> {
  const parts = await openParts({ url })
  opened.push(() => parts.close())
  return parts
}

async function keysOf(url: string): Promise<RedisKeys & { readonly parts: Parts }> {
  const parts = await partsOf(url)
  const keys = await RedisKeys.open(parts)
  opened.push(() => keys.close())
  return Object.assign(keys, { parts })
}

const key = (id: string, more: Partial<ApiKey> = {}): ApiKey => ({
  id,
  tenant: 'acme',
  name: `key ${id}`,
  hint: 'sk-sluice-ab',
  createdAtMs: 1_750_000_000_000.25,
  ...more,
})

/** As a gateway checks keys. */
function authOf(keys: Keys, badKeysPerMinute = 100, keysHaveChecksums = false) {
  const sessions = createSessions(keys, undefined as never, systemClock, systemIds(), {
    secret: () => Buffer.from('a secret of the tests'),
    ticketMs: 30_000,
    tokenMs: 600_000,
    sessionMs: 3_600_000,
  })
  const options = { adminKeyDigest: null, keysHaveChecksums, badKeysPerMinute }
  return { sessions, auth: createAuth(keys, sessions, systemClock, options) }
}
const asking = (text: string): IncomingMessage => {
  const authorization = `Bearer ${text}`
  const request = { headers: { authorization }, rawHeaders: ['authorization', authorization], socket: {}, url: '/' }
  return request as unknown as IncomingMessage
}
const session = (keyId: string) => ({ id: 's', keyId, user: null, origin: null, endsAtMs: 1 })

describe.skipIf(NO_REDIS)('Redis: keys', () => {
  it('a key that one process adds or revokes is known to the others, and to those that start later', async () => {
    const { url } = await server()
    const [a, b] = [await keysOf(url), await keysOf(url)]
    await a.add(key('k1'), 'd1')
    await expect.poll(() => b.find('d1')).toEqual(key('k1'))
    expect(await b.revoke('k1', 5)).toBe(true)
    await expect.poll(() => a.find('d1')?.revokedAtMs).toBe(5)
    expect(await a.revoke('k1', 9)).toBe(true)
    const c = await keysOf(url)
    expect(c.find('d1')).toEqual(key('k1', { revokedAtMs: 5 }))
    // A process that was not told yet
    await a.add(key('k2'), 'd2')
    expect(await c.revoke('k2', 7)).toBe(true)
    expect(await c.revoke('k3', 7)).toBe(false)
  })

  it("a key that a gateway was not told of yet is looked for before it is refused; a session's key too", async () => {
    const { url } = await server()
    const [a, deaf] = [await keysOf(url), await keysOf(url)]
    await deaf.parts.subscriber.client.unsubscribe()
    const minted = mintKey(systemIds())
    await a.add(key('k1'), minted.digest)
    expect(deaf.find(minted.digest)).toBeNull()
    const { auth } = authOf(deaf)
    expect(await auth.tenant(asking(minted.key))).toMatchObject({ key: { id: 'k1' } })
    // Known now: nobody waits
    expect(auth.tenant(asking(minted.key))).toMatchObject({ key: { id: 'k1' } })
    await a.add(key('k2'), 'd2')
    const { token } = authOf(a).sessions.token({ ...session('k2'), endsAtMs: Date.now() + 60_000 })
    expect(deaf.get('k2')).toBeNull()
    expect(await auth.tenant(asking(token))).toMatchObject({ key: { id: 'k2' }, session: { keyId: 'k2' } })
  })

  it('a flood of made-up keys costs Redis 20 looks a second at most, and who floods is not looked for', async () => {
    const { url } = await server()
    const keys = await keysOf(url)
    const { client } = keys.parts.commands
    const calls = async (): Promise<number> =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1])
    const before = await calls()
    const startedMono = performance.now()
    for (let wave = 0; wave < 10; wave++) await Promise.all(Array.from({ length: 200 }, async () => keys.refresh()))
    expect(await calls()).toBe(before + 10)
    expect(performance.now() - startedMono).toBeGreaterThan(9 * 49)
    const { auth } = authOf(keys, 3)
    const codes: string[] = []
    for (let i = 0; i < 6; i++)
      await Promise.resolve()
        .then(() => auth.tenant(asking(mintKey(systemIds()).key)))
        .catch((error: SluiceError) => codes.push(error.code))
    expect(codes).toEqual([...Array(3).fill('invalid_api_key'), ...Array(3).fill('too_many_auth_failures')])
    expect(await calls()).toBe(before + 13)
    // What can be no key of ours is not looked for at all
    const checked = authOf(keys, 100, true).auth
    const refused = expect.objectContaining({ code: 'invalid_api_key' }) as Error
    for (const text of ['sk-x', `${mintKey(systemIds()).key.slice(0, -1)}!`, 'a'.repeat(600)])
      expect(() => checked.tenant(asking(text))).toThrow(refused)
    expect(() => auth.tenant(asking('a'.repeat(600)))).toThrow()
    expect(await calls()).toBe(before + 13)
  })

  it('while Redis is away an unknown key is no wrong key: 503, which clients try again', async () => {
    const { url, port } = await server()
    const proxy = await FaultProxy.start(port)
    opened.push(() => proxy.close())
    const { auth } = authOf(await keysOf(proxy.url))
    proxy.cut()
    await expect(Promise.resolve().then(() => auth.tenant(asking(mintKey(systemIds()).key)))).rejects.toMatchObject({
      code: 'storage_unavailable',
    })
    expect((await keysOf(url)).find('d')).toBeNull()
  })

  it('two processes that add the same key at once have one', async () => {
    const { url } = await server()
    const [a, b] = [await keysOf(url), await keysOf(url)]
    await Promise.all([a.add(key('k1'), 'd'), b.add(key('k2'), 'd')])
    expect(a.find('d')).toEqual(b.find('d'))
    expect((await a.list()).length).toBe(1)
  })

  it('a revocation is heard although the channel was cut when it was told', async () => {
    const { url, port } = await server()
    const proxy = await FaultProxy.start(port)
    opened.push(() => proxy.close())
    const [a, cut] = [await keysOf(url), await keysOf(proxy.url)]
    await a.add(key('k1'), 'd1')
    await expect.poll(() => cut.find('d1')).not.toBeNull()
    proxy.cut()
    await expect.poll(() => cut.parts.subscriber.away).toBe(true)
    await a.revoke('k1', 5)
    expect(cut.find('d1')?.revokedAtMs).toBeUndefined()
    proxy.heal()
    await expect.poll(() => cut.find('d1')?.revokedAtMs).toBe(5)
  })

  it('a channel that is silent without a cut: the keys are read again every 4 s', async () => {
    const { url } = await server()
    const [a, deaf] = [await keysOf(url), await keysOf(url)]
    await a.add(key('k1'), 'd1')
    await expect.poll(() => deaf.find('d1')).not.toBeNull()
    await deaf.parts.subscriber.client.unsubscribe()
    await a.revoke('k1', 5)
    await new Promise((done) => setTimeout(done, 50))
    expect(deaf.find('d1')?.revokedAtMs).toBeUndefined()
    deaf.parts.clock.leap(4_001)
    await expect.poll(() => deaf.find('d1')?.revokedAtMs).toBe(5)
  })

  it('while Redis is away known keys are served for 30 s, then refused; running work is not', async () => {
    const { url, port } = await server()
    const proxy = await FaultProxy.start(port)
    opened.push(() => proxy.close())
    const keys = await keysOf(proxy.url)
    await keys.add(key('k1'), 'd1')
    proxy.cut()
    await expect.poll(() => keys.parts.commands.away).toBe(true)
    keys.parts.clock.leap(20_000)
    expect(keys.find('d1')).toEqual(key('k1'))
    keys.parts.clock.leap(11_000)
    const refused = expect.objectContaining({ code: 'storage_unavailable', status: 503 }) as Error
    expect(() => keys.find('d1')).toThrow(refused)
    expect(() => keys.find('unknown')).toThrow(refused)
    expect(keys.get('k1')).toEqual(key('k1'))
    proxy.heal()
    keys.parts.clock.leap(1_001)
    await expect.poll(() => (keys.parts.commands.away ? null : keys.find('d1'))).toEqual(key('k1'))
    expect((await keysOf(url)).find('d1')).toEqual(key('k1'))
  })

  it('a revocation that could not be stored holds here, and is stored when Redis is back', async () => {
    const { url, port } = await server()
    const proxy = await FaultProxy.start(port)
    opened.push(() => proxy.close())
    const [keys, other] = [await keysOf(proxy.url), await keysOf(url)]
    await keys.add(key('k1'), 'd1')
    proxy.cut()
    await expect.poll(() => keys.parts.commands.away).toBe(true)
    await expect(keys.revoke('k1', 5)).rejects.toMatchObject({ code: 'storage_unavailable' })
    expect(keys.find('d1')?.revokedAtMs).toBe(5)
    proxy.heal()
    await expect.poll(() => other.find('d1')?.revokedAtMs).toBe(5)
    expect(keys.find('d1')?.revokedAtMs).toBe(5)
  })

  it('a Redis that was emptied is given the keys back, revoked ones as such, by whoever knows them', async () => {
    const { url } = await server()
    const parts = await partsOf(url)
    let emptied = 0
    const a = await RedisKeys.open(parts, async () => void emptied++)
    opened.push(() => a.close())
    const b = await keysOf(url)
    await a.add(key('k1'), 'd1')
    await a.add(key('k2'), 'd2')
    await a.revoke('k2', 5)
    await expect.poll(() => b.find('d2')?.revokedAtMs).toBe(5)
    await parts.commands.client.flushall()
    parts.clock.leap(10_001)
    await expect.poll(() => emptied).toBe(1)
    const c = await keysOf(url)
    await expect.poll(async () => (await c.list()).length).toBe(2)
    expect(c.find('d1')).toEqual(key('k1'))
    expect(c.find('d2')?.revokedAtMs).toBe(5)
    expect(a.find('d1')).toEqual(key('k1'))
    expect(await b.list()).toEqual(await a.list())
    // Keys that were moved here are not counted, which is no loss; that they are gone is one
    await parts.commands.client.del(parts.names.keysVersion())
    expect((await a.list()).length).toBe(2)
    expect(emptied).toBe(1)
    await parts.commands.client.flushall()
    await a.list()
    expect(emptied).toBe(2)
    await expect.poll(async () => (await b.list()).length).toBe(2)
    // All keys removed by hand is no loss
    await a.removeTenant('acme')
    expect(await b.list()).toEqual([])
    expect(emptied).toBe(2)
  })

  it('a damaged key is left out and told; an erased tenant has none', async () => {
    const { url } = await server()
    const a = await keysOf(url)
    await a.add(key('k1'), 'd1')
    await a.add(key('k2', { tenant: 'other' }), 'd2')
    await a.parts.commands.client.hset(a.parts.names.keys(), 'd3', '{"id":"k3"')
    await a.parts.commands.client.incr(a.parts.names.keysVersion())
    expect((await a.list()).map(({ id }) => id)).toEqual(['k1', 'k2'])
    expect(a.parts.facts).toMatchObject([{ type: 'store-warned', code: 'row_damaged' }])
    await a.removeTenant('acme')
    expect((await a.list()).map(({ id }) => id)).toEqual(['k2'])
    expect((await keysOf(url)).find('d1')).toBeNull()
  })
})

describe.skipIf(NO_REDIS)('Redis: tickets', () => {
  it('a ticket lets in once, at whichever gateway it comes first', async () => {
    const { url } = await server()
    const gateways = await Promise.all([1, 2, 3].map(async () => new RedisTickets(await partsOf(url))))
    for (let i = 0; i < 20; i++) {
      await gateways[0].issue(`t${i}`, session('k1'), 30_000)
      const found = await Promise.all(gateways.map((gateway) => gateway.redeem(`t${i}`)))
      expect(found.filter((one) => one !== null)).toEqual([session('k1')])
    }
    expect(await gateways[0].redeem('unknown')).toBeNull()
    const parts = await partsOf(url)
    expect(await parts.commands.client.keys('*:tickets*')).toEqual([])
  })

  it('it is stored as a digest, expires, and leaves nothing behind', async () => {
    const { url } = await server()
    const parts = await partsOf(url)
    const tickets = new RedisTickets(parts)
    await tickets.issue('tkt-secret', session('k1'), 1_500)
    const { client } = parts.commands
    for (const name of await client.keys('*')) {
      const stored = await client.dump(name)
      expect(`${name} ${stored}`).not.toContain('tkt-secret')
      expect(await client.pttl(name)).toBeGreaterThan(0)
    }
    await new Promise((done) => setTimeout(done, 1_600))
    expect(await tickets.redeem('tkt-secret')).toBeNull()
    await expect.poll(() => client.keys('*')).toEqual([])
  })

  it('one key has at most 10,000 unused ones, and those that expired do not count', async () => {
    const { url } = await server({ appendfsync: null })
    const parts = await partsOf(url)
    const tickets = new RedisTickets(parts)
    for (let i = 0; i < 10_000; i += 500)
      await Promise.all(Array.from({ length: 500 }, (_, n) => tickets.issue(`t${i + n}`, session('greedy'), 600_000)))
    await expect(tickets.issue('one more', session('greedy'), 600_000)).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
    })
    await tickets.issue('other', session('modest'), 600_000)
    expect(await tickets.redeem('other')).toEqual(session('modest'))
    expect(await tickets.redeem('t0')).toEqual(session('greedy'))
    await tickets.issue('one more', session('greedy'), 600_000)
    // As if it had been issued 30 s ago
    await parts.commands.client.zadd(`${parts.names.tickets()}:ends`, 1, (await oldest(parts))[0])
    await tickets.issue('and another', session('greedy'), 600_000)
  })
})

const oldest = (parts: Parts): Promise<string[]> =>
  parts.commands.client.zrange(`${parts.names.tickets()}:ends`, '0', '0')
