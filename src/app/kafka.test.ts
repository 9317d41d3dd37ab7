import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { expect, it } from 'vitest'
import type { Config } from '../config/schema.ts'
import { systemClock } from '../core/clock.ts'
import { systemIds } from '../core/ids.ts'
import { kafkaEvents } from './kafka.ts'

it('the topic of events is no longer asked for after the stop, and why it is not there is told once', async () => {
  let dials = 0
  const broker = createServer((socket) => {
    dials++
    socket.destroy()
  })
  await new Promise<void>((done) => broker.listen(0, '127.0.0.1', done))
  const { port } = broker.address() as AddressInfo
  const retries: Array<() => void> = []
  let canceled = 0
  const clock = {
    ...systemClock,
    after(ms: number, then: () => void) {
      if (ms !== 5_000) return systemClock.after(ms, then)
      retries.push(then)
      return () => void canceled++
    },
  }
  const told: unknown[] = []
  const log = { info: () => {}, warn: (facts: object) => void told.push(facts) }
  const kafka = {
    ...{ brokers: [`127.0.0.1:${port}`], prefix: 'sluice', partitions: 1, replicas: null, createTopics: true },
    ...{ events: true, tls: false, caFile: null, certFile: null, keyFile: null, saslMechanism: 'plain' },
    ...{ username: null, password: null },
  }
  const config = { intakes: { kafka } } as unknown as Config
  const events = await kafkaEvents(config, { clock, ids: systemIds(), log: log as never })
  await expect.poll(() => retries.length).toBe(1)
  retries[0]()
  await expect.poll(() => retries.length).toBe(2)
  expect(told).toHaveLength(1)
  await events!.stop(100)
  expect(canceled).toBe(1)
  const before = dials
  expect(before).toBeGreaterThan(1)
  await new Promise((done) => setTimeout(done, 300))
  expect([dials, retries.length]).toEqual([before, 2])
  broker.close()
})
