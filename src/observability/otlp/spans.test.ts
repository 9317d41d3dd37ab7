import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { namesOf } from './names.ts'
import { ProtoWriter } from './protobuf.ts'
import { Spans } from './spans.ts'

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const about = { atMs: 0, tenant: 't', keyId: 'k', model: 'm', job: 'job_1', requestId: null, trace: TRACE }
const attempt = { ...about, attempt: 1, deployment: 'd' }

function open() {
  const w = new ProtoWriter()
  let count = 0
  const spans = new Spans(
    w,
    namesOf('otel-1.41'),
    () => null,
    () => 1_000,
    () => count++,
  )
  return { w, observe: spans.observe, count: () => count }
}

it('nothing of a token, nor of a trace that is not recorded, is written', () => {
  const { w, observe, count } = open()
  for (let tokens = 0; tokens < 10_000; tokens++)
    observe({ ...attempt, type: 'attempt-progressed', tokens } as unknown as Fact)
  observe({ ...attempt, trace: `${TRACE.slice(0, 53)}00`, type: 'attempt-ended', code: null })
  observe({ ...attempt, trace: null, type: 'attempt-ended', code: null })
  expect([count(), w.length]).toEqual([0, 0])
})

it('a fact that can’t be written leaves nothing behind', () => {
  const { w, observe, count } = open()
  observe({ ...attempt, type: 'attempt-ended', code: null })
  const { length } = w
  const broken = { ...attempt, type: 'attempt-ended', code: null, tenant: null } as unknown as Fact
  expect(() => observe(broken)).toThrow()
  expect([count(), w.length]).toEqual([1, length])
})

it('what a provider counts in an odd way is a number, whatever it is', () => {
  const { observe, count } = open()
  for (const tokens of [1.5, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60])
    observe({
      ...attempt,
      type: 'attempt-ended',
      code: null,
      usage: { promptTokens: tokens, completionTokens: tokens, estimated: false },
    })
  expect(count()).toBe(5)
})

it('the wait for its own turn is a span of its own, before that of the queue', () => {
  const leased = (turn: object): readonly string[] => {
    const { w, observe, count } = open()
    observe({ ...attempt, type: 'job-leased', queuedMs: 900, ...turn })
    const text = Buffer.from(w.bytes()).toString('latin1')
    return [String(count()), ...['turn', 'queue'].filter((name) => text.includes(name))]
  }
  expect(leased({})).toEqual(['1', 'queue'])
  expect(leased({ turnMs: 700 })).toEqual(['2', 'turn', 'queue'])
})

it('jobs that are given up don’t fill memory', () => {
  const { w, observe, count } = open()
  for (let i = 0; i < 120_000; i++)
    observe({ ...attempt, job: `job_${i}`, type: 'job-returned', delayMs: 1 } as unknown as Fact)
  expect([count(), w.length]).toEqual([0, 0])
  // The last ones are known still
  observe({ ...attempt, job: 'job_119999', type: 'job-leased', attempt: 2, queuedMs: 5 } as unknown as Fact)
  expect(count()).toBe(1)
})
