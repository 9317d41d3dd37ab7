/** How Redis's clock is followed. */
import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { manualClock } from '../../../../test/manual-clock.ts'
import { RedisTime } from './redis-time.ts'

it('a clock that drifts is followed each minute, until it is stopped', async () => {
  const clock = manualClock()
  let aheadMs = 5_000
  const time = new RedisTime(clock, async () => clock.monoMs() + aheadMs)
  await time.start()
  expect(time.nowMs()).toBe(5_000)
  aheadMs = 5_003
  clock.advance(60_000)
  await setImmediate()
  expect(time.nowMs()).toBe(65_003)
  time.stop()
  aheadMs = 9_000
  clock.advance(60_000)
  await setImmediate()
  expect(time.nowMs()).toBe(125_003)
})

it('an answer that was long under way changes nothing that it does not contradict', async () => {
  const clock = manualClock()
  let aheadMs = 0
  let slowMs = 0
  const time = new RedisTime(clock, async () => {
    const redisMs = clock.monoMs() + aheadMs
    clock.advance(slowMs)
    return redisMs
  })
  await time.start()
  slowMs = 2_000
  time.readAgain()
  await setImmediate()
  expect(time.nowMs()).toBe(2_000)
  // Another server
  aheadMs = 60_000
  time.readAgain()
  await setImmediate()
  expect(time.nowMs()).toBe(63_000)
  time.stop()
})
