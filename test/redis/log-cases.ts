/** What the token log must stand. Functions, so that planted bugs can be held against them too. */
import { randomBytes } from 'node:crypto'
import { cpSync, rmSync } from 'node:fs'
import { expect, vi } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { LogWriter } from '../../src/core/ports/log.ts'
import { type Bytes, isEnd } from '../../src/core/record.ts'
import { LogReader } from '../../src/engines/redis/log/read.ts'
import { eventually } from '../conformance/harness.ts'
import { random } from '../random.ts'
import { type Bend, LogFleet, type LogProcess } from './log-fleet.ts'
import { FaultProxy } from './proxy.ts'
import { RedisServer } from './server.ts'

export const token = (i: number | string): Bytes =>
  '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,' +
  `"delta":{"content":" ${i}"},"finish_reason":null}]}`
const tokens = (from: number, to: number): readonly Bytes[] =>
  Array.from({ length: to - from + 1 }, (_, i) => token(from + i))
const noEnd = (records: readonly Bytes[]): readonly Bytes[] => records.filter((record) => !isEnd(record))
const soon = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

export interface Planted {
  readonly bend?: Bend
  /** How long to wait for what a bug may keep from happening. */
  readonly patienceMs?: number
}

export type LogCase = (planted?: Planted) => Promise<void>

interface World {
  readonly server: RedisServer
  readonly fleet: LogFleet
  readonly eventually: (check: () => void | Promise<void>) => Promise<void>
  /** A process whose connections go through proxies of its own. */
  join(): Promise<{ readonly process: LogProcess; readonly commands: FaultProxy; readonly subscriber: FaultProxy }>
}

async function inWorld(
  planted: Planted | undefined,
  run: (world: World) => Promise<void>,
  config: Readonly<Record<string, string>> = {},
): Promise<void> {
  const server = await RedisServer.start({ appendfsync: 'always', config })
  const fleet = new LogFleet(server.port, planted?.bend ?? null)
  const proxies: FaultProxy[] = []
  const proxy = async (): Promise<FaultProxy> => {
    const started = await FaultProxy.start(server.port)
    proxies.push(started)
    return started
  }
  try {
    await run({
      server,
      fleet,
      eventually: (check) => eventually(check, planted?.patienceMs),
      async join() {
        const [commands, subscriber] = [await proxy(), await proxy()]
        return { process: await fleet.join(commands.url, subscriber.url), commands, subscriber }
      },
    })
  } finally {
    fleet.close()
    for (const each of proxies) await each.close()
    await server.remove()
  }
}

/** All that is stored. */
async function stored({ logs }: LogProcess, job: string): Promise<readonly Bytes[]> {
  const all: Bytes[] = []
  for (;;) {
    const page = await logs.read(job, all.length, 10_000)
    if (page === null) throw new Error('no log')
    all.push(...page.records)
    if (all.length >= page.head) return all
  }
}

/** An attempt that lost its job writes nothing, also before the next one has begun to write. */
export const fenced: LogCase = (planted) =>
  inWorld(planted, async ({ fleet, join }) => {
    const [{ process: one }, { process: two }] = [await join(), await join()]
    const job = await fleet.accept()
    const first = await one.begin(job, 1)
    first.append(tokens(1, 2), 2, true)
    await first.flushed()
    const second = await two.begin(job, 2)
    expect([second.head, second.epoch]).toEqual([2, 1])
    first.append([token('late')], 1, true)
    await expect(first.flushed()).rejects.toMatchObject({ code: 'worker_lost' })
    expect(one.fenced).toEqual([`${job} 1`])
    expect(first.pendingBytes).toBe(0)
    expect(await one.logs.store(job, 1, '[]')).toBe('fenced')
    second.append(tokens(3, 4), 2, true)
    await second.flushed()
    expect(await two.logs.store(job, 2, '["finish"]')).toBe('stored')
    expect(await fleet.redis.xrange(fleet.names.inbox(), '-', '+')).toEqual([[expect.any(String), ['c', '["finish"]']]])
    expect(await fleet.end(job)).toBe(5)
    expect(noEnd(await stored(one, job))).toEqual(tokens(1, 4))
    // Nothing follows the end, and there is one
    second.append([token('late')], 1, true)
    await second.flushed().catch(() => {})
    expect(await fleet.end(job)).toBe(5)
    expect((await stored(one, job)).length).toBe(5)
  })

