/** Limits are exact over the fleet: three nodes, one bucket. Real processes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { KEY, Member } from './member.ts'

/** No lighter than what the upstream counts for any prompt: what is held is then no less than what is spent. */
const PROMPT =
  'Please tell me, in five tokens or fewer, what became of the nineteen that you always count for a prompt.'

describe.skipIf(NO_REDIS)('Redis: limits of three nodes', () => {
  let redis: RedisServer
  let mock: MockServer
  let nodes: readonly Member[]
  beforeAll(async () => {
    ;[redis, mock] = await Promise.all([RedisServer.start(), startMock({ port: 0 })])
    const price = { input: 1_000, output: 1_000 }
    const settings = {
      models: [{ name: '*', provider: 'openai-compatible', base_url: `${mock.url}/v1`, price }],
      tenants: [
        {
          name: 'default',
          limits: { each_user: { requests_per_minute: 1, burst: 33 }, each_run: { dollars_per_day: 0.24 } },
        },
      ],
      log: { level: 'silent' },
    }
    nodes = await Promise.all([1, 2, 3].map(() => Member.start({ role: 'all', redis: redis.url, settings })))
  })
  afterAll(async () => {
    await Promise.all((nodes ?? []).map((node) => node.kill()))
    await mock?.close()
    await redis?.remove()
  })

  const post = async (at: number, more: object): Promise<number> => {
    const response = await fetch(`${nodes[at % nodes.length].url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'mock-n5', max_tokens: 5, messages: [{ role: 'user', content: PROMPT }], ...more }),
    })
    await response.arrayBuffer()
    return response.status
  }
  const count = (statuses: readonly number[], status: number): number => statuses.filter((one) => one === status).length

  it('of 1,000 parallel calls on a bucket for 33 exactly 33 get through; another user has its own', async () => {
    const [ann, bob] = await Promise.all([
      Promise.all(Array.from({ length: 1_000 }, (_, i) => post(i, { user: 'ann' }))),
      Promise.all(Array.from({ length: 9 }, (_, i) => post(i, { user: 'bob' }))),
    ])
    expect([count(ann, 200), count(ann, 429), count(bob, 200)]).toEqual([33, 967, 9])
    expect(mock.stats.requests).toBe(42)
  })

  it('parallel steps of an agent on all nodes do not get past the budget of its run', async () => {
    const before = mock.stats.requests
    const steps = await Promise.all(Array.from({ length: 150 }, (_, i) => post(i, { sluice: { run: 'r' } })))
    const through = count(steps, 200)
    expect([through + count(steps, 429), mock.stats.requests - before]).toEqual([150, through])
    // 19 tokens in and 5 out, at a tenth of a cent each
    expect(through).toBeGreaterThan(0)
    expect(through * 0.024).toBeLessThanOrEqual(0.24)
  })
})
