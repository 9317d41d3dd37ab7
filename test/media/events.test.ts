/** Answers of media as events: as an unmodified OpenAI SDK reads them, however they come, and wherever one reads on. */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from '../front/app.ts'

interface Asked {
  readonly path: string
  readonly type: string
  readonly body: Buffer
}
type Answer = (response: ServerResponse, asked: Asked) => void

let app: TestApp
let openai: OpenAI
let upstream: Server
let answers: Answer[] = []
let asked: Asked[] = []

beforeAll(async () => {
  upstream = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const one = { path: request.url!, type: request.headers['content-type'] ?? '', body: Buffer.concat(parts) }
      asked.push(one)
      ;(answers.length > 1 ? answers.shift()! : answers[0])(response, one)
    })
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const base = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const model = (name: string, kinds: readonly string[], more = {}) => ({
    ...{ name, provider: 'openai-compatible', base_url: base, kinds },
    ...more,
  })
  app = await startTestApp(
    {},
    {
      models: [
        model('hears', ['transcription'], { price: { second: 0.001 } }),
        model('speaks', ['speech']),
        model('paints', ['image']),
      ],
      queue: { retry_base_ms: 5, retry_cap_ms: 10 },
    },
  )
  openai = new OpenAI({ baseURL: `http://127.0.0.1:${app.port}/v1`, apiKey: app.key, maxRetries: 0 })
})
afterAll(async () => {
  await app?.stop()
  upstream?.closeAllConnections()
  upstream?.close()
})
beforeEach(() => {
  asked = []
})

const events = (all: readonly object[], end: (response: ServerResponse) => void = (r) => r.end('data: [DONE]\n\n')) =>
  ((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const text = all.map((event) => `event: ${(event as { type: string }).type}\ndata: ${JSON.stringify(event)}\n\n`)
    response.write(text.join(''), () => end(response))
  }) satisfies Answer
const json =
  (value: object, status = 200): Answer =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(value))
  }
const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(`http://127.0.0.1:${app.port}${path}`, { headers: { authorization: `Bearer ${app.key}`, ...headers } })

/** What a reader gets that goes on after each of its events: the same as at once. */
async function expectResumable(job: string, form: string): Promise<void> {
  const read = async (headers = {}) => (await get(`/v1/jobs/${job}/events?dialect=${form}`, headers)).text()
  const all = await read()
  const ids = [...all.matchAll(/^id: (.*)$/gm)].map(([, id]) => id)
  expect(ids.length).toBeGreaterThan(1)
  for (const id of ids.slice(0, -1))
    expect(await read({ 'last-event-id': id })).toBe(all.slice(all.indexOf('\n\n', all.indexOf(`id: ${id}\n`)) + 2))
}

