/** An answer that is repeated, against a log that the test plays; time moves only when told. */
import { expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { LogListener, LogPage } from '../core/ports/log.ts'
import type { ProviderEnd, ProviderRun } from '../core/ports/provider.ts'
import { attemptRecord, type Bytes, documentRecord, endRecord, resetRecord, usageRecord } from '../core/record.ts'
import { createReplays } from './replay.ts'

const chunk = (text: string): Bytes => `{"choices":[{"index":0,"delta":{"content":"${text}"},"finish_reason":null}]}`
const ATTEMPT = attemptRecord({ n: 1, mode: 'first', deployment: 'd' })
const DONE = endRecord({ state: 'done' })
const USAGE = '{"choices":[],"usage":{"prompt_tokens":1}}'
const DOCUMENT = '{"x":{"usage":1},"choices":[{"message":{"content":"\\u00fc"}}], "usage" : {"prompt_tokens":3}}'

function stage(records: Bytes[] | null, pageRecords = Infinity) {
  const clock = manualClock()
  const got: string[] = []
  let end: ProviderEnd | null = null
  let listener: LogListener | null = null
  let rewritten = (): void => {}
  let reads = 0
  let away = 0
  const log = {
    follow(_job: string, to: LogListener, onRewritten?: (epoch: number) => void) {
      listener = to
      rewritten = () => onRewritten?.(2)
      const stop = (): void => {
        listener = null
      }
      return { ready: null, stop }
    },
    async read(_job: string, after: number): Promise<LogPage | null> {
      reads++
      if (away-- > 0) throw new SluiceError('storage_unavailable')
      if (records === null) return null
      const some = records.slice(after, after + pageRecords)
      return { epoch: 1, firstSeq: after + 1, records: some, head: records.length, ended: false }
    },
  }
  const { provider } = createReplays({ log, clock })('job_1')
  let call!: ProviderRun
  const run = (): void => {
    call = provider.start({} as never, {
      events: (payloads) => void got.push(...payloads),
      document: (document, usage) => void got.push(document, JSON.stringify(usage)),
      end: (how) => {
        if (end !== null) throw new Error('two ends')
        end = how
      },
    })
  }
  const settle = async (ms = 0): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      clock.advance(i === 0 ? ms : 0)
      await new Promise((next) => setImmediate(next))
    }
  }
  return {
    ...{ got, run, settle },
    end: () => end,
    reads: () => reads,
    call: () => call,
    isFollowed: () => listener !== null,
    rewrite: () => rewritten(),
    goAway: (times: number) => {
      away = times
    },
    /** Stored; and told, unless its news is lost. */
    write(more: readonly Bytes[], isTold = true): void {
      const first = records!.length + 1
      records!.push(...more)
      if (isTold) listener?.(first, more, 1)
    },
  }
}

it('what is there, then what comes, each once: attempts and the end are not passed on', async () => {
  const it = stage([ATTEMPT, chunk('a')], 1)
  it.run()
  expect(it.got).toEqual([])
  await it.settle()
  it.write([chunk('b'), usageRecord(USAGE)])
  await it.settle()
  it.write([DONE])
  await it.settle()
  expect(it.got).toEqual([chunk('a'), chunk('b'), USAGE])
  expect([it.end(), it.isFollowed()]).toEqual([{ kind: 'done' }, false])
})

it('a document as it is, with its own usage and no other', async () => {
  const it = stage([ATTEMPT, documentRecord(DOCUMENT), DONE])
  it.run()
  await it.settle()
  expect([it.got, it.end()]).toEqual([[DOCUMENT, '{"prompt_tokens":3}'], { kind: 'done' }])
})

it('nothing is missed or doubled where the log grows while it is read, or its news is lost', async () => {
  const it = stage([chunk('1')], 1)
  it.run()
  it.write([chunk('2')])
  await it.settle()
  it.write([chunk('3')], false)
  it.write([chunk('4')])
  await it.settle()
  it.write([DONE], false)
  await it.settle(5_000)
  expect(it.got).toEqual(['1', '2', '3', '4'].map(chunk))
  expect(it.end()).toEqual({ kind: 'done' })
})

it('what is taken back before it was passed on is not passed on; after that, the call has failed', async () => {
  const there = stage([ATTEMPT, chunk('a'), resetRecord('worker_lost'), ATTEMPT, chunk('b'), DONE])
  there.run()
  await there.settle()
  expect([there.got, there.end()]).toEqual([[chunk('b')], { kind: 'done' }])
  const live = stage([ATTEMPT, chunk('a')])
  live.run()
  await live.settle()
  live.write([resetRecord('worker_lost')])
  await live.settle()
  expect([live.got, live.end()]).toMatchObject([[chunk('a')], { kind: 'failed', retry: 'elsewhere' }])
})

const refused = new SluiceError('provider_rejected', { message: 'no', status: 413, upstreamCode: 'too_long' })
const cut = { level: 'tenant', name: 't', unit: 'tokens', limit: 1, weight: 1, left: 0, waitMs: 1 } as const
it.each([
  ['canceled', endRecord({ state: 'canceled', error: new SluiceError('job_canceled').wire }), 'elsewhere'],
  [
    'failed for reasons of its own',
    endRecord({ state: 'failed', error: new SluiceError('provider_cut').wire }),
    'elsewhere',
  ],
  ['cut by a limit', endRecord({ state: 'done', cut }), 'elsewhere'],
  ['refused by the provider', endRecord({ state: 'failed', error: refused.wire, status: 413 }), false],
] as const)('an answer that was %s is none', async (_how, end, retry) => {
  const it = stage([ATTEMPT, chunk('a'), end])
  it.run()
  await it.settle()
  expect(it.end()).toMatchObject({ kind: 'failed', retry })
  if (retry === false)
    expect(it.end()).toMatchObject({
      error: { code: 'provider_rejected', status: 413, upstreamCode: 'too_long', message: 'no' },
    })
})

it('a log that is not there, or was rewritten, is none; a store that is away is asked again', async () => {
  const gone = stage(null)
  gone.run()
  await gone.settle()
  expect(gone.end()).toMatchObject({ kind: 'failed', retry: 'elsewhere' })
  const rewritten = stage([chunk('a')])
  rewritten.run()
  await rewritten.settle()
  rewritten.rewrite()
  expect(rewritten.end()).toMatchObject({ kind: 'failed', retry: 'elsewhere' })
  const away = stage([chunk('a'), DONE])
  away.goAway(1)
  away.run()
  await away.settle()
  expect(away.end()).toBeNull()
  await away.settle(500)
  expect([away.got, away.end()]).toEqual([[chunk('a')], { kind: 'done' }])
})

it('is aborted and paused as a provider is', async () => {
  const it = stage([chunk('a')])
  it.run()
  it.call().abort()
  expect(it.end()).toBeNull()
  await it.settle()
  expect([it.got, it.end(), it.isFollowed()]).toEqual([[], { kind: 'aborted' }, false])
  const paused = stage([chunk('a')])
  paused.run()
  await paused.settle()
  paused.call().pause()
  paused.write([chunk('b'), DONE])
  await paused.settle(5_000)
  expect(paused.got).toEqual([chunk('a')])
  paused.call().resume()
  await paused.settle()
  expect([paused.got, paused.end()]).toEqual([[chunk('a'), chunk('b')], { kind: 'done' }])
})
