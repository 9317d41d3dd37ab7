/** What came to a pool through Kafka in some time, for `sluice replay`. */
import type { Config } from '../config/schema.ts'
import { systemClock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Replayed } from '../core/replayed.ts'
import type { Range } from '../intakes/kafka/range.ts'
import { kafkaAddress } from './kafka.ts'

/** Null: a message that is no job. Rejects with config_invalid, and with intake_unavailable. */
export async function* readReplay(
  { kafka: settings, publishers }: Config['intakes'],
  pool: string,
  range: Range,
): AsyncGenerator<Replayed | null> {
  if (settings.brokers.length === 0)
    throw new SluiceError('config_invalid', {
      message: 'A replay reads from Kafka: give its brokers in intakes.kafka.brokers, or with --kafka-brokers.',
    })
  const [{ loadKafka, whyAway }, { readRange }, { topicOf, idOf }, { replayedOf }] = await Promise.all([
    import('../intakes/kafka/connection.ts'),
    import('../intakes/kafka/range.ts'),
    import('../intakes/kafka/names.ts'),
    import('../intakes/kafka/replayed.ts'),
  ])
  const topic = topicOf(settings.prefix, pool)
  const address = kafkaAddress(settings)
  const kafka = await loadKafka()
  try {
    for await (const read of readRange(kafka, address, topic, range, systemClock))
      yield replayedOf(read.value, idOf(read), publishers.tenants[0] ?? null)
  } catch (error) {
    if (error instanceof SluiceError) throw error
    throw new SluiceError('intake_unavailable', {
      message: `The topic ${topic} can't be read: ${whyAway(error, address)}`,
      cause: error,
    })
  }
}
