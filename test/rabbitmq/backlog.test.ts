import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEEP } from '../depth.ts'
import { startServer } from '../e2e/server.ts'
import { workOff } from './backlog.ts'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

const ROOT = join(import.meta.dirname, '../..')
const SETTLED_MS = 5_000
const JOBS = DEEP ? 5_000 : 1_000

describe.skipIf(NO_RABBITMQ)('RabbitMQ, with a server of its own', () => {
  let rabbit: RabbitServer
  beforeAll(async () => {
    rabbit = await RabbitServer.start()
  }, 90_000)
  afterAll(() => rabbit?.remove())

  it('what was published while Sluice was down is done, once, in order; the broker holds the backlog', async () => {
    const outcome = await workOff(rabbit, JOBS, async (server) => {
      // Both die on the way
      await server.crash()
      // RabbitMQ 3.10 finds no leader again for some queues that are younger when it is killed (decision 0071)
      await new Promise((done) => setTimeout(done, SETTLED_MS))
      await rabbit.kill()
      await rabbit.restart()
    })
    expect(outcome).toMatchObject({ done: JOBS, doubled: 0, outOfOrder: 0 })
    expect(outcome.mostHeld).toBeLessThanOrEqual(500)
    // The jobs themselves; 50,000 of them are 380 MB
    expect(outcome.mostMb - outcome.restMb).toBeLessThan(200)
  }, 180_000)

  it('the examples of PROTOCOL.md publish jobs that are done', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sluice-publish-'))
    symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
    const server = await startServer(
      'models: [{ name: demo, provider: demo, pool: text }]\nlog: { level: silent }\n' +
        'intakes: { publishers: { tenants: [default] } }\npools: [{ name: text, intake: rabbitmq }]\n',
      { SLUICE_RABBITMQ_URL: rabbit.url },
    )
    try {
      const protocol = readFileSync(join(ROOT, 'PROTOCOL.md'), 'utf8')
      const example = (language: string): string =>
        new RegExp(`\`\`\`${language}\\n([^\`]*RABBITMQ_URL[^\`]*)\`\`\``).exec(protocol)![1]
      const env = { ...process.env, RABBITMQ_URL: rabbit.url }
      writeFileSync(join(dir, 'publish.mjs'), example('js'))
      execFileSync(process.execPath, ['publish.mjs'], { cwd: dir, env, timeout: 20_000 })
      const expected = ['report-4711']
      const python = process.env['SLUICE_TEST_PYTHON'] ?? 'python3'
      const hasPika = (): boolean => {
        try {
          execFileSync(python, ['-c', 'import pika'], { stdio: 'ignore' })
          return true
        } catch {
          return false
        }
      }
      if (hasPika()) {
        execFileSync(python, ['-c', example('python')], { cwd: dir, env, timeout: 20_000 })
        expected.push('report-4712')
      }
      const headers = { authorization: `Bearer ${server.key}` }
      for (let left = 300; ; left--) {
        const { data } = (await (await fetch(`${server.url}/v1/jobs`, { headers })).json()) as { data: any[] }
        if (data.length === expected.length && data.every(({ state }) => state === 'done')) {
          expect(data.every(({ lane }) => lane === 'reports')).toBe(true)
          break
        }
        if (left === 0) throw new Error(JSON.stringify(data))
        await new Promise((go) => setTimeout(go, 100))
      }
    } finally {
      await server.stop()
      rmSync(dir, { recursive: true, force: true })
    }
  }, 60_000)
})
