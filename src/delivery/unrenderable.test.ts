/** A stored record that can't be rendered ends its readers, and nothing else. */
import { expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import type { Emit } from '../core/facts.ts'
import type { Job } from '../core/job.ts'
import type { FrameSink } from '../core/ports/delivery.ts'
import type { LogListener, LogPage, TokenLog } from '../core/ports/log.ts'
import type { Bytes } from '../core/record.ts'
import { chat } from '../dialects/chat/chat.ts'
import { DIALECTS } from '../dialects/index.ts'
import { createDelivery } from './delivery.ts'

const JOB = { id: 'job_1', epoch: 1, kind: 'chat', dialect: 'chat', takesBack: true } as Job
const DEEP = `@document ${'{"message":'.repeat(9_000)}1${'}'.repeat(9_000)}`
const CHUNK = '{"choices":[{"index":0,"delta":{"content":"x"}}]}'

const NO_NEWS = { ready: Promise.resolve(null), stop: () => {} }

function setUp(stored: readonly Bytes[]) {
  let listener: LogListener = () => {}
  const log = {
    follow(_job: string, fn: typeof listener) {
      listener = fn
      return NO_NEWS
    },
    head: async () => ({ epoch: 1, head: stored.length, ended: stored.at(-1)?.startsWith('@end') === true }),
    async read(_job: string, after: number): Promise<LogPage> {
      const records = stored.slice(after)
      const ended = stored.at(-1)?.startsWith('@end') === true
      return { epoch: 1, firstSeq: after + 1, records, head: stored.length, ended }
    },
  } as unknown as TokenLog
  let readers = 0
  const emit: Emit = ({ type }) => {
    if (type === 'reader-opened') readers++
    if (type === 'reader-closed') readers--
  }
  const delivery = createDelivery(log, manualClock(), emit, {
    heartbeatMs: 1_000,
    maxReaderBufferBytes: 1_000,
    pageBytes: 1_000,
  })
  const sink: FrameSink = { write() {}, full: false, claim: (most) => most, release() {} }
  const follow = (): Promise<string> =>
    new Promise((resolve) =>
      delivery.follow({
        job: JOB,
        form: DIALECTS.frames,
        cursor: null,
        sink,
        window: Infinity,
        tellsLive: false,
        onFail: (error) => resolve(error.code),
        onOver: () => resolve('over'),
      }),
    )
  return {
    delivery,
    follow,
    readers: () => readers,
    push: (first: number, ...records: Bytes[]) => listener(first, records, 1),
  }
}

it('is stored: each read fails by itself', async () => {
  const { readers, follow } = setUp([CHUNK, DEEP, '@end {"state":"done"}'])
  expect(await follow()).toBe('internal')
  expect(await follow()).toBe('internal')
  expect(readers()).toBe(0)
})

it('comes live: the reader fails, the log goes on', async () => {
  const { readers, follow, push } = setUp([CHUNK])
  const outcome = follow()
  for (let i = 0; i < 5; i++) await new Promise(setImmediate)
  expect(() => push(2, DEEP)).not.toThrow()
  expect(await outcome).toBe('internal')
  expect(readers()).toBe(0)
})

it('makes a JSON reply fail, and not hang', async () => {
  const deepChunk = `{"choices":[{"index":0,"delta":{"x":${'['.repeat(9_000)}${']'.repeat(9_000)}}}]}`
  const { delivery } = setUp([deepChunk, '@end {"state":"done"}'])
  const reply = await delivery.result(JOB, chat).catch((thrown: Error) => thrown)
  expect(reply instanceof Error || (reply.status >= 500 && reply.status < 600)).toBe(true)
})

it('passes on what the store says', async () => {
  const { delivery } = setUp([])
  const fails = () => Promise.reject(new Error('EIO'))
  const log = { follow: () => NO_NEWS, head: fails, read: fails } as unknown as TokenLog
  const broken = createDelivery(log, manualClock(), () => {}, { heartbeatMs: 1, maxReaderBufferBytes: 1, pageBytes: 1 })
  await expect(broken.result(JOB, chat)).rejects.toThrow('EIO')
  delivery.close()
})
