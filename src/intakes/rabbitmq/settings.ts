/** Where RabbitMQ is, and how it is used. */
import { z } from 'zod'
import { count, duration, fieldKinds, secret, size } from '../../settings/fields.ts'

const EXAMPLE = 'such as amqp://127.0.0.1:5672, or amqps://… for TLS'

/** What is wrong with the address of a RabbitMQ, or null. Never repeats any of it: there may be a password in it. */
export function rabbitUrlProblem(text: string): string | null {
  if (!/^amqps?:\/\//i.test(text)) return `must be an address ${EXAMPLE}`
  if (!URL.canParse(text))
    return `must be an address ${EXAMPLE}; characters such as "#", "/" and "@" in a password are written %23, %2F, %40`
  const { hostname, pathname, search, hash } = new URL(text)
  if (hostname === '') return 'has no host'
  if (search !== '' || hash !== '' || pathname.indexOf('/', 1) > 0)
    return 'must end with the port, or with the virtual host, in which "/" is written %2F'
  return null
}

function urlField() {
  const literal = z.string().superRefine((text, context) => {
    const problem = rabbitUrlProblem(text) ?? (new URL(text).password === '' ? null : LITERAL_PASSWORD)
    if (problem !== null) context.addIssue({ code: 'custom', message: problem })
  })
  const field = z.union([literal, secret()], { error: 'expected an address, { env: NAME } or { file: PATH }' })
  fieldKinds.add(field, { kind: 'address' })
  return field
}

const LITERAL_PASSWORD =
  'contains a password: give the address by reference, { env: NAME } or { file: PATH }, or in SLUICE_RABBITMQ_URL'

export const rabbitmqSettings = z.strictObject({
  url: urlField()
    .nullable()
    .prefault(null)
    .describe(
      'Address of the RabbitMQ: `amqp://user:password@host:port/vhost`, or `amqps://…` for TLS. A reference, if ' +
        "there is a password in it. In the environment: the address itself. Null: RabbitMQ isn't used.",
    ),
  exchange: z
    .string()
    .regex(/^[\w.-]{1,64}$/, 'expected letters, digits, ".", "_" or "-", at most 64')
    .prefault('sluice')
    .describe(
      'The topic exchange that other programs publish to. Queues are `<exchange>.<pool>` and `<exchange>.<pool>.dead`.',
    ),
  window: count({ min: 1, max: 10_000 })
    .prefault(256)
    .describe('Messages of a pool that this process has taken and that are not yet jobs; the rest waits in RabbitMQ.'),
  confirm_timeout_ms: duration({ min: 100, max: 300_000 })
    .prefault('10s')
    .describe('A submit that RabbitMQ has not confirmed by then is refused with intake_unavailable.'),
  heartbeat_ms: duration({ min: 1_000, max: 300_000 })
    .prefault('10s')
    .describe('A connection that is silent for twice as long is dead, and made anew.'),
  max_message_bytes: size({ min: 1024, max: 2 ** 27 })
    .prefault('8MiB')
    .describe("The largest job: less than the broker's `max_message_size` (16 MiB by default in RabbitMQ 4)."),
})

export type RabbitmqSettings = z.output<typeof rabbitmqSettings>

/** As configured; what names none has those that begin with its name. */
export const routesOf = ({ name, routes }: { readonly name: string; readonly routes: readonly string[] }) =>
  routes.length > 0 ? routes : [`${name}.#`]
