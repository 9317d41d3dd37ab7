/** Images, sounds and transcriptions of upstreams: as they come, and as hostile ones send them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'

type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void

let app: TestApp
let other: string
let upstream: Server
let answer: Answer = () => {}
let calls: Array<{ readonly path: string; readonly type: string; readonly body: Buffer }> = []

beforeAll(async () => {
  upstream = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('error', () => {})
    response.on('error', () => {})
    request.on('end', () => {
      const body = Buffer.concat(parts)
      calls.push({ path: request.url!, type: request.headers['content-type'] ?? '', body })
      answer(request, response, body)
    })
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const base = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const model = (name: string, kinds: readonly string[], more = {}) => ({
    ...{ name, provider: 'openai-compatible', base_url: base, model: `up-${name}`, kinds },
    ...more,
  })
  app = await startTestApp(
    { max_answer_bytes: '1MiB', max_upload_bytes: '2MiB', disconnect_grace_ms: 100 },
    {
      models: [
        model('talks', ['chat']),
        model('paints', ['image'], { price: { request: 0.02 } }),
        model('speaks', ['speech'], { timeouts: { ttft_ms: 2_000, inter_token_ms: 2_000 } }),
        model('hears', ['transcription']),
      ],
    },
  )
  other = (await app.addKey('other')).key
})
afterAll(async () => {
  await app?.stop()
  upstream?.closeAllConnections()
  upstream?.close()
})
afterEach(() => {
  calls = []
})

const post = (path: string, body: object | FormData, headers: Record<string, string> = {}, key = app.key) =>
  fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      ...(body instanceof FormData ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body instanceof FormData ? body : JSON.stringify(body),
  })
const get = (path: string, headers: Record<string, string> = {}, method = 'GET', key = app.key) =>
  fetch(path.startsWith('http') ? path : `http://127.0.0.1:${app.port}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...headers },
  })
const paint = (more: object = {}) => post('/v1/images/generations', { model: 'paints', prompt: 'a lake', ...more })
const speak = (more: object = {}, headers = {}) =>
  post('/v1/audio/speech', { model: 'speaks', input: 'hello', voice: 'alloy', ...more }, headers)
const formOf = (bytes: Buffer, fields: ReadonlyArray<readonly [string, string]> = []): FormData => {
  const form = new FormData()
  form.set('model', 'hears')
  for (const [name, value] of fields) form.append(name, value)
  form.set('file', new Blob([new Uint8Array(bytes)], { type: 'audio/wav' }), 'a "b".wav')
  return form
}
const hear = (form: FormData, headers = {}) => post('/v1/audio/transcriptions', form, headers)
const json =
  (status: number, value: unknown): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(value))
  }
const errorOf = async (response: Response) => {
  const { error } = (await response.json()) as { error: { code: string; message: string } }
  return [response.status, error.code] as const
}
/** Files that jobs have made, and that are kept. */
const filesOfJobs = async (): Promise<readonly string[]> => {
  const { data } = (await (await get('/v1/files?purpose=media')).json()) as { data: Array<{ id: string }> }
  return data.map(({ id }) => id)
}
const until = async (what: () => Promise<boolean> | boolean): Promise<void> => {
  for (let i = 0; i < 400 && !(await what()); i++) await new Promise((next) => setTimeout(next, 25))
  expect(await what()).toBe(true)
}

const png = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), Buffer.alloc(100_001, 5)])
const image = { b64_json: png.toString('base64'), revised_prompt: 'a läke' }
const usage = { input_tokens: 12, output_tokens: 272, total_tokens: 284 }

