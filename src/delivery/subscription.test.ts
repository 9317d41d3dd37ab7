/** Room and credit may come at any moment: none of it is lost on a reader that is just being parked. */
import { expect, it } from 'vitest'
import { numbered } from '../../test/conformance/numbered.ts'
import type { Clock } from '../core/clock.ts'
import type { Job } from '../core/job.ts'
import type { FrameSink, SocketReader } from '../core/ports/delivery.ts'
import type { StreamForm } from '../core/ports/dialect.ts'
import type { LogPage, TokenLog } from '../core/ports/log.ts'
import { DIALECTS } from '../dialects/index.ts'
import { createDelivery } from './delivery.ts'

const RECORDS = [...Array.from({ length: 50 }, (_, i) => `{"n":${i}}`), '@end {"state":"done"}']
const log = {
  follow: () => ({ ready: Promise.resolve(null), stop: () => {} }),
  async read(_job: string, after: number, maxBytes: number): Promise<LogPage> {
    const records: string[] = []
    for (
      let bytes = 0, i = after;
      i < RECORDS.length && (records.length === 0 || bytes + RECORDS[i].length <= maxBytes);
      i++
    ) {
      records.push(RECORDS[i])
      bytes += RECORDS[i].length
    }
    return { epoch: 1, firstSeq: after + 1, records, head: RECORDS.length, ended: true }
  },
} as unknown as TokenLog
const clock = { monoMs: () => 0, every: () => () => {}, soon: setImmediate } as unknown as Clock
const turn = (): Promise<void> => new Promise((next) => setImmediate(next))

function follow(sink: FrameSink, window: number): { reader: SocketReader; isOver: () => boolean } {
  let over = false
  const delivery = createDelivery(log, clock, () => {}, {
    heartbeatMs: 1_000,
    maxReaderBufferBytes: 1_000,
    pageBytes: 1_000,
  })
  const reader = delivery.follow({
    job: { id: 'job_1', epoch: 1 } as Job,
    form: DIALECTS.frames,
    cursor: null,
    sink,
    window,
    tellsLive: false,
    onFail(error) {
      throw error
    },
    onOver() {
      over = true
    },
  })
  return { reader, isOver: () => over }
}

it('credit that comes in two portions within one turn', async () => {
  const sink: FrameSink = { write() {}, full: false, claim: (most) => most, release() {} }
  const { reader, isOver } = follow(sink, 10)
  await turn()
  expect(isOver()).toBe(false)
  // The first is not enough to continue; the second is, and comes while the first is still being handled
  reader.credit(1)
  reader.credit(1_000_000)
  for (let i = 0; i < 20; i++) await turn()
  expect(isOver()).toBe(true)
})

it('room that comes in the turn in which there was none', async () => {
  let room = 0
  const told: SocketReader[] = []
  const sink: FrameSink = {
    write(frames) {
      room -= frames.length
    },
    get full() {
      return room <= 0
    },
    claim(most, reader) {
      if (room > 0) return Math.min(most, room)
      told.push(reader)
      return 0
    },
    release() {},
  }
  const { reader, isOver } = follow(sink, Number.POSITIVE_INFINITY)
  await turn()
  expect(isOver()).toBe(false)
  reader.resume() // too early: it is parked again
  room = 1_000_000
  for (const parked of told.splice(0)) parked.resume()
  for (let i = 0; i < 20; i++) await turn()
  expect(isOver()).toBe(true)
})

it.each<[string, StreamForm]>([
  ['its records', DIALECTS.spoken[0].stream!],
  ['its own events', numbered as StreamForm],
])(
  'a cursor far into a long log, numbered by %s, holds the event loop for no more than a page',
  async (_name, form) => {
    const chunks = Array.from({ length: 400 }, (_, i) => `{"n":${i}}`)
    const records = [...chunks, '@end {"state":"done"}']
    let [pages, pagesInTurn, most] = [0, 0, 0]
    const long = {
      ...log,
      head: async () => ({ epoch: 1, head: records.length, ended: true }),
      async read(_job: string, after: number): Promise<LogPage> {
        pages++
        most = Math.max(most, ++pagesInTurn)
        return {
          epoch: 1,
          firstSeq: after + 1,
          records: records.slice(after, after + 10),
          head: records.length,
          ended: true,
        }
      },
    } as unknown as TokenLog
    const delivery = createDelivery(long, clock, () => {}, {
      heartbeatMs: 1,
      maxReaderBufferBytes: 1_000,
      pageBytes: 1_000,
    })
    let over = false
    let told = ''
    delivery.follow({
      job: { id: 'job_1', epoch: 1, dialect: 'chat' } as Job,
      form,
      cursor: { epoch: 1, n: form.count === undefined ? 400 : 800 },
      sink: {
        write: (frames) => {
          told += frames
        },
        full: false,
        claim: (bytes) => bytes,
        release() {},
      },
      window: Number.POSITIVE_INFINITY,
      tellsLive: false,
      onFail(error) {
        throw error
      },
      onOver() {
        over = true
      },
    })
    while (!over) {
      await turn()
      pagesInTurn = 0
    }
    expect(told).toContain(form.count === undefined ? '[DONE]' : 'completed')
    expect(pages).toBeGreaterThan(40)
    expect(most).toBeLessThan(4)
  },
)
