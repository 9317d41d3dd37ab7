import { expect, it } from 'vitest'
import { Deployments } from './deployments.ts'

const told = (values: readonly number[], range = 0): number => {
  const deployments = new Deployments()
  for (const ms of values) deployments.ttft('d', 1_000, ms)
  return deployments.read('d', range, 1_000).ttftP95Ms!
}

it('a p95 is within 2 % of the value that it stands for, wherever in a cell that is', () => {
  for (let ms = 1; ms < 100_000; ms *= 1.013) {
    // Of 100 values the 95th, with larger and smaller ones
    const values = [...Array(90).fill(ms * 0.5), ...Array(7).fill(ms), ...Array(3).fill(ms * 3)]
    // Told to a tenth of a millisecond
    for (const range of [0, 4]) expect(Math.abs(told(values, range) - ms), `${ms} ms`).toBeLessThan(0.0175 * ms + 0.051)
  }
})

it('of few calls it is one of them, and of one it is that one', () => {
  expect(told([204.6, 205, 205.2, 205.3, 205.9, 206, 206.4, 206.8])).toBe(206.8)
  expect(told([217])).toBe(217)
  expect(told([0.1])).toBe(0.1)
  expect(told([5_000_000])).toBe(5_000_000)
})

it('counts on in a bucket whose place is used again', () => {
  const deployments = new Deployments()
  for (const [atMs, ms] of [
    [1_000, 90_000],
    [901_000, 3],
    [1_801_000, 70_000],
  ]) {
    deployments.ttft('d', atMs, ms)
    expect(deployments.read('d', 0, atMs).ttftP95Ms).toBe(ms)
  }
})
