/** Jobs that outlived the process that ran them: what is not known any more is told as that, and given to nobody. */
import { expect, it } from 'vitest'
import type { Fact, Happened } from '../../core/facts.ts'
import { Copy } from '../live/copies.ts'
import { mergeTraces, packTrace } from './merged.ts'
import { Traces } from './traces.ts'
import { traceOf } from './view.ts'

const ABOUT = { job: 'job_1', tenant: 't', keyId: 'k', model: 'm', requestId: null, trace: null }
const BESIDE = { nowMs: 9_000, place: null, words: null, error: null, stored: null }
const FROM_MS = 1_800_000_000_000

function book(isOneOfMany = false) {
  const traces = new Traces(() => ({ ttftMs: 1_500 }), { isOneOfMany })
  traces.looked(0)
  return {
    traces,
    tell: (ms: number, fact: object): void =>
      traces.observe({ ...ABOUT, ...fact, atMs: FROM_MS + ms } as Happened & Fact),
  }
}
const of = (attempt: number) => ({ attempt, deployment: 'd' })
const usage = (completionTokens: number) => ({ promptTokens: 5, completionTokens, estimated: true })

it('a job that outlived a restart: by the clock of its acceptance, with a gap for what is not known', () => {
  const { traces, tell } = book()
  tell(2_800, { type: 'job-leased', ...of(2), queuedMs: 530, sinceAcceptedMs: 2_800 })
  tell(2_801, { type: 'attempt-started', ...of(2), mode: 'continue', isFallback: false, fromTokens: 39 })
  tell(2_900, { type: 'reader-opened', dialect: 'sse', reader: 1 })
  // Nobody looked: no progress was marked
  const marks = { firstTokenMs: 59, lastTokenMs: 3_459 }
  tell(6_290, { type: 'attempt-ended', ...of(2), code: null, usage: usage(111), marks })
  tell(6_300, { type: 'job-ended', state: 'done', code: null, usage: usage(150), timing: { totalMs: 6_300 } })
  const trace = traceOf(traces.get('job_1')!, BESIDE)
  expect(trace.row).toMatchObject({ acceptedAtMs: FROM_MS, totalMs: 6_300 })
  expect(trace.attempts).toMatchObject([
    { attempt: 1, deployment: '', tokens: 39, error: null, spans: [{ part: 'unknown', fromMs: 0, toMs: 2_800 }] },
    {
      ...{ attempt: 2, tokens: 111 },
      spans: [
        { part: 'routing', fromMs: 2_800, toMs: 2_801 },
        { part: 'upstream', fromMs: 2_801, toMs: 2_860 },
        { part: 'tokens', fromMs: 2_860, toMs: 6_260 },
      ],
    },
  ])
  expect(trace.stored).toEqual([
    [2_860, 39],
    [6_260, 150],
    [6_300, 150],
  ])
})

/** At the process that decides and reads: the worker's marks died with it. */
function lost() {
  const { traces, tell } = book(true)
  tell(0, { type: 'job-submitted', kind: 'chat', joined: false })
  tell(1, { type: 'reader-opened', dialect: 'sse', reader: 1 })
  tell(5, { type: 'job-leased', ...of(1), queuedMs: 5, sinceAcceptedMs: 5 })
  for (let ms = 200; ms <= 3_500; ms += 50)
    tell(ms, { type: 'reader-progressed', dialect: 'sse', reader: 1, seq: (ms - 150) / 50, from: 0 })
  tell(5_413, { type: 'attempt-ended', ...of(1), code: 'worker_lost', usage: usage(66) })
  tell(5_420, { type: 'job-leased', ...of(2), queuedMs: 12, sinceAcceptedMs: 5_420 })
  return { traces, tell }
}

