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
    const { refusals, failures } = countsOf([watchers.tallies], {
      ...{ nowMs, minutes, knownFromMs: startMs },
      nameOf: (model) => model,
    })
    expect(refusals).toEqual([{ code: 'queue_full', name: 't', count: period.refused }])
    expect(failures).toEqual([{ code: 'queue_full', name: 'd', count: period.failed }])
    expect(period.refused).toBeGreaterThan(50)
  }
})

it('compares what a tenant submits with what it did before, as far as that is known', () => {
  const startMs = 1_800_000_000_000
  const watchers = new Watchers()
  const submit = (atMs: number, model: string): void =>
    watchers.observe({ type: 'job-submitted', tenant: 't', model, atMs } as unknown as Fact)
  // Four jobs a minute, evenly, from the start on
  for (let s = 0; s < 3_600; s += 15) submit(startMs + s * 1_000, 'm-1')
  const at = (minutes: number) => {
    const counts = countsOf([watchers.tallies], {
      ...{ nowMs: startMs + minutes * 60_000, minutes: 5, knownFromMs: startMs },
      nameOf: (model) => model.replace(/-.*/, '-*'),
    })
    return [counts.beforeMinutes, counts.submits[0]]
  }
  const told = { tenant: 't', model: 'm-*', now: 4 }
  expect(at(3)).toEqual([0, { ...told, before: null }])
  expect(at(15)).toEqual([9, { ...told, before: null }])
  expect(at(30)).toEqual([24, { ...told, before: 4 }])
  expect(at(59)).toEqual([53, { ...told, before: 4 }])
})

it.each([
  [false, 'first-token-delivered', 'first-token-received'],
  [true, 'first-token-received', 'first-token-delivered'],
])('knows of which models the first tokens waited (one of many: %s)', (isOneOfMany, counted, not) => {
  const nowMs = 1_800_000_000_000
  const watchers = new Watchers({ isOneOfMany })
  const tell = (type: string, model: string, queue: number, retries: number): void =>
    watchers.observe({ type, model, atMs: nowMs, parts: { queue, retries } } as unknown as Fact)
  tell(counted, 'a-1', 400, 0)
  tell(counted, 'a-2', 500.4, 70)
  tell(counted, 'b', 100, 0.4)
  tell(not, 'b', 9_000, 9_000)
  const { delays } = countsOf([watchers.tallies], {
    ...{ nowMs, minutes: 1, knownFromMs: nowMs },
    nameOf: (model) => model.replace(/-.*/, '-*'),
  })
  expect(delays).toEqual({
    queue: [
      { model: 'a-*', ms: 900 },
      { model: 'b', ms: 100 },
    ],
    retries: [{ model: 'a-*', ms: 70 }],
  })
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