describe('transcriptions', () => {
  const delta = (text: string, more = {}) => ({ type: 'transcript.text.delta', delta: text, ...more })
  const done = (text: string, more = {}) => ({ type: 'transcript.text.done', text, ...more })
  const usage = { type: 'tokens', input_tokens: 14, output_tokens: 45, total_tokens: 59 }
  const logprobs = [{ token: 'Grü', logprob: -0.1 }]
  const file = () => toFile(Buffer.alloc(20_000, 7), 'a.wav', { type: 'audio/wav' })
  const hear = async () => {
    const made = openai.audio.transcriptions.create({
      model: 'hears',
      file: await file(),
      stream: true,
      language: 'de',
    })
    const { data, response } = await made.withResponse()
    const got: object[] = []
    for await (const event of data) got.push(event)
    return { got, job: response.headers.get('sluice-job')! }
  }

  it('as its upstream tells them', async () => {
    const sent = [
      delta('Grüße', { logprobs }),
      { type: 'transcript.text.segment', id: 's1', start: 0, end: 1, speaker: 'A', text: 'Grüße' },
      delta(' aus\n', { segment_id: 's1' }),
      delta('Köln'),
      done('Grüße aus\nKöln', { usage, languages: ['de'] }),
    ]
    answers = [events(sent)]
    const { got, job } = await hear()
    expect(got).toEqual(sent)
    const [{ path, type, body }] = asked
    const form = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData()
    expect([path, form.get('stream'), form.get('language')]).toEqual(['/v1/audio/transcriptions', 'true', 'de'])
    await expectResumable(job, 'transcriptions')
    const told = (await (await get(`/v1/jobs/${job}`)).json()) as { usage: object }
    expect(told.usage).toMatchObject({ prompt_tokens: 14, completion_tokens: 45 })
    expect(await (await get(`/v1/jobs/${job}/result`)).json()).toEqual({ text: 'Grüße aus\nKöln', usage })
  })
  it('whose upstream answers at once', async () => {
    answers = [json({ text: 'hello', usage: { type: 'duration', seconds: 3 } })]
    const { got, job } = await hear()
    expect(got).toEqual([delta('hello'), done('hello', { usage: { type: 'duration', seconds: 3 } })])
    await expectResumable(job, 'transcriptions')
  })
  it('or only at its end, and tells seconds, which are paid', async () => {
    answers = [events([done('hello', { usage: { type: 'duration', seconds: 2 } })], (response) => response.end())]
    const { got, job } = await hear()
    expect(got).toEqual([delta('hello'), done('hello', { usage: { type: 'duration', seconds: 2 } })])
    const records = await fetch(`http://127.0.0.1:${app.adminPort}/admin/usage/records?limit=1000`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    })
    const { data } = (await records.json()) as { data: Array<{ job: string; nano_dollars: number }> }
    expect(data.find((record) => record.job === job)?.nano_dollars).toBe(2_000_000)
  })
  it('that break off are tried again before the first text, and never after it', async () => {
    const cut = (response: ServerResponse): void => void response.destroy()
    answers = [events([], cut), events([delta('hello'), done('hello')])]
    expect((await hear()).got).toEqual([delta('hello'), done('hello')])
    expect(asked).toHaveLength(2)
    answers = [events([delta('hel')], (response) => setTimeout(cut, 50, response)), events([done('hello')])]
    await expect(hear()).rejects.toMatchObject({ code: 'provider_cut' })
    expect(asked).toHaveLength(3)
  })
  it.each<[string, Answer, string]>([
    [
      'a failure among events',
      events([{ type: 'error', error: { message: 'x', type: 'server_error' } }]),
      'provider_error',
    ],
    ['something else', events([{ type: 'response.created' }]), 'provider_garbage'],
    ['no end', events([delta('')], (response) => response.end()), 'provider_cut'],
    ['a refusal', json({ error: { message: 'no' } }, 400), 'provider_rejected'],
  ])('%s', async (_what, answer, code) => {
    answers = [answer]
    await expect(hear()).rejects.toMatchObject({ code })
  })
  it('have no subtitles; a job has none unless it says so', async () => {
    const form = { model: 'hears', file: await file(), stream: true, response_format: 'srt' } as const
    await expect(openai.audio.transcriptions.create(form)).rejects.toMatchObject({
      status: 400,
      param: 'response_format',
    })
    answers = [json({ text: 'hello' })]
    const { text } = await openai.audio.transcriptions.create({ model: 'hears', file: await file() })
    expect(text).toBe('hello')
    expect(asked[0].body.includes('name="stream"')).toBe(false)
  })
})

