/** The brokers in front of the queue: which pools go through one, and who takes what comes out of it. */
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { INTAKE_KEY, keepSecret, readSecret } from '../config/secret-file.ts'
import { systemClock } from '../core/clock.ts'
import type { SluiceError } from '../core/errors.ts'
import type { NumberSource } from '../core/numbers.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Delivery, Enter, Intake } from '../core/ports/intake.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Submissions } from '../core/ports/submissions.ts'
import { intakeSecretOf } from '../engines/shared/intake-secret.ts'
import { Envelopes } from '../intakes/envelope.ts'
import { createFigures } from '../intakes/figures.ts'
import { Ingest } from '../intakes/ingest.ts'
import { Issued } from '../intakes/issued.ts'
import { arriving } from '../intakes/jobs.ts'
import { Published } from '../intakes/published.ts'
import { routesOf } from '../intakes/rabbitmq/settings.ts'
import { publishing } from '../intakes/submissions.ts'
import { kafkaAddress } from './kafka.ts'
import type { Runtime } from './runtime.ts'

export interface Intakes {
  /** As the gateway is to use them. */
  readonly submissions: Submissions
  readonly jobs: Jobs
  readonly numbers: NumberSource | null
  /** From now on what comes out of the brokers becomes jobs. */
  begin(enter: Enter): void
  /** Takes nothing more; what has no verdict by then stays with the brokers. */
  drain(withinMs: number): Promise<void>
  close(): Promise<void>
}

type IntakeConfig = Pick<Config, 'intakes' | 'pools' | 'engine' | 'durability' | 'dataDir' | 'role'>

/**
 * What Sluice publishes is signed with the first, as long as messages may wait in a broker. What another has signed is
 * taken, too: the file may be of a data folder whose jobs wait there.
 */
async function secretsOf(
  { durability, dataDir }: IntakeConfig,
  engine: Engine,
  { ids }: Pick<Runtime, 'ids'>,
): Promise<readonly [Uint8Array, ...Uint8Array[]]> {
  const make = (): string => INTAKE_KEY.prefix + Buffer.from(ids.random(32)).toString('base64url')
  const file = join(dataDir, 'intake.key')
  const isKept = durability !== 'memory'
  const own = (): string => (isKept ? keepSecret(file, INTAKE_KEY, make) : make())
  const secret = await engine.intakeSecret(() => intakeSecretOf(engine.sharedSecret ?? own()))
  const given = isKept ? readSecret(file, INTAKE_KEY) : null
  return given === null ? [secret] : [secret, intakeSecretOf(given)]
}

/**
 * `keptMs`: how long jobs of a tenant are kept. Resolves when each broker has answered, or failed to. Rejects with
 * config_invalid.
 */
export async function openIntakes(
  config: IntakeConfig,
  engine: Engine,
  runtime: Runtime,
  keptMs: (tenant: string) => number,
): Promise<Intakes> {
  const ofBroker = poolsOf(config)
  if (ofBroker.size === 0 || config.role === 'worker') return none(engine)
  const envelopes = new Envelopes(...(await secretsOf(config, engine, runtime)))
  // In memory its secret is another one at each start
  const mark = engine.sharedSecret === null && config.durability === 'memory' ? '' : envelopes.keyOf('bindings')
  const opened = await openAll([...ofBroker].map(([kind, pools]) => openOne(kind, pools, config, runtime, mark)))
  const byPool = new Map(
    opened.flatMap((intake) => (ofBroker.get(intake.name as Broker) ?? []).map(({ name }) => [name, intake] as const)),
  )
  const intakeOf = (pool: string): Intake | null => byPool.get(pool) ?? null
  const { clock, ids, log } = runtime
  const isOneOfMany = config.engine !== 'embedded'
  const published = new Published({ jobs: engine.jobs, clock, isOneOfMany })
  const figures = createFigures(() => opened)
  const wallMs = (): number => engine.wallMs()
  const issued = new Issued({ envelopes, wallMs, keptMs })
  let ingest: Ingest | null = null
  return {
    submissions: publishing({
      inner: engine.submissions,
      jobs: engine.jobs,
      intakeOf,
      envelopes,
      published,
      issued,
      figures,
      clock,
    }),
    jobs: arriving({
      inner: engine.jobs,
      submissions: engine.submissions,
      published,
      issued,
      intakeOf,
      envelopes,
      isOneOfMany,
    }),
    numbers: figures.source,
    begin(enter) {
      const { publishers } = config.intakes
      const taking = new Ingest({
        submissions: engine.submissions,
        jobs: engine.jobs,
        envelopes,
        published,
        admit: (message, broker) => enter(message, broker, publishers),
        tenant: publishers.tenants[0] ?? '',
        window: (broker) => config.intakes[broker].window,
        figures,
        clock,
        jitter: ids.jitter,
        onDead: (broker, delivery, { code, message }) => {
          const { pool } = delivery
          log.warn({ broker, pool, message_id: messageId(delivery), code }, `a message can be no job: ${message}`)
        },
      })
      ingest = taking
      for (const intake of opened) intake.consume(taking.from(intake))
    },
    async drain(withinMs) {
      ingest?.stop()
      await Promise.all(opened.map((intake) => intake.drain(withinMs)))
    },
    async close() {
      ingest?.stop()
      published.close()
      await Promise.all(opened.map((intake) => intake.close()))
    },
  }
}

type Pools = IntakeConfig['pools']
type Broker = Exclude<Pools[number]['intake'], 'direct'>

function poolsOf({ pools }: IntakeConfig): ReadonlyMap<Broker, Pools> {
  const found = new Map<Broker, Pools[number][]>()
  for (const pool of pools)
    if (pool.intake !== 'direct') found.set(pool.intake, [...(found.get(pool.intake) ?? []), pool])
  return found
}

