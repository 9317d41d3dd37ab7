/** What the intake on Kafka is made of, on a real broker: what is published is read, in order, whatever happens. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock as clock } from '../../src/core/clock.ts'
import { clientOptions, type Kafka, type KafkaAddress, loadKafka } from '../../src/intakes/kafka/connection.ts'
import { type PublishError, Publisher, type PublisherOptions } from '../../src/intakes/kafka/publisher.ts'
import { type Read, Reader, type ReaderOptions } from '../../src/intakes/kafka/reader.ts'
import type { Message } from '../../src/intakes/kafka/sender.ts'
import { ensureTopics } from '../../src/intakes/kafka/topics.ts'
import { eventually } from '../conformance/harness.ts'
import { KafkaServer, NO_KAFKA } from './server.ts'

describe.skipIf(NO_KAFKA)('Kafka', () => {
  let server: KafkaServer
  let kafka: Kafka
  let address: KafkaAddress
  const closed: Array<{ close(withinMs: number): Promise<void> }> = []
  beforeAll(async () => {
    kafka = await loadKafka()
    server = await KafkaServer.start()
    address = { brokers: [server.broker], tls: null, sasl: null }
  }, 120_000)
  afterAll(async () => {
    await Promise.all(closed.map((each) => each.close(0)))
    await server?.remove()
  })

  let topics = 0
  async function topic(partitions = 4): Promise<string> {
    const name = `topic-${++topics}`
    await ensureTopics(kafka, address, [{ name, partitions }], { creates: true, replicas: 1 }, clock)
    return name
  }

  function publisher(options: Partial<PublisherOptions> = {}): Publisher {
    const made = new Publisher({
      kafka,
      address,
      clock,
      jitter: () => 0.5,
      confirmMs: 60_000,
      maxWaitingBytes: 2 ** 24,
      maxMessageBytes: 900_000,
      onTurn: () => {},
      ...options,
    })
    closed.push(made)
    return made
  }

  function reader(topic: string, take: ReaderOptions['take'], options: Partial<ReaderOptions> = {}): Reader {
    const made = new Reader({
      kafka,
      address,
      clock,
      jitter: () => 0.5,
      topic,
      group: topic,
      window: 50,
      fetchBytes: 2 ** 20,
      sessionMs: 6_000,
      take,
      onTurn: () => {},
      ...options,
    })
    closed.push(made)
    made.start()
    return made
  }

  const message = (topic: string, value: string, key: string | null = null): Message => ({
    topic,
    key,
    value: Buffer.from(value),
    headers: { kind: 'test' },
  })
  const textOf = ({ value }: Read): string => Buffer.from(value).toString()

  it('is read as it was published, with its key, in the order of each key', async () => {
    const name = await topic()
    const publish = publisher()
    const got: Read[] = []
    reader(name, async (message) => void got.push(message))
    await Promise.all(Array.from({ length: 400 }, (_, i) => publish.publish(message(name, `${i}`, `key ${i % 7}`))))
    await eventually(() => expect(got.length).toBe(400))
    for (let key = 0; key < 7; key++) {
      const values = got.filter((each) => each.key === `key ${key}`).map(textOf)
      expect(values).toEqual(Array.from({ length: 400 }, (_, i) => `${i}`).filter((i) => Number(i) % 7 === key))
    }
    expect(new Set(got.map(({ partition }) => partition)).size).toBeGreaterThan(1)
    expect(got[0].headers).toEqual(new Map([['kind', 'test']]))
    expect(Math.abs(got[0].publishedAtMs - Date.now())).toBeLessThan(60_000)
  })

  it('without keys spreads over the partitions', async () => {
    const name = await topic()
    const publish = publisher()
    const got: Read[] = []
    reader(name, async (message) => void got.push(message))
    for (let i = 0; i < 8; i++) await publish.publish(message(name, `${i}`))
    await eventually(() => expect(got.length).toBe(8))
    expect(got.map(({ partition }) => partition).sort()).toEqual([0, 0, 1, 1, 2, 2, 3, 3])
    expect(got[0].key).toBeNull()
  })

  it('partitions that are added are read', async () => {
    const name = await topic()
    const publish = publisher()
    const got: Read[] = []
    reader(name, async (message) => void got.push(message), { partitionsMs: 500 })
    await publish.publish(message(name, 'first'))
    await eventually(() => expect(got.length).toBe(1))
    const kafka = await loadKafka()
    const admin = new kafka.Admin(clientOptions(address))
    const producer = new kafka.Producer(clientOptions(address))
    try {
      await admin.createPartitions({ topics: [{ name, count: 6, assignments: null }] })
      await eventually(async () => {
        await producer.send({
          messages: [{ topic: name, partition: 5, value: Buffer.from('added') }] as never,
          acks: -1,
        })
      })
      await eventually(() => expect(got.some(({ partition }) => partition === 5)).toBe(true))
    } finally {
      await admin.close()
      await producer.close(true)
    }
  })

  it('two members share the partitions; what one leaves the other reads on, in order', async () => {
    const name = await topic()
    const publish = publisher()
    const got: Array<readonly [member: number, text: string, key: string]> = []
    const member = (number: number) =>
      reader(name, async (message) => {
        got.push([number, textOf(message), message.key!])
        await new Promise((next) => setTimeout(next, 10))
      })
    const [first] = [member(0), member(1)]
    let sent = 0
    const send = async (upTo: number): Promise<void> => {
      while (sent < upTo) await publish.publish(message(name, `${sent++}`, `key ${sent % 8}`))
    }
    await eventually(async () => {
      await send(sent + 8)
      expect(new Set(got.map(([number]) => number)).size).toBe(2)
    })
    await first.close()
    await send(sent + 100)
    await eventually(() => expect(new Set(got.map(([, text]) => text)).size).toBe(sent))
    for (let key = 0; key < 8; key++) {
      const seen = got.filter((each) => each[2] === `key ${key}`).map(([, text]) => Number(text))
      const firsts = seen.filter((value, place) => seen.indexOf(value) === place)
      expect(firsts).toEqual(firsts.toSorted((a, b) => a - b))
    }
  })

  it('a broker that is killed and comes back costs nothing that is confirmed, and no order', async () => {
    const name = await topic()
    const turns: unknown[] = []
    const publish = publisher({ onTurn: (error) => turns.push(error === null) })
    const got: Read[] = []
    reader(name, async (message) => void got.push(message))
    const confirmed: string[] = []
    const all: Promise<void>[] = []
    const send = (value: string): void => {
      const sent = publish.publish(message(name, value, `key ${Number(value) % 5}`))
      all.push(sent.then(() => void confirmed.push(value)))
    }
    for (let i = 0; i < 100; i++) send(`${i}`)
    await eventually(() => expect(confirmed.length).toBeGreaterThan(0))
    await server.kill()
    for (let i = 100; i < 200; i++) send(`${i}`)
    // Once it is known to be away nothing more waits for it
    const kinds: string[] = []
    await eventually(() => {
      publish.publish(message(name, 'no')).catch((error: PublishError) => kinds.push(error.kind))
      expect(kinds).toContain('away')
    })
    await server.restart()
    await Promise.all(all)
    const keyed = (): Read[] => got.filter(({ key }) => key !== null)
    await eventually(() => expect(new Set(keyed().map(textOf)).size).toBe(200))
    for (let key = 0; key < 5; key++) {
      const seen = got.filter((each) => each.key === `key ${key}`).map((each) => Number(textOf(each)))
      const firsts = seen.filter((value, place) => seen.indexOf(value) === place)
      expect(firsts).toEqual(firsts.toSorted((a, b) => a - b))
    }
    expect(turns.slice(-2)).toEqual([false, true])
  }, 120_000)

  it('what is not confirmed in time is told as such, and what was not sent is not', async () => {
    const name = await topic(1)
    const publish = publisher({ confirmMs: 800 })
    await publish.publish(message(name, 'before'))
    await server.kill()
    await expect(publish.publish(message(name, 'never'))).rejects.toMatchObject({ kind: 'unconfirmed' })
    await server.restart()
    const sure = publisher()
    await sure.publish(message(name, 'after'))
    const got: Read[] = []
    reader(name, async (message) => void got.push(message))
    await eventually(() => expect(got.map(textOf)).toContain('after'))
    expect(got.map(textOf)).toEqual(['before', 'after'])
  }, 120_000)

  it('what is too large, or too much, is refused at once', async () => {
    const name = await topic(1)
    const publish = publisher({ maxMessageBytes: 2_000, maxWaitingBytes: 3_000 })
    await expect(publish.publish(message(name, 'x'.repeat(2_000)))).rejects.toMatchObject({ kind: 'too_large' })
    const all = ['x', 'y', 'z'].map((text) => publish.publish(message(name, text.repeat(1_200))))
    const kinds = (await Promise.allSettled(all)).map((each) => (each.status === 'rejected' ? each.reason.kind : null))
    expect(kinds).toEqual([null, null, 'full'])
    // There is room again
    await publish.publish(message(name, 'x'))
    await publish.close(1_000)
    await expect(publish.publish(message(name, 'x'))).rejects.toMatchObject({ kind: 'closed' })
  })

  it('one that the broker refuses takes no other with it', async () => {
    const name = await topic(1)
    const admin = new kafka.Admin({ clientId: 'test', bootstrapBrokers: [server.broker] })
    await admin.createTopics({
      topics: [`${name}-small`],
      partitions: 1,
      replicas: 1,
      configs: [{ name: 'max.message.bytes', value: '3000' }],
    })
    await admin.close()
    const publish = publisher({ confirmMs: 10_000 })
    const all = [10, 5_000, 20].map((length) => publish.publish(message(`${name}-small`, 'x'.repeat(length))))
    const kinds = (await Promise.allSettled(all)).map((each) => (each.status === 'rejected' ? each.reason.kind : null))
    expect(kinds).toEqual([null, 'refused', null])
  })

  it('a topic that is missing is made, or asked for', async () => {
    const ensure = (name: string, creates: boolean) =>
      ensureTopics(kafka, address, [{ name, partitions: 3 }], { creates, replicas: null }, clock)
    await expect(ensure('wanted', false)).rejects.toThrow('Kafka has no topic "wanted"')
    await expect(ensure('wanted', true)).resolves.toEqual(new Map([['wanted', 3]]))
    await expect(ensure('wanted', false)).resolves.toEqual(new Map([['wanted', 3]]))
    await expect(ensure('a b', true)).rejects.toThrow('Kafka does not make the topic "a b"')
  })
})