/** One attempt number that was given away twice, as after a lease was lost with Redis's tail: one writes. */
export const givenTwice: LogCase = (planted) =>
  inWorld(planted, async ({ fleet, join }) => {
    const [{ process: one }, { process: two }, { process: three }] = [await join(), await join(), await join()]
    const job = await fleet.accept()
    const lease = await fleet.lease(job, 1, one.name)
    const [first, same, other] = [one, two, three].map((process) => process.open(job, 1, lease))
    first.append([token('a')], 1, true)
    await first.flushed()
    // The very words that are there might be a repeat
    await fleet.lease(job, 1, two.name)
    same.append([token('a')], 1, true)
    await same.flushed()
    await fleet.lease(job, 1, one.name)
    first.append([token('b')], 1, true)
    await first.flushed()
    await fleet.lease(job, 1, two.name)
    same.append([token('c')], 1, true)
    await expect(same.flushed()).rejects.toMatchObject({ code: 'worker_lost' })
    await fleet.lease(job, 1, three.name)
    other.append([token('x')], 1, true)
    await expect(other.flushed()).rejects.toMatchObject({ code: 'worker_lost' })
    expect(await stored(one, job)).toEqual([token('a'), token('b')])
  })

/** Redis has lost an attempt with its text, and gives its number to another process, which has written as much. */
export const givenToAnother: LogCase = (planted) =>
  inWorld(planted, async ({ fleet, join }) => {
    const [{ process: one }, { process: two }] = [await join(), await join()]
    const job = await fleet.accept()
    const before = await one.begin(job, 1)
    before.append([token('lost')], 1, true)
    await before.flushed()
    await fleet.redis.del(fleet.names.log(job))
    const after = await two.begin(job, 1)
    after.append([token('a')], 1, true)
    await after.flushed()
    before.append([token('x')], 1, true)
    await expect(before.flushed()).rejects.toMatchObject({ code: 'worker_lost' })
    after.append([token('b')], 1, true)
    await after.flushed()
    expect(await stored(one, job)).toEqual([token('a'), token('b')])
  })

/** What was stored and not answered is sent again, and is there once. */
export const repeated: LogCase = (planted) =>
  inWorld(planted, async ({ eventually, fleet, join }) => {
    const [{ process, commands }, { process: other }] = [await join(), await join()]
    const job = await fleet.accept()
    const writer = await process.begin(job, 1)
    const reader = other.reader(job)
    // The script is known to the server from now on
    writer.append([token(1)], 1, true)
    await writer.flushed()
    for (let i = 2; i <= 6; i += 2) {
      commands.stall('down')
      writer.append([token(i)], 1, true)
      await eventually(async () => expect((await other.logs.head(job))?.head).toBe(i))
      writer.append([token(i + 1)], 1, true)
      commands.drop()
      commands.heal()
      await writer.flushed()
      expect(await stored(other, job)).toEqual(tokens(1, i + 1))
    }
    expect(await fleet.redis.llen(fleet.names.log(job))).toBe(7)
    await fleet.end(job)
    expect(noEnd(await reader.ended)).toEqual(tokens(1, 7))
  })

