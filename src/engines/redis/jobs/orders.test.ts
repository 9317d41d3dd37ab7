/** Ids while Redis is away. */
import { expect, it } from 'vitest'
import { manualClock } from '../../../../test/manual-clock.ts'
import { systemIds } from '../../../core/ids.ts'
import type { Ground } from '../bus/ground.ts'
import { Orders } from './orders.ts'

function setUp() {
  const clock = manualClock()
  const redis = { isAway: false, last: 0 }
  const orders = new Orders({
    clock,
    ids: systemIds(),
    names: { orders: () => 'orders' },
    commands: {
      client: {
        async incrby(_: string, by: number) {
          if (redis.isAway) throw new Error('Command timed out')
          redis.last += by
          return redis.last
        },
      },
    },
  } as unknown as Ground)
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 100) {
      clock.advance(100)
      await new Promise((go) => setImmediate(go))
    }
  }
  return { orders, redis, pass }
}

it('each call waits for its own time, however many wait before it; then all get theirs again', async () => {
  const { orders, redis, pass } = setUp()
  expect((await orders.take(1)).length).toBe(1)
  redis.isAway = true
  const ended: string[] = []
  for (let i = 0; i < 100; i++)
    orders.take(64).then(
      () => ended.push('taken'),
      ({ code }) => ended.push(code),
    )
  await pass(9_900)
  expect(ended).toEqual([])
  await pass(400)
  expect(ended).toEqual(Array(100).fill('storage_unavailable'))
  const later = [orders.take(64), orders.take(64)]
  await pass(5_000)
  redis.isAway = false
  await pass(200)
  const ids = (await Promise.all(later)).flat()
  expect(new Set(ids).size).toBe(128)
})
