/** Which engine stores, and its settings. */
import { z } from 'zod'
import { count, fieldKinds, flag, list, secret } from '../settings/fields.ts'
import { asGivenBy } from './as-given.ts'

const EXAMPLE = 'such as redis://127.0.0.1:6379, or rediss://… for TLS'

/** What is wrong with the address of a Redis, or null. Never repeats any of it: there may be a password in it. */
export function redisUrlProblem(text: string): string | null {
  if (!/^rediss?:\/\//i.test(text)) return `must be an address ${EXAMPLE}`
  if (!URL.canParse(text))
    return `must be an address ${EXAMPLE}; characters such as "#", "/" and "@" in a password are written %23, %2F, %40`
  const { username, password, hostname, pathname, search, hash } = new URL(text)
  if (!isEncoded(username) || !isEncoded(password)) return 'has a "%" in its user or password: it is written %25'
  if (hostname === '') return 'has no host'
  if (!/^(\/\d{0,3})?$/.test(pathname) || search !== '' || hash !== '')
    return 'must end with the port, or with the number of a database: redis://127.0.0.1:6379/0'
  return null
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

export const clusterUrlProblem = (text: string): string | null =>
  /^\/?0*$/.test(new URL(text).pathname) ? null : 'names a database: a Redis Cluster has only the database 0'

function urlField() {
  const literal = z.string().superRefine((text, context) => {
    const problem = redisUrlProblem(text) ?? (new URL(text).password === '' ? null : LITERAL_PASSWORD)
    if (problem !== null) context.addIssue({ code: 'custom', message: problem })
  })
  const field = z.union([literal, secret()], {
    error: ({ input }) =>
      input === undefined
        ? `is required: an address ${EXAMPLE} (--redis-url, SLUICE_REDIS_URL)`
        : 'expected an address, { env: NAME } or { file: PATH }',
  })
  fieldKinds.add(field, { kind: 'address' })
  return field
}

const LITERAL_PASSWORD =
  'contains a password: give the address by reference, { env: NAME } or { file: PATH }, or in SLUICE_REDIS_URL'

/** Host and port, "[::1]:6379" too. */
const node = z
  .string()
  .regex(/^(\[[\da-f:.]+\]|[^\s:/@[\]]+):\d{1,5}$/i, 'expected the host and port of a node: 10.0.0.2:6379')

const redis = z.strictObject({
  redis: z
    .strictObject({
      url: urlField().describe(
        'Address of the Redis: `redis://user:password@host:port/db`, or `rediss://…` for TLS. A reference, if there ' +
          'is a password in it. In the environment: the address itself.',
      ),
      nodes: list(node)
        .prefault([])
        .describe('Of a Redis Cluster: more of its nodes, as `host:port`. Empty: `url` is a single server.'),
      prefix: z
        .string()
        .regex(/^[\w.:-]{0,64}$/, 'expected letters, digits, ".", ":", "_" or "-", at most 64')
        .prefault('')
        .describe('Put before all keys and channels: fleets with different prefixes can share a server.'),
      allow_data_loss: flag()
        .prefault(false)
        .describe('Start even if Redis is not set up to keep what `durability` promises (docs/engines.md).'),
    })
    .describe('Redis 6.2 or newer (7.0 in a cluster), or Valkey 7.2 or newer.'),
})

const embedded = z.enum(['embedded'])

/** For documents and editors. */
export const engine = z
  .union([embedded, redis])
  .prefault('embedded')
  .describe(
    'What stores jobs, logs, conversations and keys. `embedded`: files in `data_dir`, for one process. ' +
      '`{ redis: … }`: a Redis, for any number of processes on any number of machines.',
  )

const NO_ENGINE =
  'must be "embedded", or a group with the address of a Redis: engine: { redis: { url: redis://127.0.0.1:6379 } }; ' +
  '--redis-url or SLUICE_REDIS_URL alone chooses it'
/** An engine's name alone. */
const word = z.custom((given) => given === 'embedded', NO_ENGINE)

/** As it is given. */
export const engineAsGiven = asGivenBy<z.output<typeof engine>>((given) =>
  typeof given === 'object' && given !== null && !Array.isArray(given) ? redis : word,
).prefault('embedded')

export const processes = count({ min: 1, max: 256 })
  .prefault(1)
  .describe(
    'Processes that share the ports, one a CPU core. More than one only with `engine.redis`. Limits that are not of ' +
      'the store (`http`, `websocket`, `sessions`, `workers.concurrency`) are those of each.',
  )

export const role = z
  .enum(['all', 'gateway', 'worker'])
  .prefault('all')
  .describe(
    'What this process does: `gateway` serves clients, `worker` runs jobs and has only the admin listener, `all` ' +
      'does both. Other than `all` only with `engine.redis`.',
  )