/** Messages that never arrived are read from the log: a few, all of a long silence, the last ones, and the end. */
export const gaps: LogCase = (planted) =>
  inWorld(planted, async ({ eventually, fleet, join }) => {
    const [{ process: worker }, { process: gateway, subscriber }] = [await join(), await join()]
    const jobs = await Promise.all(Array.from({ length: 40 }, () => fleet.accept()))
    const writers = await Promise.all(jobs.map((job) => worker.begin(job, 1)))
    const readers = jobs.map((job) => gateway.reader(job))
    const write = async (from: number, to: number): Promise<void> => {
      for (let i = from; i <= to; i++) {
        for (const writer of writers) writer.append([token(i)], 1, false)
        if (i % 3 === 0) await Promise.all(writers.map((writer) => writer.flushed()))
      }
      await Promise.all(writers.map((writer) => writer.flushed()))
    }
    const arrived = (n: number): Promise<void> =>
      eventually(() => {
        for (const reader of readers) expect(reader.got.length).toBe(n)
      })
    await write(1, 10)
    await arrived(10)
    // Without a cut: nobody was told to send them
    await fleet.redis.del(fleet.names.followers())
    await write(11, 20)
    for (const job of jobs) await fleet.redis.hset(fleet.names.followers(), job, gateway.name)
    await write(21, 22)
    await arrived(22)
    subscriber.cut()
    await write(23, 40)
    subscriber.heal()
    // It is back while more is written
    await write(41, 60)
    await arrived(60)
    // The last words before a silence
    subscriber.cut()
    await write(61, 62)
    subscriber.heal()
    await arrived(62)
    subscriber.cut()
    for (const job of jobs) await fleet.end(job)
    subscriber.heal()
    for (const reader of readers) {
      expect(noEnd(await reader.ended)).toEqual(tokens(1, 62))
      expect([reader.restarts, reader.gaps]).toEqual([0, 0])
    }
    expect(gateway.logs.followed).toBe(0)
  })

/** Who follows a log is told how far it went: what comes later is told, and nothing else has to be read. */
export const followedAt: LogCase = (planted) =>
  inWorld(planted, async ({ eventually, fleet, join }) => {
    const [{ process: worker }, { process: gateway }] = [await join(), await join()]
    const job = await fleet.accept()
    const got: Bytes[][] = [[], [], []]
    const follow = (n: number): Promise<number | null> =>
      gateway.logs.follow(job, (_, records) => void got[n].push(...records)).ready!
    const writer = await worker.begin(job, 1)
    expect(await follow(0)).toBe(0)
    writer.append(tokens(1, 3), 3, true)
    await eventually(() => expect(got[0]).toEqual(tokens(1, 3)))
    expect(await follow(1)).toBe(3)
    writer.append(tokens(4, 5), 2, true)
    await eventually(() => expect(got[1]).toEqual(tokens(4, 5)))
    await fleet.end(job)
    await eventually(() => expect(got[1].length).toBe(3))
    // It has ended: nothing is told of it any more
    expect(await follow(2)).toBe(null)
    expect(got[2]).toEqual([])
  })

/**
 * Whoever submits a job and reads it at once is made its follower by the commit that accepts it. What comes before the
 * reader is held; where it was no such commit, or what it sent may be lost, the log is followed as any other; nobody is
 * sent what none reads.
 */
