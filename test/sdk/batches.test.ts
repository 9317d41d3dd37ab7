/** Batches, as OpenAI's own SDK asks for them. */
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { linesIn } from '../batches/lines.ts'
import { startTestApp, type TestApp } from '../front/app.ts'

let app: TestApp
let openai: OpenAI
const clientOf = (apiKey: string) => new OpenAI({ baseURL: `http://127.0.0.1:${app.port}/v1`, apiKey, maxRetries: 0 })

beforeAll(async () => {
  app = await startTestApp({}, { batches: { window: 20, max_lines: 1_000 } })
  openai = clientOf(app.key)
})
afterAll(() => app?.stop())

const CHAT = '/v1/chat/completions'
const chat = (content: string, more = {}) => ({ model: 'demo', messages: [{ role: 'user', content }], ...more })
const line = (custom_id: string, body: object, url = CHAT) => ({ custom_id, method: 'POST', url, body })

async function batch(lines: readonly (object | string)[], more = {}, client = openai, endpoint = CHAT) {
  const text = lines.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join('\n')
  const file = await client.files.create({ file: await toFile(Buffer.from(text), 'in.jsonl'), purpose: 'batch' })
  const asked = { input_file_id: file.id, endpoint, completion_window: '24h', ...more }
  return client.batches.create(asked as never)
}

async function over(id: string, client = openai): Promise<OpenAI.Batch> {
  for (;;) {
    const now = await client.batches.retrieve(id)
    if (['completed', 'failed', 'expired', 'cancelled'].includes(now.status)) return now
    await new Promise((done) => setTimeout(done, 50))
  }
}

const results = async (id: string | null | undefined, client = openai) =>
  id == null ? [] : linesIn(await (await client.files.content(id)).text())

