/** The operator's numbers: all of them declared and documented, and right after some work. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
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
  const nameOf = (series: string): string => series.replace(/\{.*/, '')
  expect(Object.keys(kinds).sort()).toEqual([...new Set(Object.keys(numbers).map(nameOf))].sort())
  for (const name of Object.keys(numbers)) {
    const kind = kinds[nameOf(name)]
    expect(documented).toContain(`\`${nameOf(name)}\``)
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
    jobs_refused: 1,
    jobs_done: 1,
    attempts: 1,
    attempts_failed: 0,
    completion_tokens: 8,
    total: 1,
  })
})

/** `request-ended`, of the requests whose id begins so. */
const ended = (id: string): ReadonlyArray<Record<string, unknown>> =>
  app.log
    .filter((line) => line.includes('"request-ended"') && line.includes(`"requestId":"${id}`))
    .map((line) => JSON.parse(line.slice(line.indexOf('{'))) as Record<string, unknown>)

it('tells of each request once, also of those whose client leaves', async () => {
  const head = (n: number, method: string, target: string, length: number): string =>
    `${method} ${target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${app.key}\r\n` +
    `x-request-id: leaves-${n}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`
  const slow = JSON.stringify({
    model: 'demo',
    stream: true,
    messages: [{ role: 'user', content: 'demo: tokens=500 delay=50' }],
  })
  const socket = connect(app.port, '127.0.0.1')
  // One whose answer is cut, two that wait for it, one whose body never comes
  socket.write(head(1, 'POST', '/v1/chat/completions', slow.length) + slow)
  socket.write(head(2, 'GET', '/v1/models', 0) + head(3, 'GET', '/v1/jobs', 0) + head(4, 'POST', '/v1/jobs', 99))
  await new Promise((done) => socket.once('data', done))
  socket.destroy()
  await expect.poll(() => ended('leaves-').length).toBe(4)
  const told = ended('leaves-')
  expect(told.map(({ requestId }) => requestId).sort()).toEqual(['leaves-1', 'leaves-2', 'leaves-3', 'leaves-4'])
  for (const { complete } of told) expect(complete).toBe(false)
  expect(told.find(({ requestId }) => requestId === 'leaves-1')).toMatchObject({ status: 200, code: null })
})
