/** A batch on a server that is stopped or dies, and the webhook that tells its end: signed, as the docs say. */
import OpenAI, { toFile } from 'openai'
import { afterEach, describe, expect, it } from 'vitest'
import { call } from '../e2e/fleet.ts'
import { type RestartBy, type Server, startServer } from '../e2e/server.ts'
import { type Receiver, startReceiver } from '../front/receiver.ts'
import { linesIn } from './lines.ts'

type Body = Record<string, any>
const CONFIG = `
models: [{ name: demo, provider: demo }]
webhooks: { allow: [127.0.0.1] }
workers: { drain_ms: 500ms }
`
const LINES = 120

const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** A server, and a receiver of all events, of which lines of batches are none. */
async function started(env: Record<string, string> = {}) {
  const server = await startServer(CONFIG, env)
  undo.push(() => server.stop())
  const hooks = await received()
  const made = await call(server.url, '/v1/webhooks', { body: { url: `${hooks.url}/b` } })
  const { secret } = (await made.json()) as Body
  const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.key, webhookSecret: secret, maxRetries: 20 })
  return { server, hooks, openai }
}

async function received(port?: number): Promise<Receiver> {
  const one = await startReceiver(port)
  undo.push(() => one.close())
  return one
}

/** Every tenth of its lines is of a model that is not there; `ms`: how long each of the others takes. */
async function begun(openai: OpenAI, count: number, ms: number): Promise<string> {
  const lines = Array.from({ length: count }, (_, n) => {
    const messages = [{ role: 'user', content: `demo: tokens=2 delay=1 ttft=${ms} seed=${n}` }]
    const body = { model: n % 10 === 9 ? 'nobody' : 'demo', messages }
    return JSON.stringify({ custom_id: `r-${n}`, method: 'POST', url: '/v1/chat/completions', body })
  })
  const input = await openai.files.create({ file: await toFile(Buffer.from(lines.join('\n')), 'in'), purpose: 'batch' })
  const batch = { input_file_id: input.id, endpoint: '/v1/chat/completions', completion_window: '24h' } as const
  return (await openai.batches.create(batch)).id
}

async function filesOf(openai: OpenAI, id: string) {
  const batch = await openai.batches.retrieve(id)
  const read = async (file: string | null | undefined) =>
    file == null ? [] : linesIn(await (await openai.files.content(file)).text())
  return { batch, done: await read(batch.output_file_id), failed: await read(batch.error_file_id) }
}

const completed = (openai: OpenAI, id: string): Promise<void> =>
  expect
    .poll(async () => (await openai.batches.retrieve(id)).status, { timeout: 120_000, interval: 100 })
    .toBe('completed')

/** Each line has one job, and one line in one of the files. */
async function expectEachOnce({ url }: Server, openai: OpenAI, id: string, count: number): Promise<void> {
  const { batch, done, failed } = await filesOf(openai, id)
  const bad = count / 10
  expect(batch.request_counts).toEqual({ total: count, completed: count - bad, failed: bad })
  const names = [...done, ...failed].map(({ custom_id }) => custom_id)
  expect(names.sort()).toEqual(Array.from({ length: count }, (_, n) => `r-${n}`).sort())
  const jobs = (await (await call(url, '/v1/jobs?limit=1000')).json()) as { data: readonly { id: string }[] }
  expect(done.map(({ response }) => response!.request_id).sort()).toEqual(jobs.data.map((job) => job.id).sort())
}

/** It came once, or again under the same id; and it is signed. */
async function expectTold(hooks: Receiver, openai: OpenAI, id: string): Promise<void> {
  await expect.poll(() => hooks.came.length, { timeout: 60_000 }).toBeGreaterThan(0)
  expect(new Set(hooks.came.map((one) => one.id)).size).toBe(1)
  for (const { body, headers } of hooks.came) {
    const event = await openai.webhooks.unwrap(body, headers)
    expect(event).toEqual({
      ...{ id: headers['webhook-id'], object: 'event', created_at: expect.any(Number) },
      ...{ type: 'batch.completed', data: { id } },
    })
    await expect(openai.webhooks.unwrap(body.replace('completed', 'failed'), headers)).rejects.toThrow()
  }
}

describe('a batch', () => {
  it.each<RestartBy>([{ signal: 'SIGTERM' }, { signal: 'SIGKILL' }])(
    'in whose middle its server gets a $signal goes on with the next, each line once, and is told once',
    async (by) => {
      const { server, hooks, openai } = await started()
      const id = await begun(openai, LINES, 100)
      const before = await (async () => {
        for (;;) {
          const { batch, done } = await filesOf(openai, id)
          expect(batch.status).not.toBe('completed')
          if (done.length >= LINES / 4) return done.length
        }
      })()
      await server.restart(by)
      // What was told is not taken back
      const { batch, done } = await filesOf(openai, id)
      expect(['in_progress', 'finalizing', 'completed']).toContain(batch.status)
      expect(done.length).toBeGreaterThanOrEqual(before)
      await completed(openai, id)
      await expectEachOnce(server, openai, id, LINES)
      await expectTold(hooks, openai, id)
      expect(hooks.came).toHaveLength(1)
    },
  )
})

describe('the end of a batch is told', () => {
  it.each([
    { dies: 'before it is stored that it will be told', at: 'batch-before-end:1' },
    { dies: 'when that is stored, and its end is not', at: 'batch-in-end:1' },
    // The process hears of the ends of 9 jobs, too
    { dies: 'before the first post', at: 'before-telling:10' },
  ])('where its server dies $dies', async ({ at }) => {
    const { server, hooks, openai } = await started({ SLUICE_TEST_CRASH_AT: at })
    const id = await begun(openai, 10, 1)
    await server.restart({ signal: null, meanwhile: () => expect(hooks.came).toEqual([]), env: {} })
    await completed(openai, id)
    await expectTold(hooks, openai, id)
    await expectEachOnce(server, openai, id, 10)
  })

  it('to a receiver that is away for longer than the server lives', async () => {
    const { server, hooks, openai } = await started()
    hooks.close()
    const id = await begun(openai, 10, 1)
    await completed(openai, id)
    const [{ id: webhook }] = ((await (await call(server.url, '/v1/webhooks')).json()) as Body)['data']
    const tried = async (): Promise<Body> =>
      ((await (await call(server.url, `/v1/webhooks/${webhook}/deliveries`)).json()) as Body)['data'][0] ?? {}
    await expect.poll(tried).toMatchObject({ state: 'pending', tries: 1, error: 'The connection was refused.' })
    let back: Receiver | null = null
    const port = Number(new URL(hooks.url).port)
    await server.restart({ signal: 'SIGTERM', meanwhile: async () => (back = await received(port)) })
    await expectTold(back!, openai, id)
    await expect.poll(tried).toMatchObject({ state: 'delivered', tries: 2, status: 204 })
  })
})
