import { describe, expect, it } from 'vitest'
import type { JobRow } from '../../../../src/core/live.ts'
import { actOn, told } from './act.ts'
import { finds, held, jobIn, joined, matches, ordinal } from './rows.ts'

const row = (job: string, more: Partial<JobRow> = {}): JobRow => ({
  job,
  state: 'done',
  tenant: 'acme',
  model: 'chat',
  acceptedAtMs: 0,
  ttft: null,
  ttftMs: 100,
  totalMs: 1_000,
  attempts: 1,
  tokens: 1,
  nanoUsd: null,
  isEstimated: false,
  error: null,
  words: null,
  waitsFor: null,
  isCut: false,
  ...more,
})

describe('the list of jobs', () => {
  it('is asked for a job by its id, or by what its client knows it by', () => {
    const id = '01kb3x2m9pabcdefghjk0061hx'
    for (const text of [`job_${id}`, `resp_${id}`, `msg_${id}`, `msg_${id}_0`, `fc_${id}_12`])
      expect(jobIn(text)).toBe(`job_${id}`)
    for (const text of ['', 'job_1', `chatcmpl_${id}`, `resp_${id.toUpperCase()}`, `job_${id}x`, `rs_${id}_`])
      expect(jobIn(text)).toBe(null)
  })

  it('is searched by what people have in hand', () => {
    const one = row('job_1', { ids: ['req_7f', '4bf92f3577b34da6', 'key_ab12'] })
    for (const text of ['JOB_1', 'acme', 'chat', 'req_7f', '4bf92f3577b34da6', 'key_ab'])
      expect(finds(one, text)).toBe(true)
    expect(finds(one, 'req_8')).toBe(false)
    expect(finds(row('job_2'), 'req_7f')).toBe(false)
  })

  it('keeps new rows out of sight while somebody reads', () => {
    const rows = [row('d'), row('c'), row('b'), row('a')]
    expect(held(rows, new Set(['b', 'a']))).toEqual({ rows: rows.slice(2), fresh: 2 })
    expect(held(rows, null).fresh).toBe(0)
  })

  it('takes all that wait for one', () => {
    for (const state of ['queued', 'waiting', 'delayed'] as const)
      expect(matches(row('a', { state }), { state: 'waiting' }, null)).toBe(true)
    expect(matches(row('a'), { state: 'waiting' }, null)).toBe(false)
    expect(matches(row('a', { ttftMs: 99 }), { kind: 'late' }, 100)).toBe(false)
  })

  it('joins what is live with what is older, each once', () => {
    const live = row('a', { tokens: 7 })
    expect(joined([live], [row('a'), row('b')])).toEqual([live, row('b')])
    expect([1, 2, 3, 11, 12, 22, 113].map(ordinal)).toEqual(['1st', '2nd', '3rd', '11th', '12th', '22nd', '113th'])
  })

  it('acts on several, and tells what was refused and why', async () => {
    const seen: string[] = []
    const outcome = await actOn('cancel', ['a', 'b', 'c'], async (job) => {
      seen.push(job)
      if (job === 'b') throw new Error('It has ended.')
    })
    expect(seen).toEqual(['a', 'b', 'c'])
    expect(told('cancel', outcome)).toBe('2 jobs are canceled. 1 refused: It has ended.')
  })
})
