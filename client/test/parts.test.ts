/** The parts that need no server: what is applied, what is parsed, what is folded, and when to come back. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EvFrame, WireEvent } from '../../src/core/frames.ts'
import { backoffMs, verdictOf } from '../src/backoff.ts'
import { type ConnectOptions, connect } from '../src/connect.ts'
import { SluiceError } from '../src/errors.ts'
import { emptyMessage, fold } from '../src/fold.ts'
import { Job, type Wire } from '../src/job.ts'
import { createPace } from '../src/pace.ts'
import { advance, firstOf, placeOf, START } from '../src/place.ts'
import { type SseEvent, sseParser } from '../src/sse-read.ts'

const chunk = (content: string): WireEvent => ({ chunk: { choices: [{ index: 0, delta: { content } }] } })
const ev = (seq: number, e: readonly WireEvent[]): EvFrame => ({
  t: 'ev',
  job: 'j',
  seq,
  cursor: `1-${seq + e.length - 1}`,
  e,
})

interface Told {
  credit: number
  reattached: number
  reports: number[]
}

function follow(window = 1_000): { job: Job; told: Told } {
  const told: Told = { credit: 0, reattached: 0, reports: [] }
  const wire: Wire = {
    credit(_job, bytes) {
      told.credit += bytes
    },
    cancel: async () => {},
    detach: () => {},
    reattach: () => void told.reattached++,
    report: (_job, ttftMs) => void told.reports.push(ttftMs),
    fetch: () => Promise.reject(new Error('not asked')),
  }
  return { job: new Job(wire, window, { request: {} }, null, null), told }
}
const done = (seq: number) => ({ seq, cursor: `1-${seq}`, state: 'done' as const })

describe('what is applied', () => {
  it('is the log, whatever is cut, doubled, repeated or late', () => {
    const pieces = fc.array(fc.constantFrom('a', ' the', 'é', '😀', ''), { minLength: 1, maxLength: 40 })
    const reads = fc.array(fc.record({ from: fc.nat(40), length: fc.integer({ min: 1, max: 12 }) }), { maxLength: 60 })
    fc.assert(
      fc.property(pieces, reads, (texts, runs) => {
        const { job, told } = follow()
        const log = texts.map(chunk)
        let holes = 0
        for (const { from, length } of runs) {
          const e = log.slice(from, from + length)
          if (e.length === 0) continue
          const known = placeOf(job.cursor ?? '1-0')!.seq
          if (from + 1 > known + 1) holes++
          job.run(ev(from + 1, e), 10)
          // Never anything but a beginning of the log
          expect(job.text).toBe(texts.slice(0, placeOf(job.cursor ?? '1-0')!.seq).join(''))
        }
        expect(told.reattached).toBe(holes)
        job.run(ev(1, log), 10)
        expect(job.text).toBe(texts.join(''))
      }),
    )
  })

  it('comes with the cursor of each event, however many came at once', async () => {
    const { job } = follow()
    job.run(ev(1, [chunk('a'), chunk('b')]), 10)
    job.run(ev(2, [chunk('b'), { reset: { reason: 'worker_lost' } }, chunk('c')]), 10)
    job.end(done(5))
    const seen: unknown[] = []
    for await (const event of job) seen.push([event.type, 'cursor' in event ? event.cursor : null])
    expect(seen).toEqual([
      ['chunk', '1-1'],
      ['chunk', '1-2'],
      ['reset', '1-3'],
      ['chunk', '1-4'],
      ['end', '1-5'],
    ])
  })

  it('asks again where an end comes too early', () => {
    const { job, told } = follow()
    job.run(ev(1, [chunk('a')]), 10)
    job.end(done(3))
    expect([job.over, told.reattached]).toEqual([false, 1])
    job.run(ev(2, [chunk('b')]), 10)
    job.end(done(3))
    expect([job.over, job.text]).toEqual([true, 'ab'])
  })

  it('begins anew after a reset and after a gap', async () => {
    const { job } = follow()
    job.run(ev(1, [chunk('old'), { reset: { reason: 'worker_lost' } }, chunk('new')]), 10)
    expect(job.text).toBe('new')
    job.gap('epoch_changed')
    expect([job.text, job.cursor]).toEqual(['', null])
    job.run({ seq: 1, cursor: '2-1', e: [chunk('again')] }, 10)
    job.end({ seq: 2, cursor: '2-2', state: 'done' })
    expect((await job.answer()).text).toBe('again')
  })

  it('of several readers, the one that is furthest behind says where to read from', () => {
    const first = (...cursors: Array<string | null>): string => firstOf(cursors.map((cursor) => ({ cursor })))
    expect([first('1-9', '1-10'), first('2-1', '1-30'), first('1-3', null), first('7', '1-2'), first()]).toEqual([
      '1-9',
      '1-30',
      '0',
      '7',
      '0',
    ])
  })

  it('a cursor is a place, or it is refused', () => {
    expect(placeOf('3-17')).toEqual({ cursor: '3-17', seq: 17 })
    expect([placeOf('x'), placeOf('1-'), placeOf('1-2-3'), placeOf('-1')]).toEqual([null, null, null, null])
    expect(advance(START, ev(2, [chunk('b')]))).toBe('hole')
  })
})

describe('a reader', () => {
  const types = async (job: Job): Promise<string[]> => {
    const seen: string[] = []
    for await (const event of job) seen.push(event.type)
    return seen
  }

  it('sees all events, also those from before it began', async () => {
    const { job } = follow()
    job.accept({ job: 'j', joined: false, queue: { position: 2, tokens_ahead: 5, eta_ms: null } })
    job.run(ev(1, [{ attempt: { n: 1, mode: 'first', deployment: 'd' } }, chunk('a')]), 10)
    const reading = types(job)
    job.run(ev(3, [{ usage: {} }]), 10)
    job.end(done(4))
    expect(await reading).toEqual(['queue', 'attempt', 'chunk', 'usage', 'end'])
    await expect(types(job)).rejects.toThrow('once')
  })

  it('that does not pull gives no credit; one that pulls gives back what it took', async () => {
    const { job, told } = follow(1_000)
    const reader = job[Symbol.asyncIterator]()
    const first = reader.next()
    job.run(ev(1, [chunk('a'), chunk('b')]), 600)
    await first
    const given = told.credit
    expect(given).toBe(300)
    job.run(ev(3, [chunk('c')]), 400)
    expect(told.credit).toBe(given)
    await reader.next()
    await reader.next()
    expect(told.credit).toBe(1_000)
  })

  it('that stops holds nobody up', async () => {
    const { job, told } = follow(1_000)
    job.run(ev(1, [chunk('a'), chunk('b')]), 1_000)
    for await (const event of job) if (event.type === 'chunk') break
    job.run(ev(3, [chunk('c')]), 1_000)
    expect(told.credit).toBe(2_000)
    job.end(done(4))
    expect((await job.answer()).text).toBe('abc')
  })

  it('where there is none, the job goes on; one that comes late gets all of it, in fewer events', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('a', ' the', '😀'), { minLength: 1, maxLength: 60 }),
        fc.nat(60),
        async (texts, comesAt) => {
          const { job, told } = follow(1_000)
          let seen = ''
          let events = 0
          const read = async (): Promise<void> => {
            for await (const event of job) {
              events++
              if (event.type === 'chunk') seen += event.text
            }
          }
          let reading = comesAt === 0 ? read() : null
          for (const [i, text] of texts.entries()) {
            if (i === comesAt) reading ??= read()
            job.run(ev(i + 1, [chunk(text)]), 1_000)
            if (reading === null) expect(told.credit).toBe((i + 1) * 1_000)
          }
          job.end(done(texts.length + 1))
          await (reading ?? read())
          expect([seen, job.text]).toEqual([texts.join(''), texts.join('')])
          if (comesAt > texts.length) expect(events).toBeLessThan(8)
        },
      ),
    )
  })

  it('that reads slowly is full at its window, and has room again when it has read', async () => {
    const { job } = follow(1_000)
    const reader = job[Symbol.asyncIterator]()
    const first = reader.next()
    job.run(ev(1, [chunk('a'), chunk('b'), chunk('c')]), 1_800)
    await first
    expect(job.full).toBe(true)
    await reader.next()
    expect(job.full).toBe(false)
  })

  it('is told why a job can not be read', async () => {
    const { job } = follow()
    const reading = types(job)
    job.fail(new SluiceError('job_gone', 'gone'))
    await expect(reading).rejects.toMatchObject({ code: 'job_gone' })
    await expect(job.accepted).rejects.toMatchObject({ code: 'job_gone' })
    await expect(job.answer()).rejects.toMatchObject({ code: 'job_gone' })
  })

  it('ends quietly when the job is detached', async () => {
    const { job } = follow()
    const reading = types(job)
    job.run(ev(1, [chunk('a')]), 10)
    job.detach()
    expect(await reading).toEqual(['chunk'])
  })

  it('reports the first text once', () => {
    const { job, told } = follow()
    job.run(ev(1, [{ chunk: { choices: [{ delta: { role: 'assistant', content: '' } }] } }]), 10)
    expect(told.reports).toEqual([])
    job.run(ev(2, [chunk('a'), chunk('b')]), 10)
    expect(told.reports.length).toBe(1)
  })
})

describe('server-sent events', () => {
  const stream =
    ': hb\nid: 1-1\nevent: attempt\ndata: {"n":1}\n\nid: 1-2\r\nevent: chunk\r\ndata: {"a":\r\ndata: "é😀"}\r\n' +
    '\r\n: hb\nevent: gap\ndata: {"reason":"x"}\n\ndata:x\ndata:  y\n\n' +
    'id: 1-3\nevent: end\ndata: {}\n\nid: 1-4\ndata: never whole'
  const expected: SseEvent[] = [
    { id: '1-1', event: 'attempt', data: '{"n":1}' },
    { id: '1-2', event: 'chunk', data: '{"a":\n"é😀"}' },
    { id: '1-2', event: 'gap', data: '{"reason":"x"}' },
    { id: '1-2', event: 'message', data: 'x\n y' },
    { id: '1-3', event: 'end', data: '{}' },
  ]
  it('are the same however their bytes are cut', () => {
    const bytes = new TextEncoder().encode(stream)
    const read = (cuts: readonly number[]): SseEvent[] => {
      const events: SseEvent[] = []
      const feed = sseParser((e) => events.push(e))
      const decoder = new TextDecoder()
      let from = 0
      for (const to of [...cuts, bytes.length]) {
        feed(decoder.decode(bytes.subarray(from, to), { stream: true }))
        from = to
      }
      return events
    }
    for (let cut = 0; cut <= bytes.length; cut++) expect(read([cut])).toEqual(expected)
    expect(read(Array.from({ length: bytes.length }, (_, i) => i))).toEqual(expected)
  })
})

it('folds text, tool calls and fields it does not know', () => {
  const message = emptyMessage()
  const pieces = [
    { role: 'assistant', content: '' },
    { content: 'Hel' },
    { content: 'lo', reasoning: 'be' },
    { reasoning: 'cause' },
    { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a"' } }] },
    { tool_calls: [{ index: 0, function: { arguments: ':1}' } }] },
    { tool_calls: [{ index: 1, id: 'c2', type: 'function', function: { name: 'g', arguments: '' } }] },
  ]
  for (const delta of pieces) fold(message, { choices: [{ index: 0, delta }] })
  fold(message, { choices: [{ index: 1, delta: { content: 'of another choice' } }] })
  fold(message, { choices: [] })
  expect(message).toEqual({
    role: 'assistant',
    content: 'Hello',
    reasoning: 'because',
    tool_calls: [
      { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
      { id: 'c2', type: 'function', function: { name: 'g', arguments: '' } },
    ],
  })
})

it('a chunk that means ill changes nobody but itself', () => {
  const message = emptyMessage()
  for (const text of [
    '{"__proto__":{"polluted":1}}',
    '{"tool_calls":[{"index":0,"__proto__":{"polluted":1}}]}',
    '{"tool_calls":[{"index":0,"constructor":{"prototype":{"polluted":1}}}]}',
  ])
    fold(message, { choices: [{ index: 0, delta: JSON.parse(text) }] })
  expect([
    ({} as Record<string, unknown>)['polluted'],
    message['polluted'],
    (Object as unknown as Record<string, unknown>)['polluted'],
  ]).toEqual([undefined, undefined, undefined])
})

it('submits are paced', async () => {
  let ready = 0
  const pace = createPace(
    () => 1_000,
    () => void ready++,
  )
  let taken = 0
  while (pace.take()) taken++
  expect(taken).toBeGreaterThanOrEqual(2_000)
  expect(taken).toBeLessThan(2_200)
  await new Promise((wait) => setTimeout(wait, 120))
  expect(ready).toBe(1)
  expect(pace.take()).toBe(true)
  pace.stop()
})

it('close codes are verdicts', () => {
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1015, 4408, 4429, 4500, 4503])
    expect(verdictOf(code), String(code)).toBe('come-back')
  for (const code of [1002, 1003, 1007, 1008, 1009, 4400, 4403, 4404, 4409, 4413, 4426])
    expect(verdictOf(code), String(code)).toBe('stop')
  expect(verdictOf(4401)).toBe('authenticate')
})

it('comes back at a random moment of a window that doubles to 20 s', () => {
  for (let failures = 0; failures < 12; failures++) {
    const waits = Array.from({ length: 200 }, () => backoffMs(failures))
    expect(Math.max(...waits)).toBeLessThanOrEqual(Math.min(20_000, 500 * 2 ** failures))
    expect(new Set(waits).size).toBeGreaterThan(100)
  }
})

it.each([
  [Number.MAX_SAFE_INTEGER, 86_400_000],
  [Infinity, 86_400_000],
  [30 * 86_400_000, 86_400_000],
  [-5, 0],
  [Number.NaN, undefined],
  ['soon', undefined],
  [null, undefined],
  [1_500, 1_500],
])('a wait that a timer would take for none is bounded: %s', (asked, waits) => {
  // setTimeout fires at once after more than 24.8 days, and after what is no number
  expect(new SluiceError('overloaded', '', { retryAfterMs: asked as number }).retryAfterMs).toBe(waits)
})

describe('what connect() is given', () => {
  it.each([
    undefined,
    null,
    '',
    '/sluice',
    'sluice',
    '127.0.0.1:4100',
    'localhost:4100',
    '//localhost:4100',
    'ftp://localhost',
    'http://',
    'http://a b',
    'http://localhost:4100?key=1',
    'http://localhost:4100/#a',
    'http://user:secret@localhost:4100',
    'https://sluice:99999',
  ])('is refused at once where its url is %j', (url) => {
    expect(() => connect({ url, key: 'k' } as ConnectOptions)).toThrow(
      expect.objectContaining({
        name: 'SluiceError',
        code: 'invalid_url',
        message: expect.stringMatching(/^(?!.*secret).*"http:\/\/127\.0\.0\.1:4100"/),
      }),
    )
  })

  it.each([
    [{}, 'missing_api_key'],
    [{ key: undefined }, 'missing_api_key'],
    [{ key: 'k', ticket: async () => 't' }, 'missing_api_key'],
    [{ ticket: 'a ticket' }, 'missing_api_key'],
    [{ key: '' }, 'invalid_api_key'],
    [{ key: ' \n' }, 'invalid_api_key'],
    [{ key: 'sk-sluice-…' }, 'invalid_api_key'],
    [{ key: 'k', window: 1 }, 'invalid_window'],
  ])('is refused at once where its credentials are %j', (options, code) => {
    expect(() => connect({ url: 'http://127.0.0.1:9', ...options } as unknown as ConnectOptions)).toThrow(
      expect.objectContaining({ name: 'SluiceError', code }),
    )
  })

  it('is refused without any options', () => {
    expect(() => connect(undefined as never)).toThrow(expect.objectContaining({ code: 'invalid_url' }))
  })
})