describe('speech', () => {
  const sound = Buffer.from(Array.from({ length: 300_001 }, (_, i) => (i * 7) % 251))
  const audio =
    (pieces: readonly Buffer[], end: (response: ServerResponse) => void = (r) => r.end()): Answer =>
    (response) => {
      response.writeHead(200, { 'content-type': 'audio/pcm' })
      const next = (i: number): void => {
        if (i === pieces.length) return end(response)
        response.write(pieces[i])
        setTimeout(next, 30, i + 1)
      }
      next(0)
    }
  const speak = () =>
    openai.audio.speech.create({ model: 'speaks', input: 'hello', voice: 'alloy', stream_format: 'sse' })
  const eventsIn = (text: string) =>
    [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data) as { type: string; audio?: string })
  const bytesIn = (text: string): Buffer =>
    Buffer.concat(eventsIn(text).map(({ audio: part = '' }) => Buffer.from(part, 'base64')))

  it('in pieces, as they come; its upstream is asked for the sound', async () => {
    answers = [audio([sound.subarray(0, 1_000), sound.subarray(1_000, 200_000), sound.subarray(200_000)])]
    const response = await speak()
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
    const text = await response.text()
    expect(bytesIn(text).equals(sound)).toBe(true)
    const all = eventsIn(text)
    expect(all.length).toBeGreaterThan(2)
    expect(all.slice(0, -1).every(({ type }) => type === 'speech.audio.delta')).toBe(true)
    expect(all.at(-1)).toMatchObject({ type: 'speech.audio.done', usage: { output_tokens: 0 } })
    expect(JSON.parse(asked[0].body.toString())).toEqual({ model: 'speaks', input: 'hello', voice: 'alloy' })
    const job = response.headers.get('sluice-job')!
    await expectResumable(job, 'speech.events')
    const content = await get(`/v1/jobs/${job}/content`)
    expect(Buffer.from(await content.arrayBuffer()).equals(sound)).toBe(true)
  })
  it('is heard while it is made', async () => {
    let finish = (): void => {}
    answers = [
      (response) => {
        audio([sound.subarray(0, 1_000)], () => {})(response, asked[0])
        finish = () => response.end(sound.subarray(1_000))
      },
    ]
    const reader = (await speak()).body!.getReader()
    let text = ''
    while (!text.includes('\n\n')) text += Buffer.from((await reader.read()).value!).toString()
    expect(bytesIn(text).equals(sound.subarray(0, 1_000))).toBe(true)
    finish()
    for (let next = await reader.read(); !next.done; next = await reader.read())
      text += Buffer.from(next.value).toString()
    expect(bytesIn(text).equals(sound)).toBe(true)
  })
  it('that breaks off ends with an error, and is not made again', async () => {
    answers = [
      audio([sound.subarray(0, 1_000)], (response) => setTimeout(() => void response.destroy(), 100)),
      audio([sound]),
    ]
    const all = eventsIn(await (await speak()).text())
    expect(all.at(-1)).toMatchObject({ error: { code: 'provider_cut' } })
    expect(asked).toHaveLength(1)
  })
  it('a refusal has a status', async () => {
    answers = [json({ error: { message: 'no' } }, 400)]
    await expect(speak()).rejects.toMatchObject({ status: 400, code: 'provider_rejected' })
  })
})

