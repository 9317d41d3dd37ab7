import { afterEach, expect, it } from 'vitest'
import { countOf, type Histogram, quantileOf } from '../core/numbers.ts'
import { type LoopMonitor, watchLoop } from './loop.ts'

let loop: LoopMonitor
afterEach(() => loop.stop())

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

it('tells how long the event loop was held, and forgets nothing between two readings', async () => {
  loop = watchLoop()
  const [delay] = loop.metrics as [Histogram]
  await pause(50)
  const until = performance.now() + 100
  while (performance.now() < until);
  await pause(50)
  loop.refresh?.()
  expect(delay.max).toBeGreaterThan(70)
  const { max } = delay
  const count = countOf(delay)
  expect(count).toBeGreaterThan(0)
  expect(quantileOf(delay, 1)).toBe(max)
  // The first interval after a reading does not count
  for (let i = 0; i < 20 && countOf(delay) === count; i++) {
    await pause(100)
    loop.refresh?.()
  }
  expect(countOf(delay)).toBeGreaterThan(count)
  expect(delay.max).toBeGreaterThanOrEqual(max)
})
