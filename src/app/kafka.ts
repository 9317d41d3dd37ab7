/** Kafka of the settings: where it is, and the topic of events. */
import { readRegularFile } from '../config/regular-file.ts'
import type { Config } from '../config/schema.ts'
import { SluiceError } from '../core/errors.ts'
import type { KafkaAddress } from '../intakes/kafka/connection.ts'
import type { Events } from '../intakes/kafka/events.ts'
import type { Runtime } from './runtime.ts'

type KafkaSettings = Config['intakes']['kafka']

/** Throws config_invalid for a file that can't be read. */
export function kafkaAddress(settings: KafkaSettings): KafkaAddress {
  const { brokers, tls, caFile, certFile, keyFile, saslMechanism, username, password } = settings
  return {
    brokers,
    tls: tls ? { ca: pem('ca_file', caFile), cert: pem('cert_file', certFile), key: pem('key_file', keyFile) } : null,
    sasl:
      username === null || password === null
        ? null
        : { mechanism: saslMechanism, username, password: password.reveal() },
  }
}

function pem(setting: string, path: string | null): string | null {
  if (path === null) return null
  try {
    return readRegularFile(path)
  } catch (cause) {
    const { code = 'error' } = cause as NodeJS.ErrnoException
    throw new SluiceError('config_invalid', {
      message: `intakes.kafka.${setting}: ${path} can't be read (${code}).`,
      cause,
    })
  }
}

const MAX_WAITING_BYTES = 16 * 2 ** 20
const MAX_BATCH_BYTES = 512 * 2 ** 10
const RETRY_MS = 5_000

/**
 * Null: nobody is told. A topic that is missing is made in the background: what comes meanwhile waits. Throws
 * config_invalid.
 */
export async function kafkaEvents(
  { intakes: { kafka: settings } }: Pick<Config, 'intakes'>,
  { clock, ids, log }: Pick<Runtime, 'clock' | 'ids' | 'log'>,
): Promise<Events | null> {
  if (!settings.events || settings.brokers.length === 0) return null
  const [{ loadKafka, reasonOf }, { Events }, { ensureTopics }, { eventsTopicOf }] = await Promise.all([
    import('../intakes/kafka/connection.ts'),
    import('../intakes/kafka/events.ts'),
    import('../intakes/kafka/topics.ts'),
    import('../intakes/kafka/names.ts'),
  ])
  const kafka = await loadKafka()
  const address = kafkaAddress(settings)
  const topic = eventsTopicOf(settings.prefix)
  const wanted = { creates: settings.createTopics, replicas: settings.replicas }
  let isStopped = false
  let cancel = (): void => {}
  let told = ''
  const ensure = (): void => {
    ensureTopics(kafka, address, [{ name: topic, partitions: settings.partitions }], wanted, clock).catch((error) => {
      if (isStopped) return
      const reason = reasonOf(error)
      if (reason !== told) log.warn({ topic, reason }, 'the topic of events is not there: what happens waits for it')
      told = reason
      cancel = clock.after(RETRY_MS, ensure)
    })
  }
  ensure()
  return new Events({
    kafka,
    address,
    clock,
    topic,
    source: ids.name('src', 8),
    jitter: () => ids.jitter(),
    maxWaitingBytes: MAX_WAITING_BYTES,
    maxBatchBytes: MAX_BATCH_BYTES,
    onStop: () => {
      isStopped = true
      cancel()
    },
    onTurn: (error, dropped) =>
      error === null
        ? log.info({ topic, dropped }, 'events reach Kafka again')
        : log.warn({ topic, reason: reasonOf(error) }, "events can't be sent to Kafka: see docs/operations.md"),
  })
}
