/** A batch on a server that is killed (-9) twice while it runs: each line is answered once. */
import OpenAI, { toFile } from 'openai'
import { afterEach, expect, it } from 'vitest'
import { DEEP } from '../depth.ts'
import { type Server, startServer } from '../e2e/server.ts'
import { linesIn } from './lines.ts'

const LINES = DEEP ? 10_000 : 300
let server: Server | null = null
afterEach(() => server?.stop())

it(`a batch of ${LINES} survives two kills, and each answer is in its file once`, async () => {
  server = await startServer('models: [{ name: demo, provider: demo }]\n')
  const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.key, maxRetries: 20 })
  const content = (n: number): string => `demo: tokens=${3 + (n % 5)} delay=10 ttft=${n % 97}`
  const lines = Array.from({ length: LINES }, (_, n) =>
    JSON.stringify({
      custom_id: `r-${n}`,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model: n % 50 === 49 ? 'nobody' : 'demo', messages: [{ role: 'user', content: content(n) }] },
    }),
  )
  const file = await openai.files.create({ file: await toFile(Buffer.from(lines.join('\n')), 'in'), purpose: 'batch' })
  const { id } = await openai.batches.create({
    ...{ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' },
  })
  const read = async (one: string | null | undefined) =>
    one == null ? [] : linesIn(await (await openai.files.content(one)).text())
  const results = async () => {
    const batch = await openai.batches.retrieve(id)
    return { batch, done: await read(batch.output_file_id), failed: await read(batch.error_file_id) }
  }
  for (const share of [0.2, 0.6]) {
    for (;;) {
      const { batch, done } = await results()
      expect(batch.status).not.toBe('completed')
      if (done.length >= share * LINES) break
      await new Promise((next) => setTimeout(next, 20))
    }
    await server.crash()
  }
  await expect
    .poll(async () => (await openai.batches.retrieve(id)).status, { timeout: 900_000, interval: 100 })
    .toBe('completed')
  const { batch, done, failed } = await results()
  const bad = LINES / 50
  expect(batch.request_counts).toEqual({ total: LINES, completed: LINES - bad, failed: bad })
  expect([done.length, failed.length]).toEqual([LINES - bad, bad])
  expect(new Set([...done, ...failed].map(({ custom_id }) => custom_id)).size).toBe(LINES)
  for (const { custom_id, response } of done) {
    const n = Number(custom_id.slice(2))
    const { usage } = response!.body as OpenAI.ChatCompletion
    expect([response!.status_code, usage!.completion_tokens]).toEqual([200, 3 + (n % 5)])
  }
  // Jobs of a killed process are joined, not run again: one a line
  expect(new Set(done.map(({ response }) => response!.request_id)).size).toBe(done.length)
}, 1_200_000)
