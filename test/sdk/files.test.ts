/** Files, as OpenAI's own SDK asks for them, and what a hostile client may try. */
import { request as httpRequest } from 'node:http'
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { patterned } from '../conformance/files.ts'
import { startTestApp, type TestApp } from '../front/app.ts'

let app: TestApp
let openai: OpenAI
const clientOf = (apiKey: string) => new OpenAI({ baseURL: `http://127.0.0.1:${app.port}/v1`, apiKey, maxRetries: 0 })

beforeAll(async () => {
  app = await startTestApp({}, { files: { max_bytes: '4MiB', max_tenant_bytes: '12MiB', max_tenant_files: 40 } })
  openai = clientOf(app.key)
})
afterAll(() => app?.stop())

const url = (path: string): string => `http://127.0.0.1:${app.port}/v1${path}`
const ask = (path: string, init: RequestInit = {}, key = app.key): Promise<Response> =>
  fetch(url(path), { ...init, headers: { ...(init.headers as object), authorization: `Bearer ${key}` } })
const upload = async (fields: Readonly<Record<string, string | Blob>>, key = app.key) => {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  const response = await ask('/files', { method: 'POST', body: form }, key)
  return {
    status: response.status,
    body: (await response.json()) as { id: string; error?: { code: string; param: string } },
  }
}
const refusal = async (fields: Readonly<Record<string, string | Blob>>) => {
  const { status, body } = await upload(fields)
  return [status, body.error?.code, body.error?.param]
}

describe("OpenAI's SDK", () => {
  it('uploads, lists, reads, downloads and deletes', async () => {
    const bytes = patterned(2_500_000)
    const file = await openai.files.create({
      file: await toFile(bytes, 'requests "é".jsonl', { type: 'application/jsonl' }),
      purpose: 'batch',
      expires_after: { anchor: 'created_at', seconds: 7_200 },
    })
    expect(file).toMatchObject({ object: 'file', bytes: bytes.length, purpose: 'batch', status: 'processed' })
    expect(file.filename).toBe('requests "é".jsonl')
    expect(file.expires_at! - file.created_at).toBe(7_200)
    expect(await openai.files.retrieve(file.id)).toEqual(file)
    const content = await openai.files.content(file.id)
    expect(Buffer.compare(Buffer.from(await content.arrayBuffer()), bytes)).toBe(0)
    const others = [await openai.files.create({ file: await toFile(Buffer.from('b'), 'b.txt'), purpose: 'user_data' })]
    others.push(await openai.files.create({ file: await toFile(Buffer.from('c'), 'c.txt'), purpose: 'user_data' }))
    const listed: string[] = []
    for await (const each of openai.files.list({ limit: 1 })) listed.push(each.id)
    expect(new Set(listed)).toEqual(new Set([file.id, ...others.map(({ id }) => id)]))
    expect(listed.at(-1)).toBe(file.id)
    const upwards: string[] = []
    for await (const each of openai.files.list({ limit: 2, order: 'asc', purpose: 'user_data' })) upwards.push(each.id)
    expect(upwards).toEqual(listed.slice(0, 2).reverse())
    for (const id of listed) expect(await openai.files.delete(id)).toEqual({ id, object: 'file', deleted: true })
    await expect(openai.files.retrieve(file.id)).rejects.toMatchObject({ status: 404, code: 'file_not_found' })
    expect((await openai.files.list()).data).toEqual([])
  })
})

it('gives ranges, and says where one is not within the file', async () => {
  const bytes = patterned(600_000)
  const { body } = await upload({ purpose: 'batch', file: new Blob([bytes], { type: 'text/html' }) })
  const range = async (value: string) => {
    const response = await ask(`/files/${body.id}/content`, { headers: { range: value } })
    return [response.status, response.headers.get('content-range'), Buffer.from(await response.arrayBuffer())] as const
  }
  for (const [asked, from, to] of [
    ['bytes=0-0', 0, 1],
    ['bytes=262143-262145', 262_143, 262_146],
    ['bytes=599999-', 599_999, 600_000],
    ['bytes=-10', 599_990, 600_000],
    ['bytes=5-9999999', 5, 600_000],
  ] as const) {
    const [status, header, got] = await range(asked)
    expect([status, header]).toEqual([206, `bytes ${from}-${to - 1}/600000`])
    expect(got.equals(bytes.subarray(from, to))).toBe(true)
  }
  for (const asked of ['bytes=600000-', 'bytes=9-3', 'bytes=-0']) expect((await range(asked))[0]).toBe(416)
  for (const asked of ['bytes=0-1,3-4', 'lines=1-2', 'bytes=-']) expect((await range(asked))[0]).toBe(200)
  const head = await ask(`/files/${body.id}/content`, { method: 'HEAD' })
  expect([head.status, head.headers.get('content-length')]).toEqual([200, '600000'])
  // A page of another kind is never shown on our origin
  expect(head.headers.get('content-type')).toBe('application/octet-stream')
  expect(head.headers.get('x-content-type-options')).toBe('nosniff')
})