describe("OpenAI's SDK", () => {
  it('has the answers of their routes where lines are refused, and goes on from earlier responses', async () => {
    const wrong = { model: 'demo', max_tokens: 9, messages: [] }
    const lines = [line('a', wrong, '/v1/messages'), line('b', { ...wrong, model: 'nobody' }, '/v1/messages')]
    const refused = await over((await batch(lines, {}, openai, '/v1/messages')).id)
    const told = await results(refused.error_file_id)
    const direct = await Promise.all(
      lines.map(async ({ body }) => {
        const headers = { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' }
        const url = `http://127.0.0.1:${app.port}/v1/messages`
        const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
        return { status: response.status, ...((await response.json()) as object) }
      }),
    )
    const byId = told.toSorted((x, y) => (x.custom_id < y.custom_id ? -1 : 1))
    expect(byId.map(({ response }) => ({ status: response?.status_code, ...response?.body }))).toEqual(direct)
    expect(direct[0]).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } })
    const first = await openai.responses.create({ model: 'demo', input: 'Rivers. demo: tokens=3 delay=0' })
    const next = { model: 'demo', input: 'And now? demo: tokens=2 delay=0', previous_response_id: first.id }
    const ended = await over((await batch([line('c', next, '/v1/responses')], {}, openai, '/v1/responses')).id)
    expect(ended.request_counts).toEqual({ total: 1, completed: 1, failed: 0 })
    const [{ response }] = await results(ended.output_file_id)
    expect(response?.body).toMatchObject({ previous_response_id: first.id })
  })

  it('makes a batch of 300, and reads each answer once, as its route gives it', async () => {
    const lines = Array.from({ length: 300 }, (_, n) => line(`r-${n}`, chat(`demo: tokens=3 delay=0 ttft=1 seed=${n}`)))
    lines[7] = line('r-7', { ...chat('hello'), model: 'nobody' })
    lines[9] = line('r-9', { model: 'demo', messages: 'wrong' })
    const made = await batch(lines, { metadata: { what: 'a test' } })
    expect(made).toMatchObject({ object: 'batch', status: 'validating', endpoint: CHAT, completion_window: '24h' })
    expect(made.metadata).toEqual({ what: 'a test' })
    const ended = await over(made.id)
    expect(ended.status).toBe('completed')
    expect(ended.request_counts).toEqual({ total: 300, completed: 298, failed: 2 })
    for (const at of [ended.in_progress_at, ended.finalizing_at, ended.completed_at]) expect(at).toBeGreaterThan(1e9)
    const done = await results(ended.output_file_id)
    expect(done.map((one) => one.custom_id).sort()).toEqual(
      lines
        .map(({ custom_id }) => custom_id)
        .filter((id) => id !== 'r-7' && id !== 'r-9')
        .sort(),
    )
    expect(new Set(done.map(({ id }) => id)).size).toBe(298)
    const direct = await openai.chat.completions.create(lines[5].body as never)
    const own = done.find(({ custom_id }) => custom_id === 'r-5')!
    const { status_code, body } = own.response!
    expect([status_code, own.error]).toEqual([200, null])
    expect({ ...body, id: 0, created: 0 }).toEqual({ ...direct, id: 0, created: 0 })
    const failed = await results(ended.error_file_id)
    expect(failed.map((one) => [one.custom_id, one.response?.status_code]).sort()).toEqual([
      ['r-7', 404],
      ['r-9', 400],
    ])
    expect(failed.find(({ custom_id }) => custom_id === 'r-7')!.response!.body).toMatchObject({
      error: { code: 'model_not_found' },
    })
  })

  it.each([
    ['/v1/embeddings', { model: 'demo', input: 'a' }],
    ['/v1/responses', { model: 'demo', input: 'demo: tokens=2 delay=0' }],
    ['/v1/completions', { model: 'demo', prompt: 'demo: tokens=2 delay=0' }],
    ['/v1/messages', { model: 'demo', max_tokens: 9, messages: [{ role: 'user', content: 'demo: tokens=2 delay=0' }] }],
  ])('has lines for %s', async (endpoint, body) => {
    const ended = await over((await batch([line('a', body, endpoint)], {}, openai, endpoint)).id)
    expect(ended.request_counts).toEqual({ total: 1, completed: 1, failed: 0 })
    expect(ended.error_file_id ?? null).toBeNull()
    const [only] = await results(ended.output_file_id)
    const direct = await openai.post<Record<string, unknown>>(endpoint.slice(3), { body })
    expect(Object.keys(only.response!.body).sort()).toEqual(Object.keys(direct).sort())
  })

  it('has lines with options of their own, sent on as they were written; its jobs are found by it', async () => {
    const request = '{"model":"demo","seed":9007199254740993,"messages":[{"role":"user","content":"demo: tokens=1"}]'
    const written = (id: string, sluice: string): string =>
      `{"custom_id":"${id}","method":"POST","url":"${CHAT}","body":${request},"sluice":${sluice}}}`
    const lines = [
      `${request}}`,
      ...[{ run: 'nightly', cache: 'no-store', metadata: { row: '7' } }, { priority: 'high' }, { runn: 'x' }],
    ]
    const text = lines.map((one, n) => (n === 0 ? '' : written(`r-${n}`, JSON.stringify(one))))
    text[0] = `{"custom_id":"r-0","method":"POST","url":"${CHAT}","body":${lines[0]}}`
    const ended = await over((await batch(text)).id)
    expect(ended.request_counts).toEqual({ total: 4, completed: 2, failed: 2 })
    const failed = (await results(ended.error_file_id)).map(({ custom_id, response }) => [
      custom_id,
      (response!.body as { error: { message: string } }).error.message,
    ])
    expect(Object.fromEntries(failed)).toEqual({
      'r-2': expect.stringContaining('"priority" is not an option of a batch\'s line'),
      'r-3': expect.stringContaining('Did you mean "run"'),
    })
    const headers = { authorization: `Bearer ${app.key}` }
    const get = (path: string) => fetch(`http://127.0.0.1:${app.port}/v1/jobs/${path}`, { headers })
    const jobs = Object.fromEntries(
      (await results(ended.output_file_id)).map(({ custom_id, response }) => [custom_id, response!.request_id]),
    )
    for (const [name, more] of Object.entries({ 'r-0': {}, 'r-1': { run: 'nightly', metadata: { row: '7' } } })) {
      const job = (await (await get(jobs[name])).json()) as { metadata: object }
      expect(job).toMatchObject({ ...more, metadata: { ...('metadata' in more && more.metadata), batch: ended.id } })
      expect(await (await get(`${jobs[name]}/request`)).text()).toContain(`${request}}`)
    }
  })

  it('says which lines are wrong, and runs none', async () => {
    const good = line('a', chat('demo: tokens=1'))
    const wrong = [
      '{"custom',
      good,
      good,
      { ...good, custom_id: 'b', url: '/v1/embeddings' },
      '[]',
      { ...good, custom_id: 'c', body: 1 },
    ]
    const ended = await over((await batch(wrong)).id)
    expect(ended.status).toBe('failed')
    expect(ended.errors!.data!.map(({ line: at, code }) => [at, code])).toEqual([
      [1, 'invalid_json_line'],
      [3, 'duplicate_custom_id'],
      [4, 'invalid_url'],
      [5, 'invalid_json_line'],
      [6, 'missing_required_parameter'],
    ])
    const many = Array.from({ length: 1_001 }, (_, n) => line(`r-${n}`, chat('demo: tokens=1')))
    expect((await over((await batch(many)).id)).errors!.data![0]).toMatchObject({ code: 'too_many_lines', line: 1_001 })
  })

  it('cancels: what is done stays, nothing more is begun; its partial results can be read while it runs', async () => {
    const lines = Array.from({ length: 400 }, (_, n) => line(`r-${n}`, chat('demo: tokens=4 delay=60 ttft=60')))
    const made = await batch(lines)
    let running = made
    while ((running.request_counts?.completed ?? 0) < 20) running = await openai.batches.retrieve(made.id)
    expect(running.status).toBe('in_progress')
    expect((await results(running.output_file_id)).length).toBeGreaterThanOrEqual(20)
    expect((await openai.batches.cancel(made.id)).status).toBe('cancelling')
    const ended = await over(made.id)
    expect(ended.status).toBe('cancelled')
    const done = await results(ended.output_file_id)
    expect(done.length).toBe(ended.request_counts!.completed)
    expect(done.length).toBeLessThan(400)
    expect(await results(ended.error_file_id)).toEqual([])
    const after = (await (
      await fetch(`http://127.0.0.1:${app.port}/v1/jobs?state=queued,leased,waiting`, {
        headers: { authorization: `Bearer ${app.key}` },
      })
    ).json()) as { data: unknown[] }
    expect(after.data).toEqual([])
    await expect(
      openai.batches.cancel((await over((await batch([line('a', chat('demo: tokens=1'))])).id)).id),
    ).rejects.toMatchObject({ status: 409 })
  })

  it('lists its own alone, and refuses what is no batch', async () => {
    const other = clientOf((await app.addKey('other')).key)
    const made = await batch([line('a', chat('demo: tokens=1 delay=0'))], {}, other)
    await over(made.id, other)
    const listed: string[] = []
    for await (const each of other.batches.list({ limit: 1 })) listed.push(each.id)
    expect(listed).toEqual([made.id])
    for await (const each of openai.batches.list()) expect(each.id).not.toBe(made.id)
    await expect(openai.batches.retrieve(made.id)).rejects.toMatchObject({ status: 404, code: 'batch_not_found' })
    const create = (more: object) =>
      other.batches.create({
        input_file_id: made.input_file_id,
        endpoint: CHAT,
        completion_window: '24h',
        ...more,
      } as never)
    await expect(create({ endpoint: '/v1/chat' })).rejects.toMatchObject({ status: 400, param: 'endpoint' })
    await expect(create({ completion_window: '31d' })).rejects.toMatchObject({
      status: 400,
      param: 'completion_window',
    })
    await expect(create({ input_file_id: 'file-x' })).rejects.toMatchObject({ status: 404, param: 'input_file_id' })
    await expect(create({ porpoise: 1 })).rejects.toMatchObject({ status: 400, param: 'porpoise' })
    const foreign = (await openai.files.list()).data[0].id
    await expect(create({ input_file_id: foreign })).rejects.toMatchObject({ status: 404 })
  })
})
