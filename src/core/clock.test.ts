import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { systemClock as clock, sleep } from './clock.ts'

// Node's own timers, on a clock that the test moves: 30 days can't be waited for
beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterEach(() => vi.useRealTimers())

const DAY_MS = 86_400_000

it('waits longer than the longest timer that the runtime has (24.8 days)', () => {
  let fired = 0
  clock.after(30 * DAY_MS, () => fired++)
  vi.advanceTimersByTime(30 * DAY_MS - 1)
  expect(fired).toBe(0)
  vi.advanceTimersByTime(1)
  expect(fired).toBe(1)
  vi.advanceTimersByTime(100 * DAY_MS)
  expect(fired).toBe(1)
})

it('repeats at intervals longer than that', () => {
  let fired = 0
  const cancel = clock.every(30 * DAY_MS, () => fired++)
  vi.advanceTimersByTime(90 * DAY_MS - 1)
  expect(fired).toBe(2)
  vi.advanceTimersByTime(1)
  expect(fired).toBe(3)
  cancel()
  vi.advanceTimersByTime(90 * DAY_MS)
  expect(fired).toBe(3)
})

it('cancels a long wait at any time', () => {
  let fired = 0
  const cancels = [clock.after(100 * DAY_MS, () => fired++), clock.every(100 * DAY_MS, () => fired++)]
  vi.advanceTimersByTime(60 * DAY_MS)
  for (const cancel of cancels) cancel()
  vi.advanceTimersByTime(200 * DAY_MS)
  expect([fired, vi.getTimerCount()]).toEqual([0, 0])
})

it('never fires after Infinity, and sets no timer for it', () => {
  let fired = 0
  clock.after(Infinity, () => fired++)()
  clock.every(Infinity, () => fired++)()
  clock.after(Infinity, () => fired++)
  expect(vi.getTimerCount()).toBe(0)
  vi.advanceTimersByTime(100 * DAY_MS)
  expect(fired).toBe(0)
})

it('takes what is no duration (negative, NaN) for 0', () => {
  let fired = 0
  for (const ms of [-1, -Infinity, Number.NaN, 0]) clock.after(ms, () => fired++)
  vi.advanceTimersByTime(1)
  expect(fired).toBe(4)
})

it('sleeps as long as it is told, and leaves no listener behind', async () => {
  const { signal } = new AbortController()
  const slept = sleep(clock, 10, signal)
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  vi.advanceTimersByTime(10)
  await slept
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

it('is woken with the reason of what stops it, also of what has done so before', async () => {
  const stopping = new AbortController()
  const slept = sleep(clock, DAY_MS, stopping.signal)
  const reason = new Error('stopped')
  stopping.abort(reason)
  await expect(slept).rejects.toBe(reason)
  await expect(sleep(clock, DAY_MS, stopping.signal)).rejects.toBe(reason)
  expect(vi.getTimerCount()).toBe(0)
})
