/** What is told of a Kafka that has come back, and of a pool that nothing can be read of, on a real broker. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock as clock } from '../../src/core/clock.ts'
import type { SluiceError } from '../../src/core/errors.ts'
import type { Intake } from '../../src/core/ports/intake.ts'
import { loadKafka } from '../../src/intakes/kafka/connection.ts'
import { openKafka } from '../../src/intakes/kafka/kafka.ts'
import { ensureTopics } from '../../src/intakes/kafka/topics.ts'
import { eventually } from '../conformance/harness.ts'
import { addressOf } from './reading.ts'
import { KafkaServer, NO_KAFKA } from './server.ts'

describe.skipIf(NO_KAFKA)('Kafka: health', () => {
  let server: KafkaServer
  let intake: Intake | undefined
  beforeAll(async () => {
    server = await KafkaServer.start({ links: 1 })
  }, 120_000)
  afterAll(async () => {
    await intake?.close()
    await server?.remove()
  })

  it('a topic that is missing, and is then made: the pool is named, and all is well again', async () => {
    const [link] = server.links
    link.cut()
    const changes: string[] = []
    const ofPools: string[] = []
    const words = (error: SluiceError | null): string => error?.message ?? 'there'
    intake = await openKafka({
      address: addressOf(link.port),
      prefix: 'health',
      pools: ['text'],
      partitions: 1,
      topics: { creates: false, replicas: 1 },
      window: 10,
      sessionMs: 2_000,
      confirmTimeoutMs: 3_000,
      maxMessageBytes: 900_000,
      clock,
      jitter: Math.random,
      onChange: (error) => changes.push(words(error)),
      onPool: (pool, error) => ofPools.push(`${pool}: ${words(error)}`),
    })
    intake.consume(async () => ({ kind: 'owned' }))
    link.heal()
    await eventually(() => expect(ofPools).toEqual([expect.stringContaining('text: ')]))
    expect(intake.health()).toMatchObject({ ok: false, error: { message: expect.stringContaining('has no topic') } })
    const topics = ['health.text', 'health-dead.text'].map((name) => ({ name, partitions: 1 }))
    await ensureTopics(await loadKafka(), addressOf(server.port), topics, { creates: true, replicas: 1 }, clock)
    await eventually(() => expect(intake!.health()).toEqual({ ok: true }))
    expect(changes.at(-1)).toBe('there')
    await eventually(() => expect(ofPools[1]).toBe('text: there'))
  })
})
