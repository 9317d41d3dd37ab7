/** Real processes of one fleet: of two versions, and of machines that were cloned. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
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

/** What a test opens on a part of the server that is its own: closed at its end. */
class Opened {
  readonly address: RedisAddress
  readonly engines: Engines
  readonly store: Parts
  readonly #members: Member[] = []

  private constructor(address: RedisAddress, store: Parts) {
    this.address = address
    this.engines = new Engines(address)
    this.store = store
  }

  static async on(url: string): Promise<Opened> {
    const address = { url, prefix: `${ids.name('members', 4)}:` }
    return new Opened(address, await openParts(address))
  }

  readonly member = async (...imports: readonly string[]): Promise<Member> => {
    const started = await Member.start(this.address, ...imports)
    this.#members.push(started)
    return started
  }

  readonly layout = (): Promise<string | null> =>
    this.store.commands.client.get(new Names(this.address.prefix).layout())

  async close(): Promise<void> {
    for (const member of this.#members) await member.stop()
    this.store.close()
    await this.engines.close()
  }
}

describe.skipIf(NO_REDIS)('Redis: processes of a fleet', { concurrent: true }, () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis.remove())
  // Beside each other: each waits for what is not missed before its time
  const it = test.extend<{ readonly opened: Opened }>({
    async opened({ task: _task }, use) {
      const opened = await Opened.on(redis.url)
      await use(opened)
      await opened.close()
    },
  })

  const ways = ['older', 'newer'] as const
  it.for(ways)('two versions work side by side, while the %s coordinates', async (coordinates, { opened }) => {
    const { address, engines, member, layout } = opened
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
    await eventually(async () => expect(await layout()).toBe(String(LAYOUT + 1)))
  })

  it('when all are of the newer version its layout is in force: an older process says so, and stops', async ({
    opened,
  }) => {
    const { engines, member, layout } = opened
    const proxy = await FaultProxy.start(redis.port)
    const cutOff = await engines.open({ url: proxy.url })
    const next = await member(NEXT_VERSION)
    const { id } = await next.do({ do: 'submit' })
    expect(await layout()).not.toBe(String(LAYOUT + 1))
    proxy.cut()
    await eventually(async () => expect(await layout()).toBe(String(LAYOUT + 1)))
    await expect(engines.open()).rejects.toMatchObject({ code: 'config_invalid' })
    await expect(engines.open()).rejects.toThrow('update this process')
    // One that was cut off meanwhile takes no part any more
    proxy.heal()
    await eventually(() => expect(cutOff.health()).toMatchObject({ ok: false, error: { code: 'config_invalid' } }))
    await expect(submit(cutOff)).rejects.toThrow('update this process')
    expect(await next.do({ do: 'work' })).toMatchObject({ id, kind: 'ended' })
    await opened.close()
    await proxy.close()
  })

  it('machines that were cloned, with their randomness, pid and name, share no id; one coordinates', async ({
    opened,
  }) => {
    const { address, member, store } = opened
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
