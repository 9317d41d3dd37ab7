import { expect, it } from 'vitest'
import { changesOf, chartOf } from '../../dev/frames.ts'
import { burnOf, shareGood, ttftWords } from '../pages/now/series.ts'
import { cellsOf, rowOf } from './heat.ts'
import { niceMost, timeLabel, timeSplits } from './ticks.ts'
import { axisOf, bucketAt, groupsOf, marksOf, meanOf, spread, sumOf } from './time.ts'

const NOW = 1_800_000_000_000

it('groups cover all buckets once, and their edges stand still while the range scrolls', () => {
  for (const by of [0, 1, 2, 7]) {
    const axis = { startMs: NOW + by * 5_000, stepMs: 5_000, buckets: 180 }
    const { stepMs, groups } = groupsOf(axis, 45)
    expect(stepMs).toBe(20_000)
    expect(groups[0].from).toBe(0)
    expect(groups.at(-1)?.to).toBe(180)
    for (const [at, { startMs, from }] of groups.entries()) {
      expect(startMs % stepMs).toBe(0)
      if (at > 0) expect(from).toBe(groups[at - 1].to)
    }
  }
})

it('a mean counts each bucket by what it is a mean of; without any value it is a gap, not zero', () => {
  const group = { startMs: 0, from: 0, to: 3 }
  expect(meanOf([100, null, 400], [3, 5, 1], group)).toBe(175)
  expect(meanOf([null, null, null], [1, 1, 1], group)).toBe(null)
  expect(sumOf([1, 2, 3, 4], group)).toBe(6)
})

it('labels move apart, in order, within their bounds', () => {
  const placed = spread([50, 52, 51, 200], 17, 20, 180)
  const sorted = [...placed].sort((one, other) => one - other)
  for (const [at, y] of sorted.slice(1).entries()) expect(y - sorted[at]).toBeGreaterThanOrEqual(17)
  expect(placed[0]).toBeLessThan(placed[2])
  expect(placed[2]).toBeLessThan(placed[1])
  expect(Math.max(...placed)).toBeLessThanOrEqual(180)
})

it('marks are those of the axis, and looks at text draw nothing', () => {
  const marks = marksOf(changesOf('late', NOW), axisOf(chartOf('late', '15m', NOW)))
  expect(marks.map(({ words }) => words)).toEqual(['config 41', 'vllm-b out', '3 streams went on a… back'])
  expect(bucketAt({ startMs: 0, stepMs: 10, buckets: 5 }, 999)).toBe(4)
})

it('heat rows are log: a value stands where it belongs between two bounds', () => {
  const bounds = [5, 10, 20, 40]
  expect(rowOf(bounds, 10)).toBe(2)
  expect(rowOf(bounds, Math.sqrt(10 * 20))).toBeCloseTo(2.5)
  expect(rowOf(bounds, 900)).toBe(4)
  const [cells] = cellsOf(
    [
      [1, 2, 3, 1],
      [1, 4],
    ],
    [{ startMs: 0, from: 0, to: 2 }],
  )
  expect([...cells]).toEqual([
    [1, 6],
    [3, 1],
  ])
})

it('axes end at nice numbers, and have round times', () => {
  expect([0.7, 4.1, 99, 101, 1_550].map(niceMost)).toEqual([0.8, 5, 150, 150, 2_000])
  const splits = timeSplits(NOW, NOW + 900_000, 400)
  expect(splits.length).toBeGreaterThan(2)
  for (const at of splits) expect(at % 60_000).toBe(0)
})

it('tells in words which part grew, only where one did', () => {
  expect(ttftWords(chartOf('late', '15m', NOW))).toBe('The queue grew, the model did not slow')
  expect(ttftWords(chartOf('well', '15m', NOW))).toBe(null)
  expect(ttftWords(chartOf('new', '15m', NOW))).toBe(null)
})

it('burn is what went wrong against what the goal allows', () => {
  expect(burnOf({ good: [98, 0], judged: [100, 0] }, 0.99)).toBeCloseTo(2)
  expect(burnOf({ good: [], judged: [] }, 0.99)).toBe(null)
  expect(shareGood({ good: [1, 0], judged: [2, 0] })).toEqual([50, null])
})

it('a young Sluice has a short axis: its times have seconds', () => {
  const splits = timeSplits(NOW, NOW + 90_000, 400)
  expect(splits.length).toBeGreaterThan(1)
  expect(splits.length).toBeLessThan(6)
  expect(timeLabel(NOW, 90_000)).toMatch(/^\d\d:\d\d:\d\d$/)
  expect(timeLabel(NOW, 900_000)).toMatch(/^\d\d:\d\d$/)
})
