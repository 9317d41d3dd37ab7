/** An idempotent producer that waits for all replicas; thrown away and made anew after a failure. */
import type { Producer } from '@platformatic/kafka'
import type { Clock } from '../../core/clock.ts'
import { clientOptions, inTime, type Kafka, type KafkaAddress, REQUEST_MS } from './connection.ts'

export interface Message {
  readonly topic: string
  /** Messages with the same key keep their order. Null: anywhere. */
  readonly key: string | null
  readonly value: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

export interface SenderOptions {
  readonly kafka: Kafka
  readonly address: KafkaAddress
  readonly clock: Clock
  /** A connection was lost: perhaps the brokers are away. */
  readonly onCut: () => void
}

/** A try that takes longer is the client's fault. */
const MAX_TRY_MS = 3 * REQUEST_MS
const CLOSE_MS = 1_000

export class Sender {
  readonly #options: SenderOptions
  #producer: Producer<Buffer, Buffer, Buffer, Buffer> | null = null
  #turn = 0

  constructor(options: SenderOptions) {
    this.#options = options
  }

  /**
   * The error; null: all are stored. Of no messages: whether the brokers are there. One at a time: another batch under
   * way would lose its order with this one when this one fails.
   */
  async send(messages: readonly Message[]): Promise<unknown> {
    try {
      const producer = this.#producer ?? this.#connected()
      this.#producer = producer
      const answer =
        messages.length === 0
          ? producer.initIdempotentProducer({})
          : producer.send({ messages: messages.map(recordOf) })
      await inTime<unknown>(this.#options.clock, MAX_TRY_MS, answer)
      return null
    } catch (error) {
      return error
    }
  }

  #connected(): Producer<Buffer, Buffer, Buffer, Buffer> {
    const { kafka, address, onCut } = this.#options
    const producer = new kafka.Producer<Buffer, Buffer, Buffer, Buffer>({
      ...clientOptions(address),
      idempotent: true,
      acks: kafka.ProduceAcks.ALL,
      // As the Java client and most others place a key; without one each is placed in turn
      partitioner: (message, key) => (key === undefined ? this.#turn++ : kafka.compatibilityPartitioner(message, key)),
    })
    // Each send tells its own
    producer.on('error', () => {})
    producer.on('client:broker:disconnect', () => {
      if (this.#producer === producer) onCut()
    })
    return producer
  }

  /** What it knows of the cluster, and its place in each partition's sequence, is learnt anew. */
  forget(): void {
    const producer = this.#producer
    this.#producer = null
    producer?.close().catch(() => {})
  }

  async close(): Promise<void> {
    const producer = this.#producer
    this.#producer = null
    if (producer !== null) await inTime(this.#options.clock, CLOSE_MS, producer.close()).catch(() => {})
  }
}

function recordOf({ topic, key, value, headers }: Message) {
  return {
    topic,
    value: Buffer.from(value.buffer, value.byteOffset, value.length),
    ...(key !== null && { key: Buffer.from(key) }),
    headers: new Map(Object.entries(headers).map(([name, text]) => [Buffer.from(name), Buffer.from(text)])),
  }
}
