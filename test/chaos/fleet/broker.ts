/** The broker in front of a fleet: RabbitMQ or Kafka, as a process, with a link of its own for each gateway. */
import { KafkaServer, NO_KAFKA } from '../../kafka/server.ts'
import { NO_RABBITMQ, RabbitServer } from '../../rabbitmq/server.ts'
import { FaultProxy } from '../../redis/proxy.ts'
import { pause } from '../server.ts'

export const INTAKES = ['rabbitmq', 'kafka'] as const
export type IntakeName = (typeof INTAKES)[number]

/** Why there is none here; null: there is one. */
export const missing = (name: IntakeName): string | null =>
  name === 'rabbitmq'
    ? NO_RABBITMQ
      ? 'no RabbitMQ here (SLUICE_TEST_RABBITMQ)'
      : null
    : NO_KAFKA
      ? 'no Kafka here (SLUICE_TEST_KAFKA)'
      : null

/** A node's way to the broker, and its settings. */
export interface BrokerWay {
  readonly link: FaultProxy
  /** Lines of its settings. */
  readonly config: string
  readonly env: Readonly<Record<string, string>>
}

/** The pool whose jobs come through it. */
export const POOL = 'text'
/** What RabbitMQ 3.10 declared just before a kill may never have a leader again. */
const DECLARED_MS = 5_000

export class FleetBroker {
  readonly name: IntakeName
  /** One for each gateway. */
  readonly ways: readonly BrokerWay[]
  readonly #server: RabbitServer | KafkaServer
  readonly #links: readonly FaultProxy[]

  private constructor(
    name: IntakeName,
    server: RabbitServer | KafkaServer,
    links: readonly FaultProxy[],
    way: (link: FaultProxy) => Omit<BrokerWay, 'link'>,
  ) {
    this.name = name
    this.#server = server
    this.#links = links
    this.ways = links.map((link) => ({ link, ...way(link) }))
  }

  static async start(name: IntakeName, gateways: number): Promise<FleetBroker> {
    const pools = `pools: [{ name: ${POOL}, intake: ${name} }]\n`
    if (name === 'kafka') {
      const server = await KafkaServer.start({ links: gateways })
      return new FleetBroker(name, server, server.links, ({ port }) => ({
        config:
          `${pools}intakes: { kafka: { brokers: ["127.0.0.1:${port}"], partitions: 6, replicas: 1, ` +
          'session_timeout_ms: 2s, confirm_timeout_ms: 3s } }\n',
        env: {},
      }))
    }
    const server = await RabbitServer.start()
    const links: FaultProxy[] = []
    while (links.length < gateways) links.push(await FaultProxy.start(server.port))
    return new FleetBroker(name, server, links, ({ port }) => ({
      config: `${pools}intakes: { rabbitmq: { heartbeat_ms: 2s, confirm_timeout_ms: 3s } }\n`,
      env: { SLUICE_RABBITMQ_URL: `amqp://guest:guest@127.0.0.1:${port}` },
    }))
  }

  /** Once all gateways have begun: what they declared is there to stay. */
  settled(): Promise<void> {
    return pause(DECLARED_MS)
  }

  /** kill -9, and started again on what it has stored. */
  async kill(awayMs: number): Promise<void> {
    await this.#server.kill()
    await pause(awayMs)
    await this.#server.restart()
  }

  async remove(): Promise<void> {
    for (const link of this.#links) await link.close()
    await this.#server.remove()
  }
}