export const expected: LogCase = (planted) =>
  inWorld(planted, async ({ eventually, fleet, join }) => {
    const [{ process: worker }, { process: gateway, subscriber }] = [await join(), await join()]
    const followers = (job: string): Promise<string | null> => fleet.redis.hget(fleet.names.followers(), job)
    const expecting = async (): Promise<string> => {
      const id = fleet.id()
      gateway.logs.expect(id)
      await fleet.acceptFor(gateway, id)
      return id
    }
    const write = async (job: string, attempt: number, from: number, to: number): Promise<void> => {
      const writer = await worker.begin(job, attempt)
      writer.append(tokens(from, to), 1, true)
      await writer.flushed()
    }

    const job = await expecting()
    await write(job, 1, 1, 2)
    gateway.logs.granted(job, 1)
    const reader = gateway.reader(job)
    await eventually(() => expect(reader.got).toEqual(tokens(1, 2)))
    await write(job, 2, 3, 4)
    await fleet.end(job)
    expect(noEnd(await reader.ended)).toEqual(tokens(1, 4))

    // Its coordinator is of an earlier version: nobody made it a follower
    const ungranted = fleet.id()
    gateway.logs.expect(ungranted)
    await fleet.accept(ungranted)
    await write(ungranted, 1, 1, 2)
    const joined = gateway.reader(ungranted)
    await eventually(() => expect(joined.got).toEqual(tokens(1, 2)))
    expect(await followers(ungranted)).toBe(gateway.name)

    // What was sent meanwhile is lost
    const cut = await expecting()
    gateway.logs.granted(cut, 1)
    subscriber.cut()
    await eventually(() => expect(gateway.subscriber.away).toBe(true))
    await write(cut, 1, 1, 2)
    subscriber.heal()
    await eventually(() => expect(gateway.subscriber.away).toBe(false))
    const mended = gateway.reader(cut)
    await eventually(() => expect(mended.got).toEqual(tokens(1, 2)))

    // So it is of one that was submitted meanwhile
    subscriber.cut()
    await eventually(() => expect(gateway.subscriber.away).toBe(true))
    const meanwhile = await expecting()
    gateway.logs.granted(meanwhile, 1)
    await write(meanwhile, 1, 1, 2)
    subscriber.heal()
    await eventually(() => expect(gateway.subscriber.away).toBe(false))
    const unsent = gateway.reader(meanwhile)
    await eventually(() => expect(unsent.isLive).toBe(true))
    expect(unsent.got).toEqual(tokens(1, 2))

    // Its reader never comes
    const unread = await expecting()
    gateway.logs.granted(unread, 1)
    await write(unread, 1, 1, 2)
    await eventually(async () => expect(await followers(unread)).toBe(null))
    const late = gateway.reader(unread)
    await eventually(() => expect(late.got).toEqual(tokens(1, 2)))
    for (const each of [joined, mended, unsent, late]) each.leave()
  })

/** A process that nobody hears is dropped from the followers, and followed again by itself. */
export const dropped: LogCase = (planted) =>
  inWorld(planted, async ({ eventually, fleet, join }) => {
    const [{ process: worker }, { process: gateway, subscriber }] = [await join(), await join()]
    const job = await fleet.accept()
    const writer = await worker.begin(job, 1)
    const reader = gateway.reader(job)
    const followers = (): Promise<string | null> => fleet.redis.hget(fleet.names.followers(), job)
    await eventually(async () => expect(await followers()).toBe(gateway.name))
    subscriber.cut()
    await eventually(() => expect(gateway.subscriber.away).toBe(true))
    await eventually(async () => {
      writer.append([token(1)], 1, true)
      await writer.flushed()
      expect(await followers()).toBe(null)
    })
    subscriber.heal()
    await eventually(async () => expect(await followers()).toBe(gateway.name))
    writer.append([token(2)], 1, true)
    await writer.flushed()
    await eventually(async () => expect(reader.got).toEqual(await stored(worker, job)))
    reader.leave()
    await eventually(async () => expect(await followers()).toBe(null))
  })

/** A job that Redis has lost may be taken again, as its submit was not: who follows its log goes on there. */
export const takenAgain: LogCase = (planted) =>
  inWorld(planted, async ({ eventually, fleet, join }) => {
    const [{ process: worker }, { process: gateway, subscriber }] = [await join(), await join()]
    const job = await fleet.accept()
    const writer = await worker.begin(job, 1)
    let restarts = 0
    const got: Bytes[] = []
    const following = gateway.logs.follow(
      job,
      (_, records) => void got.push(...records),
      () => void restarts++,
    )
    await following.ready
    writer.append(tokens(1, 2), 2, true)
    await eventually(() => expect(got).toEqual(tokens(1, 2)))
    const { names, redis } = fleet
    subscriber.cut()
    await eventually(() => expect(gateway.subscriber.away).toBe(true))
    await redis.multi().hdel(names.live(), job).del(names.log(job)).hdel(names.followers(), job).exec()
    subscriber.heal()
    await eventually(() => expect(restarts).toBe(1))
    await redis.hset(names.live(), job, '{}')
    const again = await worker.begin(job, 2)
    // A look follows it again
    subscriber.cut()
    await eventually(() => expect(gateway.subscriber.away).toBe(true))
    subscriber.heal()
    await eventually(async () => expect(await redis.hget(names.followers(), job)).toBe(gateway.name))
    again.append([token(3)], 1, true)
    await eventually(() => expect(got).toEqual(tokens(1, 3)))
    following.stop()
  })

