/** The topics that are used: are they there, and made where they are not. */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { clientOptions, hasError, inTime, type Kafka, type KafkaAddress, REQUEST_MS, reasonOf } from './connection.ts'

export interface Topic {
  readonly name: string
  readonly partitions: number
}

/** `replicas` null: as many as the brokers' default. Missing topics are not made where `creates` is false. */
export interface TopicOptions {
  readonly creates: boolean
  readonly replicas: number | null
}

const ALL_MS = 4 * REQUEST_MS
/** Else the one replica that is left would take what is lost with it. */
const IN_SYNC = 'min.insync.replicas'

/**
 * The number of partitions of each. Throws config_invalid for one that is missing and may not be made, and the
 * client's error where no broker answers.
 */
export async function ensureTopics(
  kafka: Kafka,
  address: KafkaAddress,
  topics: readonly Topic[],
  { creates, replicas }: TopicOptions,
  clock: Clock,
): Promise<ReadonlyMap<string, number>> {
  const admin = new kafka.Admin(clientOptions(address))
  // Each request tells its own
  admin.on('error', () => {})
  try {
    const there = new Set(await inTime(clock, ALL_MS, admin.listTopics()))
    for (const { name, partitions } of topics) {
      if (there.has(name)) continue
      if (!creates)
        throw new SluiceError('config_invalid', {
          message:
            `Kafka has no topic "${name}": make it, with ${partitions} partitions or as many as you need, or set ` +
            'create_topics',
        })
      const configs = replicas === null || replicas < 3 ? [] : [{ name: IN_SYNC, value: String(replicas - 1) }]
      const made = admin.createTopics({ topics: [name], partitions, replicas: replicas ?? -1, configs })
      await inTime(clock, ALL_MS, made).catch((error: unknown) => {
        // By another process, meanwhile
        if (hasError(error, 'apiId', 'TOPIC_ALREADY_EXISTS')) return
        if (!hasError(error, 'canRetry', false)) throw error
        throw new SluiceError('config_invalid', {
          message: `Kafka does not make the topic "${name}" (${reasonOf(error)}): ${
            hasError(error, 'apiId', 'INVALID_REPLICATION_FACTOR')
              ? `it has fewer brokers than intakes.kafka.replicas (${replicas})`
              : 'make it yourself'
          }`,
          cause: error,
        })
      })
    }
    const { topics: known } = await inTime(
      clock,
      ALL_MS,
      admin.metadata({ topics: topics.map(({ name }) => name), forceUpdate: true }),
    )
    return new Map([...known].map(([name, { partitionsCount }]) => [name, partitionsCount]))
  } finally {
    await inTime(clock, REQUEST_MS, admin.close()).catch(() => {})
  }
}
