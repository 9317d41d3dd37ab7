import { expect, it } from 'vitest'
import type { Fact, Happened } from '../../core/facts.ts'
import { Traces } from './traces.ts'
import { rowOfStored, traceOf, traceOfStored } from './view.ts'

const ABOUT = { job: 'job_1', tenant: 't', keyId: 'k', model: 'm', requestId: null, trace: null }
const ATTEMPT = { attempt: 1, deployment: 'd' }

it('who was cut has seen what it has got, however much was stored since', () => {
  const traces = new Traces(() => ({ ttftMs: 1_500 }))
  traces.looked(0)
  const tell = (atMs: number, fact: object): void => traces.observe({ ...ABOUT, ...fact, atMs } as Happened & Fact)
  tell(0, { type: 'job-submitted', kind: 'chat', joined: false })
  tell(1, { type: 'reader-opened', dialect: 'frames', reader: 1 })
  tell(2, { type: 'job-leased', ...ATTEMPT, queuedMs: 1 })
  tell(3, { type: 'attempt-started', ...ATTEMPT, mode: 'first', isFallback: false })
  tell(1_000, { type: 'attempt-progressed', ...ATTEMPT, tokens: 30 })
  tell(1_500, { type: 'reader-closed', dialect: 'frames', reader: 1, complete: false, seq: 32, from: 0 })
  tell(5_000, { type: 'attempt-progressed', ...ATTEMPT, tokens: 108 })
  const { counts, shown } = traceOf(traces.get('job_1')!, {
    ...{ nowMs: 5_000, place: null, words: null, error: null, stored: null },
  })
  expect([counts.stored, counts.shown]).toEqual([108, 32])
  expect(shown.at(-1)).toEqual([1_500, 32])
})

const BESIDE = { place: null, words: null, error: null, stored: null }

it('nothing is shown before it is stored, nor more of it: records before the first token are none', () => {
  const traces = new Traces(() => ({ ttftMs: 1_500 }))
  traces.looked(0)
  const tell = (atMs: number, fact: object): void => traces.observe({ ...ABOUT, ...fact, atMs } as Happened & Fact)
  const parts = { admission: 8, queue: 0, retries: 0, routing: 1, connect: 0, upstream: 199, delivery: 0 }
  tell(0, { type: 'job-submitted', kind: 'chat', joined: false })
  tell(1, { type: 'reader-opened', dialect: 'sse', reader: 1 })
  tell(2, { type: 'job-leased', ...ATTEMPT, queuedMs: 1 })
  tell(180, { type: 'reader-progressed', dialect: 'sse', reader: 1, seq: 3, from: 0 })
  tell(200, { type: 'first-token-received', ...ATTEMPT, ttftMs: 200, parts })
  tell(230, { type: 'attempt-progressed', ...ATTEMPT, tokens: 1 })
  tell(240, { type: 'reader-progressed', dialect: 'sse', reader: 1, seq: 9, from: 0 })
  tell(900, { type: 'attempt-progressed', ...ATTEMPT, tokens: 20 })
  tell(901, { type: 'reader-progressed', dialect: 'sse', reader: 1, seq: 24, from: 0 })
  const { stored, shown, facts, row } = traceOf(traces.get('job_1')!, { ...BESIDE, nowMs: 1_000 })
  expect(stored[0][0]).toBe(200)
  expect(shown[0][0]).toBeGreaterThanOrEqual(200)
  expect(shown.at(-1)).toEqual([901, 20])
  for (const [ms, tokens] of shown) {
    const next = stored.find(([at]) => at > ms) ?? stored.at(-1)!
    expect(tokens).toBeLessThanOrEqual(next[1])
  }
  // From the request's head, as its parts add up
  expect(row.ttftMs).toBe(208)
  expect(facts).toContainEqual({ name: 'First token', value: '208 ms' })
})

it('a stored job’s first token is counted from the request’s head; a document has none', () => {
  const parts = { admission: 8, queue: 0, retries: 0, routing: 1, connect: 0, upstream: 199, delivery: 0 }
  const timing = { queuedMs: 0, totalMs: 300, attempts: 1, parts }
  const row = (more: object) =>
    rowOfStored({ options: {}, timing: { ...timing, ...more } } as never, { place: null, words: null, error: null })
  expect(row({ ttftMs: 200 })).toMatchObject({ ttftMs: 208, ttft: parts })
  expect(row({})).toMatchObject({ ttftMs: null, ttft: null })
})

