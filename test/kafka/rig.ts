/** The rig of the intakes' suite on a real Kafka broker: one for all cases, with topics of its own for each. */
import { systemClock as clock } from '../../src/core/clock.ts'
import type { Intake } from '../../src/core/ports/intake.ts'
import { openKafka } from '../../src/intakes/kafka/kafka.ts'
import { deadTopicOf, HEADERS } from '../../src/intakes/kafka/names.ts'
import type { DeadLetter, IntakeOptions, Rig } from '../conformance/intake.ts'
import type { FaultProxy } from '../redis/proxy.ts'
import { addressOf, readAll } from './reading.ts'
import type { KafkaServer } from './server.ts'

let prefixes = 0

/** Processes of one rig: each has a way of its own to the broker. */
export const LINKS = 2

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
    const letters = await readAll(this.#server.port, deadTopicOf(this.#prefix, pool))
    return letters.map(({ value, headers }) => ({
      payload: Buffer.from(value).toString(),
      code: headers.get(HEADERS.code) ?? '',
      reason: headers.get(HEADERS.reason) ?? '',
    }))
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links.keys()].map((intake) => intake.close()))
  }
}
