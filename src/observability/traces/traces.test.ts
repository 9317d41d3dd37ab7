import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { Traces } from './traces.ts'

const HOUR_MS = 3_600_000
const about = { tenant: 't', keyId: 'k', model: 'm', requestId: null, trace: null }
const submitted = (job: string, atMs: number): Fact => ({
  ...{ type: 'job-submitted', kind: 'chat', joined: false, job, atMs, ...about },
})
const ended = (job: string, atMs: number): Fact =>
  ({
    ...{ type: 'job-ended', state: 'done', code: null, deployment: 'd', job, atMs, ...about },
    timing: { queuedMs: 10, totalMs: 500, attempts: 1 },
  }) as Fact
const setUp = () => {
  const traces = new Traces(() => ({ ttftMs: 1_500 }))
  return { traces, known: (): string[] => [...traces.newest()].map(({ job }) => job) }
}

it('makes marks only while somebody looks, and for an hour after', () => {
  const { traces, known } = setUp()
  traces.observe(submitted('before', 0))
  expect(known()).toEqual([])
  traces.looked(1_000)
  traces.observe(submitted('a', 2_000))
  expect(known()).toEqual(['a', 'before'])
  traces.rest(HOUR_MS + 1_000)
  expect(known()).toEqual(['a', 'before'])
  const { version } = traces
  traces.rest(HOUR_MS + 1_001)
  expect(known()).toEqual([])
  expect(traces.version).toBeGreaterThan(version)
})

it('has the last jobs of before a look, as if somebody had looked then: attempts, readers, end', () => {
  const { traces, known } = setUp()
  const tell = (atMs: number, fact: object): void => traces.observe({ ...about, job: 'j', ...fact, atMs } as Fact)
  const attempt = { attempt: 1, deployment: 'd' }
  traces.observe(submitted('j', 0))
  tell(1, { type: 'reader-opened', dialect: 'sse', reader: 1 })
  tell(2, { type: 'job-leased', ...attempt, queuedMs: 2 })
  tell(3, { type: 'attempt-started', ...attempt, mode: 'first', isFallback: false })
  for (let i = 0; i < 5_000; i++) tell(10 + i, { type: 'attempt-progressed', ...attempt, tokens: i })
  tell(6_000, { type: 'attempt-ended', ...attempt, code: 'provider_cut' })
  tell(6_001, { type: 'reader-closed', dialect: 'sse', reader: 1, complete: false, seq: 3, from: 0 })
  expect(known()).toEqual([])
  traces.looked(0)
  expect(traces.get('j')).toMatchObject({
    ...{ isWhole: true, isCut: true, acceptedAtMs: 0, state: 'leased' },
    attempts: [{ attempt: 1, calledAtMs: 3, endedAtMs: 6_000, error: 'provider_cut' }],
    readers: [{ reader: 1, openedAtMs: 1, closedAtMs: 6_001 }],
  })
  traces.looked(10)
  expect(known()).toEqual(['j'])
})

it('has one attempt, whichever is told first: that it is leased, or that it began', () => {
  for (const isLeasedFirst of [true, false]) {
    const { traces } = setUp()
    const tell = (atMs: number, fact: object): void => traces.observe({ ...about, job: 'j', ...fact, atMs } as Fact)
    const attempt = { attempt: 1, deployment: 'd' }
    traces.looked(0)
    traces.observe(submitted('j', 0))
    const both = [
      { type: 'job-leased', ...attempt, queuedMs: 2 },
      { type: 'attempt-started', ...attempt, mode: 'first', isFallback: false },
    ]
    for (const fact of isLeasedFirst ? both : both.reverse()) tell(3, fact)
    tell(600, { type: 'attempt-ended', ...attempt, code: null, marks: { firstTokenMs: 200, lastTokenMs: 580 } })
    expect(traces.get('j')!.attempts).toMatchObject([
      { calledAtMs: 3, firstTokenAtMs: 203, lastTokenAtMs: 583, endedAtMs: 600 },
    ])
  }
})

it('keeps a bounded number of facts, the last ones', () => {
  const { traces, known } = setUp()
  for (let i = 0; i < 5_000; i++) traces.observe(submitted(`j${i}`, i))
  traces.looked(0)
  expect(known().slice(0, 2)).toEqual(['j4999', 'j4998'])
  expect(known().length).toBeLessThanOrEqual(256)
  expect(known().length).toBeGreaterThan(128)
})

it('learns of a job that it knew nothing of when it ends', () => {
  const { traces } = setUp()
  traces.looked(0)
  traces.observe(ended('old', 10_000))
  expect(traces.get('old')).toMatchObject({ state: 'done', acceptedAtMs: 9_500, endedAtMs: 10_000, isWhole: false })
})

it('drops no marks for a wall clock that jumps ahead', () => {
  const { traces, known } = setUp()
  traces.looked(0)
  traces.observe(submitted('a', 1_000))
  traces.observe(submitted('b', 10 * HOUR_MS))
  traces.rest(5_000)
  expect(known()).toEqual(['b', 'a'])
})
