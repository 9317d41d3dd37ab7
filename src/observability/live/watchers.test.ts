import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { History } from '../history/history.ts'
import { latelyOf } from './now.ts'
import { countsOf, Watchers } from './watchers.ts'

it('counts causes in the same time as what they explain', () => {
  const startMs = 1_800_000_000_000
  const history = new History(startMs)
  const watchers = new Watchers()
  for (let s = 0; s < 420; s++)
    for (const type of ['job-refused', 'job-ended'] as const) {
      const more = { code: 'queue_full', tenant: 't', job: 'j', state: 'failed', deployment: 'd' }
      for (const each of [history, watchers])
        each.observe({ type, atMs: startMs + s * 1_000, ...more } as unknown as Fact)
    }
  for (const nowMs of [startMs + 419_000, startMs + 421_500]) {
    const { period, minutes } = latelyOf(history, nowMs)
    const { refusals, failures } = countsOf([watchers.tallies], nowMs, minutes)
    expect(refusals).toEqual([{ code: 'queue_full', name: 't', count: period.refused }])
    expect(failures).toEqual([{ code: 'queue_full', name: 'd', count: period.failed }])
    expect(period.refused).toBeGreaterThan(50)
  }
})

it('answers stand still until more comes, or their attempt ends', () => {
  const watchers = new Watchers()
  const tell = (atMs: number, type: string, job: string, ms: number): void =>
    watchers.observe({ type, job, deployment: 'd', ms, atMs } as unknown as Fact)
  for (const job of ['job_1', 'job_2', 'job_3']) tell(2_000, 'answer-stalled', job, 1_000)
  tell(14_000, 'answer-stalled', 'job_4', 1_000)
  expect(watchers.silent(9_000)).toEqual([])
  expect(watchers.silent(15_000)).toEqual([{ deployment: 'd', answers: 3, forMs: 14_000 }])
  for (const job of ['job_1', 'job_2', 'job_3', 'job_4']) tell(15_000, 'answer-resumed', job, 14_000)
  expect(watchers.silent(60_000)).toEqual([])
})