/** Each attempt can be read, and followed, without what an earlier one knew. */
export const attempts: LogCase = (planted) =>
  inWorld(planted, async ({ fleet, join }) => {
    const [{ process: one }, { process: two }, { process: gateway }] = [await join(), await join(), await join()]
    const job = await fleet.accept()
    const early = gateway.reader(job)
    const readers = [early]
    let n = 0
    for (let attempt = 1; attempt <= 6; attempt++) {
      const process = attempt % 2 === 0 ? one : two
      const writer = await process.begin(job, attempt)
      expect(writer.head).toBe(n)
      for (let i = 0; i < 5; i++) {
        writer.append([token(++n)], 1, true)
        await writer.flushed()
      }
      readers.push(gateway.reader(job), one.reader(job), two.reader(job))
    }
    await fleet.end(job)
    for (const reader of readers) expect(noEnd(await reader.ended)).toEqual(tokens(1, 30))
    for (let after = 0; after <= 30; after++)
      expect(noEnd((await one.logs.read(job, after, 1 << 20))!.records)).toEqual(tokens(after + 1, 30))
  })

/** Redis is killed and comes back with all it had: attempts go on, and nobody is told anything. */
export const restarted: LogCase = (planted) =>
  inWorld(planted, async ({ eventually, server, fleet, join }) => {
    const [{ process: worker }, { process: gateway }] = [await join(), await join()]
    const job = await fleet.accept()
    const writer = await worker.begin(job, 1)
    const reader = gateway.reader(job)
    writer.append(tokens(1, 10), 10, true)
    await writer.flushed()
    await server.kill()
    writer.append(tokens(11, 20), 10, true)
    expect(writer.pendingBytes).toBeGreaterThan(0)
    await server.restart()
    await writer.flushed()
    await eventually(() => expect(reader.got).toEqual(tokens(1, 20)))
    // What followed is of another epoch, and a cursor of the first one holds as far as that was written
    const { epoch } = (await gateway.logs.head(job))!
    expect(epoch).toBeGreaterThan(1)
    const second = await worker.begin(job, 2)
    expect([second.epoch, second.head]).toEqual([epoch, 20])
    second.append(tokens(21, 22), 2, true)
    await second.flushed()
    expect(await gateway.logs.commonWith(job, 1)).toBe(10)
    expect(await gateway.logs.commonWith(job, epoch)).toBe(22)
    expect(await gateway.logs.commonWith(job, 7)).toBe(0)
    // No page mixes two
    expect(await gateway.logs.read(job, 8, 1 << 20)).toMatchObject({ epoch: 1, records: tokens(9, 10), head: 22 })
    expect(await gateway.logs.read(job, 10, 1 << 20)).toMatchObject({ epoch, records: tokens(11, 22), head: 22 })
    await fleet.end(job)
    expect(noEnd(await reader.ended)).toEqual(tokens(1, 22))
    expect(reader.restarts).toBe(0)
  })