describe('images', () => {
  it('come as they were sent; the upstream is asked for what it makes, by its own name of the model', async () => {
    answer = json(200, { created: 7, data: [image, image], usage })
    const response = await paint({ n: 2, size: '1024x1024', quality: 'low' })
    expect(response.headers.get('content-length')).not.toBeNull()
    expect(await response.json()).toEqual({ created: 7, data: [image, image], usage })
    expect([calls[0].path, JSON.parse(calls[0].body.toString())]).toEqual([
      '/v1/images/generations',
      { model: 'up-paints', prompt: 'a lake', n: 2, size: '1024x1024', quality: 'low' },
    ])
    const id = response.headers.get('sluice-job')!
    const job = (await (await get(`/v1/jobs/${id}`)).json()) as { usage: object }
    expect(job.usage).toMatchObject({ prompt_tokens: 12, completion_tokens: 272 })
    expect(await (await get(`/v1/jobs/${id}/result`)).json()).toEqual({ created: 7, data: [image, image], usage })
  })
  it('or as links, which the key may read; no bytes are in the log', async () => {
    answer = json(200, { created: 7, data: [image] })
    const response = await paint({ response_format: 'url' })
    const { data } = (await response.json()) as { data: Array<{ url: string; b64_json?: string }> }
    expect(JSON.parse(calls[0].body.toString())).toMatchObject({ response_format: 'b64_json' })
    expect([data[0].b64_json, data[0].url]).toEqual([undefined, expect.stringMatching(/^http:.*\/content$/)])
    const content = await get(data[0].url)
    expect(content.headers.get('content-type')).toBe('image/png')
    expect(Buffer.from(await content.arrayBuffer()).equals(png)).toBe(true)
    expect((await get(data[0].url, {}, 'GET', other)).status).toBe(404)
    const part = await get(data[0].url, { range: 'bytes=10-19' })
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 10-19/${png.length}`])
    expect(Buffer.from(await part.arrayBuffer())).toEqual(png.subarray(10, 20))
    const events = await get(`/v1/jobs/${response.headers.get('sluice-job')}/events`)
    expect((await events.text()).length).toBeLessThan(4_000)
  })
  it('a chat model says which models can', async () => {
    const response = await post('/v1/images/generations', { model: 'talks', prompt: 'x' })
    const { error } = (await response.json()) as { error: { message: string } }
    expect([response.status, error.message]).toEqual([400, expect.stringContaining('"paints" can.')])
  })
  it.each([
    [
      'an error with status 200',
      json(200, { error: { message: 'no', type: 'server_error' } }),
      [502, 'provider_error'],
    ],
    [
      'a refusal',
      json(400, { error: { message: 'no lakes', code: 'moderation_blocked' } }),
      [400, 'moderation_blocked'],
    ],
    ['no images', json(200, { data: [] }), [502, 'provider_garbage']],
    ['a web page', (_q: unknown, r: ServerResponse) => r.end('<html>'), [502, 'provider_garbage']],
    ['an image that is none', json(200, { data: [{ b64_json: '??' }] }), [502, 'provider_garbage']],
    ['one that stands elsewhere', json(200, { data: [{ x: { b64_json: 'QUJD' } }] }), [502, 'provider_garbage']],
    [
      'one that never ends',
      (_q: unknown, r: ServerResponse) => {
        r.write('{"data":[{"b64_json":"')
        const more = () => {
          while (!r.destroyed && r.write('A'.repeat(65_536)));
        }
        r.on('drain', more)
        more()
      },
      [502, 'result_too_large'],
    ],
    [
      'one that breaks off',
      (_q: unknown, r: ServerResponse) => r.write('{"data":[{"b64_json":"AAAAAAAAAAAAAAAA', () => r.destroy()),
      [502, 'provider_cut'],
    ],
  ] as ReadonlyArray<readonly [string, Answer, readonly [number, string]]>)('%s', async (_what, by, expected) => {
    answer = by
    const response = await paint({ sluice: { idempotency_key: `${Math.random()}` } })
    const [status, code] = await errorOf(response)
    expect([status, code]).toEqual([expected[0], expect.stringMatching(expected[1])])
  })
  it("an upstream can't name a file of somebody else's", async () => {
    answer = json(200, { data: [image] })
    const foreign = await post('/v1/images/generations', { model: 'paints', prompt: 'mine' }, {}, other)
    await foreign.arrayBuffer()
    answer = json(200, { data: [{ b64_json: { file: 'file-00000001', type: 'image/png', bytes: 10 } }] })
    expect(await errorOf(await paint())).toEqual([502, 'provider_garbage'])
  })
})

describe('edits of images', () => {
  const mask = Buffer.concat([png, Buffer.from('mask')])
  const editOf = (fields: ReadonlyArray<readonly [string, string | Blob, string?]>): FormData => {
    const form = new FormData()
    form.set('model', 'paints')
    for (const [name, value, file] of fields)
      if (typeof value === 'string') form.append(name, value)
      else form.append(name, value, file)
    return form
  }
  const blob = (bytes: Buffer) => new Blob([new Uint8Array(bytes)], { type: 'image/png' })
  const edit = (fields: Parameters<typeof editOf>[0], headers = {}, key = app.key) =>
    post('/v1/images/edits', editOf(fields), headers, key)

  it('several images and a mask arrive as they were sent; all of them go with their job', async () => {
    answer = json(200, { created: 7, data: [image], usage })
    const before = await filesOfJobs()
    const response = await edit([
      ['image[]', blob(png), 'a.png'],
      ['image[]', blob(mask), 'b.png'],
      ['mask', blob(mask), 'm.png'],
      ['prompt', 'a läke'],
      ['n', '1'],
    ])
    expect(await response.json()).toEqual({ created: 7, data: [image], usage })
    const [{ path, type, body }] = calls
    const got = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData()
    expect([path, got.get('model'), got.get('prompt'), got.get('n'), got.has('task')]).toEqual([
      ...['/v1/images/edits', 'up-paints', 'a läke', '1', false],
    ])
    const sent = [...got.getAll('image[]'), got.get('mask')] as File[]
    expect(sent.map(({ name, type }) => [name, type])).toEqual(['a.png', 'b.png', 'm.png'].map((n) => [n, 'image/png']))
    const bytes = await Promise.all(sent.map(async (file) => Buffer.from(await file.arrayBuffer())))
    expect(bytes.map((each, i) => each.equals([png, mask, mask][i]))).toEqual([true, true, true])
    expect(await filesOfJobs()).toHaveLength(before.length + 4)
    expect((await get(`/v1/jobs/${response.headers.get('sluice-job')}`, {}, 'DELETE')).status).toBe(204)
    expect(await filesOfJobs()).toEqual(before)
  })
  it('a variation has a path of its own, and links are links', async () => {
    answer = json(200, { created: 7, data: [image] })
    const form = editOf([
      ['image', blob(png), 'a.png'],
      ['response_format', 'url'],
    ])
    const { data } = (await (await post('/v1/images/variations', form)).json()) as { data: Array<{ url: string }> }
    const [{ path, type, body }] = calls
    const got = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData()
    expect([path, got.get('response_format'), (got.get('image') as File).name]).toEqual([
      ...['/v1/images/variations', 'b64_json', 'a.png'],
    ])
    expect(Buffer.from(await (await get(data[0].url)).arrayBuffer()).equals(png)).toBe(true)
  })
  it('as a job: of files by their ids, each of which must be its own', async () => {
    answer = json(200, { created: 7, data: [image] })
    const form = new FormData()
    form.set('purpose', 'vision')
    form.set('file', blob(png), 'own.png')
    const { id: own } = (await (await post('/v1/files', form)).json()) as { id: string }
    const job = async (request: object) => {
      const asked = { endpoint: '/v1/images/edits', request: { model: 'paints', prompt: 'x', ...request } }
      const response = await post('/v1/jobs', asked)
      if (response.status !== 202) return errorOf(response)
      const { id } = (await response.json()) as { id: string }
      const result = await get(`/v1/jobs/${id}/result?wait_ms=20000`)
      return result.status === 200 ? 'done' : errorOf(result)
    }
    expect(await job({ image: [own, own] })).toBe('done')
    expect(await job({ image: own, mask: 'file-99999999' })).toEqual([404, 'file_not_found'])
    expect(await job({ image: Array(17).fill(own) })).toEqual([400, 'invalid_request'])
    expect(await job({ image: [] })).toEqual([400, 'invalid_request'])
    expect(await job({ image: own, task: 'variation' })).toEqual([400, 'invalid_request'])
    expect((await get(`/v1/files/${own}`)).status).toBe(200)
    // A form that brings one file, and names another
    const sends = await app.addKey('default', { scopes: ['submit'] })
    const bring = [['image', blob(png), 'a.png'] as const, ['prompt', 'x'] as const]
    expect((await edit(bring, {}, sends.key)).status).toBe(200)
    expect(await errorOf(await edit([...bring, ['mask', own]], {}, sends.key))).toEqual([403, 'forbidden'])
  })
  it.each<readonly [string, Parameters<typeof editOf>[0], string]>([
    ['no image', [['prompt', 'x']], 'image'],
    ['no prompt', [['image', blob(png), 'a']], 'prompt'],
    [
      'an empty image',
      [
        ['image', blob(Buffer.alloc(0)), 'a'],
        ['prompt', 'x'],
      ],
      'image',
    ],
    [
      'an image twice',
      [
        ['image', blob(png), 'a'],
        ['image', blob(png), 'a'],
        ['prompt', 'x'],
      ],
      'image',
    ],
    [
      'two masks',
      [
        ['image', blob(png), 'a'],
        ['mask[]', blob(png), 'a'],
        ['mask[]', blob(png), 'a'],
      ],
      'mask',
    ],
    ['17 images', Array(17).fill(['image[]', blob(Buffer.from('x')), 'a']), 'image'],
    [
      'too many asked for',
      [
        ['image', blob(png), 'a'],
        ['prompt', 'x'],
        ['n', '11'],
      ],
      'n',
    ],
  ])('%s: refused, and nothing is kept', async (_what, fields, param) => {
    const before = await filesOfJobs()
    const response = await edit(fields)
    const { error } = (await response.json()) as { error: { param: string } }
    expect([response.status, error.param]).toEqual([400, param])
    expect(await filesOfJobs()).toEqual(before)
    expect(calls).toHaveLength(0)
  })
  it('under one idempotency key other images conflict', async () => {
    answer = json(200, { created: 7, data: [image] })
    const ask = (bytes: Buffer) =>
      edit(
        [
          ['image', blob(bytes), 'a.png'],
          ['prompt', 'x'],
        ],
        { 'idempotency-key': 'edit-1' },
      )
    expect([(await ask(png)).status, (await ask(png)).status, (await ask(mask)).status]).toEqual([200, 200, 422])
    expect(calls).toHaveLength(1)
  })
})

const sound = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7) % 251))
const audio: Answer = (_request, response) => {
  response.writeHead(200, { 'content-type': 'audio/mpeg' })
  response.end(sound)
}

describe('speech', () => {
  it('is the same bytes, of the same type', async () => {
    answer = audio
    const before = await filesOfJobs()
    const response = await speak()
    expect(response.headers.get('content-type')).toBe('audio/mpeg')
    expect(Buffer.from(await response.arrayBuffer()).equals(sound)).toBe(true)
    const id = response.headers.get('sluice-job')!
    for (const path of ['content', 'result']) {
      const again = await get(`/v1/jobs/${id}/${path}`)
      expect(Buffer.from(await again.arrayBuffer()).equals(sound), path).toBe(true)
    }
    const rest = await get(`/v1/jobs/${id}/content`, { range: 'bytes=199990-' })
    expect([rest.status, Buffer.from(await rest.arrayBuffer())]).toEqual([206, sound.subarray(199_990)])
    expect((await get(`/v1/jobs/${id}/content`, { range: 'bytes=200000-' })).status).toBe(416)
    expect((await get(`/v1/jobs/${id}/content`, {}, 'GET', other)).status).toBe(404)
    expect(await filesOfJobs()).toHaveLength(before.length + 1)
    expect((await get(`/v1/jobs/${id}`, {}, 'DELETE')).status).toBe(204)
    expect((await get(`/v1/jobs/${id}/content`)).status).toBe(404)
    expect(await filesOfJobs()).toEqual(before)
  })
  it('is tried again until its first bytes are there', async () => {
    let tries = 0
    answer = (request, response, body) => (++tries === 1 ? json(500, {}) : audio)(request, response, body)
    const response = await speak()
    expect(Buffer.from(await response.arrayBuffer()).equals(sound)).toBe(true)
    const job = (await (await get(`/v1/jobs/${response.headers.get('sluice-job')}`)).json()) as { attempts: number }
    expect([tries, job.attempts]).toEqual([2, 2])
  })
  it('is heard while it is made, by its own reader and by another', async () => {
    let finish = (): void => {}
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'audio/wav' })
      response.write(sound.subarray(0, 1_000))
      finish = () => response.end(sound.subarray(1_000))
    }
    const response = await speak()
    const reader = response.body!.getReader()
    const first = await reader.read()
    expect(first.value!.length).toBe(1_000)
    const second = await get(`/v1/jobs/${response.headers.get('sluice-job')}/content`)
    finish()
    expect(Buffer.from(await second.arrayBuffer()).equals(sound)).toBe(true)
    let bytes = first.value!.length
    for (let next = await reader.read(); !next.done; next = await reader.read()) bytes += next.value.length
    expect(bytes).toBe(sound.length)
  })
  it('of an upstream that breaks off is broken, and never whole; its bytes are gone', async () => {
    let breakOff = (): void => {}
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'audio/mpeg', 'content-length': '200000' })
      response.write(sound.subarray(0, 100_000))
      breakOff = () => void response.destroy()
    }
    const before = await filesOfJobs()
    const response = await speak()
    expect(response.status).toBe(200)
    // Before the first of it is stored it would be tried again
    const reader = response.body!.getReader()
    await reader.read()
    breakOff()
    const rest = async (): Promise<void> => {
      while (!(await reader.read()).done);
    }
    await expect(rest()).rejects.toThrow()
    const id = response.headers.get('sluice-job')!
    await until(async () => ((await (await get(`/v1/jobs/${id}`)).json()) as { state: string }).state === 'failed')
    expect(calls).toHaveLength(1)
    expect((await get(`/v1/jobs/${id}/content`)).status).toBe(404)
    await until(async () => (await filesOfJobs()).length === before.length)
  })
  it.each([
    [
      'a web page',
      (_q: unknown, r: ServerResponse) => r.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
      [502, 'provider_garbage'],
    ],
    ['JSON', json(200, { ok: true }), [502, 'provider_garbage']],
    [
      'an error with status 200',
      json(200, { error: { message: 'x', type: 'invalid_request_error' } }),
      [400, 'provider_rejected'],
    ],
    [
      'nothing',
      (_q: unknown, r: ServerResponse) => r.writeHead(200, { 'content-type': 'audio/mpeg' }).end(),
      [502, 'provider_garbage'],
    ],
    [
      'a type that is a header',
      (_q: unknown, r: ServerResponse) => r.writeHead(200, { 'content-type': 'audio/mpeg, text/html' }).end('x'),
      [502, 'provider_garbage'],
    ],
  ] as ReadonlyArray<readonly [string, Answer, readonly [number, string]]>)('%s', async (_what, by, expected) => {
    answer = by
    expect(await errorOf(await speak())).toEqual(expected)
  })
  it('without end is cut at http.max_answer_bytes', async () => {
    let sent = 0
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'audio/mpeg' })
      const more = (): void => {
        do sent += 65_536
        while (!response.destroyed && response.write(sound.subarray(0, 65_536)))
      }
      response.on('drain', more)
      more()
    }
    const response = await speak()
    // It may be too much before the first of it is stored
    if (response.status === 200) await expect(response.arrayBuffer()).rejects.toThrow()
    else expect(await errorOf(response)).toEqual([502, 'result_too_large'])
    expect(sent).toBeLessThan(32 << 20)
  })
  it('ends with a cancel: the call is closed at once', async () => {
    let closedMs = 0
    let begun = 0
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'audio/mpeg' })
      response.write(sound.subarray(0, 1_000))
      response.on('close', () => {
        closedMs = performance.now() - begun
      })
    }
    const response = await speak()
    begun = performance.now()
    const body = response.arrayBuffer()
    body.catch(() => {})
    expect((await post(`/v1/jobs/${response.headers.get('sluice-job')}/cancel`, {})).ok).toBe(true)
    await expect(body).rejects.toThrow()
    await until(() => closedMs > 0)
    expect(closedMs).toBeLessThan(2_000)
  })
  it('whose reader is gone is given up', async () => {
    let isClosed = false
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'audio/mpeg' })
      response.write(sound.subarray(0, 1_000))
      response.on('close', () => {
        isClosed = true
      })
    }
    const gone = new AbortController()
    const response = await fetch(`http://127.0.0.1:${app.port}/v1/audio/speech`, {
      method: 'POST',
      signal: gone.signal,
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'speaks', input: 'x', voice: 'v' }),
    })
    expect(response.status).toBe(200)
    gone.abort()
    await until(() => isClosed)
  })
  it('in a format that there is not is refused kindly', async () => {
    const response = await speak({ stream_format: 'ndjson' })
    expect(await errorOf(response)).toEqual([400, 'invalid_request'])
  })
})

