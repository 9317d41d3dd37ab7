/** What `sluice doctor` asks of a Kafka. No topic and no group is made, and nothing is read. */
import { connect } from 'node:net'
import type { Admin, ClusterMetadata } from '@platformatic/kafka'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import {
  clientOptions,
  hasError,
  inTime,
  type Kafka,
  type KafkaAddress,
  loadKafka,
  reasonOf,
  whyAway,
} from './connection.ts'
import type { Topic } from './topics.ts'

/** A topic as it is, or why it is not. */
export type ExaminedTopic = { readonly name: string } & (FoundTopic | MissingTopic)

export interface FoundTopic {
  readonly kind: 'found'
  readonly partitions: number
  /** Of the partition that has fewest. */
  readonly replicas: number
  readonly inSync: number
  /** Partitions whose replicas are not all in sync. */
  readonly behind: number
  /** Null: this user may not see it. */
  readonly settings: TopicSettings | null
}

export interface TopicSettings {
  readonly minInSync: number
  /** Null: without end. */
  readonly retentionMs: number | null
  readonly retentionBytes: number | null
  readonly isCompacted: boolean
  readonly maxMessageBytes: number
}

export interface MissingTopic {
  readonly kind: 'missing'
  /** What the brokers say of making it: their name for the reason. Null: it can be made. */
  readonly refusal: string | null
}

export interface Examined {
  /** "Kafka at 10.0.0.2:9092, 3 brokers" */
  readonly server: string
  /** Brokers of the cluster that can't be reached at the address that they have told. */
  readonly unreachable: readonly string[]
  /** In the order that was asked for; none where a broker can't be reached. */
  readonly topics: readonly ExaminedTopic[]
}

export interface ExamineOptions {
  readonly address: KafkaAddress
  readonly topics: readonly Topic[]
  readonly replicas: number | null
  readonly clock: Clock
}

const ALL_MS = 8_000
const CLOSE_MS = 1_000
const CONNECT_MS = 2_000
const REQUEST_MS = 4_000
const MAX_BROKERS_TRIED = 32
const SETTINGS = ['min.insync.replicas', 'retention.ms', 'retention.bytes', 'cleanup.policy', 'max.message.bytes']

/** Within 10 s. Rejects with intake_unavailable, and with config_invalid where the package is not installed. */
export async function examineKafka(options: ExamineOptions): Promise<Examined> {
  const { address, clock } = options
  const kafka = await loadKafka()
  const client = {
    ...clientOptions(address),
    connectTimeout: CONNECT_MS,
    timeout: REQUEST_MS,
    requestTimeout: REQUEST_MS,
    retries: 0,
  }
  const admin = new kafka.Admin(client)
  admin.on('error', () => {})
  try {
    return await inTime(clock, ALL_MS, examineAll(kafka, admin, client, options))
  } catch (error) {
    throw new SluiceError('intake_unavailable', { message: whyAway(error, address), cause: error })
  } finally {
    await inTime(clock, CLOSE_MS, admin.close()).catch(() => {})
  }
}

type Client = ReturnType<typeof clientOptions>

async function examineAll(
  kafka: Kafka,
  admin: Admin,
  client: Client,
  { address, topics, replicas }: ExamineOptions,
): Promise<Examined> {
  const there = new Set(await admin.listTopics())
  const names = topics.flatMap(({ name }) => (there.has(name) ? [name] : []))
  const cluster = await admin.metadata({ topics: names, forceUpdate: true, autocreateTopics: false })
  const missing = topics.filter(({ name }) => !there.has(name))
  const count = cluster.brokers.size
  const server = `Kafka at ${address.brokers.join(', ')}, ${count} broker${count === 1 ? '' : 's'}`
  const unreachable = await unreachableOf(cluster)
  // The rest would only fail by the same
  if (unreachable.length > 0) return { server, unreachable, topics: [] }
  const [refusals, settings] = await Promise.all([
    refusalsOf(kafka, client, cluster, missing, replicas),
    settingsOf(kafka, admin, names),
  ])
  return {
    server,
    unreachable,
    topics: topics.map(({ name }): ExaminedTopic => {
      const found = cluster.topics.get(name)
      if (found === undefined) return { name, kind: 'missing', refusal: refusals.get(name) ?? null }
      const fewest = (of: 'replicas' | 'isr'): number => Math.min(...found.partitions.map((each) => each[of].length))
      return {
        name,
        kind: 'found',
        partitions: found.partitionsCount,
        replicas: fewest('replicas'),
        inSync: fewest('isr'),
        behind: found.partitions.filter(({ isr, replicas }) => isr.length < replicas.length).length,
        settings: settings.get(name) ?? null,
      }
    }),
  }
}

