/** Many readers at once: what is large is read and rendered one in a turn, what is small for all of them at once. */
import { expect, it } from 'vitest'
import type { Clock } from '../core/clock.ts'
import type { Job } from '../core/job.ts'
import type { FrameSink } from '../core/ports/delivery.ts'
import type { LogPage, TokenLog } from '../core/ports/log.ts'
import { DIALECTS } from '../dialects/index.ts'
import { createDelivery } from './delivery.ts'

const READERS = 10

/** How many reads there were in each turn that had any. */
async function readsOf(bytes: number): Promise<readonly number[]> {
  const records = [`{"x":"${'a'.repeat(bytes)}"}`, '@end {"state":"done"}']
  const reads: number[] = []
  let now = 0
  const log = {
    follow: () => ({ ready: Promise.resolve(null), stop: () => {} }),
    async read(_job: string, after: number): Promise<LogPage> {
      reads[now] = (reads[now] ?? 0) + 1
      return { epoch: 1, firstSeq: after + 1, records: records.slice(after), head: records.length, ended: true }
    },
  } as unknown as TokenLog
  const clock = { monoMs: () => 0, every: () => () => {}, soon: setImmediate } as unknown as Clock
  const options = { heartbeatMs: 1_000, maxReaderBufferBytes: 1_000, pageBytes: 1_000 }
  const delivery = createDelivery(log, clock, () => {}, options)
  const sink: FrameSink = { write() {}, full: false, claim: (most) => most, release() {} }
  let over = 0
  // Asked for before any reader's: it begins each turn
  const tick = (): void => {
    if (++now < 100 && over < READERS) setImmediate(tick)
  }
  setImmediate(tick)
  for (let i = 0; i < READERS; i++) {
    delivery.follow({
      job: { id: 'job_1', epoch: 1 } as Job,
      form: DIALECTS.frames,
      cursor: null,
      sink,
      window: 1 << 30,
      tellsLive: false,
      onFail(error) {
        throw error
      },
      onOver: () => void over++,
    })
    // They come in one turn, each after the one before it
    for (let j = 0; j < 20; j++) await Promise.resolve()
  }
  while (over < READERS && now < 100) await new Promise((next) => setImmediate(next))
  expect(over).toBe(READERS)
  return reads.filter((count) => count > 0)
}

it('of something large: one in a turn', async () => {
  expect(await readsOf(2 << 20)).toEqual(Array.from({ length: READERS }, () => 1))
})

it('of something small: all at once', async () => {
  expect(await readsOf(1_000)).toEqual([READERS])
})
