/** Where the time went, as each answer tells it: header, comment, and the job's timing. */
import { type IncomingMessage, request as post } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { joined, readServerTiming } from '../../src/bench/server-timing.ts'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

let mock: MockServer
let app: TestApp
beforeAll(async () => {
  mock = await startMock({ port: 0 })
  app = await startTestApp(
    {},
    { models: [{ name: '*', provider: 'openai-compatible', base_url: `${mock.url}/v1`, limits: { concurrent: 1 } }] },
  )
})
afterAll(async () => {
  await app?.stop()
  await mock?.close()
})

const ask = (path: string, body: object) =>
  send(app.port, request('POST', path, { authorization: `Bearer ${app.key}` }, JSON.stringify(body)))
const get = (path: string, more: Record<string, string> = {}) =>
  send(app.port, request('GET', path, { authorization: `Bearer ${app.key}`, ...more }))
const chat = (model: string, more: object = {}) => ({ model, messages: [{ role: 'user', content: 'hi' }], ...more })
const sumOf = (parts: object): number => Object.values(parts as Record<string, number>).reduce((sum, ms) => sum + ms, 0)

it('each answer tells how long it took, a refusal, too', async () => {
  for (const answer of [await get('/v1/models'), await get('/v1/none'), await ask('/v1/chat/completions', {})]) {
    const { total } = readServerTiming(String(answer.headers['server-timing']))
    expect(total).toBeGreaterThanOrEqual(0)
  }
})

it('a document tells all of its time, as its job does', async () => {
  const answer = await ask('/v1/chat/completions', chat('mock-n5-d1'))
  const { parts = {}, total = 0 } = readServerTiming(String(answer.headers['server-timing']))
  expect(Object.keys(parts)).toHaveLength(6)
  expect(sumOf(parts)).toBeLessThanOrEqual(total + 0.1)
  const job = JSON.parse((await get(`/v1/jobs/${answer.headers['sluice-job']}`)).body) as {
    timing: { ttft_ms: number | null; total_ms: number; ttft: Record<string, number> }
  }
  const { admission_ms, ...rest } = job.timing.ttft
  // All of it came at once: no first token, but where its time went
  expect(job.timing.ttft_ms).toBeNull()
  expect(sumOf(rest)).toBeGreaterThan(0)
  expect(sumOf(rest)).toBeLessThanOrEqual(job.timing.total_ms + 0.1)
  expect(admission_ms).toBeGreaterThan(0)
  expect(rest).not.toHaveProperty('delivery_ms')
})

it('what a client takes to send its body is no admission, and no part of the first token', async () => {
  const body = JSON.stringify(chat('mock-n3-d1', { stream: true }))
  const { port, key } = app
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    const sent = post({ port, method: 'POST', path: '/v1/chat/completions', headers }, resolve).on('error', reject)
    sent.flushHeaders()
    setTimeout(() => sent.end(body), 400)
  })
  answer.resume()
  const timing = String(answer.headers['server-timing'])
  const { parts = {}, total = 0 } = readServerTiming(timing)
  const upload = Number(/upload;dur=([\d.]+)/.exec(timing)?.[1])
  expect(upload).toBeGreaterThan(300)
  expect(sumOf(parts) + upload).toBeLessThanOrEqual(total + 0.1)
  expect(parts.admission).toBeLessThan(300)
})

it('a job that is submitted has all of it, too, and the request that it came with', async () => {
  const submitted = await ask('/v1/jobs', { request: chat('mock-n3-d1') })
  const { id } = JSON.parse(submitted.body) as { id: string }
  const job = JSON.parse((await get(`/v1/jobs/${id}?wait_ms=20000`)).body) as { timing: { ttft: object } }
  expect(sumOf(job.timing.ttft)).toBeGreaterThan(0)
  const line = app.log.find((one) => one.startsWith('job done') && one.includes(id))
  expect(line).toContain(`"request_id":"${submitted.headers['x-request-id']}"`)
})

it('a stream tells what is known with its headers, and all of it in a comment of its last event', async () => {
  const answer = await ask('/v1/chat/completions', chat('mock-n9-d5', { stream: true }))
  const { parts: first = {}, total = 0 } = readServerTiming(String(answer.headers['server-timing']))
  expect(sumOf(first)).toBeLessThanOrEqual(total + 0.1)
  expect(first.delivery).toBeGreaterThan(0)
  const [, comment] = /\n\n: server-timing ([^\n]*)\nid: [^\n]*\ndata: \[DONE\]\n\n$/.exec(answer.body) ?? []
  const { parts, tpot = 0 } = readServerTiming(comment)
  const { delivery: _, ...ofJob } = first
  expect(parts).toEqual(ofJob)
  // Whoever reads both knows its own delivery
  expect(joined(readServerTiming(String(answer.headers['server-timing'])), { parts }).parts).toEqual(first)
  expect(tpot).toBeGreaterThan(1)
  // Whoever resumes reads the same
  const again = await get(String(answer.headers['location']).replace(/^https?:\/\/[^/]*/, ''))
  expect(again.body.slice(again.body.indexOf('\n\n: server-timing '))).toBe(
    answer.body.slice(answer.body.indexOf('\n\n: server-timing ')),
  )
})

it('what waits for a slot has waited in line, not at the model', async () => {
  const first = ask('/v1/chat/completions', chat('mock-n60-d10', { stream: true }))
  const leased = async (): Promise<number> => JSON.parse((await get('/v1/jobs?state=leased')).body).data.length
  await expect.poll(leased).toBe(1)
  const waited = await ask('/v1/chat/completions', chat('mock-n2-d1', { stream: true }))
  const slow = await first
  const partsOf = (answer: typeof slow) => readServerTiming(String(answer.headers['server-timing'])).parts!
  expect(partsOf(waited).queue).toBeGreaterThan(100)
  expect(partsOf(waited).upstream).toBeLessThan(partsOf(waited).queue!)
  expect(partsOf(slow).queue).toBeLessThan(partsOf(waited).queue!)
})

it('what waits for the job before it in its lane tells so, apart from the line', async () => {
  const submit = async (model: string): Promise<string> =>
    JSON.parse((await ask('/v1/jobs', { request: chat(model, { stream: true }), lane: 'typed-ahead' })).body).id
  const [, second] = [await submit('mock-n60-d10'), await submit('mock-n5-d1')]
  const { timing } = JSON.parse((await get(`/v1/jobs/${second}?wait_ms=20000`)).body)
  expect(timing.turn_ms).toBeGreaterThan(300)
  expect(timing.ttft.turn_ms).toBe(timing.turn_ms)
  expect(timing.ttft.queue_ms).toBeLessThan(timing.turn_ms)
  expect(timing.turn_ms + timing.ttft.queue_ms).toBeCloseTo(timing.queued_ms, 1)
  const { admission_ms: _, ...after } = timing.ttft
  expect(sumOf(after)).toBeCloseTo(timing.ttft_ms, 0)
  const stream = await get(`/v1/jobs/${second}/events?dialect=chat`)
  const [, comment] = /\n\n: server-timing ([^\n]*)\n/.exec(stream.body) ?? []
  expect(readServerTiming(comment).parts?.turn).toBeCloseTo(timing.turn_ms, 1)
  // One that waited for nobody tells none
  const alone = await ask('/v1/chat/completions', chat('mock-n2-d1'))
  expect(String(alone.headers['server-timing'])).not.toContain('turn;')
})
