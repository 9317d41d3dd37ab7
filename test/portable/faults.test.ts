/** What can go wrong while a store is moved: it is told, the source stays as it was, and the next try begins anew. */
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { systemClock } from '../../src/core/clock.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { Item } from '../../src/core/ports/portable.ts'
import { openHeldFolder } from '../../src/engines/embedded/portable/folder.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { Host } from '../../src/engines/redis/coordinator/host.ts'
import { fillShard, openShard } from '../../src/engines/redis/portable/shard.ts'
import { partsOf } from '../../src/engines/shared/portable/parts.ts'
import { receive } from '../../src/engines/shared/portable/transfer.ts'
import { eventually, runJob, submit, TestWorker } from '../conformance/harness.ts'
import { coordinatorOptions } from '../conformance/settings.ts'
import { DEEP } from '../depth.ts'
import { manualClock } from '../manual-clock.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { portrait } from './portrait.ts'
import { folderSide, move, redisSide, removeFolder, type Side } from './sides.ts'

/** Items: anywhere from the first to the last. */
const KILLED_AFTER = DEEP ? [0, 3, 15, 28] : [28]

const ids = systemIds()
let redis: RedisServer
const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

function folder(): ReturnType<typeof folderSide> {
  const side = folderSide()
  undo.push(() => removeFolder(side))
  return side
}

/** Some jobs of each state. */
async function populated(side: Side, body = 'x'): Promise<void> {
  const { engine, close } = await side.open()
  const worker = new TestWorker(engine)
  for (let i = 0; i < 10; i++)
    await runJob(engine, worker, { options: { conversation: 'c' }, metadata: { body } }, ['{"a":1}', '{"a":2}'])
  for (let i = 0; i < 10; i++) await submit(engine, { options: { lane: 'l' } })
  await close()
}

async function portraitOf(side: Side) {
  const { engine, close } = await side.open()
  return portrait(engine, ['acme']).finally(close)
}

/** The thread is killed after so many items: nothing is cleaned up. */
async function fillUntil(from: Side, to: Side, items: number): Promise<void> {
  const workerData = { from: from.described, to: to.described, items }
  const worker = new Worker(new URL('./half-worker.ts', import.meta.url), { workerData })
  const [told] = (await once(worker, 'message')) as [string]
  expect(told).toBe('half')
  await worker.terminate()
}

/** All keys of a shard, but those of whoever holds it. */
async function dumpOf(client: import('ioredis').Redis, shard: string): Promise<ReadonlyMap<string, string>> {
  const keys = (await client.keys(`${shard}:*`)).filter((key) => !/:(owner|fence|term)$/.test(key)).sort()
  const dumps = await Promise.all(keys.map((key) => client.dumpBuffer(key)))
  return new Map(keys.map((key, i) => [key, dumps[i].toString('base64')]))
}

const config = (message: RegExp) =>
  expect.objectContaining({ code: 'config_invalid', message: expect.stringMatching(message) })

