import { expect, it } from 'vitest'
import type { Chart, JobRow } from '../../src/core/live.ts'
import { changesOf, chartOf, jobsOf } from '../dev/frames.ts'
import { ask, EMPTY, mergeChart, mergeJobs, tell } from './feed.ts'

/** As a server tells the end of a chart: all columns from a bucket on. */
const tailOf = (chart: Chart, from: number): Chart =>
  JSON.parse(
    JSON.stringify({ ...chart, from }, (name, value) =>
      Array.isArray(value) && name !== 'heatRows' && value.length === chart.buckets ? value.slice(from) : value,
    ),
  )

const NOW = 1_800_000_000_000

it('the end of a chart replaces the end of what we have, which moves as the range goes on', () => {
  const before = chartOf('late', '15m', NOW)
  const after = chartOf('late', '15m', NOW + 3 * before.stepMs)
  expect(after.startAtMs - before.startAtMs).toBe(3 * before.stepMs)
  const merged = mergeChart(before, tailOf(after, after.buckets - 4))
  expect(merged.from).toBe(0)
  for (const name of ['firstTokens', 'ttftP95', 'heat', 'stalls', 'tokensOut', 'judged', 'running'] as const) {
    expect(merged[name].length, name).toBe(after.buckets)
    expect(merged[name].slice(-4), name).toEqual(after[name].slice(-4))
  }
  // All before is the old chart, three buckets on
  expect(merged.tokensOut.slice(0, -4)).toEqual(before.tokensOut.slice(3, -1))
  expect(merged.ttft.queue.length).toBe(after.buckets)
  expect(merged.outcomes.done.slice(0, 5)).toEqual(before.outcomes.done.slice(3, 8))
})

it('what was missed is a gap, and the end of another range is not joined', () => {
  const before = chartOf('late', '15m', NOW)
  const after = chartOf('late', '15m', NOW + 10 * before.stepMs)
  const merged = mergeChart(before, tailOf(after, after.buckets - 2))
  expect(merged.ttftP95.slice(-10, -2)).toEqual(Array.from({ length: 8 }, () => null))
  expect(merged.tokensOut.slice(-10, -2)).toEqual(Array.from({ length: 8 }, () => 0))
  const other = tailOf(chartOf('late', '1h', NOW), 200)
  expect(mergeChart(before, other)).toBe(other)
  expect(mergeChart(null, other)).toBe(other)
})

it('a job that has changed stays where it is; new ones come on top', () => {
  const rows = jobsOf('late', NOW, 0, 3)
  const changed: JobRow = { ...rows[1], state: 'done' }
  const added: JobRow = { ...rows[0], job: 'job_new' }
  expect(mergeJobs(rows, [added, changed]).map(({ job }) => job)).toEqual(['job_new', ...rows.map(({ job }) => job)])
  expect(mergeJobs(rows, [changed])[1]).toBe(changed)
})

it('another watch keeps what is shown until there is new, which then replaces it', () => {
  const jobs = jobsOf('late', NOW, 0, 3)
  let feed = tell(ask(EMPTY, { t: 'watch', page: 'jobs', filter: {} }), { t: 'jobs', jobs })
  expect(feed.events).toBe(0)
  feed = tell(feed, { t: 'jobs', jobs: [{ ...jobs[0], job: 'job_new' }] })
  expect(feed.jobs.length).toBe(4)
  expect(feed.events).toBe(1)
  feed = ask(feed, { t: 'watch', page: 'jobs', filter: { state: 'done' } })
  expect(feed.jobs.length).toBe(4)
  feed = tell(feed, { t: 'jobs', jobs: jobs.slice(0, 1) })
  expect(feed.jobs).toEqual(jobs.slice(0, 1))
  const changes = changesOf('late', NOW)
  feed = tell(feed, { t: 'changes', changes })
  expect(tell(feed, { t: 'changes', changes: changes.slice(0, 1) }).changes.length).toBe(changes.length + 1)
})
