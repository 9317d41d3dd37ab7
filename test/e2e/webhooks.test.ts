/** Webhooks over kills: a process dies between an end and its telling, and in a fleet, whoever coordinates. */
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { type Receiver, startReceiver, status } from '../front/receiver.ts'
import { NO_REDIS } from '../redis/server.ts'
import { ADMIN_KEY, call, type Fleet, KEY, startFleet } from './fleet.ts'
import { killAll, removeFolders } from './serve.ts'
import { startServer } from './server.ts'

type Body = Record<string, any>
const JOB = { request: { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=2 delay=1 ttft=1' }] } }

const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function receiver(): Promise<Receiver> {
  const one = await startReceiver()
  undo.push(() => one.close())
  return one
}

const made = async (base: string, path: string, body: object, key = KEY): Promise<Body> => {
  const response = await call(base, path, { key, body })
  expect(response.ok, await response.clone().text()).toBe(true)
  return (await response.json()) as Body
}

const eventOf = (job: Body): string => `evt_${(job['id'] as string).slice(4)}`
const idsAt = (one: Receiver): readonly string[] => one.came.map(({ id }) => id)

describe('one process', () => {
  it('that is killed when a job has ended, and before that is told, tells it once it is up again', async () => {
    const hooks = await receiver()
    // It dies when it hears of the second end; there is none to hear of after the start, but what it finds
    const server = await startServer(
      'models:\n  - { name: demo, provider: demo }\nwebhooks: { allow: [127.0.0.1] }\n',
      {
        SLUICE_TEST_CRASH_AT: 'before-telling:2',
      },
    )
    undo.push(() => server.stop())
    await made(server.url, '/v1/webhooks', { url: `${hooks.url}/a` })
    const first = await made(server.url, '/v1/jobs', JOB)
    await expect.poll(() => idsAt(hooks)).toEqual([eventOf(first)])
    const { pid } = server
    const second = await made(server.url, '/v1/jobs', JOB)
    await expect.poll(() => isAlive(pid)).toBe(false)
    expect(idsAt(hooks)).toEqual([eventOf(first)])
    await server.crash()
    await expect.poll(() => idsAt(hooks)).toEqual([eventOf(first), eventOf(second)])
    const { data } = (await (await call(server.url, '/v1/webhooks')).json()) as Body
    const kept = (await (await call(server.url, `/v1/webhooks/${data[0].id}/deliveries`)).json()) as Body
    expect(kept['data'].map(({ state }: Body) => state)).toEqual(['delivered', 'delivered'])
  })

  it('that is killed in mid-try, or between tries, tries again; the receiver knows it by its id', async () => {
    const hooks = await receiver()
    const server = await startServer('models:\n  - { name: demo, provider: demo }\nwebhooks: { allow: [127.0.0.1] }\n')
    undo.push(() => server.stop())
    await made(server.url, '/v1/webhooks', { url: `${hooks.url}/a` })
    hooks.answer('/a', status(500))
    const job = await made(server.url, '/v1/jobs', JOB)
    await expect.poll(() => hooks.came.length).toBe(1)
    await server.crash(() => hooks.answer('/a', null))
    await expect.poll(() => hooks.came.length, { timeout: 60_000 }).toBeGreaterThanOrEqual(2)
    expect(new Set(idsAt(hooks))).toEqual(new Set([eventOf(job)]))
  })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe.skipIf(NO_REDIS)('Redis: a fleet', () => {
  let fleet: Fleet
  afterAll(async () => {
    await fleet?.stop()
    killAll()
    removeFolders()
  })

  const ENV = { SLUICE_WEBHOOKS_ALLOW: '127.0.0.1', SLUICE_SECRET_KEY: 'a-secret-key-of-the-tests-0123456789' }
  const JOBS = 40

  // Once, as only the process that decides an end hears of it, and looks come later: this does not show that of two
  // that claim an event one succeeds. That is of src/webhooks/webhooks.test.ts, and of the store
  it('tells each end once while all live, and at least once where who coordinates is killed', async () => {
    const hooks = await receiver()
    fleet = await startFleet()
    for (const role of ['gateway', 'gateway', 'worker'] as const) await fleet.add(role, { env: ENV })
    const [a, b] = fleet.gateways
    await made(a, '/v1/webhooks', { url: `${hooks.url}/a` })
    const submit = (n: number): Promise<Body> => made(n % 2 === 0 ? a : b, '/v1/jobs', JOB)
    // The other gateway hears of the new webhook
    await expect
      .poll(async () => {
        await submit(1)
        return hooks.came.length
      })
      .toBeGreaterThan(0)
    const before = new Set(idsAt(hooks))
    const jobs = await Promise.all(Array.from({ length: JOBS }, (_, n) => submit(n)))
    const events = jobs.map(eventOf)
    await expect.poll(() => events.every((id) => idsAt(hooks).includes(id)), { timeout: 60_000 }).toBe(true)
    await new Promise((passed) => setTimeout(passed, 3_000))
    expect(idsAt(hooks).filter((id) => !before.has(id) && events.includes(id))).toHaveLength(JOBS)

    const stats = await Promise.all(
      fleet.processes.map(async (one) => {
        const { coordinating } = (await (await call(one.adminUrl, '/admin/stats', { key: ADMIN_KEY })).json()) as Body
        return coordinating === 1 ? one : null
      }),
    )
    const acting = stats.find((one) => one !== null)!
    const other = fleet.gateways.find((url) => url !== acting.url)!
    const more = await Promise.all(Array.from({ length: JOBS }, () => made(other, '/v1/jobs', JOB)))
    acting.child.kill('SIGKILL')
    await fleet.add('worker', { env: ENV })
    const late = more.map(eventOf)
    await expect.poll(() => late.filter((id) => !idsAt(hooks).includes(id)), { timeout: 120_000 }).toEqual([])
  })
})
