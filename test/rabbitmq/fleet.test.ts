/** Two processes on one Redis, with RabbitMQ in front: one is killed, the broker is killed, links are cut. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { call, type FleetProcess, startProcess } from '../e2e/fleet.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { openPeer } from '../protocol/peer.ts'
import { FaultProxy } from '../redis/proxy.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

const CONFIG = `
models: [{ name: words, provider: demo, pool: text }]
intakes: { rabbitmq: { heartbeat_ms: 2s, confirm_timeout_ms: 3s } }
pools: [{ name: text, intake: rabbitmq }]
workers: { lease_ms: 3s, heartbeat_ms: 500ms }
log: { level: warn }
`
const LANES = 5
const SLOW = 'demo: tokens=2000 delay=50 ttft=1'

const ending: Array<() => Promise<unknown>> = []
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
})

async function until(what: () => Promise<boolean>): Promise<void> {
  for (let left = 900; !(await what()); left--) {
    if (left === 0) throw new Error('not within 90 s')
    await new Promise((go) => setTimeout(go, 100))
  }
}

describe.skipIf(NO_RABBITMQ || NO_REDIS)('RabbitMQ in front of a fleet', () => {
  it('what was accepted is done, once, in the order of its lane, whoever dies; all read what one took', async () => {
    const [redis, rabbit] = await Promise.all([RedisServer.start(), RabbitServer.start()])
    ending.push(
      () => redis.remove(),
      () => rabbit.remove(),
    )
    const link = await FaultProxy.start(rabbit.port)
    ending.push(() => link.close())
    const dir = mkdtempSync(join(tmpdir(), 'sluice-rabbit-fleet-'))
    ending.push(async () => rmSync(dir, { recursive: true, force: true }))
    const file = join(dir, 'sluice.yaml')
    writeFileSync(file, CONFIG)
    const start = async (): Promise<FleetProcess> => {
      const started = await startProcess(redis.url, 'all', {
        args: ['--config', file],
        env: { SLUICE_RABBITMQ_URL: `amqp://guest:guest@127.0.0.1:${link.port}` },
      })
      ending.push(async () => {
        started.child.kill('SIGKILL')
        await started.ended
      })
      return started
    }
    const processes = [await start(), await start()]
    const accepted: Array<{ id: string; lane: string; n: number }> = []
    /** One lane's jobs, one after the other; where no answer came it asks again. */
    const client = async (lane: number, jobs: number): Promise<void> => {
      for (let n = 0; n < jobs; n++)
        for (let tries = 0; ; tries++) {
          const at = processes[(lane + tries) % processes.length].url!
          const body = {
            lane: `lane ${lane}`,
            idempotency_key: `${lane}/${n}`,
            metadata: { n: String(n) },
            request: { model: 'words', messages: [{ role: 'user', content: 'demo: tokens=3 delay=5 ttft=5' }] },
          }
          const answer = await call(at, '/v1/jobs', { body }).then(
            async (response) => ({ status: response.status, body: (await response.json()) as any }),
            () => null,
          )
          if (answer?.status === 202 || answer?.status === 200) {
            accepted.push({ id: answer.body.id, lane: `lane ${lane}`, n })
            break
          }
          if (tries === 200) throw new Error(`not accepted: ${JSON.stringify(answer)}`)
          await new Promise((go) => setTimeout(go, 200))
        }
    }
    const clients = Array.from({ length: LANES }, (_, lane) => client(lane, 24))
    const moment = (n: number) => until(async () => accepted.length >= n)
    await moment(20)
    link.drop()
    await moment(40)
    processes[0].child.kill('SIGKILL')
    await processes[0].ended
    processes[0] = await start()
    await moment(70)
    await rabbit.kill()
    await rabbit.restart()
    await moment(90)
    link.drop()
    await Promise.all(clients)
    const list = async (): Promise<any[]> =>
      ((await (await call(processes[1].url!, '/v1/jobs?limit=1000')).json()) as any).data
    await until(async () => (await list()).every(({ state }) => state === 'done'))
    const all = await list()
    expect(new Set(all.map(({ id }) => id))).toEqual(new Set(accepted.map(({ id }) => id)))
    expect(all.length).toBe(LANES * 24)
    // Each is read at either process
    for (const { id } of accepted.slice(0, 5))
      for (const { url } of processes) expect((await call(url!, `/v1/jobs/${id}/events`)).status).toBe(200)
    for (let lane = 0; lane < LANES; lane++) {
      const ended = all.filter((job) => job.lane === `lane ${lane}`).map(({ metadata }) => Number(metadata.n))
      expect(ended).toEqual(Array.from({ length: 24 }, (_, i) => 23 - i))
    }
  }, 180_000)

  it('who waits for a job that waits in the broker is answered when it has ended, at any gateway', async () => {
    const [redis, rabbit] = await Promise.all([RedisServer.start(), RabbitServer.start()])
    ending.push(
      () => redis.remove(),
      () => rabbit.remove(),
    )
    const settings = {
      engine: { redis: { url: redis.url } },
      models: [{ name: 'words', provider: 'demo', pool: 'text' }],
      intakes: { rabbitmq: { url: { env: 'RABBIT' } } },
      pools: [{ name: 'text', intake: 'rabbitmq' }],
      queue: { max_queued_per_tenant: 1 },
      workers: { concurrency: 1, drain_ms: 500 },
    }
    const url = `amqp://guest:guest@127.0.0.1:${rabbit.port}`
    const apps: TestApp[] = []
    for (let i = 0; i < 2; i++) {
      const app = await startTestApp({}, settings, { RABBIT: url })
      ending.push(() => app.stop())
      apps.push(app)
    }
    const ask = async (at: TestApp, path: string, body?: object): Promise<{ status: number; body: any }> => {
      const answer = await call(`http://127.0.0.1:${at.port}`, path, { key: apps[0].key, ...(body && { body }) })
      return { status: answer.status, body: await answer.json() }
    }
    const submit = async (at: TestApp, text: string): Promise<string> =>
      (await ask(at, '/v1/jobs', { request: { model: 'words', messages: [{ role: 'user', content: text }] } })).body.id
    const slow = [await submit(apps[0], SLOW), await submit(apps[1], SLOW)]
    for (const id of slow) await until(async () => (await ask(apps[0], `/v1/jobs/${id}`)).body.state === 'leased')
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.push(await submit(apps[1], 'demo: tokens=2 delay=1 ttft=1'))
    const from = performance.now()
    const early = await ask(apps[0], `/v1/jobs/${ids[2]}?wait_ms=3500`)
    expect([early.status, early.body.error.code]).toEqual([503, 'not_arrived'])
    expect(performance.now() - from).toBeGreaterThan(3_400)
    // What this store gave to nobody, or to another tenant, is not there
    const forged = ids[2].slice(0, 20) + (ids[2][20] === '0' ? '1' : '0') + ids[2].slice(21)
    expect((await ask(apps[0], `/v1/jobs/${forged}`)).status).toBe(404)
    // Canceled where nobody knows it yet
    const canceled = await ask(apps[0], `/v1/jobs/${ids[1]}/cancel`, {})
    expect([canceled.status, canceled.body.state]).toEqual([202, 'canceled'])
    const peer = await openPeer(`http://127.0.0.1:${apps[0].port}`)
    peer.say({ t: 'hello', auth: { key: apps[0].key } })
    await peer.next('welcome')
    peer.say({ t: 'attach', id: 'a', job: ids[2] })
    expect(await peer.next('attached')).toMatchObject({ id: 'a', state: 'queued' })
    peer.say({ t: 'cancel', id: 'c', job: ids[0] })
    expect(await peer.next('ok')).toMatchObject({ id: 'c', state: 'canceled' })
    peer.say({ t: 'attach', id: 'f', job: forged })
    expect(await peer.next('error')).toMatchObject({ error: { code: 'job_not_found' } })
    const waits = apps.map((app) => ask(app, `/v1/jobs/${ids[2]}/result?wait_ms=40000`))
    for (const id of slow) await ask(apps[0], `/v1/jobs/${id}/cancel`, {})
    for (const wait of waits)
      expect(await wait).toMatchObject({ status: 200, body: { object: 'chat.completion', model: 'words' } })
    expect(await peer.next('end')).toMatchObject({ job: ids[2], state: 'done' })
    peer.drop()
    for (const app of apps)
      for (const id of ids.slice(0, 2))
        expect((await ask(app, `/v1/jobs/${id}`)).body).toMatchObject({ state: 'canceled', attempts: 0 })
  }, 180_000)
})
