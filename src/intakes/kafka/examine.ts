/** What `sluice doctor` asks of a Kafka. Nothing is made, no group is joined. */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { clientOptions, inTime, type Kafka, type KafkaAddress, loadKafka, REQUEST_MS, whyAway } from './connection.ts'

export interface ExaminedTopic {
  readonly name: string
  readonly partitions: number
  /** Copies of each partition. */
  readonly replicas: number
  /** Partitions whose copies are not all up to date. */
  readonly behind: number
  /** Null, as all below: the brokers don't tell it. */
  readonly minInSync: number | null
  /** How long messages are kept, ms; -1: for ever. */
  readonly retentionMs: number | null
  readonly maxMessageBytes: number | null
}

export interface ExaminedKafka {
  readonly brokers: number
  /** In the order that was asked for; null: it is not there, or is not shown to this user. */
  readonly topics: ReadonlyArray<ExaminedTopic | null>
}

const TOPIC_RESOURCE = 2
const CONFIGS = ['min.insync.replicas', 'retention.ms', 'max.message.bytes'] as const

/** Rejects with intake_unavailable, and with config_invalid where the package is not installed. In bounded time. */
export async function examineKafka(
  address: KafkaAddress,
  names: readonly string[],
  clock: Clock,
): Promise<ExaminedKafka> {
  const kafka = await loadKafka()
  // Once: a doctor waits for nobody
  const admin = new kafka.Admin({ ...clientOptions(address), retries: 0 })
  admin.on('error', () => {})
  try {
    const there = new Set(await inTime(clock, REQUEST_MS, admin.listTopics()))
    const asked = names.filter((name) => there.has(name))
    const { brokers, topics } = await inTime(clock, REQUEST_MS, admin.metadata({ topics: asked, forceUpdate: true }))
    const configs = await configsOf(admin, asked, clock)
    return {
      brokers: brokers.size,
      topics: names.map((name): ExaminedTopic | null => {
        const found = topics.get(name)
        if (found === undefined) return null
        const partitions = Object.values(found.partitions)
        const config = configs.get(name)
        return {
          name,
          partitions: found.partitionsCount,
          replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)),
          behind: partitions.filter(({ isr, replicas }) => isr.length < replicas.length).length,
          minInSync: config?.get('min.insync.replicas') ?? null,
          retentionMs: config?.get('retention.ms') ?? null,
          maxMessageBytes: config?.get('max.message.bytes') ?? null,
        }
      }),
    }
  } catch (error) {
    throw new SluiceError('intake_unavailable', { message: whyAway(error, address), cause: error })
  } finally {
    await inTime(clock, REQUEST_MS, admin.close()).catch(() => {})
  }
}

/** Empty where this user may not see them. */
async function configsOf(
  admin: InstanceType<Kafka['Admin']>,
  names: readonly string[],
  clock: Clock,
): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>> {
  if (names.length === 0) return new Map()
  const resources = names.map((resourceName) => ({
    resourceType: TOPIC_RESOURCE,
    resourceName,
    configurationKeys: [...CONFIGS],
  }))
  const asked = admin.describeConfigs({ resources } as never)
  const all = await inTime(clock, REQUEST_MS, asked).catch(() => [])
  return new Map(
    all.map(({ resourceName, configs }) => [
      resourceName,
      new Map(configs.map(({ name, value }) => [name, Number(value)] as const)),
    ]),
  )
}
