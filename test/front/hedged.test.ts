/** Hedged calls over HTTP, against upstreams that keep their own ledger: what the client sees, and what was booked. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type MockCall, type MockServer, startMock } from '../../src/mock/server.ts'
import type { Booked } from '../ledger/judge.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'

/** The scripts of a model's two deployments: with "-f" the first text comes after so many ms. */
const MODELS: Readonly<Record<string, readonly [string, string]>> = {
  quick: ['mock-n5', 'mock-n7'],
  slow: ['mock-n5-f8000', 'mock-n7'],
  late: ['mock-n5-f700', 'mock-n7-f9000'],
  fails: ['mock-e500-f400', 'mock-n7-f600'],
  worse: ['mock-n5-f900', 'mock-e500'],
  both: ['mock-e500-f400', 'mock-e500-f600'],
  hangs: ['mock-n5-f30000', 'mock-n7-f30000'],
}
const PROMPT = 19

let app: TestApp
let mock: MockServer

beforeAll(async () => {
  mock = await startMock({ port: 0, keepCalls: true })
  const models = Object.entries(MODELS).flatMap(([name, scripts]) =>
    scripts.map((model, order) => ({
      ...{ name, deployment: `${name}-${order}`, provider: 'openai-compatible', base_url: `${mock.url}/v1` },
      ...{ model, order, price: { input: 1, output: 2 }, hedge: { after: '150ms' } },
    })),
  )
  app = await startTestApp({}, { models, queue: { max_attempts: 1 } })
})
afterAll(async () => {
  await app?.stop()
  await mock?.close()
})

const post = (path: string, key: string, body: object): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  })
const messages = [{ role: 'user', content: 'hello' }]
const operators = async (path: string): Promise<string> =>
  (
    await fetch(`http://127.0.0.1:${app.adminPort}${path}`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
  ).text()

async function booked(tenant: string): Promise<readonly (Booked & { readonly deployment: string })[]> {
  const { data } = JSON.parse(await operators(`/admin/usage/records?tenant=${tenant}`))
  return data.toSorted((a: Booked, b: Booked) => Number(a.hedge) - Number(b.hedge))
}
const short = (records: Awaited<ReturnType<typeof booked>>) =>
  records.map(({ deployment, end, hedge, completion_tokens: tokens }) => [deployment, end, tokens, hedge])

const callsOf = async (user: string): Promise<readonly MockCall[]> =>
  ((await (await fetch(`${mock.url}/calls`)).json()) as MockCall[]).filter((call) => call.user === user)

/** Each call is booked once, under its name, with the tokens that its upstream counted. */
async function expectEqual(tenant: string): Promise<void> {
  const records = await booked(tenant)
  const nameOf = ({ job, attempt, hedge }: Booked): string => `${job}.${attempt}${hedge ? '.hedge' : ''}`
  const ours = records.map((each) => [nameOf(each), each.prompt_tokens > 0, each.completion_tokens])
  const theirs = (await callsOf(tenant)).map(({ id, promptTokens, tokens }) => [id, promptTokens > 0, tokens])
  expect(ours.toSorted()).toEqual(theirs.toSorted())
  const { total } = JSON.parse(await operators(`/admin/usage?tenant=${tenant}`))
  expect(total.nano_dollars).toBe(records.reduce((sum, { nano_dollars: cost }) => sum + (cost ?? NaN), 0))
}

async function ask(model: string) {
  const { key } = await app.addKey(model)
  const text = await (await post('/v1/chat/completions', key, { model, messages, stream: true, user: model })).text()
  const datas = text.startsWith('{')
    ? [JSON.parse(text)]
    : [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data))
  const ids = new Set(datas.filter(({ choices }) => choices !== undefined).map(({ id }) => id))
  const tokens = text.match(/ tok\d+/g) ?? []
  return { tokens, ids, code: datas.find(({ error }) => error !== undefined)?.error.code ?? null }
}
const inOrder = (n: number) => Array.from({ length: n }, (_, i) => ` tok${String(i).padStart(6, '0')}`)

it('one that is quick has one call', async () => {
  expect((await ask('quick')).tokens).toEqual(inOrder(5))
  expect(short(await booked('quick'))).toEqual([['quick-0', 'done', 5, false]])
  await expectEqual('quick')
})

it('the first one is slow: the second answers, and both are booked', async () => {
  const { tokens, ids } = await ask('slow')
  expect([tokens, ids.size]).toEqual([inOrder(7), 1])
  const records = await booked('slow')
  expect(short(records)).toEqual([
    ['slow-0', 'outrun', 0, false],
    ['slow-1', 'done', 7, true],
  ])
  expect(records[1]).toMatchObject({ prompt_tokens: PROMPT, estimated: false })
  expect(records[0].estimated).toBe(true)
  await expectEqual('slow')
  // Its connection is closed at once, not when it would have answered
  const lost = async () => (await callsOf('slow')).find(({ tokens: made }) => made === 0)!
  while ((await lost()).endMs === null) await sleep(20)
  const { startMs, endMs } = await lost()
  expect(endMs! - startMs).toBeLessThan(7_000)
})

it('both are slow: the first one was only a little, and answers', async () => {
  expect((await ask('late')).tokens).toEqual(inOrder(5))
  expect(short(await booked('late'))).toEqual([
    ['late-0', 'done', 5, false],
    ['late-1', 'outrun', 0, true],
  ])
  await expectEqual('late')
})

it.each([
  ['fails', 7, ['failed', 'done']],
  ['worse', 5, ['done', 'failed']],
] as const)('one of them fails (%s): nobody sees it, and no attempt is used up', async (model, tokens, ends) => {
  expect((await ask(model)).tokens).toEqual(inOrder(tokens))
  const records = await booked(model)
  expect(records.map(({ end }) => end)).toEqual(ends)
  expect(records.find(({ end }) => end === 'failed')).toMatchObject({ prompt_tokens: 0, nano_dollars: 0 })
  await expectEqual(model)
})

it('both fail: the client is told, and nothing is charged', async () => {
  expect(await ask('both')).toMatchObject({ tokens: [], code: 'provider_error' })
  expect(short(await booked('both'))).toEqual([
    ['both-0', 'failed', 0, false],
    ['both-1', 'failed', 0, true],
  ])
  await expectEqual('both')
})

it('canceled while both run: both are stopped, and booked', async () => {
  const { key } = await app.addKey('hangs')
  const job = { request: { model: 'hangs', messages, user: 'hangs', stream: true } }
  const { id } = (await (await post('/v1/jobs', key, job)).json()) as { id: string }
  while ((await callsOf('hangs')).length < 2) await sleep(20)
  await (await post(`/v1/jobs/${id}/cancel`, key, {})).text()
  while ((await booked('hangs')).length < 2) await sleep(20)
  expect(short(await booked('hangs'))).toEqual([
    ['hangs-0', 'canceled', 0, false],
    ['hangs-1', 'canceled', 0, true],
  ])
  await expectEqual('hangs')
  while ((await callsOf('hangs')).some(({ endMs }) => endMs === null)) await sleep(20)
})

it('a client that wants one document gets it from one call', async () => {
  const { key } = await app.addKey('plain')
  const answer = await (await post('/v1/chat/completions', key, { model: 'late', messages, user: 'plain' })).json()
  expect((answer as any).choices[0].message.content).toContain('tok000004')
  expect(short(await booked('plain'))).toEqual([['late-0', 'done', 5, false]])
})
