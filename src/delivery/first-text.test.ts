/** What delivery tells of its readers: the first text, once, and how far they are. */
import { expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import type { Happened } from '../core/facts.ts'
import type { Job } from '../core/job.ts'
import type { FrameSink } from '../core/ports/delivery.ts'
import type { LogListener, TokenLog } from '../core/ports/log.ts'
import type { Bytes } from '../core/record.ts'
import { DIALECTS } from '../dialects/index.ts'
import { createDelivery } from './delivery.ts'

const JOB = { id: 'job_1', tenant: 't', epoch: 1, kind: 'chat', dialect: 'chat', takesBack: true } as Job
const OPENING = '{"choices":[{"index":0,"delta":{"content":""}}]}'
const CHUNK = '{"choices":[{"index":0,"delta":{"content":"x"}}]}'
const PARTS = { admission: 1, queue: 20, retries: 0, routing: 1, connect: 3, upstream: 100, delivery: 0 }

function setUp() {
  const clock = manualClock()
  const stored: Bytes[] = []
  const facts: Happened[] = []
  let listener: LogListener = () => {}
  const log = {
    follow(_job: string, fn: LogListener) {
      listener = fn
      return { ready: Promise.resolve(null), stop: () => {} }
    },
    head: async () => ({ epoch: 1, head: stored.length, ended: false }),
    read: async (_job: string, after: number) => ({
      epoch: 1,
      firstSeq: after + 1,
      records: stored.slice(after),
      head: stored.length,
      ended: false,
    }),
  } as unknown as TokenLog
  const options = { heartbeatMs: 60_000, maxReaderBufferBytes: 1_000, pageBytes: 1_000 }
  const delivery = createDelivery(log, clock, (fact) => facts.push(fact), options)
  const sink: FrameSink = { write() {}, full: false, claim: (most) => most, release() {} }
  return {
    clock,
    told: (type: Happened['type']) => facts.filter((fact) => fact.type === type),
    received: () => delivery.received('job_1', PARTS),
    push(...records: Bytes[]) {
      stored.push(...records)
      listener(stored.length - records.length + 1, records, 1)
    },
    async follow(full = false) {
      const of = { ...sink, full, claim: (most: number) => (full ? 0 : most) }
      const reader = delivery.follow({
        job: JOB,
        form: DIALECTS.frames,
        cursor: null,
        sink: of,
        window: Infinity,
        tellsLive: false,
        onFail() {},
        onOver() {},
      })
      for (let i = 0; i < 5; i++) await new Promise(setImmediate)
      return reader
    },
  }
}

it('tells when the first text was handed to the first live reader, once', async () => {
  const { clock, told, received, push, follow } = setUp()
  await follow()
  await follow()
  push(OPENING)
  clock.advance(100)
  received()
  clock.advance(4)
  push(CHUNK)
  clock.advance(50)
  push(CHUNK)
  expect(told('first-token-delivered')).toEqual([
    expect.objectContaining({ job: 'job_1', tenant: 't', ttftMs: 129, parts: { ...PARTS, delivery: 4 } }),
  ])
})

it('tells nothing of it to who comes later, or takes nothing', async () => {
  const late = setUp()
  late.push(OPENING)
  late.received()
  late.push(CHUNK)
  await late.follow()
  late.push(CHUNK)
  expect(late.told('first-token-delivered')).toEqual([])
  const full = setUp()
  await full.follow(true)
  full.received()
  full.push(CHUNK)
  expect(full.told('first-token-delivered')).toEqual([])
})

it('tells how far readers are, twice a second while they move', async () => {
  const { clock, told, push, follow } = setUp()
  await follow()
  const second = await follow()
  push(OPENING, CHUNK)
  clock.advance(500)
  clock.advance(500)
  push(CHUNK)
  second.leave()
  push(CHUNK)
  clock.advance(500)
  expect(told('reader-opened')).toMatchObject([{ reader: 1 }, { reader: 2 }])
  expect(told('reader-progressed')).toMatchObject([
    { reader: 1, seq: 2 },
    { reader: 2, seq: 2 },
    { reader: 1, seq: 4 },
  ])
  expect(told('reader-closed')).toMatchObject([{ reader: 2, seq: 3, complete: false }])
})
