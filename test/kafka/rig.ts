/** The rig of the intakes' suite on a real Kafka broker: one for all cases, with topics of its own for each. */
import { systemClock as clock } from '../../src/core/clock.ts'
import type { Intake } from '../../src/core/ports/intake.ts'
import { clientOptions, type KafkaAddress, loadKafka } from '../../src/intakes/kafka/connection.ts'
import { openKafka } from '../../src/intakes/kafka/kafka.ts'
import { deadTopicOf, HEADERS } from '../../src/intakes/kafka/names.ts'
import { readOf } from '../../src/intakes/kafka/reader.ts'
import type { DeadLetter, IntakeOptions, Rig } from '../conformance/intake.ts'
import type { FaultProxy } from '../redis/proxy.ts'
import type { KafkaServer } from './server.ts'

let prefixes = 0

/** Processes of one rig: each has a way of its own to the broker. */
export const LINKS = 2

const addressOf = (port: number): KafkaAddress => ({ brokers: [`127.0.0.1:${port}`], tls: null, sasl: null })

export class KafkaRig implements Rig {
  readonly #server: KafkaServer
  readonly #prefix = `test-${++prefixes}`
  readonly #links = new Map<Intake, FaultProxy>()

  constructor(server: KafkaServer) {
    this.#server = server
    for (const link of server.links) link.heal()
  }

  async open({ pools, window }: IntakeOptions): Promise<Intake> {
    const link = this.#server.links[this.#links.size]
    const intake = await openKafka({
      address: addressOf(link.port),
      prefix: this.#prefix,
      pools,
      partitions: 1,
      topics: { creates: true, replicas: 1 },
      window,
      sessionMs: 2_000,
      confirmTimeoutMs: 3_000,
      maxMessageBytes: 900_000,
      clock,
      jitter: Math.random,
      onChange: () => {},
    })
    this.#links.set(intake, link)
    return intake
  }

  /** A process that dies is one whose connections are cut, and stay so. */
  async crash(intake: Intake): Promise<void> {
    this.#links.get(intake)!.cut()
  }

  killBroker(): Promise<void> {
    return this.#server.kill()
  }

  startBroker(): Promise<void> {
    return this.#server.restart()
  }

  async cut(): Promise<void> {
    for (const link of this.#links.values()) link.drop()
  }

  async dead(pool: string): Promise<readonly DeadLetter[]> {
    const kafka = await loadKafka()
    const topic = deadTopicOf(this.#prefix, pool)
    const consumer = new kafka.Consumer<Buffer, Buffer, Buffer, Buffer>({
      ...clientOptions(addressOf(this.#server.port)),
      groupId: 'letters',
    })
    try {
      const [end] = (await consumer.listOffsets({ topics: [topic] })).get(topic)!
      if (end === 0n) return []
      const stream = await consumer.consume({
        topics: [topic],
        mode: 'manual',
        offsets: [{ topic, partition: 0, offset: 0n }],
        maxWaitTime: 100,
      })
      const letters: DeadLetter[] = []
      for await (const message of stream) {
        const { value, headers } = readOf(message)
        const [code, reason] = [headers.get(HEADERS.code) ?? '', headers.get(HEADERS.reason) ?? '']
        letters.push({ payload: Buffer.from(value).toString(), code, reason })
        if (message.offset === end - 1n) break
      }
      return letters
    } finally {
      await consumer.close(true)
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links.keys()].map((intake) => intake.close()))
  }
}
