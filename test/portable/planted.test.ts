/** Planted bugs of a move: each is red on a case, or on the comparison of both sides. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Item } from '../../src/core/ports/portable.ts'
import type { EndedJob, WaitingJob } from '../../src/engines/shared/portable/kinds.ts'
import { partsOf } from '../../src/engines/shared/portable/parts.ts'
import { receive } from '../../src/engines/shared/portable/transfer.ts'
import { runJob, submit, TestWorker } from '../conformance/harness.ts'
import { DEEP } from '../depth.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { MOVE_CASES } from './cases.ts'
import { putFile } from './portrait.ts'
import { type Bend, folderSide, redisSide, removeFolder, type Side } from './sides.ts'

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

/** Of one section. */
const changed = <T extends object>(of: string, change: (value: T) => Partial<T>): Bend => ({
  item: (section, item) => (section === of ? { ...item, value: { ...item.value, ...change(item.value as T) } } : item),
})
const leftOut = (of: string): Bend => ({ item: (section, item) => (section === of ? null : item) })
const waiting = (change: (value: WaitingJob) => Partial<WaitingJob>): Bend => changed('waiting_jobs', change)
/** In the opposite order. */
const TURNED = 2 ** 40

const PLANTED: ReadonlyArray<readonly [name: string, by: RegExp, Bend]> = [
  ['the order of lanes is lost', /a lane goes on/, waiting(({ seq }) => ({ seq: TURNED - (seq % TURNED) }))],
  ['attempts are forgotten', /a lane goes on/, waiting(({ tally }) => ({ tally: { ...tally, attempts: 0 } }))],
  ['failures are forgotten', /delays/, waiting(({ tally }) => ({ tally: { ...tally, fails: 0 } }))],
  ['the time that passed is forgotten', /delays/, waiting(() => ({ acceptedAgoMs: 0 }))],
  ['idempotency keys are forgotten', /idempotency/, changed<EndedJob>('ended_jobs', () => ({ keyed: false }))],
  ['cancels are forgotten', /idempotency/, waiting(() => ({ canceling: false }))],
  ['retries join nothing', /idempotency/, changed<EndedJob>('ended_jobs', () => ({ endedAgoMs: 1e9 }))],
  ['counters begin anew', /idempotency/, changed('counters', () => ({ orders: 1, seq: 1 }))],
  ['turns are left out', /a conversation/, leftOut('turns')],
  ['limits begin anew', /limits/, leftOut('limit_levels')],
  ['what waits holds nothing', /limits/, waiting(() => ({ reservation: undefined }))],
]

/** A case found it, or the comparison of both sides. */
const isRed = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'AssertionError' || /does not hold what it was given/.test(error.message))

/** Something is waited for that never comes. */
const SLOW = new Set(['the time that passed is forgotten', 'cancels are forgotten'])

describe.skipIf(NO_REDIS)('planted into a move', () => {
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis?.remove())

  for (const [name, by, bend] of PLANTED)
    it.skipIf(SLOW.has(name) && !DEEP)(`planted: ${name}`, async () => {
      const one = MOVE_CASES.find((each) => by.test(each.name))!
      const error = await one.run(folder(), redisSide(redis), bend).catch((thrown: unknown) => thrown)
      expect(error).toSatisfy(isRed)
    })

  it('planted: the epoch of the source is kept', async () => {
    const side = redisSide(redis)
    const { Redis } = await import('ioredis')
    const client = new Redis(redis.url)
    undo.push(() => client.disconnect())
    const one = MOVE_CASES.find((each) => /a cursor/.test(each.name))!
    const after = async (): Promise<void> => {
      const [, runId] = /run_id:(\w+)/.exec(await client.info('server'))!
      const key = `${side.prefix}{s0}:epochs`
      await client.lset(key, 0, (await client.lindex(key, 0))!.replace(/ .*/, ` ${runId}`))
    }
    await expect(one.run(folder(), side, { after })).rejects.toMatchObject({ name: 'AssertionError' })
  })

  for (const [way, from, to] of [
    ['in Redis', () => folder(), () => redisSide(redis)],
    ['in a folder', () => redisSide(redis), () => folder()],
  ] as ReadonlyArray<readonly [string, () => Side, () => Side]>)
    it(`planted ${way}: what was not written, or otherwise, is found by the comparison`, async () => {
      const source = from()
      const { engine, close } = await source.open()
      await runJob(engine, new TestWorker(engine), { options: { conversation: 'c' } })
      await submit(engine)
      await engine.keys.add({ id: 'k', tenant: 'acme', name: '', hint: 'h', createdAtMs: 1 }, 'd')
      await putFile(engine, 600_001)
      await close()
      const held = await source.held()
      undo.push(() => held.close())
      const bends: ReadonlyArray<readonly [string, (item: Item) => readonly Item[]]> = [
        ['keys', () => []],
        ['ended_jobs', ({ value, blob }) => [{ value, blob: Uint8Array.from(blob, (b, i) => (i === 3 ? b ^ 1 : b)) }]],
        ['waiting_jobs', () => []],
        ['turns', () => []],
        ['file_bytes', (item) => ((item.value as { at: number }).at === 0 ? [item] : [])],
        ['file_bytes', ({ value, blob }) => [{ value, blob: Uint8Array.from(blob, (b, i) => (i === 3 ? b ^ 1 : b)) }]],
        ['file_bytes', ({ value, blob }) => [{ value, blob: blob.subarray(0, 7) }]],
      ]
      for (const [section, change] of bends) {
        const filling = (await to().filling())!
        const sinks = filling.sinks.map((sink) =>
          sink.kind.name === section
            ? { kind: sink.kind, write: (items: readonly Item[]) => sink.write(items.flatMap(change)) }
            : sink,
        )
        // Getters: sources are read when all is written
        const bent = Object.create(filling, { sinks: { value: sinks } }) as typeof filling
        const error = await receive(partsOf(held.sources), bent).catch((thrown: unknown) => thrown)
        await filling.close()
        expect(error).toMatchObject({
          code: 'storage_failed',
          message: expect.stringMatching(
            new RegExp(`does not hold what it was given \\(.*${section}|pieces of the file .* do not follow`),
          ),
        })
      }
    })
})