/** All, or none: where one can't be, the others are closed again. */
export async function openAll(opening: readonly Promise<Intake>[]): Promise<readonly Intake[]> {
  const ended = await Promise.allSettled(opening)
  const opened = ended.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const failed = ended.find((one) => one.status === 'rejected')
  if (failed === undefined) return opened
  await Promise.allSettled(opened.map((intake) => intake.close()))
  throw failed.reason
}

async function openOne(
  kind: Broker,
  pools: Pools,
  { intakes }: IntakeConfig,
  { clock, ids, log }: Runtime,
  mark: string,
): Promise<Intake> {
  const onChange = (error: SluiceError | null): void => {
    if (error === null) log.info({ broker: kind }, 'the broker is there')
    else log.warn({ broker: kind, code: error.code }, error.message)
  }
  const onPool = (pool: string, error: SluiceError | null): void => {
    if (error === null) log.info({ broker: kind, pool }, 'the broker delivers again')
    else
      log.warn({ broker: kind, pool, code: error.code }, `the broker delivers nothing of this pool: ${error.message}`)
  }
  const shared = { clock, jitter: ids.jitter, onChange, onPool }
  switch (kind) {
    case 'rabbitmq': {
      const { openRabbitmq } = await import('../intakes/rabbitmq/rabbitmq.ts')
      const { url, ...settings } = intakes.rabbitmq
      return openRabbitmq({
        ...shared,
        ...settings,
        mark,
        onShared: (queues) =>
          log.warn(
            { broker: kind, queues },
            'another Sluice, with a store of its own, was started on these queues, or this one had another store: ' +
              'of two, each buries what the other has accepted. Give each its own intakes.rabbitmq.exchange',
          ),
        onUnbound: (routes) =>
          log.info({ broker: kind, routes }, 'routes that are no longer configured were taken off'),
        url: typeof url === 'string' ? url : url!.reveal(),
        pools: rabbitPools(pools),
      })
    }
    case 'kafka': {
      const { openKafka } = await import('../intakes/kafka/kafka.ts')
      const { prefix, partitions, window, sessionTimeoutMs, confirmTimeoutMs, maxMessageBytes } = intakes.kafka
      return openKafka({
        ...shared,
        address: kafkaAddress(intakes.kafka),
        prefix,
        pools: pools.map(({ name }) => name),
        partitions,
        topics: { creates: intakes.kafka.createTopics, replicas: intakes.kafka.replicas },
        window,
        sessionMs: sessionTimeoutMs,
        confirmTimeoutMs,
        maxMessageBytes,
      })
    }
  }
}

const rabbitPools = (pools: Pools) => pools.map((pool) => ({ pool: pool.name, routes: routesOf(pool) }))

/** For `sluice doctor`; null: RabbitMQ is not used. Rejects as examineRabbitmq. */
export async function examineRabbit(config: Pick<Config, 'intakes' | 'pools'>) {
  const { url, exchange, heartbeatMs } = config.intakes.rabbitmq
  if (url === null || (typeof url !== 'string' && !url.known)) return null
  const pools = rabbitPools(config.pools.filter(({ intake }) => intake === 'rabbitmq'))
  const { examineRabbitmq } = await import('../intakes/rabbitmq/examine.ts')
  const text = typeof url === 'string' ? url : url.reveal()
  return { pools, ...(await examineRabbitmq({ url: text, heartbeatMs, exchange, pools })) }
}

/** For `sluice doctor`; null: Kafka is not used. Rejects as examineKafka. */
export async function examineKafkas(config: Pick<Config, 'intakes' | 'pools'>) {
  const { kafka } = config.intakes
  const pools = config.pools.filter(({ intake }) => intake === 'kafka').map(({ name }) => name)
  if (kafka.brokers.length === 0 || (pools.length === 0 && !kafka.events)) return null
  const [{ examineKafka }, { judge }, { deadTopicOf, eventsTopicOf, topicOf }] = await Promise.all([
    import('../intakes/kafka/examine.ts'),
    import('../intakes/kafka/judge.ts'),
    import('../intakes/kafka/names.ts'),
  ])
  const { prefix, partitions, replicas, createTopics: creates, maxMessageBytes } = kafka
  const topics = [
    ...pools.flatMap((pool) => [
      { name: topicOf(prefix, pool), partitions },
      { name: deadTopicOf(prefix, pool), partitions: 1 },
    ]),
    ...(kafka.events ? [{ name: eventsTopicOf(prefix), partitions }] : []),
  ]
  const found = await examineKafka({ address: kafkaAddress(kafka), topics, replicas, clock: systemClock })
  const judged = found.topics.map((topic, i) => judge(topic, { creates, replicas, maxMessageBytes, ...topics[i] }))
  return { ...found, topics: judged }
}

function none({ submissions, jobs }: Engine): Intakes {
  return {
    submissions,
    jobs,
    numbers: null,
    begin() {},
    drain: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
}

/** As its publisher named it, in the message or beside it; null: nobody can tell. */
function messageId({ id, payload }: Delivery): string | null {
  if (id !== null || payload.length > MAX_PARSED_BYTES) return id
  try {
    const { id: own } = JSON.parse(Buffer.from(payload).toString()) as { readonly id?: unknown }
    return typeof own === 'string' && own.length <= MAX_ID_CHARS ? own : null
  } catch {
    return null
  }
}

/** Of a message that is looked into once more for the log. */
const MAX_PARSED_BYTES = 1 << 20
const MAX_ID_CHARS = 200
