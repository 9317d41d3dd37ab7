/** A loop that spends its tenant's budget too fast is stopped, told why, and let in again by a reload. */
import { afterEach, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { type Answer, chat, request, send } from './wire.ts'

let app: TestApp
afterEach(() => app?.stop())

/** A thousandth of a dollar a token; the budget's pace is 10 cents an hour. */
const models = [
  { name: 'demo', provider: 'demo', price: { input: 0, output: 1_000 } },
  { name: 'free', provider: 'demo' },
]
const settings = (velocity: object) => ({
  models,
  limits: { each_tenant: { dollars_per_month: 72, velocity: { trip: true, ...velocity } } },
})
const post = (path: string, body: object, key: string): Promise<Answer> =>
  send(app.port, request('POST', path, { authorization: `Bearer ${key}` }, JSON.stringify(body)))
const work = (model = 'demo') => ({ ...chat('demo: tokens=100 delay=1 ttft=1'), model, max_tokens: 100 })
const ask = (key = app.key, model = 'demo') => post('/v1/chat/completions', work(model), key)
const read = async (path: string): Promise<any> => {
  const { body } = await send(app.port, request('GET', path, { authorization: `Bearer ${app.key}` }))
  return JSON.parse(body)
}

it('is refused after six hours’ worth, while others go on; its jobs wait until it is reset', async () => {
  app = await startTestApp({}, settings({}))
  const other = await app.addKey('other')
  const answers: Answer[] = []
  do answers.push(await ask())
  while (answers.at(-1)!.status === 200)
  expect(answers).toHaveLength(8)
  const refused = answers.at(-1)!
  expect([refused.status, refused.code, refused.headers['x-should-retry']]).toEqual([429, 'spend_velocity', 'false'])
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(500)
  const { error } = JSON.parse(refused.body)
  expect(error).toMatchObject({
    type: 'rate_limit_error',
    message: expect.stringMatching(/your account is spent many times too fast.*for another (9m|10m)/),
    limit: { level: 'tenant', unit: 'spend_velocity', limit: 600_000_000, remaining: 0 },
  })
  expect([(await ask(other.key)).status, (await ask(app.key, 'free')).status]).toEqual([200, 200])
  const { id } = JSON.parse((await post('/v1/jobs', { request: work() }, app.key)).body)
  await expect.poll(async () => (await read(`/v1/jobs/${id}`)).state).toBe('waiting')
  const tripped = app.log.filter((line) => line.startsWith('money is spent too fast'))
  expect(tripped).toHaveLength(1)
  expect(tripped[0]).toContain('"tenant":"default","name":null,"limit_level":"tenant","cool_down_ms":600000')
  const headers = { authorization: `Bearer ${ADMIN_KEY}` }
  const stats = JSON.parse((await send(app.adminPort, request('GET', '/admin/stats', headers))).body)
  expect(stats).toMatchObject({ velocity_trips: 1, limit_refusals_of_spend_velocity: 1 })

  await app.reload(settings({ hour: 12 }))
  await expect.poll(async () => (await read(`/v1/jobs/${id}`)).state).toBe('done')
  expect((await ask()).status).toBe(200)
})

it('lets one in when it has cooled down, and no more while it is still too fast', async () => {
  app = await startTestApp({}, settings({ cool_down_ms: '1s' }))
  let answer: Answer
  do answer = await ask()
  while (answer.status === 200)
  expect([answer.code, answer.headers['x-should-retry']]).toEqual(['spend_velocity', 'true'])
  await expect.poll(async () => (await ask()).status, { interval: 100 }).toBe(200)
  expect((await ask()).code).toBe('spend_velocity')
})
