/** The operator's numbers: all of them declared and documented, and right after some work. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app?.stop())

interface Histogram {
  readonly count: number
  readonly sum: number
  readonly max: number
  readonly p50: number
  readonly p99: number
  readonly buckets: ReadonlyArray<readonly [number | null, number]>
}
type Stats = Record<string, number> & { readonly kinds: Record<string, string> }

async function stats(): Promise<Stats> {
  const { body } = await send(app.adminPort, request('GET', '/admin/stats', { authorization: `Bearer ${ADMIN_KEY}` }))
  return JSON.parse(body) as Stats
}
const histogramOf = (all: Stats, name: string): Histogram => all[name] as unknown as Histogram

it('each number has a kind, a value of that kind, and a line in docs/operations.md', async () => {
  const all = await stats()
  const { kinds, ...numbers } = all
  const documented = readFileSync('docs/operations.md', 'utf8')
  expect(Object.keys(kinds).sort()).toEqual(Object.keys(numbers).sort())
  for (const [name, kind] of Object.entries(kinds)) {
    expect(documented).toContain(`\`${name}\``)
    if (kind === 'histogram') {
      const { count, sum, max, p50, p99, buckets } = histogramOf(all, name)
      for (const value of [count, sum, max, p50, p99]) expect(value).toBeGreaterThanOrEqual(0)
      expect(buckets.reduce((total, [, times]) => total + times, 0)).toBe(count)
    } else {
      expect(['counter', 'gauge']).toContain(kind)
      expect(numbers[name]).toBeGreaterThanOrEqual(0)
    }
  }
})

it('tells of a job and its request, of a refusal, and nothing twice', async () => {
  const before = await stats()
  const post = (model: string) =>
    send(
      app.port,
      request(
        'POST',
        '/v1/chat/completions',
        { authorization: `Bearer ${app.key}` },
        JSON.stringify({ model, max_tokens: 8, messages: [{ role: 'user', content: 'Hello' }] }),
      ),
    )
  expect((await post('demo')).status).toBe(200)
  expect((await post('none')).status).toBe(404)
  const grown = async (): Promise<Record<string, number>> => {
    const after = await stats()
    const names = Object.keys(after.kinds).filter((name) => after.kinds[name] === 'counter')
    return {
      ...Object.fromEntries(names.map((name) => [name, after[name] - before[name]])),
      total: histogramOf(after, 'job_total_ms').count - histogramOf(before, 'job_total_ms').count,
    }
  }
  // Each reading is a request too, and told once it ended
  await expect.poll(async () => (await grown())['requests']).toBeGreaterThanOrEqual(3)
  expect(await grown()).toMatchObject({
    requests_refused: 1,
    jobs_submitted: 1,
    jobs_joined: 0,
    jobs_refused: 0,
    jobs_done: 1,
    attempts: 1,
    attempts_failed: 0,
    completion_tokens: 8,
    total: 1,
  })
})