describe('transcriptions', () => {
  it('the sound arrives as it was sent, with all fields', async () => {
    answer = json(200, { text: 'hello', usage: { type: 'duration', seconds: 3 } })
    const fields = [
      ['language', 'en'],
      ['timestamp_granularities[]', 'word'],
      ['timestamp_granularities[]', 'segment'],
      ['response_format', 'verbose_json'],
    ] as const
    const response = await hear(formOf(sound, fields))
    expect(await response.json()).toEqual({ text: 'hello', usage: { type: 'duration', seconds: 3 } })
    const [{ path, type, body }] = calls
    const got = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData()
    expect(path).toBe('/v1/audio/transcriptions')
    expect([got.get('model'), got.get('language'), got.getAll('timestamp_granularities[]')]).toEqual([
      'up-hears',
      'en',
      ['word', 'segment'],
    ])
    const file = got.get('file') as File
    expect([file.name, file.type]).toEqual(['a "b".wav', 'audio/wav'])
    expect(Buffer.from(await file.arrayBuffer()).equals(sound)).toBe(true)
    expect(got.has('task')).toBe(false)
  })
  it('what was uploaded with it goes with it; what its client named itself, or another job made, stays', async () => {
    answer = json(200, { text: 'hello' })
    const before = await filesOfJobs()
    const id = (await hear(formOf(sound))).headers.get('sluice-job')!
    const { file } = (await (await get(`/v1/jobs/${id}/request`)).json()) as { file: string }
    expect(await filesOfJobs()).toEqual([file, ...before])
    expect((await get(`/v1/jobs/${id}`, {}, 'DELETE')).status).toBe(204)
    expect((await get(`/v1/files/${file}/content`)).status).toBe(404)
    expect(await filesOfJobs()).toEqual(before)

    answer = audio
    const spoken = (await speak()).headers.get('sluice-job')!
    await get(`/v1/jobs/${spoken}?wait_ms=20000`)
    const [made] = await filesOfJobs()
    const form = formOf(sound)
    form.delete('model')
    form.set('purpose', 'user_data')
    const { id: own } = (await (await post('/v1/files', form)).json()) as { id: string }
    answer = json(200, { text: 'hello' })
    for (const named of [made, own]) {
      const heard = await post('/v1/audio/transcriptions', { model: 'hears', file: named })
      expect(await heard.json()).toEqual({ text: 'hello' })
      expect((await get(`/v1/jobs/${heard.headers.get('sluice-job')}`, {}, 'DELETE')).status).toBe(204)
      expect((await get(`/v1/files/${named}`)).status).toBe(200)
    }
    expect((await get(`/v1/jobs/${spoken}`, {}, 'DELETE')).status).toBe(204)
    expect((await get(`/v1/files/${own}`, {}, 'DELETE')).status).toBe(200)
    expect(await filesOfJobs()).toEqual(before)
  })
  it('translations have their own path', async () => {
    answer = json(200, { text: 'hello' })
    expect((await post('/v1/audio/translations', formOf(sound))).status).toBe(200)
    expect(calls[0].path).toBe('/v1/audio/translations')
  })
  it.each([
    ['text', 'text/plain; charset=utf-8', 'text/plain; charset=utf-8'],
    ['srt', 'text/html', 'text/plain; charset=utf-8'],
    ['vtt', 'text/vtt', 'text/vtt'],
  ])('as %s, with its type', async (format, sent, told) => {
    answer = (_request, response) =>
      response.writeHead(200, { 'content-type': sent }).end('1\n00:00 --> 00:01\nGrüße\n')
    const response = await hear(formOf(sound, [['response_format', format]]))
    expect([response.headers.get('content-type'), await response.text()]).toEqual([told, '1\n00:00 --> 00:01\nGrüße\n'])
  })
  it("an upstream's JSON is JSON, whatever it says of itself", async () => {
    answer = json(200, { object: 'media.text', type: 'text/html', text: '<script>' })
    const response = await hear(formOf(sound))
    expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  })
  it('with one idempotency key the same sound is heard once; another one conflicts', async () => {
    answer = json(200, { text: 'once' })
    const key = { 'idempotency-key': 'sound-1' }
    const before = (await filesOfJobs()).length
    for (let i = 0; i < 3; i++) {
      const later: Record<string, string> = i < 2 ? {} : { prefer: 'respond-async' }
      expect((await hear(formOf(sound), { ...key, ...later })).status).toBe(i < 2 ? 200 : 202)
    }
    expect(calls).toHaveLength(1)
    expect((await hear(formOf(sound.subarray(1)), key)).status).toBe(422)
    // What a repeat, or a refused one, has brought is not kept beside it
    await until(async () => (await filesOfJobs()).length === before + 1)
  })
  it('a job may name a file, if it is its own', async () => {
    const job = (file: unknown) =>
      post('/v1/jobs', { endpoint: '/v1/audio/transcriptions', request: { model: 'hears', file } })
    expect((await job(7)).status).toBe(400)
    const response = await job('file-99999999')
    const { id } = (await response.json()) as { id: string }
    const result = await get(`/v1/jobs/${id}/result?wait_ms=5000`)
    expect(await errorOf(result)).toEqual([404, 'file_not_found'])
  })
  it('a key that may not read has what it sends heard, and no file by its id', async () => {
    answer = json(200, { text: 'hello' })
    const [reads, sends] = [await app.addKey('scoped'), await app.addKey('scoped', { scopes: ['submit'] })]
    const hearAs = (body: object | FormData, { key }: { key: string }) =>
      post('/v1/audio/transcriptions', body, {}, key)
    const form = formOf(sound)
    form.delete('model')
    form.set('purpose', 'user_data')
    const { id } = (await (await post('/v1/files', form, {}, reads.key)).json()) as { id: string }
    const named = new FormData()
    for (const [name, value] of [
      ['model', 'hears'],
      ['file', id],
    ])
      named.set(name, value)
    for (const body of [{ model: 'hears', file: id }, named]) {
      expect(await errorOf(await hearAs(body, sends))).toEqual([403, 'forbidden'])
      expect((await hearAs(body, reads)).status).toBe(200)
    }
    const job = { endpoint: '/v1/audio/transcriptions', request: { model: 'hears', file: id } }
    expect((await post('/v1/jobs', job, {}, sends.key)).status).toBe(403)
    expect((await hearAs(formOf(sound), sends)).status).toBe(200)
  })
  it.each([
    ['sluice[priority]', '"sluice-priority"'],
    ['sluice[on_worker_loss]', '"sluice-on-worker-loss"'],
    ['sluice', 'such as'],
  ])('a field "%s" is refused, with the header that stands for it', async (name, told) => {
    const response = await hear(formOf(sound, [[name, 'low']]))
    expect(response.status).toBe(400)
    expect(await response.text()).toContain(told.replaceAll('"', '\\"'))
    expect(calls).toHaveLength(0)
  })
  it.each([
    ['larger than http.max_upload_bytes', formOf(Buffer.alloc(3 << 20)), 413],
    ['larger by a little, which its length does not tell', formOf(Buffer.alloc((2 << 20) + 1_000)), 413],
    ['empty', formOf(Buffer.alloc(0)), 400],
    [
      'streamed as subtitles',
      formOf(sound, [
        ['stream', 'true'],
        ['response_format', 'srt'],
      ]),
      400,
    ],
  ])('%s is refused', async (_what, form, status) => {
    expect((await hear(form)).status).toBe(status)
    expect(calls).toHaveLength(0)
  })
  it.each([
    ['an error with status 200', json(200, { error: { message: 'x', type: 'server_error' } }), 'provider_error'],
    ['another document', json(200, { data: [] }), 'provider_garbage'],
    ['a web page', (_q: unknown, r: ServerResponse) => r.end('<!doctype html>'), 'provider_garbage'],
  ] as ReadonlyArray<readonly [string, Answer, string]>)('%s', async (_what, by, code) => {
    answer = by
    expect(await errorOf(await hear(formOf(sound)))).toEqual([502, code])
  })
})
