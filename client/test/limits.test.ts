/** What a client is told of limits, over both transports, and what it does about it. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../../test/front/app.ts'
import { type ConnectOptions, connect, type JobRequest, type Sluice, SluiceError } from '../src/index.ts'

let app: TestApp
const keys: Record<string, string> = {}
const clients: Sluice[] = []

const TENANTS = {
  roomy: { requests_per_minute: 1_000_000 },
  /** 400 tokens at once. */
  small: { tokens_per_minute: 800, burst: 0.5 },
  /** One request at once. */
  quick: { requests_per_minute: 4, burst: 0.25 },
  narrow: { concurrent: 1 },
  stingy: { output_tokens_per_minute: 12_000, burst: 0.001, when_out: 'cut' },
}

beforeAll(async () => {
  app = await startTestApp({}, { tenants: Object.entries(TENANTS).map(([name, limits]) => ({ name, limits })) })
  for (const name of Object.keys(TENANTS)) keys[name] = (await app.addKey(name)).key
})
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
})
afterAll(() => app?.stop())

const ask = (content: string, more: Partial<JobRequest> = {}): JobRequest => ({
  request: { model: 'demo', messages: [{ role: 'user', content }] },
  ...more,
})

describe.each(['websocket', 'sse'] as const)('over %s', (transport) => {
  function open(tenant: string, more: Partial<ConnectOptions> = {}): Sluice {
    const client = connect({ url: `http://127.0.0.1:${app.port}`, key: keys[tenant], transport, ...more })
    clients.push(client)
    return client
  }

  it('an accepted job tells what is left', async () => {
    const job = open('roomy').submit(ask('Hi. demo: tokens=3 delay=1 ttft=1'))
    const { limits } = await job.accepted
    expect(limits).toMatchObject([{ level: 'tenant', unit: 'requests', limit: 1_000_000 }])
    expect((await job.answer()).cut).toBeNull()
  })

  it('what can never fit fails at once, with the limit, and is not sent again', async () => {
    const job = open('small').submit(ask('A long story of rivers. '.repeat(200)))
    const error = await job.answer().catch((thrown: unknown) => thrown as SluiceError)
    expect(error).toBeInstanceOf(SluiceError)
    expect(error).toMatchObject({
      code: 'rate_limit_exceeded',
      retryable: false,
      limit: { level: 'tenant', unit: 'tokens', limit: 400, reset_ms: null },
    })
  })

  it('one that may not wait fails at once, and tells when there is room', async () => {
    const client = open('quick')
    const jobs = Array.from({ length: 4 }, (_, i) =>
      client.submit(ask(`Hi ${i}. demo: tokens=3 delay=1 ttft=1`, { policy: 'reject' })),
    )
    const ends = await Promise.all(jobs.map((job) => job.answer().catch((thrown: unknown) => thrown)))
    const refused = ends.find((end) => end instanceof SluiceError) as SluiceError
    expect(refused).toMatchObject({ code: 'rate_limit_exceeded', limit: { unit: 'requests', limit: 1 } })
    expect(refused.retryAfterMs).toBeGreaterThanOrEqual(refused.limit!.reset_ms!)
  })

  it('one in line tells what it waits for', async () => {
    const client = open('narrow')
    const first = client.submit(ask('Hi. demo: tokens=400 delay=20 ttft=1'))
    await first.accepted
    await expect.poll(() => first.text).not.toBe('')
    const second = client.submit(ask('Hi. demo: tokens=3 delay=1 ttft=1'))
    await second.accepted
    expect(second.queue).toMatchObject({ waiting_for: { level: 'tenant', unit: 'running', reset_ms: null } })
    await first.cancel()
    expect((await second.answer()).cut).toBeNull()
  })

  it('an answer that was cut tells by which limit', async () => {
    const job = open('stingy').submit(ask('Hi. demo: tokens=4000 delay=4 ttft=1'))
    expect(await job.answer()).toMatchObject({ cut: { level: 'tenant', unit: 'output_tokens', limit: 12 } })
  })
})