/** Redis comes back without the last it had: who read that is told, and no cursor of it holds for other text. */
export const lost: LogCase = (planted) =>
  inWorld(planted, async ({ eventually, server, fleet, join }) => {
    const [{ process: worker }, { process: other }, { process: gateway }] = [await join(), await join(), await join()]
    const [short, whole, anew] = [await fleet.accept(), await fleet.accept(), await fleet.accept()]
    const writers = await Promise.all([short, whole, anew].map((job) => worker.begin(job, 1)))
    const readers = [short, whole, anew].map((job) => gateway.reader(job))
    const [toShort, toWhole, toAnew] = writers
    toShort.append(tokens(1, 10), 10, true)
    toWhole.append(tokens(1, 10), 10, true)
    await Promise.all(writers.map((writer) => writer.flushed()))
    const backup = `${server.dir}-backup`
    cpSync(server.dir, backup, { recursive: true })
    toShort.append(tokens(11, 20), 10, true)
    toAnew.append(tokens(1, 5), 5, true)
    await Promise.all(writers.map((writer) => writer.flushed()))
    await eventually(() => expect(readers.map(({ got }) => got.length)).toEqual([20, 10, 5]))

    await server.kill()
    rmSync(server.dir, { recursive: true })
    cpSync(backup, server.dir, { recursive: true })
    rmSync(backup, { recursive: true })
    await server.restart()
    toShort.append([token('late')], 1, true)
    toWhole.append(tokens(11, 12), 2, true)
    await expect(toShort.flushed()).rejects.toMatchObject({ code: 'worker_lost' })
    await toWhole.flushed()
    await eventually(() => expect(readers.map(({ restarts }) => restarts)).toEqual([1, 0, 1]))
    await eventually(() => expect(readers.map(({ got }) => got.length)).toEqual([10, 12, 0]))

    const { epoch } = (await gateway.logs.head(short))!
    const second = await worker.begin(short, 2)
    expect([second.epoch, second.head]).toEqual([epoch, 10])
    second.append(tokens(101, 130), 30, true)
    // The lease was told before Redis fell, and is used after
    await fleet.lease(anew, 1, other.name)
    const stale = other.open(anew, 1, { epoch: 1, head: 0 })
    stale.append([token('other')], 1, true)
    await Promise.all([second.flushed(), stale.flushed()])
    expect(await gateway.logs.commonWith(short, 1)).toBe(10)
    expect(await gateway.logs.commonWith(anew, 1)).toBe(0)
    expect(await gateway.logs.read(anew, 0, 1_000)).toMatchObject({ epoch, records: [token('other')] })
    for (const job of [short, whole, anew]) await fleet.end(job)
    expect(noEnd(await readers[0].ended)).toEqual([...tokens(1, 10), ...tokens(101, 130)])
    expect(noEnd(await readers[1].ended)).toEqual(tokens(1, 12))
    expect(noEnd(await readers[2].ended)).toEqual([token('other')])
  })

/** Redis comes back without a later attempt: the one before holds the job again, and what it writes is other text. */
export const heldAgain: LogCase = (planted) =>
  inWorld(planted, async ({ eventually, server, fleet, join }) => {
    const [{ process: worker }, { process: other }, { process: gateway }] = [await join(), await join(), await join()]
    const job = await fleet.accept()
    const writer = await worker.begin(job, 1)
    writer.append(tokens(1, 2), 2, true)
    await writer.flushed()
    const reader = gateway.reader(job)
    const backup = `${server.dir}-backup`
    cpSync(server.dir, backup, { recursive: true })
    const later = await other.begin(job, 2)
    later.append([token('lost')], 1, true)
    await later.flushed()
    await eventually(() => expect(reader.got).toEqual([...tokens(1, 2), token('lost')]))
    await server.kill()
    rmSync(server.dir, { recursive: true })
    cpSync(backup, server.dir, { recursive: true })
    rmSync(backup, { recursive: true })
    await server.restart()
    writer.append([token(3)], 1, true)
    await writer.flushed()
    writer.append([token(4)], 1, true)
    await writer.flushed()
    const { epoch } = (await gateway.logs.head(job))!
    expect(epoch).toBeGreaterThan(1)
    expect(await gateway.logs.commonWith(job, 1)).toBe(2)
    await eventually(() => expect([reader.restarts, reader.got]).toEqual([1, tokens(1, 4)]))
  })

/**
 * A process that was stopped for so long that Redis gave it up, while all its logs went on: it reads what it missed, a
 * few logs at a time, and Redis has held no more for it than it is allowed to.
 */
