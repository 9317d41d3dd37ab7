/** The journal of a term on a real Redis: two commits are under way, in order, whatever becomes of the first. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { type Argument, Connection, type Script } from '../../src/engines/redis/client/connection.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { Scripts } from '../../src/engines/redis/client/scripts.ts'
import { Journal } from '../../src/engines/redis/coordinator/journal.ts'
import { eventually } from '../conformance/harness.ts'
import { NO_REDIS, RedisServer } from './server.ts'

type Run = () => Promise<unknown>

/** Commits go by way of `fault`, each with its number of sending. */
class Faulty extends Connection {
  sent = 0
  fault = (_nth: number, run: Run): Promise<unknown> => run()

  override evaluate(script: Script, args: readonly Argument[]): Promise<unknown> {
    return this.fault(++this.sent, () => super.evaluate(script, args))
  }
}

const cut = (): never => {
  throw new Error('Connection is closed.')
}

describe.skipIf(NO_REDIS)('the journal on Redis', () => {
  let redis: RedisServer
  let connection: Faulty
  let journal: Journal
  let fenced: string[]
  let broken: string[]
  const names = new Names()
  beforeAll(async () => {
    redis = await RedisServer.start()
  })
  afterAll(() => redis.remove())
  beforeEach(async () => {
    connection = new Faulty({ url: redis.url })
    await connection.open()
    await connection.client.flushall()
    const scripts = new Scripts(connection, names.shard)
    const [, term, epoch] = (await scripts.run('takeover', ['h', 60_000, '', 0, 1])) as readonly [1, string, number]
    connection.sent = 0
    fenced = []
    broken = []
    const events = {
      closing() {},
      fenced: (reason: string) => void fenced.push(reason),
      unheard() {},
      broke: (error: unknown) => void broken.push(String(error)),
    }
    journal = new Journal(scripts, systemClock, { term, epoch }, Math.random, events)
  })
  afterEach(() => connection.close())

  const stored: number[] = []
  const write = (n: number): Promise<void> => {
    const { draft } = journal
    draft.change('RPUSH', 'test', n)
    draft.afterwards(() => stored.push(n))
    return journal.commit()
  }
  /** Three commits; in the store, and known to be stored, in their order. */
  async function three(): Promise<void> {
    stored.length = 0
    for (const n of [1, 2, 3]) await write(n)
    expect(await journal.settled()).toBe(true)
    expect(await connection.client.lrange(`${names.shard}:test`, 0, -1)).toEqual(['1', '2', '3'])
    expect([stored, fenced]).toEqual([[1, 2, 3], []])
  }

  it('sends the next before it knows what became of the one before, and then waits', async () => {
    const replies: Array<() => void> = []
    connection.fault = async (_, run) => {
      const answer = await run()
      await new Promise<void>((done) => replies.push(done))
      return answer
    }
    await write(1)
    const second = write(2)
    expect(connection.sent).toBe(2)
    let isOver = false
    void second.then(() => {
      isOver = true
    })
    await eventually(() => expect(replies.length).toBe(2))
    expect(isOver).toBe(false)
    for (const reply of replies) reply()
    await second
    expect(await journal.settled()).toBe(true)
    expect(fenced).toEqual([])
  })

  it('whose answers were lost: both are in', async () => {
    connection.fault = async (nth, run) => {
      const answer = await run()
      return nth <= 2 ? cut() : answer
    }
    await three()
  })

  it('of which the first did not arrive: the second was refused for that alone', async () => {
    connection.fault = async (nth, run) => (nth === 1 ? cut() : run())
    await three()
  })

  it('of which the second was refused for that alone, and the term ends meanwhile: it is not sent again', async () => {
    connection.fault = async (nth, run) => {
      if (nth === 1) cut()
      const answer = await run()
      if (nth === 3) journal.stop()
      return answer
    }
    await write(1)
    await write(2)
    expect(await journal.settled()).toBe(false)
    expect(connection.sent).toBe(3)
    expect(await connection.client.lrange(`${names.shard}:test`, 0, -1)).toEqual(['1'])
  })

  it('of which the first found no memory', async () => {
    const full = Object.assign(new Error('OOM command not allowed'), { name: 'ReplyError' })
    connection.fault = (nth, run) => (nth === 1 ? Promise.reject(full) : run())
    await three()
  })

  it('of which the first finds the fence of another: neither is stored, and the term ends once', async () => {
    await connection.client.set(`${names.shard}:fence`, '2.other:0')
    for (const n of [1, 2, 3]) await write(n)
    expect(await journal.settled()).toBe(false)
    expect(fenced).toEqual(['2.other:0'])
    expect(await connection.client.exists(`${names.shard}:test`)).toBe(0)
  })

  it('of which the first breaks off in its middle: the second, which was sent already, is refused', async () => {
    const { client } = connection
    await client.set(`${names.shard}:not-a-list`, 'text')
    journal.draft.change('RPUSH', 'test', 1)
    journal.draft.change('RPUSH', 'not-a-list', 1)
    await journal.commit()
    const sent = connection.sent
    await write(2)
    expect([sent, connection.sent]).toEqual([1, 2])
    expect(await journal.settled()).toBe(false)
    expect(await client.lrange(`${names.shard}:test`, 0, -1)).toEqual(['1'])
    expect([fenced, broken]).toEqual([[], [expect.stringContaining('WRONGTYPE')]])
  })

  it('what is to happen when a commit is stored throws: the term is told, and nothing more is sent', async () => {
    journal.draft.change('RPUSH', 'test', 1)
    journal.draft.afterwards(() => {
      throw new Error('a fact that nobody can tell')
    })
    await journal.commit()
    await eventually(() => expect(broken).toEqual(['Error: a fact that nobody can tell']))
    await write(2)
    expect(await connection.client.lrange(`${names.shard}:test`, 0, -1)).toEqual(['1'])
  })
})
