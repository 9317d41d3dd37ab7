/** A long answer is made once for those who ask together, keeps the event loop free, and outlives no erasure. */
import { expect, it } from 'vitest'
import { scriptedLog } from '../../test/conformance/scripted-log.ts'
import { manualClock } from '../../test/manual-clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import type { Dialect } from '../core/ports/dialect.ts'
import type { TokenLog } from '../core/ports/log.ts'
import { type Bytes, endRecord } from '../core/record.ts'
import { chat } from '../dialects/chat/chat.ts'
import { createDelivery } from './delivery.ts'
import { Results, Seen } from './results.ts'

const JOB = {
  id: 'job_1',
  tenant: 'default',
  epoch: 1,
  state: 'leased',
  kind: 'chat',
  dialect: 'd',
  model: 'm',
  acceptedAtMs: 0,
} as const
const RECORDS = [...Array.from({ length: 10 }, (_, i) => `{"n":${i}}`), endRecord({ state: 'done' })]

function setUp(records: readonly Bytes[], body = 'x', bend: Partial<TokenLog> = {}) {
  const log = scriptedLog()
  log.write(records)
  const clock = manualClock()
  const turns: number[] = []
  let taken = 0
  let replies = 0
  const dialect: Pick<Dialect, 'name' | 'whole'> = {
    name: 'd',
    whole: () => {
      const own: Bytes[] = []
      return {
        take(portion) {
          own.push(...portion)
          taken += portion.length
        },
        reply() {
          replies++
          expect(own).toEqual(records)
          return { status: 200, headers: {}, body }
        },
      }
    },
  }
  const soon = (fn: () => void): void => {
    turns.push(taken)
    setImmediate(fn)
  }
  const results = new Results({ ...log, ...bend }, { ...clock, soon }, 1_000)
  const ask = (job: string = JOB.id, seen?: Seen) => results.of({ ...JOB, id: job }, dialect, seen)
  return { log, clock, turns, ask, made: () => replies }
}

it('is made once for all who ask at about the same time, a page a turn', async () => {
  const { ask, made, turns } = setUp(RECORDS)
  const replies = await Promise.all(Array.from({ length: 20 }, () => ask()))
  for (const { body } of replies) expect(body).toBe('x')
  await ask()
  expect(made()).toBe(1)
  // Pages of three, each in a turn of its own
  expect(turns).toEqual([0, 3, 6, 9])
})

it('is made for each who asks where it is short', async () => {
  const { ask, made, turns } = setUp([RECORDS[0], RECORDS.at(-1)!])
  await Promise.all([ask(), ask()])
  expect(made()).toBe(2)
  expect(turns).toEqual([])
})

it('is forgotten after a while', async () => {
  const { ask, made, clock } = setUp(RECORDS)
  await ask()
  clock.advance(9_999)
  await ask()
  expect(made()).toBe(1)
  clock.advance(1)
  await ask()
  expect(made()).toBe(2)
})

it('is gone with its log, whoever asked before', async () => {
  const { ask, log } = setUp(RECORDS)
  await ask()
  log.erase()
  await expect(ask()).rejects.toThrow(new SluiceError('job_gone').message)
})

it('is kept within bounds: the oldest goes first', async () => {
  const { ask, made } = setUp(RECORDS, 'x'.repeat(3 << 20))
  for (const job of ['a', 'b', 'c']) await ask(job)
  expect(made()).toBe(3)
  await ask('c')
  await ask('b')
  expect(made()).toBe(3)
  await ask('a')
  expect(made()).toBe(4)
})

it('fails for those who asked, and is made anew for the next', async () => {
  let fails = true
  const whole = scriptedLog()
  whole.write(RECORDS)
  const { ask, made } = setUp(RECORDS, 'x', {
    read: (job, after, most) => (fails && after > 0 ? Promise.reject(new Error('EIO')) : whole.read(job, after, most)),
  })
  const asked = [ask(), ask()]
  await Promise.all(asked.map((one) => expect(one).rejects.toThrow('EIO')))
  fails = false
  expect((await ask()).body).toBe('x')
  expect(made()).toBe(1)
})

const UNREADABLE: Partial<TokenLog> = { read: () => Promise.reject(new Error('it was read')) }
const seen = (...runs: ReadonlyArray<readonly [firstSeq: number, records: readonly Bytes[]]>): Seen => {
  const all = new Seen(80)
  for (const [firstSeq, records] of runs) all.take(firstSeq, records)
  return all
}

it('is made of what was told, where that is the whole log', async () => {
  const { ask } = setUp(RECORDS, 'x', UNREADABLE)
  const told = new Seen(1_000)
  told.take(1, RECORDS.slice(0, 4))
  told.take(5, RECORDS.slice(4))
  expect(await ask(JOB.id, told)).toMatchObject({ body: 'x' })
})

const ROOMY = { heartbeatMs: 1_000, maxReaderBufferBytes: 1 << 20, pageBytes: 1 << 20 }

it.each([
  ['short', 'x'.repeat(20_000), 0],
  ['long', 'x'.repeat(40_000), 1],
])('a caller that waits holds what it was told of a %s answer, or reads it', async (_what, text, pages) => {
  const log = scriptedLog()
  const delivery = createDelivery(log, manualClock(), () => {}, ROOMY)
  const reply = delivery.result({ ...JOB, dialect: 'chat' } as Job, chat)
  log.write([`{"choices":[{"index":0,"delta":{"content":"${text}"}}]}`, endRecord({ state: 'done' })])
  log.tell()
  expect((await reply).body).toContain(text)
  expect(log.pages).toBe(pages)
})

it('is told any number of records at once, as after a commit that had to wait', () => {
  const told = new Seen(Infinity)
  told.take(1, [...Array.from({ length: 200_000 }, () => '{}'), RECORDS.at(-1)!])
  expect([told.whole, told.records.length]).toEqual([true, 200_001])
})

it.each([
  ['from the middle', seen([2, RECORDS.slice(1)])],
  ['with a gap', seen([1, RECORDS.slice(0, 4)], [6, RECORDS.slice(5)])],
  ['without its end', seen([1, RECORDS.slice(0, 4)])],
  ['larger than is kept', seen([1, RECORDS])],
  ['to the end, but not at all before', seen([RECORDS.length, RECORDS.slice(-1)])],
])('is read where the log was told %s', async (_what, told) => {
  await expect(setUp(RECORDS, 'x', UNREADABLE).ask(JOB.id, told)).rejects.toThrow('it was read')
  expect(await setUp(RECORDS).ask(JOB.id, told)).toMatchObject({ body: 'x' })
})