export const stopped: LogCase = (planted) =>
  inWorld(
    planted,
    async ({ fleet, join, eventually }) => {
      const [{ process: worker }, { process: gateway, subscriber }] = [await join(), await join()]
      const jobs = await Promise.all(Array.from({ length: 60 }, () => fleet.accept()))
      const writers = await Promise.all(jobs.map((job) => worker.begin(job, 1)))
      const readers = jobs.map((job) => gateway.reader(job))
      await eventually(() => expect(readers.every(({ isLive }) => isLive)).toBe(true))
      const { stretch } = LogReader.prototype
      let [reading, mostAtOnce] = [0, 0]
      const spy = vi.spyOn(LogReader.prototype, 'stretch').mockImplementation(async function (
        this: LogReader,
        ...args
      ) {
        mostAtOnce = Math.max(mostAtOnce, ++reading)
        return stretch.apply(this, args).finally(() => reading--)
      })
      const texts = jobs.map(() => [] as Bytes[])
      const write = async (runs: number): Promise<void> => {
        for (let run = 0; run < runs; run++) {
          for (const [i, writer] of writers.entries()) {
            const records = Array.from(
              { length: 10 },
              (_, n) => `${i}.${run}.${n} ${randomBytes(80).toString('latin1')}`,
            )
            texts[i].push(...records)
            writer.append(records, 10, false)
          }
          await Promise.all(writers.map((writer) => writer.flushed()))
        }
      }
      try {
        await write(2)
        subscriber.stall('down')
        await write(30)
        const clients = String(await fleet.redis.client('LIST', 'TYPE', 'PUBSUB'))
        for (const [, held] of clients.matchAll(/omem=(\d+)/g)) expect(Number(held)).toBeLessThan(1 << 20)
        // What the kernel holds for it on the way may be less than it takes
        await fleet.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
        await write(20)
        subscriber.heal()
        await write(2)
        for (const job of jobs) await fleet.end(job)
        for (const [i, reader] of readers.entries()) expect(noEnd(await reader.ended)).toEqual(texts[i])
        for (const { gaps, restarts } of readers) expect([gaps, restarts]).toEqual([0, 0])
        expect(mostAtOnce).toBeGreaterThan(1)
        expect(mostAtOnce).toBeLessThanOrEqual(16)
      } finally {
        spy.mockRestore()
      }
    },
    { 'client-output-buffer-limit': 'pubsub 512kb 256kb 1' },
  )

/** A process that closes waits for nothing: what is not stored is refused, also what comes after. */
export const closed: LogCase = (planted) =>
  inWorld(planted, async ({ fleet, join }) => {
    const { process, commands } = await join()
    const [one, two, three] = [await fleet.accept(), await fleet.accept(), await fleet.accept()]
    const underWay = await process.begin(one, 1)
    const [waiting, idle] = [await process.begin(two, 1), await process.begin(three, 1)]
    commands.cut()
    underWay.append([token(1)], 1, true)
    await soon(10)
    waiting.append([token(1)], 1, false)
    const finished = process.logs.store(two, 1, '[]')
    process.close()
    idle.append([token(1)], 1, false)
    for (const writer of [underWay, waiting, idle]) await expect(writer.flushed()).rejects.toBeInstanceOf(SluiceError)
    expect(await finished).toBe('fenced')
    expect(await process.logs.store(three, 1, '[]')).toBe('fenced')
    await expect(process.logs.read(one, 0, 1_000)).rejects.toMatchObject({ code: 'storage_unavailable' })
  })

/** A subscription that is dead though its connection is not closed is noticed, and made anew. */
export const halfOpen: LogCase = (planted) =>
  inWorld(planted, async ({ fleet, join, eventually }) => {
    const [{ process: worker }, { process: gateway, subscriber }] = [await join(), await join()]
    const job = await fleet.accept()
    const writer = await worker.begin(job, 1)
    const reader = gateway.reader(job)
    writer.append([token(1)], 1, true)
    await eventually(() => expect(reader.got.length).toBe(1))
    subscriber.stall()
    await eventually(() => expect(gateway.subscriber.away).toBe(true))
    writer.append([token(2)], 1, true)
    await writer.flushed()
    subscriber.heal()
    await eventually(() => expect(reader.got).toEqual(tokens(1, 2)))
  })

/**
 * Many attempts over many processes, whose connections are cut, stalled and delayed at any time: what is stored of each
 * attempt is what it wrote, in order, at least as far as it was told; and every reader has what is stored.
 */
