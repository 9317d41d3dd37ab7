/** Brokers in front of the queue, and which pools have one. */
import { z } from 'zod'
import { kafkaSettings } from '../intakes/kafka/settings.ts'
import { rabbitmqSettings } from '../intakes/rabbitmq/settings.ts'
import { flag, list } from '../settings/fields.ts'
import { name } from './models.ts'

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
  .regex(/^[A-Za-z0-9_*#-]+(\.[A-Za-z0-9_*#-]+)*$/, 'expected a routing key, such as image.* or image.#')

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
        .describe('With `rabbitmq`: routing keys whose messages are for this pool. Empty: `<name>.#`.'),
    }),
  )
  .prefault([])
  .describe('Pools with settings of their own. Any other pool is there as soon as a model names it.')

interface Given {
  readonly intakes: z.output<typeof intakes>
  readonly pools: z.output<typeof pools>
}

/** What does not fit together. */
export function checkIntakes({ intakes, pools }: Given, refuse: (path: string[], message: string) => void): void {
  const routes = new Map<string, string>()
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
    for (const [k, route] of pool.routes.entries()) {
      const other = routes.get(route)
      if (other !== undefined) refuse([...at, 'routes', String(k)], `"${route}" is a route of "${other}" already`)
      routes.set(route, pool.name)
    }
    if (pool.intake !== 'direct' && pool.name === 'dead')
      refuse([...at, 'name'], '"dead" is the name of what goes wrong')
  }
}