it('the wait for its own turn is drawn and told apart from the queue, and is no part of its first token', () => {
  const traces = new Traces(() => ({ ttftMs: 1_500 }))
  traces.looked(0)
  const tell = (atMs: number, fact: object): void => traces.observe({ ...ABOUT, ...fact, atMs } as Happened & Fact)
  const parts = {
    admission: 8,
    turn: 4_000,
    queue: 100,
    retries: 0,
    routing: 1,
    connect: 0,
    upstream: 199,
    delivery: 0,
  }
  tell(0, { type: 'job-submitted', kind: 'chat', joined: false })
  tell(4_100, { type: 'job-leased', ...ATTEMPT, queuedMs: 4_100, turnMs: 4_000 })
  const trace = traces.get('job_1')!
  expect(traceOf(trace, { ...BESIDE, nowMs: 4_150 }).row.ttft).toEqual({ queue: 100, routing: 50 })
  expect([4_150, 6_000].map((nowMs) => traces.isLate(trace, nowMs))).toEqual([false, true])
  expect(traces.isLate(Object.assign(Object.create(trace), { requestId: 'line_00ff' }), 6_000)).toBe(false)
  tell(4_300, { type: 'first-token-received', ...ATTEMPT, ttftMs: 4_300, parts })
  const { spans, facts, row } = traceOf(trace, { ...BESIDE, nowMs: 4_300 })
  expect(spans).toEqual([
    { part: 'admission', fromMs: -8, toMs: 0 },
    { part: 'turn', fromMs: 0, toMs: 4_000 },
    { part: 'queue', fromMs: 4_000, toMs: 4_100 },
  ])
  expect(row.ttftMs).toBe(308)
  expect(facts).toEqual(
    expect.arrayContaining([
      { name: 'Own turn after', value: '4.00 s' },
      { name: 'In line', value: '100 ms' },
    ]),
  )
  expect(traces.isLate(trace, 9_000)).toBe(false)
  // As it is stored, with its parts or without
  const timing = { queuedMs: 4_100, turnMs: 4_000, ttftMs: 4_300, totalMs: 5_000, attempts: 1 }
  const stored = (more: object) =>
    traceOfStored({ options: {}, timing: { ...timing, ...more } } as never, { place: null, error: null })
  expect(stored({}).row.ttftMs).toBe(300)
  expect(stored({ parts }).row.ttftMs).toBe(308)
  expect(stored({ parts }).spans?.slice(0, 3)).toEqual(spans)
})

it('a pause is drawn while it lasts, and to the end where nothing came after it', () => {
  const traces = new Traces(() => ({ ttftMs: 1_500 }))
  traces.looked(0)
  const tell = (atMs: number, fact: object): void => traces.observe({ ...ABOUT, ...fact, atMs } as Happened & Fact)
  const seen = (nowMs: number) =>
    traceOf(traces.get('job_1')!, { nowMs, place: null, words: null, error: null, stored: null })
  tell(0, { type: 'job-submitted', kind: 'chat', joined: false })
  tell(0, { type: 'job-leased', ...ATTEMPT, queuedMs: 1 })
  tell(0, { type: 'attempt-started', ...ATTEMPT, mode: 'first', isFallback: false })
  tell(100, { type: 'attempt-progressed', ...ATTEMPT, tokens: 1 })
  tell(1_500, { type: 'attempt-progressed', ...ATTEMPT, tokens: 20 })
  tell(1_500, { type: 'answer-stalled', ...ATTEMPT, ms: 1_200 })
  const tokens = { part: 'tokens', fromMs: 100, toMs: 300 }
  expect(seen(9_000).attempts[0].spans.slice(1)).toEqual([tokens, { part: 'pause', fromMs: 300, toMs: null }])
  expect(seen(9_000).facts).toContainEqual({ name: 'Longest pause', value: '8.70 s' })
  tell(10_300, { type: 'answer-resumed', ...ATTEMPT, ms: 10_000 })
  tell(10_300, { type: 'attempt-ended', ...ATTEMPT, code: null, stopped: 'canceled' })
  expect(seen(20_000).attempts[0].spans.slice(1)).toEqual([tokens, { part: 'pause', fromMs: 300, toMs: 10_300 }])
})

it('of a job whose marks are gone it tells all that is stored', () => {
  const job = {
    ...{ options: {}, keyId: 'key_1', requestId: 'req_1', attempts: 2, parent: 'job_p', run: 'r' },
    after: ['a', 'b', 'c', 'd', 'e', 'f', 'g'],
    metadata: { step: 'write' },
    usage: { promptTokens: 10, completionTokens: 20, estimated: true },
  }
  const { facts } = traceOfStored(job as never, { place: null, error: null })
  expect(facts.map(({ name, value }) => `${name}: ${value}`)).toEqual([
    ...['Attempts: 2', 'Tokens in: 10', 'Tokens out: 20, estimated'],
    ...['Run: r', 'Parent: job_p', 'After: a, b, c, d, e and 2 more', 'Metadata step: write'],
    ...['Key: key_1', 'Request: req_1'],
  ])
})
