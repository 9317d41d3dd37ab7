/**
 * What a provider allows in a minute is never exceeded, as the provider itself counts, and is used while work waits:
 * 1,000 jobs at once, from one node and from three. Deep: it takes more than a minute.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MockCall } from '../../src/mock/server.ts'
import { DEEP } from '../depth.ts'
import { type Server, startServer } from '../e2e/server.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { KEY, Member } from './member.ts'

const JOBS = 1_000
const WINDOW_MS = 60_000
/** A minute, and the beginning of the next. */
const WATCHED_MS = 72_000
const REQUESTS = 240
/** Of prompt and answer, as the provider counts them. */
const CALL_TOKENS = 19 + 5
const TOKENS = REQUESTS * CALL_TOKENS
/** No lighter than what the provider counts for any prompt. */
const PROMPT =
  'Please tell me, in five tokens or fewer, what became of the nineteen that you always count for a prompt.'

/** In a process of its own: one that submits 1,000 jobs would count late. */
interface Upstream {
  readonly url: string
  readonly child: ChildProcess
}
async function startUpstream(): Promise<Upstream> {
  const module = join(import.meta.dirname, '../../src/mock/server.ts')
  const run =
    `import { startMock } from ${JSON.stringify(module)}\n` +
    'process.stdout.write((await startMock({ port: 0, keepCalls: true })).url)'
  const child = spawn(process.execPath, ['--input-type=module', '-e', run], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [url] = (await once(child.stdout!, 'data')) as [Buffer]
  return { url: url.toString(), child }
}

const modelsOf = (mock: Upstream) =>
  [
    { name: 'requests', limits: { requests_per_minute: REQUESTS } },
    { name: 'tokens', limits: { tokens_per_minute: TOKENS } },
  ].map((one) => ({ ...one, provider: 'openai-compatible', model: 'mock-n5', base_url: `${mock.url}/v1` }))

async function submit(urls: readonly string[], model: string): Promise<void> {
  const request = { model, user: model, max_tokens: 5, messages: [{ role: 'user', content: PROMPT }] }
  const statuses = await Promise.all(
    Array.from({ length: JOBS }, async (_, i) => {
      const response = await fetch(`${urls[i % urls.length]}/v1/jobs`, {
        method: 'POST',
        headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ request, deadline_ms: 600_000 }),
      })
      await response.arrayBuffer()
      return response.status
    }),
  )
  expect(statuses.filter((status) => status !== 202)).toEqual([])
}

/** When calls began, in order. */
async function startsOf(mock: Upstream, model: string): Promise<readonly number[]> {
  const calls = (await (await fetch(`${mock.url}/calls`)).json()) as readonly MockCall[]
  return calls
    .filter((call) => call.user === model)
    .map(({ startMs }) => startMs)
    .sort((a, b) => a - b)
}

/** The most calls in any window. */
function mostIn(starts: readonly number[]): number {
  let most = 0
  for (let to = 0, from = 0; to < starts.length; to++) {
    while (starts[to] - starts[from] >= WINDOW_MS) from++
    most = Math.max(most, to - from + 1)
  }
  return most
}

async function watch(urls: readonly string[], mock: Upstream): Promise<void> {
  const models = ['requests', 'tokens']
  await Promise.all(models.map((model) => submit(urls, model)))
  await new Promise((done) => setTimeout(done, WATCHED_MS))
  for (const model of models) {
    const starts = await startsOf(mock, model)
    expect(mostIn(starts), model).toBeLessThanOrEqual(REQUESTS)
    const first = starts.filter((at) => at < starts[0] + WINDOW_MS - 1_000).length
    expect(first, `${model}, in the first minute`).toBeGreaterThanOrEqual(0.9 * REQUESTS)
    // The first minute's come back as the second begins
    expect(starts.length, `${model}, in all`).toBeGreaterThanOrEqual(1.8 * REQUESTS)
  }
  const { refused } = (await (await fetch(`${mock.url}/stats`)).json()) as { readonly refused: number }
  expect(refused).toBe(0)
}

describe.skipIf(!DEEP)('what a provider allows in a minute', () => {
  let mocks: readonly Upstream[]
  let server: Server
  let redis: RedisServer | null = null
  let nodes: readonly Member[] = []
  beforeAll(async () => {
    mocks = await Promise.all([1, 2].map(startUpstream))
    server = await startServer(JSON.stringify({ models: modelsOf(mocks[0]), log: { level: 'warn' } }))
    if (NO_REDIS) return
    const started = await RedisServer.start()
    redis = started
    const settings = { models: modelsOf(mocks[1]), log: { level: 'silent' } }
    nodes = await Promise.all([1, 2, 3].map(() => Member.start({ role: 'all', redis: started.url, settings })))
  })
  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.kill()))
    await server?.stop()
    for (const { child } of mocks ?? []) child.kill('SIGKILL')
    await redis?.remove()
  })

  it.concurrent('is kept to and used, from one node', () => watch([server.url], mocks[0]))
  it.concurrent('is kept to and used, from three', async ({ skip }) => {
    if (NO_REDIS) skip()
    await watch(
      nodes.map(({ url }) => url),
      mocks[1],
    )
  })
})
