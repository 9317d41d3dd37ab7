/** Real processes of Sluice, as an operator starts them: one alone, or a fleet by roles. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { answers, ended, freePort, KEY, launch, ROOT } from '../targets.ts'
import type { Priority } from '../tools.ts'
import { type BenchRedis, durabilityOf, type Fsync } from './redis.ts'

export const AUTHORIZATION = `authorization: Bearer ${KEY}`

export interface Started {
  readonly pid: number
  /** Of the public listener; a worker has none. */
  readonly url: string
  readonly adminUrl: string
  /** From its spawn to ready. */
  readonly readyMs: number
  kill(): Promise<void>
  stop(): Promise<void>
}

export interface Start {
  readonly role: 'all' | 'gateway' | 'worker'
  /** Absent: the embedded engine. */
  readonly redis?: BenchRedis
  readonly fsync: Fsync
  readonly upstreamPort: number
  readonly cores: string
  readonly priority: Priority
  /** Jobs at once; absent: as many as there are. */
  readonly slots?: number
}

const QUEUED = 1_000_000

export async function start({ role, redis, fsync, upstreamPort, cores, priority, slots }: Start): Promise<Started> {
  const [port, adminPort] = [await freePort(), await freePort()]
  const dir = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  const workers = slots === undefined ? '' : `workers: { concurrency: ${slots} }\n`
  writeFileSync(
    join(dir, 'sluice.yaml'),
    `models:\n  - { name: "mock-*", provider: openai-compatible, base_url: "http://127.0.0.1:${upstreamPort}/v1" }\n` +
      `queue: { max_queued_jobs: ${QUEUED}, max_queued_per_tenant: ${QUEUED}, max_queued_bytes_per_tenant: 1GiB }\n` +
      `durability: ${durabilityOf(fsync)}\nlog: { level: warn }\n${workers}`,
  )
  const startedAt = performance.now()
  const child = launch(
    priority,
    process.execPath,
    [join(ROOT, 'bin/sluice.js'), 'serve', '--config', join(dir, 'sluice.yaml')],
    {
      NODE_COMPILE_CACHE: join(tmpdir(), 'sluice-bench-cache'),
      SLUICE_PORT: String(port),
      SLUICE_ADMIN_PORT: String(adminPort),
      SLUICE_DATA_DIR: join(dir, 'data'),
      SLUICE_KEY: KEY,
      SLUICE_ADMIN_KEY: KEY,
      ...(redis && { SLUICE_REDIS_URL: redis.url, SLUICE_ROLE: role }),
    },
    cores,
  )
  const remove = async (signal: NodeJS.Signals): Promise<void> => {
    await ended(child, signal)
    rmSync(dir, { recursive: true, force: true })
  }
  const adminUrl = `http://127.0.0.1:${adminPort}`
  try {
    await ready(adminUrl)
  } catch (error) {
    await remove('SIGKILL')
    throw error
  }
  return {
    pid: child.pid!,
    url: `http://127.0.0.1:${port}`,
    adminUrl,
    readyMs: performance.now() - startedAt,
    kill: () => remove('SIGKILL'),
    stop: () => remove('SIGTERM'),
  }
}

async function ready(adminUrl: string): Promise<void> {
  await answers(`${adminUrl}/readyz`, (response) => response.ok)
}

export async function stopAll(all: ReadonlyArray<{ stop(): Promise<void> }>): Promise<void> {
  await Promise.all(all.map((each) => each.stop().catch(() => {})))
}
