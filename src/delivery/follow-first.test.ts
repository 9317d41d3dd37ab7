/** What a reader knows of a log without reading it: only of one that is followed from its first record on. */
import { expect, it } from 'vitest'
import { scriptedLog } from '../../test/conformance/scripted-log.ts'
import { manualClock } from '../../test/manual-clock.ts'
import type { Job } from '../core/job.ts'
import { type Cursor, parseCursor } from '../core/record.ts'
import { DIALECTS } from '../dialects/index.ts'
import { createDelivery } from './delivery.ts'

const JOB = { id: 'job_1', epoch: 1, dialect: 'chat' } as Job
const END = '@end {"state":"done"}'
const records = (first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, i) => `{"n":${first + i}}`)

function setUp() {
  const log = scriptedLog()
  const options = { heartbeatMs: 1_000, maxReaderBufferBytes: 100_000, pageBytes: 1_000 }
  const delivery = createDelivery(log, manualClock(), () => {}, options)
  const settled = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await new Promise((next) => setImmediate(next))
  }
  /** Reads from the start, or from `cursor`. `room`: what it may be sent. */
  const read = (cursor: Cursor | null = null, room = Infinity) => {
    const reader = { shown: [] as number[], isOver: false, live: 0, resume: (): void => {} }
    const told = delivery.follow({
      job: JOB,
      form: DIALECTS.frames,
      cursor,
      sink: {
        write(frames) {
          for (const [, n] of frames.matchAll(/"n":(\d+)/g)) reader.shown.push(Number(n))
          if (frames.includes('"live"')) reader.live++
        },
        full: false,
        claim: (most) => Math.min(most, room),
        release() {},
      },
      window: Infinity,
      tellsLive: true,
      onFail(error) {
        throw error
      },
      onOver() {
        reader.isOver = true
      },
    })
    reader.resume = () => {
      room = Infinity
      told.resume()
    }
    return reader
  }
  return { log, delivery, settled, read }
}

it('a log that is followed before its first record is not read', async () => {
  const { log, settled, read } = setUp()
  const reader = read()
  await settled()
  expect(reader.live).toBe(1)
  log.write(records(1, 5))
  log.tell()
  log.write([END])
  log.tell()
  await settled()
  expect(reader).toMatchObject({ shown: [1, 2, 3, 4, 5], isOver: true })
  expect(log.pages).toBe(0)
})

it('nor is it read again by one who has all of it', async () => {
  const { log, settled, read } = setUp()
  log.write(records(1, 5))
  log.tell()
  const reader = read(parseCursor('1-5'))
  await settled()
  expect([reader.live, log.pages]).toEqual([1, 0])
  log.write(records(6, 7))
  log.tell()
  await settled()
  expect(reader.shown).toEqual([6, 7])
})

it('a later reader reads what came since, and so does one that has no room', async () => {
  const { log, settled, read } = setUp()
  const parked = read(null, 0)
  await settled()
  expect(parked.live).toBe(0)
  log.write(records(1, 5))
  log.tell()
  const late = read()
  await settled()
  expect([parked.shown, late.shown]).toEqual([[], [1, 2, 3, 4, 5]])
  parked.resume()
  await settled()
  expect(parked.shown).toEqual([1, 2, 3, 4, 5])
})

it('what was known of a log says nothing of what it was rewritten as', async () => {
  const { log, settled, read } = setUp()
  const first = read()
  await settled()
  log.rewrite(0, records(10, 12))
  await settled()
  // Of the same feed, whose log was empty when it began
  const second = read()
  await settled()
  expect([first.shown, second.shown]).toEqual([
    [10, 11, 12],
    [10, 11, 12],
  ])
})

it('a caller waits for the end of a followed log without looking at it', async () => {
  const { log, delivery, settled } = setUp()
  let isTold = false
  const heads = { count: 0 }
  const { head } = log
  log.head = (job) => {
    heads.count++
    return head(job)
  }
  delivery.ended(JOB, () => {
    isTold = true
  })
  await settled()
  log.write([...records(1, 2), END])
  log.tell()
  await settled()
  expect([isTold, heads.count]).toEqual([true, 0])
})
