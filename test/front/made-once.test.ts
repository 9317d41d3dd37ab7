/** Batches and webhooks are made once, however often an SDK or a program sends their request. */
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'

let app: TestApp
let file: string
beforeAll(async () => {
  app = await startTestApp({}, { webhooks: { allow: ['127.0.0.1'], max_per_tenant: 20 } })
  const openai = new OpenAI({ baseURL: `http://127.0.0.1:${app.port}/v1`, apiKey: app.key })
  const body = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=2' }] }
  const line = JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body })
  file = (await openai.files.create({ file: await toFile(Buffer.from(line), 'in.jsonl'), purpose: 'batch' })).id
})
afterAll(() => app?.stop())

type Told = readonly [status: number, body: Record<string, any>]
async function post(path: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<Told> {
  const response = await fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return [response.status, (await response.json()) as Record<string, any>]
}
const asked = (name: string) => ({
  path: '/v1/batches',
  body: {
    ...{ input_file_id: file, endpoint: '/v1/chat/completions', completion_window: '24h' },
    metadata: { name },
  },
})
const hook = (name: string) => ({ path: '/v1/webhooks', body: { url: 'http://127.0.0.1:9/hook', name } })
const repeat = { 'x-stainless-retry-count': '1' }

it.each([
  ['batch', asked],
  ['webhook', hook],
])('a %s under an idempotency key', async (_, of) => {
  const { path, body } = of('keyed')
  const key = { 'idempotency-key': 'night-1' }
  // At once: whoever is second gets what the first one made
  const all = await Promise.all(Array.from({ length: 5 }, () => post(path, body, key)))
  all.push(await post(path, body, { 'sluice-idempotency-key': 'night-1' }))
  expect(all.map(([status]) => status)).toEqual(all.map(() => 200))
  expect(new Set(all.map(([, { id }]) => id)).size).toBe(1)
  expect(new Set(all.map(([, { secret }]) => secret)).size).toBe(1)
  const [status, { error }] = await post(path, of('another').body, key)
  expect([status, error.code]).toEqual([422, 'idempotency_conflict'])
  expect((await post(path, body, { 'idempotency-key': 'night-2' }))[1].id).not.toBe(all[0][1].id)
})

it.each([
  ['batch', asked],
  ['webhook', hook],
])('a %s that an SDK asks for again', async (_, of) => {
  const { path, body } = of('repeated')
  const [, first] = await post(path, body, { 'x-stainless-retry-count': '0' })
  expect((await post(path, body, repeat))[1].id).toBe(first.id)
  expect((await post(path, of('other').body, repeat))[1].id).not.toBe(first.id)
  // Not a repeat: it is wanted twice
  const [, second] = await post(path, body, { 'x-stainless-retry-count': '0' })
  expect(second.id).not.toBe(first.id)
  expect((await post(path, body, repeat))[1].id).toBe(second.id)
  // The first try is on its way still
  const late = of('both at once').body
  const both = await Promise.all([post(path, late), post(path, late, repeat)])
  expect(both.map(([status]) => status)).toEqual([200, 200])
})

it('refuses headers that would do nothing', async () => {
  const { path, body } = asked('run')
  const [status, { error }] = await post(path, body, { 'sluice-run': 'nightly' })
  expect([status, error.param]).toEqual([400, 'sluice-run'])
  expect(error.message).toContain('give each line its options')
  for (const wrong of [{ path, body }, hook('run'), { path: '/v1/files', body }]) {
    const [refused, told] = await post(wrong.path, wrong.body, { 'sluice-rum': 'nightly' })
    expect([wrong.path, refused, told['error'].param]).toEqual([wrong.path, 400, 'sluice-rum'])
  }
})