it('a section that the target does not know is refused by its name, a later version by its number', async () => {
  const side = folder()
  const filling = (await side.filling())!
  undo.push(() => filling.close())
  const item: Item = { value: {}, blob: new Uint8Array() }
  const unknown = [{ section: 'batches', version: 1 }, { item }]
  await expect(receive(unknown, filling)).rejects.toEqual(
    config(/section "batches", which the data folder .* can't hold/),
  )
  const later = [{ section: 'keys', version: 2 }, { item }]
  await expect(receive(later, filling)).rejects.toEqual(
    config(/"keys" was written by a newer Sluice \(version 2; this/),
  )
  const wrong = [{ section: 'keys', version: 1 }, { item }]
  await expect(receive(wrong, filling)).rejects.toMatchObject({ code: 'storage_failed' })
  await filling.close()
  expect(readdirSync(side.dir)).toEqual(['owner.lock'])
})

it('a folder that a server uses, that holds no store, or one of a later version, is refused', async () => {
  const side = folder()
  await expect(side.held()).rejects.toEqual(config(/There is no store in/))
  const { close } = await side.open()
  await expect(side.held()).rejects.toMatchObject({ code: 'in_use' })
  expect(await side.filling()).toBeNull()
  await close()
  const db = new DatabaseSync(join(side.dir, 'sluice.db'))
  db.exec('PRAGMA user_version = 99')
  db.close()
  await expect(side.held()).rejects.toEqual(config(/written by a newer Sluice \(schema 99/))
})

it('a folder that does not exist is not made by looking for a store there', () => {
  const dir = join(folder().dir, 'mistyped')
  const boot = { id: 'boot', ms: () => 0 }
  expect(() => openHeldFolder(dir, systemClock, systemIds(), boot)).toThrow(/There is no store in/)
  expect(existsSync(dir)).toBe(false)
})

it('a damaged job is left out and told; the others are moved', async () => {
  const side = folder()
  await populated(side)
  const db = new DatabaseSync(join(side.dir, 'sluice.db'))
  db.exec("UPDATE results SET log = x'00' WHERE ord = (SELECT min(ord) FROM results)")
  db.close()
  const held = await side.held()
  const filling = (await folder().filling())!
  const counts = await receive(partsOf(held.sources), filling)
  expect(counts.find(({ section }) => section === 'ended_jobs')?.items).toBe(9)
  expect(held.damaged).toEqual([expect.stringMatching(/^The log of job_\w+ is damaged on disk .* left out\.$/)])
  await filling.close()
  await held.close()
})

describe.skipIf(NO_REDIS)('with Redis', () => {
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis?.remove())

  for (const [way, from, to] of [
    ['a folder to Redis', () => folder(), () => redisSide(redis)],
    ['Redis to a folder', () => redisSide(redis), () => folder()],
  ] as ReadonlyArray<readonly [string, () => Side, () => Side]>)
    it(`killed anywhere from ${way}: no server runs on the half, and the next try moves all, once`, async () => {
      const [source, target] = [from(), to()]
      await populated(source)
      const before = await portraitOf(source)
      for (const items of KILLED_AFTER) {
        await fillUntil(source, target, items)
        await expect(target.open()).rejects.toEqual(config(/half filled: a migration, or a restore, was cut short/))
        await expect(target.held()).rejects.toMatchObject({ code: 'config_invalid' })
      }
      await move(source, target)
      expect(await portraitOf(target)).toEqual(before)
      expect(await portraitOf(source)).toEqual(before)
      expect(await target.filling()).toBeNull()
    })

  it('a fleet with a process, or one that was killed with commands on their way, is refused', async () => {
    const side = redisSide(redis)
    const first = await side.open()
    await expect(side.held()).rejects.toMatchObject({ code: 'in_use', message: expect.stringMatching(/has a process/) })
    await expect(side.filling()).rejects.toMatchObject({ code: 'in_use' })
    const second = await side.open()
    await first.close()
    await expect(side.held()).rejects.toMatchObject({ code: 'in_use' })
    await second.close()
    await (await side.held()).close()
    const { Redis } = await import('ioredis')
    const client = new Redis(redis.url)
    undo.push(() => client.disconnect())
    await client.xadd(`${side.prefix}{s0}:inbox`, '*', 'c', '[]')
    await expect(side.held()).rejects.toEqual(config(/1 commands in Redis were not taken/))
  })

  it('no process begins while a shard is held; one that waits begins when it is let go of', async () => {
    const side = redisSide(redis)
    await populated(side)
    const held = await side.held()
    const opening = side.open()
    let isOpen = false
    void opening.then(() => {
      isOpen = true
    })
    await new Promise((done) => setTimeout(done, 1_000))
    expect(isOpen).toBe(false)
    await held.close()
    await (await opening).close()
  })

  it('Redis without room, or with another password: told, and nothing is left behind', async () => {
    const small = await RedisServer.start({ config: { maxmemory: '2500kb', requirepass: 'right' } })
    undo.push(() => small.remove())
    const from = folder()
    await populated(from, 'y'.repeat(100_000))
    const address = (password: string): string => `redis://:${password}@127.0.0.1:${small.port}`
    const wrong = redisSide({ url: address('wrong') })
    await expect(move(from, wrong)).rejects.toEqual(config(/does not accept the user and password/))
    const full = redisSide({ url: address('right') })
    await expect(move(from, full)).rejects.toMatchObject({ code: 'storage_full' })
    const { Redis } = await import('ioredis')
    const client = new Redis(address('right'))
    undo.push(() => client.disconnect())
    const left = (await client.keys('*')).map((key) => key.slice(key.lastIndexOf(':') + 1))
    expect(left.filter((name) => !['term', 'fence', 'owner'].includes(name))).toEqual([])
    expect(existsSync(join(from.dir, 'sluice.db'))).toBe(true)
  })

  /** Its clock stands still, so that it renews nothing, and does not notice. */
  const stoppedAt = ({ prefix }: { readonly prefix: string }) =>
    ({
      redis: { url: redis.url, prefix },
      durability: 'process',
      allowDataLoss: false,
      clock: manualClock(),
      ids,
    }) as const

  async function clientOf(): Promise<import('ioredis').Redis> {
    const { Redis } = await import('ioredis')
    const client = new Redis(redis.url)
    undo.push(() => client.disconnect())
    return client
  }

  it('one that was stopped, and replaced meanwhile, writes and removes nothing of what another filled', async () => {
    const from = folder()
    await populated(from)
    const to = redisSide(redis)
    const stopped = (await fillShard(stoppedAt(to), { keepMs: () => null, joinAfterEndMs: 0 }))!
    const held = await from.held()
    const items: Array<readonly [section: string, Item]> = []
    for (const { kind, read } of held.sources) for await (const item of read()) items.push([kind.name, item])
    await held.close()
    const client = await clientOf()
    const names = new Names(to.prefix)
    // What it held has expired
    await client.del(names.owner())
    await move(from, to)
    const before = await dumpOf(client, names.shard)
    for (const [section, item] of items) {
      const { write } = stopped.sinks.find(({ kind }) => kind.name === section)!
      await expect(write([item])).rejects.toMatchObject({ code: 'in_use' })
    }
    await expect(stopped.finish()).rejects.toMatchObject({ code: 'in_use' })
    await stopped.close()
    expect(await dumpOf(client, names.shard)).toEqual(before)
    expect(await portraitOf(to)).toEqual(await portraitOf(from))
  })

  it('one that was stopped while a fleet ran on what it reads does not tell that it moved all', async () => {
    const from = redisSide(redis)
    await populated(from)
    const held = await openShard(stoppedAt(from))
    await (await clientOf()).del(new Names(from.prefix).owner())
    const { engine, close } = await from.open()
    await submit(engine)
    await close()
    await expect(held.confirm()).rejects.toMatchObject({ code: 'in_use' })
    await held.close()
    const again = await from.held()
    await again.confirm()
    await again.close()
  })

  it('nobody coordinates what is half filled, though it was empty when that process began', async () => {
    const to = redisSide(redis)
    const names = new Names(to.prefix)
    const client = await clientOf()
    // A server that is about to stand for election: nobody coordinates, and none may
    await client.set(names.filling(), 'a migration that was killed')
    const host = new Host({
      redis: { url: redis.url, prefix: to.prefix },
      rules: { keepMs: () => null, disconnectGraceMs: 0, joinAfterEndMs: 0, goneMs: 1_500 },
      createCoordinator: () => createCoordinator(coordinatorOptions({})),
      clock: systemClock,
      ids,
      emit() {},
      chores: { start() {}, stop() {} },
    })
    undo.push(() => host.stop())
    await host.start()
    await new Promise((passed) => setTimeout(passed, 700))
    expect([host.isActing, await client.exists(names.owner())]).toEqual([false, 0])
    await client.del(names.filling())
    await eventually(() => expect(host.isActing).toBe(true))
  })
})