export const torture =
  (seed: number, jobs = 24, events = 40): LogCase =>
  (planted) =>
    inWorld(planted, async ({ fleet, join }) => {
      const below = random(seed)
      const workers = [await join(), await join(), await join()]
      const gateways = [await join(), await join()]
      let isOver = false
      const readers: Array<{ readonly job: string; readonly reader: ReturnType<LogProcess['reader']> }> = []
      const write = async (job: string): Promise<void> => {
        /** Of each attempt: what it wrote, and how much of it was certainly stored. */
        const wrote: Array<{ readonly text: Bytes[]; sure: number }> = []
        const most = 1 + below(4)
        for (let attempt = 1; attempt <= most; attempt++) {
          const { process } = workers[below(3)]
          const writer: LogWriter = await process.begin(job, attempt)
          const mine = { text: [] as Bytes[], sure: 0 }
          wrote.push(mine)
          for (let i = below(60); i > 0; i--) {
            const records = Array.from({ length: 1 + below(4) }, () => wild(below, attempt))
            writer.append(records, records.length, below(5) === 0)
            mine.text.push(...records)
            if (below(15) === 0) readers.push({ job, reader: gateways[below(2)].process.reader(job, 1 + below(9_000)) })
            if (below(3) === 0) await soon(below(15))
            if (below(20) > 0) continue
            const sure = mine.text.length
            await writer.flushed()
            mine.sure = sure
          }
          // Now and then it dies with what was on its way
          if (below(3) > 0) mine.sure = await settled(process, job, attempt, mine.text.length, mine.sure)
        }
        await fleet.unlease(job)
        await fleet.end(job)
        check(noEnd(await stored(gateways[0].process, job)), wrote)
      }
      const harm = async (): Promise<void> => {
        for (let i = 0; i < events && !isOver; i++) {
          const { commands, subscriber } = [...workers, ...gateways][below(5)]
          const proxy = below(2) === 0 ? commands : subscriber
          const what = below(4)
          if (what === 0) proxy.drop()
          else if (what === 1) proxy.cut()
          else if (what === 2) proxy.stall(...(below(2) === 0 ? (['down'] as const) : []))
          else proxy.delay(below(30))
          await soon(10 + below(120))
          if (what === 2) proxy.drop()
          proxy.heal()
        }
      }
      const ids = await Promise.all(Array.from({ length: jobs }, () => fleet.accept()))
      const harmed = harm()
      try {
        await Promise.all(ids.map(write))
      } finally {
        isOver = true
        await harmed
      }
      for (const { job, reader } of readers) {
        expect(await reader.ended).toEqual(await stored(gateways[1].process, job))
        expect([reader.restarts, reader.gaps]).toEqual([0, 0])
      }
    })

/** What is certainly stored of an attempt that was settled: all, if it was still the job's. */
async function settled(process: LogProcess, job: string, attempt: number, all: number, sure: number): Promise<number> {
  await process.logs.settle(job, attempt)
  return process.fenced.includes(`${job} ${attempt}`) ? sure : all
}

function check(log: readonly Bytes[], wrote: ReadonlyArray<{ readonly text: readonly Bytes[]; sure: number }>): void {
  let at = 0
  for (const { text, sure } of wrote) {
    let n = 0
    while (n < text.length && log[at + n] === text[n]) n++
    expect(n).toBeGreaterThanOrEqual(sure)
    at += n
  }
  expect(at).toBe(log.length)
}

let serial = 0
/** Any bytes, mostly tokens. No two alike. */
function wild(below: (n: number) => number, attempt: number): Bytes {
  const kind = below(20)
  if (kind === 0) return `@attempt {"n":${attempt},"serial":${++serial}}`
  if (kind === 1) return `${++serial} ${'x'.repeat(below(5_000))}`
  if (kind === 2)
    return `${++serial} ${Array.from({ length: below(40) }, () => String.fromCharCode(below(256))).join('')}`
  return token(`${attempt}.${++serial}`)
}
