/** A broker in front of a fleet's pool, and another program that publishes to it. */
import { connect } from 'amqplib'
import { systemClock as clock } from '../../src/core/clock.ts'
import { loadKafka } from '../../src/intakes/kafka/connection.ts'
import { Sender } from '../../src/intakes/kafka/sender.ts'
import { addressOf } from '../kafka/reading.ts'
import { KafkaServer } from '../kafka/server.ts'
import { RabbitServer } from '../rabbitmq/server.ts'

export const POOL = 'text'

export interface Broker {
  /** Of each process. */
  readonly settings: Readonly<Record<string, unknown>>
  /** A job of PROTOCOL.md section 11. Resolves when it is confirmed. One at a time. */
  publish(job: { readonly lane: string }): Promise<void>
  remove(): Promise<void>
}

/** As an operator sets it up: nothing but its address is set. */
export function startBroker(name: 'rabbitmq' | 'kafka'): Promise<Broker> {
  return name === 'rabbitmq' ? startRabbit() : startKafka()
}

const settingsOf = (name: string, own: object): Broker['settings'] => ({
  pools: [{ name: POOL, intake: name }],
  intakes: { [name]: own, publishers: { tenants: ['default'] } },
})

async function startRabbit(): Promise<Broker> {
  const server = await RabbitServer.start()
  const connection = await connect(server.url)
  connection.on('error', () => {})
  const channel = await connection.createConfirmChannel()
  return {
    settings: settingsOf('rabbitmq', { url: `amqp://127.0.0.1:${server.port}` }),
    async publish(job) {
      channel.publish('sluice', `${POOL}.other`, Buffer.from(JSON.stringify(job)), { persistent: true })
      await channel.waitForConfirms()
    },
    async remove() {
      await connection.close().catch(() => {})
      await server.remove()
    },
  }
}

async function startKafka(): Promise<Broker> {
  const server = await KafkaServer.start()
  const address = addressOf(server.port)
  const sender = new Sender({ kafka: await loadKafka(), address, clock, onCut: () => {} })
  return {
    settings: settingsOf('kafka', { brokers: [server.broker], replicas: 1 }),
    async publish(job) {
      const value = Buffer.from(JSON.stringify(job))
      const error = await sender.send([{ topic: `sluice.${POOL}`, key: job.lane, value, headers: {} }])
      if (error !== null) throw error
    },
    async remove() {
      await sender.close()
      await server.remove()
    },
  }
}
