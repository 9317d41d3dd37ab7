/** Redis away, and a broker in front: each submit is answered in time, and a retry with its key is the same job. */
import { afterEach, describe, expect, it } from 'vitest'
import { startTestApp } from '../front/app.ts'
import { expectInTime } from '../in-time.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

const ending: Array<() => Promise<unknown>> = []
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
})

interface Answer {
  readonly n: number
  readonly status: number
  readonly retryAfter: string | null
  readonly body: any
  readonly afterMs: number
}

const sleep = (ms: number): Promise<void> => new Promise((passed) => setTimeout(passed, ms))
/** Of one kind each: more than the ids that a process has at hand. */
const EACH = 80
const AWAY_MS = 14_000

describe.skipIf(NO_RABBITMQ || NO_REDIS)('Redis is away, RabbitMQ is there', () => {
  it('each submit is answered in time; what is told to come again is one job when it does', async () => {
    const [redis, rabbit] = await Promise.all([RedisServer.start(), RabbitServer.start()])
    ending.push(
      () => redis.remove(),
      () => rabbit.remove(),
    )
    const app = await startTestApp(
      {},
      {
        engine: { redis: { url: redis.url } },
        models: [{ name: 'words', provider: 'demo', pool: 'text' }],
        intakes: { rabbitmq: { url: { env: 'RABBIT' } } },
        pools: [{ name: 'text', intake: 'rabbitmq' }],
      },
      { RABBIT: `amqp://guest:guest@127.0.0.1:${rabbit.port}` },
    )
    ending.push(() => app.stop())
    const headers = { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' }
    /** Every second one has a key. */
    const submit = async (n: number): Promise<Answer> => {
      const from = performance.now()
      const answer = await fetch(`http://127.0.0.1:${app.port}/v1/jobs`, {
        method: 'POST',
        headers,
        body: JSON.stringify({
          request: { model: 'words', messages: [{ role: 'user', content: 'demo: tokens=2 delay=1 ttft=1' }] },
          metadata: { n: String(n) },
          ...(n % 2 === 1 && { idempotency_key: `k${n}` }),
        }),
      })
      const { status } = answer
      const body = await answer.json()
      return { n, status, body, retryAfter: answer.headers.get('retry-after'), afterMs: performance.now() - from }
    }
    expect((await submit(0)).status).toBe(202)
    // Some have looked their key up, and are published, when it goes away
    const first = [1, 3, 5, 7].map(submit)
    await sleep(4)
    redis.stop()
    const all = [...first, ...Array.from({ length: 2 * EACH }, (_, i) => submit(10 + i))]
    await sleep(AWAY_MS)
    const late = submit(1_000)
    await sleep(1_000)
    redis.resume()
    const answers = await Promise.all([...all, late])
    for (const { status, body, retryAfter, afterMs } of answers) {
      expectInTime(afterMs, 17_000)
      if (status === 200 || status === 202) continue
      expect([status, ['storage_unavailable', 'not_arrived'].includes(body.error.code)]).toEqual([503, true])
      expect(body.error.message).toContain('retry')
      expect(Number(retryAfter)).toBeGreaterThan(0)
    }
    // Of those without a key the ones that got an id are with the broker, and told so at once
    const told = answers.filter(({ n, status }) => n % 2 === 0 && status === 202)
    expect(told.length).toBeGreaterThan(0)
    const ids = new Map(told.map(({ n, body }) => [n, body.id]))
    await Promise.all(
      answers.map(async ({ n, status, body }) => {
        for (let tries = 0; status !== 202 && status !== 200; tries++) {
          if (tries === 60) throw new Error(`not accepted: ${JSON.stringify(body)}`)
          await sleep(500)
          ;({ status, body } = await submit(n))
        }
        ids.set(n, body.id)
      }),
    )
    const list = async (): Promise<any[]> =>
      ((await (await fetch(`http://127.0.0.1:${app.port}/v1/jobs?limit=1000`, { headers })).json()) as any).data
    await expect
      .poll(async () => (await list()).filter(({ state }) => state === 'done').length)
      .toBe(answers.length + 1)
    const jobs = await list()
    expect(jobs.length).toBe(answers.length + 1)
    for (const { id, metadata } of jobs) if (metadata.n !== '0') expect(ids.get(Number(metadata.n))).toBe(id)
  }, 180_000)
})
