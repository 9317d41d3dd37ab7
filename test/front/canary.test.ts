/**
 * A key and a prompt are found in no log line of any level, no error, no metric and no number: over answers, refusals,
 * guards, limits, failing upstreams and requests in bad form.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

const PROMPT = 'canary-prompt-8f1d2c'
const PROVIDER_KEY = 'sk-canary-provider-77aa01'
const WRONG_KEY = 'sk-sluice-canary-wrong-5c19'

let mock: MockServer
let app: TestApp
const keys: Record<string, string> = {}
/** What clients were told of what went wrong. */
const errors: string[] = []

beforeAll(async () => {
  mock = await startMock({ port: 0 })
  const provider = { provider: 'openai-compatible', api_key: { env: 'CANARY_KEY' }, price: { input: 1_000, output: 1 } }
  app = await startTestApp(
    { bad_keys_per_minute: 1_000 },
    {
      models: [
        { name: 'dead', ...provider, base_url: 'http://127.0.0.1:1/v1' },
        { name: '*', ...provider, base_url: `${mock.url}/v1` },
      ],
      tenants: [
        { name: 'wide' },
        { name: 'guarded', guards: [{ guard: 'deny-terms', terms: [PROMPT] }] },
        { name: 'small', limits: { each_user: { tokens_per_minute: 60 } } },
        { name: 'poor', limits: { dollars_per_day: 0.000001 } },
        { name: 'cut', limits: { output_tokens_per_minute: 60, when_out: 'cut' } },
      ],
    },
    { CANARY_KEY: PROVIDER_KEY },
  )
  for (const tenant of ['wide', 'guarded', 'small', 'poor', 'cut']) keys[tenant] = (await app.addKey(tenant)).key
})
afterAll(async () => {
  await app?.stop()
  await mock?.close()
})

async function post(key: string, body: string | object, path = '/v1/chat/completions'): Promise<number> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const answer = await send(app.port, request('POST', path, { authorization: `Bearer ${key}` }, text))
  if (answer.status >= 400 || answer.body.includes('"error"')) errors.push(answer.body, JSON.stringify(answer.headers))
  return answer.status
}
const body = (model: string, more: object = {}) => ({
  model,
  messages: [{ role: 'user', content: `${PROMPT} ${keys['wide']}` }],
  ...more,
})
const operators = async (path: string): Promise<string> => {
  const got = await send(app.adminPort, request('GET', path, { authorization: `Bearer ${ADMIN_KEY}` }))
  expect(got.status).toBe(200)
  return got.body
}

it('whatever happens, neither is told', async () => {
  const { wide, guarded, small, poor, cut } = keys
  // Answers, failures before and amid text, garbage, and an upstream that is not there
  const models = ['mock-n3', 'mock-e400', 'mock-e401', 'mock-e500', 'mock-n9-k3', 'mock-n9-g3', 'mock-n9-h3', 'dead']
  const each = models.flatMap((model) => [false, true].map((stream) => post(wide, body(model, { stream }))))
  const statuses = await Promise.all(each)
  expect(statuses).toContain(200)
  expect(statuses.some((status) => status >= 500)).toBe(true)
  // Guards and limits
  expect(await post(guarded, { ...body('mock-n3'), messages: [{ role: 'user', content: PROMPT }] })).toBe(400)
  const long = [{ role: 'user', content: `${PROMPT} `.repeat(200) }]
  expect(await post(small, body('mock-n3', { user: 'ann', messages: long }))).toBe(429)
  expect(await post(poor, body('mock-n3'))).toBe(429)
  expect(await post(cut, body('mock-n500-d1', { stream: true }))).toBe(200)
  // Requests in bad form, and callers that nobody knows
  expect(await post(WRONG_KEY, body('mock-n3'))).toBe(401)
  expect(await post(wide, `{"model": "mock-n3", "messages": "${PROMPT}`)).toBe(400)
  expect(await post(wide, { model: 'mock-n3', messages: PROMPT })).toBe(400)
  expect(await post(wide, body('mock-n3', { stream: PROMPT }))).toBe(400)
  expect(await post(wide, { request: body('mock-n3'), delay_ms: PROMPT }, '/v1/jobs')).toBe(400)
  expect(await post(wide, { request: body('mock-n3') }, '/v1/jobs')).toBe(202)

  const told = {
    log: app.log.join('\n'),
    errors: errors.join('\n'),
    stats: await operators('/admin/stats'),
    metrics: await operators('/metrics'),
    deployments: await operators('/admin/deployments'),
    usage: await operators('/admin/usage?group_by=tenant,user,key,model'),
  }
  // It is logged at all, of each kind
  expect(app.log.length).toBeGreaterThan(20)
  const secrets = [PROVIDER_KEY, WRONG_KEY, ADMIN_KEY, ...Object.values(keys)]
  for (const [where, text] of Object.entries(told))
    for (const canary of [PROMPT, ...secrets]) expect(text.includes(canary), `${canary} is in ${where}`).toBe(false)
})