it('a file that is deleted while it is read: its reader is cut, and the log has no fault', async () => {
  const roomy = await startTestApp()
  try {
    const files = new OpenAI({ baseURL: `http://127.0.0.1:${roomy.port}/v1`, apiKey: roomy.key, maxRetries: 0 }).files
    // More than sockets hold
    const file = await toFile(patterned(40_000_000), 'large')
    const { id } = await files.create({ purpose: 'user_data', file })
    const reading = await files.content(id)
    await files.delete(id)
    await expect(reading.arrayBuffer()).rejects.toThrow()
    expect(roomy.log.filter((line) => line.startsWith('unforeseen'))).toEqual([])
  } finally {
    await roomy.stop()
  }
})

it('refuses what is no upload, says what to do, and keeps nothing of it', async () => {
  const before = (await openai.files.list()).data.length
  const file = new Blob(['{}'])
  expect(await refusal({ file, purpose: 'batsh' })).toEqual([400, 'invalid_request', 'purpose'])
  expect(await refusal({ file })).toEqual([400, 'invalid_request', 'purpose'])
  expect(await refusal({ purpose: 'batch' })).toEqual([400, 'invalid_request', 'file'])
  expect(await refusal({ file, purpose: 'batch', porpoise: '1' })).toEqual([400, 'invalid_request', 'porpoise'])
  const after = { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '5' }
  expect(await refusal({ file, purpose: 'batch', ...after })).toEqual([
    400,
    'invalid_request',
    'expires_after[seconds]',
  ])
  expect((await refusal({ purpose: 'batch', file: new Blob([patterned(4_300_000)]) })).slice(0, 2)).toEqual([
    413,
    'body_too_large',
  ])
  const json = await ask('/files', { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } })
  expect(json.status).toBe(415)
  expect((await openai.files.list()).data.length).toBe(before)
})

it("a tenant's files fill its own room alone", async () => {
  const stranger = await app.addKey('stranger')
  const full = await app.addKey('full')
  const large = { purpose: 'batch', file: new Blob([patterned(4_000_000)]) }
  for (let i = 0; i < 3; i++) expect((await upload(large, full.key)).status).toBe(200)
  const refused = await upload(large, full.key)
  expect([refused.status, refused.body.error?.code]).toEqual([507, 'storage_full'])
  expect((await clientOf(full.key).files.list()).data).toHaveLength(3)
  expect((await upload(large, stranger.key)).status).toBe(200)
  for await (const each of clientOf(full.key).files.list()) await clientOf(full.key).files.delete(each.id)
  expect((await upload(large, full.key)).status).toBe(200)
})

it('an upload that breaks off is not shown, and takes no room', async () => {
  const { key } = await app.addKey('breaking')
  for (let i = 0; i < 3; i++)
    await new Promise<void>((done) => {
      const type = 'multipart/form-data; boundary=b'
      const sending = httpRequest(url('/files'), {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': type },
      })
      sending.on('error', () => done())
      sending.write('--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n')
      sending.write(patterned(3_000_000), () =>
        setTimeout(async () => {
          expect((await clientOf(key).files.list()).data).toEqual([])
          sending.destroy()
        }, 100),
      )
      sending.on('close', () => done())
    })
  expect((await clientOf(key).files.list()).data).toEqual([])
  // Three times 3 MB would leave too little for these
  for (let i = 0; i < 3; i++)
    await expect
      .poll(async () => (await upload({ purpose: 'batch', file: new Blob([patterned(3_900_000)]) }, key)).status)
      .toBe(200)
})

it('a session has files of its own, and sees no others', async () => {
  const { key } = await app.addKey('paged')
  const theirs = (await upload({ purpose: 'batch', file: new Blob(['x']) }, key)).body.id
  const post = async (path: string, body: object, own: object): Promise<Record<string, string>> => {
    const headers = { 'content-type': 'application/json', ...own }
    return (await (await fetch(url(path), { method: 'POST', body: JSON.stringify(body), headers })).json()) as never
  }
  const open = async (user: string): Promise<string> => {
    const { ticket } = await post('/tickets', { user }, { authorization: `Bearer ${key}` })
    return (await post('/sessions', { ticket }, {}))['token']
  }
  const [ann, bob] = [await open('ann'), await open('bob')]
  const { body } = await upload({ purpose: 'vision', file: new Blob(['hers']) }, ann)
  const idsOf = async (token: string): Promise<string[]> =>
    ((await (await ask('/files', {}, token)).json()) as { data: { id: string }[] }).data.map(({ id }) => id)
  expect(await idsOf(ann)).toEqual([body.id])
  expect(await idsOf(bob)).toEqual([])
  expect((await idsOf(key)).sort()).toEqual([theirs, body.id].sort())
  for (const id of [body.id, theirs]) expect((await ask(`/files/${id}/content`, {}, bob)).status).toBe(404)
  expect(await (await ask(`/files/${body.id}/content`, {}, ann)).text()).toBe('hers')
})