/** A proxy or a container in front often hides a broker that tells an address of its own. */
async function unreachableOf({ brokers }: ClusterMetadata): Promise<readonly string[]> {
  const tried = [...brokers.values()].slice(0, MAX_BROKERS_TRIED)
  const isReached = await Promise.all(tried.map(({ host, port }) => accepts(host, port)))
  return tried.flatMap(({ host, port }, i) => (isReached[i] ? [] : [`${host}:${port}`]))
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host, port, timeout: CONNECT_MS })
    const end = (isReached: boolean) => (): void => {
      socket.destroy()
      done(isReached)
    }
    socket.once('connect', end(true))
    socket.once('timeout', end(false))
    socket.once('error', end(false))
  })
}

/** Asks whether the missing ones could be made, which makes none: why not, by name. */
async function refusalsOf(
  kafka: Kafka,
  client: Client,
  { brokers, controllerId }: ClusterMetadata,
  missing: readonly Topic[],
  replicas: number | null,
): Promise<ReadonlyMap<string, string>> {
  const refusals = new Map<string, string>()
  if (missing.length === 0) return refusals
  const controller = brokers.get(controllerId) ?? [...brokers.values()][0]
  const connection = new kafka.Connection(client.clientId, client)
  connection.on('error', () => {})
  try {
    await connection.connect(controller.host, controller.port)
    for (const { name, partitions } of missing) {
      const topic = {
        name,
        numPartitions: partitions,
        replicationFactor: replicas ?? -1,
        assignments: [],
        configs: [],
      }
      const isOnlyAsked = true
      await kafka.createTopicsV7.api
        .async(connection, [topic], REQUEST_MS, isOnlyAsked)
        .catch((error: unknown) => void refusals.set(name, reasonOf(error)))
    }
  } catch (error) {
    for (const { name } of missing) refusals.set(name, reasonOf(error))
  } finally {
    connection.close().catch(() => {})
  }
  return refusals
}

/** Of those that this user may see. */
async function settingsOf(
  kafka: Kafka,
  admin: Admin,
  names: readonly string[],
): Promise<ReadonlyMap<string, TopicSettings>> {
  const found = new Map<string, TopicSettings>()
  const ask = async (name: string): Promise<void> => {
    const resource = {
      resourceType: kafka.ConfigResourceTypes.TOPIC,
      resourceName: name,
      configurationKeys: SETTINGS,
    }
    const [{ configs }] = await admin.describeConfigs({ resources: [resource] })
    found.set(name, settingsFrom(new Map(configs.map((config) => [config.name, config.value]))))
  }
  // Each alone: one that is refused takes no other with it
  const asked = await Promise.allSettled(names.map(ask))
  const failed = asked.find((one) => one.status === 'rejected' && !hasError(one.reason, 'apiId', REFUSED))
  if (failed?.status === 'rejected') throw failed.reason
  return found
}

const REFUSED = 'TOPIC_AUTHORIZATION_FAILED'

export function settingsFrom(values: ReadonlyMap<string, string | null | undefined>): TopicSettings {
  const number = (name: string, unset: number): number => Number(values.get(name) ?? unset)
  const limit = (name: string): number | null => {
    const value = number(name, -1)
    return value < 0 ? null : value
  }
  return {
    minInSync: number('min.insync.replicas', 1),
    retentionMs: limit('retention.ms'),
    retentionBytes: limit('retention.bytes'),
    isCompacted: (values.get('cleanup.policy') ?? '').includes('compact'),
    maxMessageBytes: number('max.message.bytes', Number.POSITIVE_INFINITY),
  }
}
