/** Brokers in front of the queue, and which pools have one. */
import { z } from 'zod'
import { kafkaSettings } from '../intakes/kafka/settings.ts'
import { rabbitmqSettings, routesOf } from '../intakes/rabbitmq/settings.ts'
import { flag, list } from '../settings/fields.ts'
import { name } from './models.ts'
import { overlap } from './topic-patterns.ts'

export const INTAKES = ['direct', 'rabbitmq', 'kafka'] as const

export const intakes = z
  .strictObject({
    rabbitmq: rabbitmqSettings.prefault({}).describe('RabbitMQ 3.10 or newer.'),
    kafka: kafkaSettings.prefault({}).describe('Apache Kafka, 3.5 or newer.'),
    publishers: z
      .strictObject({
        tenants: list(name)
          .prefault([])
          .describe(
            'Tenants that messages of other programs may be for; the first one where a message names none. Who may ' +
              'publish is for the broker to say. Empty: nobody.',
          ),
        users: flag().prefault(false).describe('May such a message name an end user?'),
      })
      .prefault({})
      .describe('Programs that publish jobs themselves (PROTOCOL.md section 11).'),
  })
  .prefault({})
  .describe('Brokers in front of the queue (docs/engines.md).')

const route = z
  .string()
  .max(255)
  .regex(
    /^(\*|#|[A-Za-z0-9_-]+)(\.(\*|#|[A-Za-z0-9_-]+))*$/,
    'expected a routing key, such as image.* or image.#: words between dots, "*" for any one and "#" for any number',
  )

export const pools = z
  .array(
    z.strictObject({
      name: name.describe('The pool, as models name it.'),
      intake: z
        .enum(INTAKES)
        .prefault('direct')
        .describe(
          'How its jobs come to the queue. `direct`: at once. Else through a broker: `accepted` is said when the ' +
            'broker has it.',
        ),
      routes: list(route)
        .prefault([])
        .describe(
          'With `rabbitmq`: routing keys whose messages are for this pool. Empty: `<name>.#`. No key may be for two ' +
            'pools.',
        ),
    }),
  )
  .prefault([])
  .describe('Pools with settings of their own. Any other pool is there as soon as a model names it.')

interface Given {
  readonly intakes: z.output<typeof intakes>
  readonly pools: z.output<typeof pools>
}

type Refuse = (path: string[], message: string) => void

/** What does not fit together. */
export function checkIntakes({ intakes, pools }: Given, refuse: Refuse): void {
  for (const [i, pool] of pools.entries()) {
    const at = ['pools', String(i)]
    if (pools.findIndex(({ name }) => name === pool.name) < i) refuse([...at, 'name'], `"${pool.name}" is a duplicate`)
    if (pool.intake === 'rabbitmq' && intakes.rabbitmq.url === null)
      refuse(
        [...at, 'intake'],
        'needs the address of a RabbitMQ: intakes.rabbitmq.url, --rabbitmq-url or SLUICE_RABBITMQ_URL',
      )
    if (pool.intake === 'kafka' && intakes.kafka.brokers.length === 0)
      refuse(
        [...at, 'intake'],
        'needs the brokers of a Kafka: intakes.kafka.brokers, --kafka-brokers or SLUICE_KAFKA_BROKERS',
      )
    if (pool.routes.length > 0 && pool.intake !== 'rabbitmq') refuse([...at, 'routes'], 'goes with `intake: rabbitmq`')
    if (pool.intake !== 'direct' && pool.name === 'dead')
      refuse([...at, 'name'], '"dead" is the name of what goes wrong')
  }
  checkQueues(pools, refuse)
}

/** Of RabbitMQ: each message is for one pool, and each queue of one. */
function checkQueues(pools: Given['pools'], refuse: Refuse): void {
  const before: Array<{ readonly name: string; readonly routes: readonly string[] }> = []
  for (const [i, pool] of pools.entries()) {
    if (pool.intake !== 'rabbitmq') continue
    const at = ['pools', String(i)]
    if (pool.name === 'bindings') refuse([...at, 'name'], '"bindings" is the name of a queue for what is bound')
    const routes = routesOf(pool)
    for (const other of before) {
      if (pool.name === `${other.name}.dead` || other.name === `${pool.name}.dead`)
        refuse([...at, 'name'], `"${pool.name}" and "${other.name}" would share a queue with dead letters: rename one`)
      const both = routes.flatMap((a) => other.routes.filter((b) => overlap(a, b)).map((b) => [a, b] as const))[0]
      if (both !== undefined)
        refuse(
          [...at, 'routes'],
          `"${both[0]}" of "${pool.name}" and "${both[1]}" of "${other.name}" match the same keys: such a message ` +
            'would be given to both pools. Give each key to one of them',
        )
    }
    before.push({ name: pool.name, routes })
  }
}
