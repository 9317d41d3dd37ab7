/** A fleet of real processes on a real Redis, as people start it: each with its role, and a data folder of its own. */
import { RedisServer } from '../redis/server.ts'
import { type Options, type Started, serve } from './serve.ts'

export const KEY = 'sk-sluice-test-key-seeded-from-the-environment'
export const ADMIN_KEY = 'admin-key-of-the-tests-0123456789abcdef'

export type Role = 'gateway' | 'worker' | 'all'

export interface FleetProcess extends Started {
  readonly role: Role
  /** Null: a worker. */
  readonly url: string | null
  readonly adminUrl: string
}

/** Starts one, and waits until it is ready. */
export async function startProcess(redisUrl: string, role: Role, more: Options = {}): Promise<FleetProcess> {
  const started = serve({
    ...more,
    args: ['--role', role, '--admin-port', '0', ...(more.args ?? [])],
    env: { SLUICE_REDIS_URL: redisUrl, SLUICE_KEY: KEY, SLUICE_ADMIN_KEY: ADMIN_KEY, ...more.env },
  })
  const { url, admin_url: adminUrl } = await started.ready()
  return { ...started, role, url, adminUrl }
}

export interface Fleet {
  readonly redis: RedisServer
  readonly processes: readonly FleetProcess[]
  readonly gateways: readonly string[]
  readonly workers: readonly FleetProcess[]
  add(role: Role, more?: Options): Promise<FleetProcess>
  stop(): Promise<void>
}

export async function startFleet(...roles: readonly Role[]): Promise<Fleet> {
  const redis = await RedisServer.start()
  const processes: FleetProcess[] = []
  const add = async (role: Role, more: Options = {}): Promise<FleetProcess> => {
    const started = await startProcess(redis.url, role, more)
    processes.push(started)
    return started
  }
  await Promise.all(roles.map((role) => add(role)))
  return {
    redis,
    processes,
    get gateways() {
      return processes.flatMap(({ url }) => url ?? [])
    },
    get workers() {
      return processes.filter(({ role }) => role === 'worker')
    },
    add,
    async stop() {
      for (const { child } of processes) child.kill('SIGTERM')
      await Promise.all(processes.map(({ ended }) => ended))
      await redis.remove()
    },
  }
}

/** Of an API, as its clients call it. */
export async function call(
  base: string,
  path: string,
  { key = KEY, body, method }: { readonly key?: string; readonly body?: unknown; readonly method?: string } = {},
): Promise<Response> {
  return fetch(`${base}${path}`, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      ...(key !== '' && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
}
