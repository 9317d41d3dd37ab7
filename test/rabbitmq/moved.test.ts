/** Backup, restore and migration, as operators do them, while accepted jobs wait in the broker: all of them run. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN_KEY, call, KEY } from '../e2e/fleet.ts'
import { BIN, freshFolder, killAll, removeFolders, serve } from '../e2e/serve.ts'
import { bareEnvironment } from '../environment.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-moved-'))
const JOBS = 8
let rabbit: RabbitServer
beforeAll(async () => {
  if (!NO_RABBITMQ) rabbit = await RabbitServer.start()
})
afterEach(killAll)
afterAll(async () => {
  await rabbit?.remove()
  removeFolders()
  rmSync(dir, { recursive: true, force: true })
})

/** Three have room in line: the others wait in the broker. */
function configOf(exchange: string): string {
  const file = join(dir, `${exchange}.yaml`)
  const settings = {
    models: [{ name: 'demo', provider: 'demo', pool: 'text' }],
    pools: [{ name: 'text', intake: 'rabbitmq' }],
    intakes: { rabbitmq: { url: { env: 'RABBIT' }, exchange } },
    queue: { max_queued_jobs: 3 },
    limits: { global: { concurrent: 1 } },
  }
  writeFileSync(file, JSON.stringify(settings))
  return file
}

async function started(folder: string, config: string, env: Record<string, string> = {}) {
  const process = serve({
    folder,
    args: ['--admin-port', '0'],
    env: { SLUICE_KEY: KEY, SLUICE_ADMIN_KEY: ADMIN_KEY, SLUICE_CONFIG: config, RABBIT: rabbit.url, ...env },
  })
  const { url, admin_url: admin } = await process.ready()
  const stop = async (): Promise<void> => {
    process.child.kill('SIGTERM')
    expect(await process.ended).toBe(0)
  }
  return { url, admin, stop }
}

async function sluice(config: string, ...args: readonly string[]): Promise<void> {
  const env = { ...bareEnvironment(), SLUICE_ADMIN_KEY: ADMIN_KEY, SLUICE_CONFIG: config, RABBIT: rabbit.url }
  const child = spawn(process.execPath, [BIN, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let told = ''
  child.stderr.on('data', (data: Buffer) => {
    told += data
  })
  const [code] = await once(child, 'close')
  expect([code, told]).toEqual([0, expect.anything()])
}

async function submitted(url: string): Promise<readonly string[]> {
  const messages = [{ role: 'user', content: 'demo: tokens=4 delay=50' }]
  const answers = await Promise.all(
    Array.from({ length: JOBS }, () => call(url, '/v1/jobs', { body: { request: { model: 'demo', messages } } })),
  )
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202))
  return Promise.all(answers.map(async (answer) => ((await answer.json()) as { id: string }).id))
}

async function expectDone(url: string, ids: readonly string[], exchange: string): Promise<void> {
  const stateOf = async (id: string): Promise<string> => {
    const { state, error } = (await (await call(url, `/v1/jobs/${id}?wait_ms=10000`)).json()) as Record<string, any>
    return state ?? error.code
  }
  await expect
    .poll(async () => new Set(await Promise.all(ids.map(stateOf))), { timeout: 30_000 })
    .toEqual(new Set(['done']))
  const connection = await connect(rabbit.url)
  const channel = await connection.createChannel()
  expect(await channel.checkQueue(`${exchange}.text.dead`)).toMatchObject({ messageCount: 0 })
  await connection.close()
}

describe.skipIf(NO_RABBITMQ)('jobs wait in RabbitMQ', () => {
  it('a restored backup takes them', async () => {
    const [config, folder, file] = [configOf('restored'), freshFolder(), join(dir, 'one.backup')]
    const before = await started(freshFolder(), config)
    // What it takes from the broker after its backup, no copy has
    const all = { key: ADMIN_KEY, body: { tenant: 'default' } }
    await call(before.admin, '/admin/pause', all)
    const ids = await submitted(before.url)
    await sluice(config, 'backup', file, '--admin-url', before.admin)
    await before.stop()
    await sluice(config, 'restore', file, '--data-dir', folder)
    const after = await started(folder, config)
    await call(after.admin, '/admin/resume', all)
    await expectDone(after.url, ids, 'restored')
    await after.stop()
  })

  it.skipIf(NO_REDIS)('a Redis takes them to which the folder was moved, and a folder to which that was', async () => {
    const redis = await RedisServer.start()
    try {
      const [config, first, last] = [configOf('moved'), freshFolder(), freshFolder()]
      const fleet = { SLUICE_REDIS_URL: redis.url }
      const embedded = await started(first, config)
      const ids = await submitted(embedded.url)
      await embedded.stop()
      await sluice(config, 'migrate', '--to', 'redis', '--redis-url', redis.url, '--data-dir', first)
      // A machine that has nothing of the folder
      const shared = await started(freshFolder(), config, fleet)
      await expectDone(shared.url, ids, 'moved')
      const more = await submitted(shared.url)
      await shared.stop()
      await sluice(config, 'migrate', '--to', 'embedded', '--redis-url', redis.url, '--data-dir', last)
      const back = await started(last, config)
      await expectDone(back.url, more, 'moved')
      await back.stop()
    } finally {
      await redis.remove()
    }
  })
})