describe('images', () => {
  const png = (n: number): Buffer =>
    Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), Buffer.alloc(90_001, n)])
  const facts = { size: '1024x1024', quality: 'low', background: 'opaque', output_format: 'png', created_at: 7 }
  const usage = { total_tokens: 30, input_tokens: 10, output_tokens: 20, input_tokens_details: { text_tokens: 10 } }
  const partial = (n: number, of = 'generation') => ({
    ...{ type: `image_${of}.partial_image`, b64_json: png(n).toString('base64'), partial_image_index: n, ...facts },
  })
  const completed = (of = 'generation') => ({
    ...{ type: `image_${of}.completed`, b64_json: png(9).toString('base64'), ...facts, usage },
  })
  const paint = async () => {
    const params = { model: 'paints', prompt: 'a läke', stream: true, partial_images: 2 } as const
    const { data, response } = await openai.images.generate(params).withResponse()
    const got: object[] = []
    for await (const event of data) got.push(event)
    return { got, job: response.headers.get('sluice-job')! }
  }

  it('in parts, then whole', async () => {
    const sent = [partial(0), partial(1), completed()]
    answers = [events(sent)]
    const { got, job } = await paint()
    expect(got).toEqual(sent)
    expect(JSON.parse(asked[0].body.toString())).toMatchObject({ stream: true, partial_images: 2, prompt: 'a läke' })
    await expectResumable(job, 'images')
    const log = await (await get(`/v1/jobs/${job}/events`)).text()
    expect(log.length).toBeLessThan(5_000)
    const told = (await (await get(`/v1/jobs/${job}`)).json()) as { usage: object }
    expect(told.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 20 })
    const { created_at: created, ...rest } = facts
    const whole = { created, ...rest, usage, data: [{ b64_json: png(9).toString('base64') }] }
    expect(await (await get(`/v1/jobs/${job}/result`)).json()).toEqual(whole)
    const content = await get(`/v1/jobs/${job}/content`)
    expect(Buffer.from(await content.arrayBuffer()).equals(png(9))).toBe(true)
  })
  it('are seen while the rest is made', async () => {
    let finish = (): void => {}
    answers = [
      events([partial(0)], (response) => {
        finish = () => response.end(`data: ${JSON.stringify(completed())}\n\n`)
      }),
    ]
    const stream = await openai.images.generate({ model: 'paints', prompt: 'x', stream: true, partial_images: 1 })
    const got: object[] = []
    for await (const event of stream) {
      got.push(event)
      finish()
    }
    expect(got).toEqual([partial(0), completed()])
  })
  it('of an edit', async () => {
    answers = [events([partial(0, 'edit'), completed('edit')])]
    const image = await toFile(png(1), 'a.png', { type: 'image/png' })
    const got: object[] = []
    for await (const event of await openai.images.edit({
      model: 'paints',
      prompt: 'x',
      image,
      stream: true,
      partial_images: 1,
    }))
      got.push(event)
    expect(got).toEqual([partial(0, 'edit'), completed('edit')])
    const [{ path, type, body }] = asked
    const form = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData()
    expect([path, form.get('stream'), form.get('partial_images')]).toEqual(['/v1/images/edits', 'true', '1'])
  })
  it('whose upstream answers at once', async () => {
    const data = [png(1), png(2)].map((each) => ({ b64_json: each.toString('base64') }))
    answers = [json({ created: 7, size: '1x1', data, usage })]
    const { got, job } = await paint()
    const wanted = data.map((image) => ({
      type: 'image_generation.completed',
      created_at: 7,
      size: '1x1',
      usage,
      ...image,
    }))
    expect(got).toEqual(wanted)
    await expectResumable(job, 'images')
  })
  it('that break off are tried again before the first, and never after it', async () => {
    const cut = (response: ServerResponse): void => void response.destroy()
    answers = [events([], cut), events([completed()])]
    expect((await paint()).got).toEqual([completed()])
    expect(asked).toHaveLength(2)
    answers = [events([partial(0)], (response) => setTimeout(cut, 200, response)), events([completed()])]
    await expect(paint()).rejects.toMatchObject({ code: 'provider_cut' })
    expect(asked).toHaveLength(3)
  })
  it.each<[string, Answer, string]>([
    ['a failure', events([{ type: 'error', error: { message: 'x', type: 'server_error' } }]), 'provider_error'],
    ['another event', events([{ type: 'image.other' }]), 'provider_garbage'],
    ['no image in it', events([{ type: 'image_generation.completed', b64_json: null }]), 'provider_garbage'],
    ['a file of its own', events([{ type: 'image_generation.completed', b64_json: { part: 7 } }]), 'provider_garbage'],
    ['no image', events([], (response) => response.end()), 'provider_cut'],
  ])('%s', async (_what, answer, code) => {
    answers = [answer]
    await expect(paint()).rejects.toMatchObject({ code })
  })
  it('whole, where nobody asks for events', async () => {
    answers = [json({ created: 7, data: [{ b64_json: png(1).toString('base64') }] })]
    const { data } = await openai.images.generate({ model: 'paints', prompt: 'x', stream: false })
    expect([data!.length, JSON.parse(asked[0].body.toString())]).toEqual([1, { model: 'paints', prompt: 'x' }])
    const parts = { model: 'paints', prompt: 'x', partial_images: 1 }
    await expect(openai.images.generate(parts)).rejects.toMatchObject({ status: 400, param: 'partial_images' })
  })
})
