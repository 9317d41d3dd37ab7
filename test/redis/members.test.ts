/** Real processes of one fleet: of two versions, and of machines that were cloned. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { systemIds } from '../../src/core/ids.ts'
import { openGround } from '../../src/engines/redis/bus/ground.ts'
import type { RedisAddress } from '../../src/engines/redis/client/connection.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { LAYOUT } from '../../src/engines/redis/protocol/version.ts'
import { DONE, eventually, submit, TestWorker } from '../conformance/harness.ts'
import { Engines } from './engines.ts'
import { CLONED, Member, NEXT_VERSION } from './members.ts'
import { openParts, type Parts } from './parts.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const ids = systemIds()
/** Whoever is missed has 10 s to come back. */
const RAISED_MS = 30_000

describe.skipIf(NO_REDIS)('Redis: processes of a fleet', () => {
  let redis: RedisServer
  let address: RedisAddress
  let engines: Engines
  let store: Parts
  const opened: Array<() => unknown> = []
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis.remove())
  beforeEach(async () => {
    address = { url: redis.url, prefix: `${ids.name('members', 4)}:` }
    engines = new Engines(address)
    store = await openParts(address)
    opened.push(() => store.close())
  })
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close()
    await engines.close()
  })

  async function member(...imports: readonly string[]): Promise<Member> {
    const started = await Member.start(address, ...imports)
    opened.push(() => started.stop())
    return started
  }
  const layout = (): Promise<string | null> => store.commands.client.get(new Names(address.prefix).layout())

  it.each(['older', 'newer'])('two versions work side by side, while the %s coordinates', async (coordinates) => {
    // It has no candidate for a coordinator, and is there
    const other = await openGround(address, systemClock, ids, () => {})
    const first = coordinates === 'newer' ? await member(NEXT_VERSION) : null
    const old = await engines.open()
    const next = first ?? (await member(NEXT_VERSION))
    const worker = new TestWorker(old)
    // What one submits the other runs, both ways
    const { id } = await next.do({ do: 'submit' })
    const lease = await worker.one()
    expect(lease.job.id).toBe(id)
    expect(await old.work.finish(lease, DONE)).toEqual({ kind: 'ended', state: 'done' })
    expect(await next.do({ do: 'get', id })).toEqual({ state: 'done' })
    const job = await submit(old)
    expect(await next.do({ do: 'work' })).toMatchObject({ id: job.id, kind: 'ended' })
    expect(await old.jobs.get(job.id)).toMatchObject({ state: 'done' })
    // The newer one stores nothing that the older can't read, until it has left
    expect(await layout()).not.toBe(String(LAYOUT + 1))
    await old.close()
    other.close()
    await eventually(async () => expect(await layout()).toBe(String(LAYOUT + 1)), RAISED_MS)
  })

  it('when all are of the newer version its layout is in force: an older process says so, and stops', async () => {
    const proxy = await FaultProxy.start(redis.port)
    opened.push(() => proxy.close())
    const cutOff = await engines.open({ url: proxy.url })
    const next = await member(NEXT_VERSION)
    const { id } = await next.do({ do: 'submit' })
    expect(await layout()).not.toBe(String(LAYOUT + 1))
    proxy.cut()
    await eventually(async () => expect(await layout()).toBe(String(LAYOUT + 1)), RAISED_MS)
    await expect(engines.open()).rejects.toMatchObject({ code: 'config_invalid' })
    await expect(engines.open()).rejects.toThrow('update this process')
    // One that was cut off meanwhile takes no part any more
    proxy.heal()
    await eventually(() => expect(cutOff.health()).toMatchObject({ ok: false, error: { code: 'config_invalid' } }))
    await expect(submit(cutOff)).rejects.toThrow('update this process')
    expect(await next.do({ do: 'work' })).toMatchObject({ id, kind: 'ended' })
  })

  it('machines that were cloned, with their randomness, pid and name, share no id; one coordinates', async () => {
    const [a, b] = [await member(CLONED), await member(CLONED)]
    const { client } = store.commands
    const channels = (await client.call('PUBSUB', 'CHANNELS', new Names(address.prefix).processes())) as string[]
    expect(new Set(channels).size).toBe(2)
    const random = channels.map((channel) => /-([0-9a-f]+)$/.exec(channel)![1])
    expect(random[0]).toBe(random[1])
    const fence = async (): Promise<string> => (await client.get(new Names(address.prefix).fence()))!.split(':')[0]
    const term = await fence()
    const submitted = await Promise.all([a, b, a, b, a, b].map((each) => each.do({ do: 'submit' })))
    expect(new Set(submitted.map(({ id }) => id)).size).toBe(6)
    const worked = await Promise.all([a, a, a, b, b, b].map((each) => each.do({ do: 'work' })))
    expect(new Set(worked.map(({ id }) => id)).size).toBe(6)
    expect(await fence()).toBe(term)
  })
})