it('an answer whose worker died stood still from its last token on', () => {
  const { traces, tell } = lost()
  tell(5_421, { type: 'attempt-started', ...of(2), mode: 'continue', isFallback: false, fromTokens: 67 })
  tell(5_600, { type: 'attempt-progressed', ...of(2), tokens: 1 })
  tell(7_000, { type: 'attempt-progressed', ...of(2), tokens: 29 })
  tell(7_000, { type: 'reader-progressed', dialect: 'sse', reader: 1, seq: 96, from: 0 })
  const trace = traceOf(traces.get('job_1')!, BESIDE)
  expect(trace.attempts[0].spans).toEqual([
    { part: 'unknown', fromMs: 5, toMs: 200 },
    { part: 'tokens', fromMs: 200, toMs: 3_500 },
    { part: 'unknown', fromMs: 3_500, toMs: 5_413 },
  ])
  expect(trace.stored[0]).toEqual([200, 1])
  expect(trace.shown[0]).toEqual([200, 1])
})

it('nobody who read it, and no marks: nothing of it is Sluice’s routing, nor its provider’s wait', () => {
  const { traces, tell } = book(true)
  tell(0, { type: 'job-submitted', kind: 'chat', joined: false })
  tell(5, { type: 'job-leased', ...of(1), queuedMs: 5 })
  tell(5_413, { type: 'attempt-ended', ...of(1), code: 'worker_lost', usage: usage(66) })
  tell(5_500, { type: 'job-leased', ...of(2), queuedMs: 92 })
  tell(5_501, { type: 'attempt-started', ...of(2), mode: 'continue', isFallback: false, fromTokens: 66 })
  tell(9_000, { type: 'attempt-ended', ...of(2), code: null, usage: usage(30) })
  const parts = traceOf(traces.get('job_1')!, BESIDE).attempts.map(({ spans }) => spans.map(({ part }) => part))
  expect(parts).toEqual([['unknown'], ['routing', 'unknown']])
})

it('what a worker had told of its attempt stays when it is gone', () => {
  const worker = book(true)
  worker.tell(6, { type: 'attempt-started', ...of(1), mode: 'first', isFallback: false })
  worker.tell(200, { type: 'attempt-progressed', ...of(1), tokens: 1 })
  worker.tell(2_700, { type: 'attempt-progressed', ...of(1), tokens: 50 })
  const copy = new Copy()
  copy.take([['job', packTrace(worker.traces.get('job_1')!, false)]], 0, () => {})
  const left = new Copy()
  left.inherit(copy)
  const own = packTrace(lost().traces.get('job_1')!, true)
  const merged = mergeTraces([own, ...left.jobs.values()])!
  expect(merged.attempts[0].lastTokenAtMs).toBe(FROM_MS + 2_700)
  const { attempts } = traceOf(merged, BESIDE)
  expect(attempts[0].spans).toEqual([
    { part: 'routing', fromMs: 5, toMs: 6 },
    { part: 'upstream', fromMs: 6, toMs: 200 },
    { part: 'tokens', fromMs: 200, toMs: 3_500 },
    { part: 'unknown', fromMs: 3_500, toMs: 5_413 },
  ])
})

it('the pace of an answer that broke ends with its last token', () => {
  const { traces, tell } = book()
  tell(0, { type: 'job-submitted', kind: 'chat', joined: false })
  tell(1, { type: 'job-leased', ...of(1), queuedMs: 1 })
  tell(1, { type: 'attempt-started', ...of(1), mode: 'first', isFallback: false })
  tell(8, { type: 'first-token-received', ...of(1), ttftMs: 8, parts: { connect: 1 } })
  const marks = { firstTokenMs: 7, lastTokenMs: 206 }
  tell(226, { type: 'attempt-ended', ...of(1), code: 'provider_cut', usage: usage(10), marks })
  const [{ spans }] = traceOf(traces.get('job_1')!, BESIDE).attempts
  expect(spans.at(-1)).toEqual({ part: 'tokens', fromMs: 8, toMs: 207 })
})
