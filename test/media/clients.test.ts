/** Our own clients fetch what jobs of media and embeddings make: of the built-in model. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect, type Sluice, SluiceError } from '../../client/src/index.ts'
import { JOB_KINDS } from '../../src/core/job.ts'
import { paint, sing } from '../../src/routing/providers/demo/media.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { interpreterWith, start } from '../python/python.ts'

const SOUND = Buffer.concat(sing('one two three'))
const speech = { endpoint: '/v1/audio/speech', request: { model: 'demo', voice: 'alloy', input: 'one two three' } }
const images = { endpoint: '/v1/images/generations', request: { model: 'demo', prompt: 'a lake', n: 2 } }
const vectors = { endpoint: '/v1/embeddings', request: { model: 'demo', input: ['a', 'b'] } }

let app: TestApp
let upload: string
beforeAll(async () => {
  app = await startTestApp({}, { models: [{ name: 'demo', provider: 'demo', kinds: [...JOB_KINDS] }] })
  const form = new FormData()
  form.set('purpose', 'user_data')
  form.set('file', new File([Buffer.alloc(1_000, 7)], 'a.wav', { type: 'audio/wav' }))
  const sent = await fetch(`http://127.0.0.1:${app.port}/v1/files`, {
    ...{ method: 'POST', body: form },
    headers: { authorization: `Bearer ${app.key}` },
  })
  upload = ((await sent.json()) as { id: string }).id
})
afterAll(() => app?.stop())

describe.each(['websocket', 'sse'] as const)('@sluice/client, %s', (transport) => {
  let sluice: Sluice
  beforeAll(() => {
    sluice = connect({ url: `http://127.0.0.1:${app.port}`, key: app.key, transport })
  })
  afterAll(() => sluice?.close())
  const codeOf = (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      () => null,
      (error: unknown) => error instanceof SluiceError && error.code,
    )
  const bytesOf = async (blob: Blob): Promise<Buffer> => Buffer.from(await blob.arrayBuffer())

  it('gets the bytes of a sound', async () => {
    const job = sluice.submit(speech)
    const content = await job.content()
    expect([content.type, (await bytesOf(content)).equals(SOUND)]).toEqual(['audio/wav', true])
    expect(await codeOf(job.answer())).toBe('not_a_message')
    expect(await codeOf(job.result())).toBe('not_json')
  })
  it('gets images, in one document and one by one', async () => {
    const job = sluice.submit(images)
    const { data } = (await job.result()) as { data: Array<{ b64_json: string }> }
    expect(data.map(({ b64_json: text }, i) => Buffer.from(text, 'base64').equals(paint('a lake', i)))).toEqual([
      true,
      true,
    ])
    expect(await bytesOf(await job.content(1))).toEqual(paint('a lake', 1))
    expect(await codeOf(job.content(2))).toBe('file_not_found')
    expect(await codeOf(job.answer())).toBe('not_a_message')
  })
  it('gets embeddings, and transcripts that are no JSON', async () => {
    const job = sluice.submit(vectors)
    expect(await job.result()).toMatchObject({ object: 'list', data: [{ index: 0 }, { index: 1 }] })
    expect(await codeOf(job.answer())).toBe('not_a_message')
    expect(await codeOf(job.content())).toBe('file_not_found')
    const request = { model: 'demo', file: upload, response_format: 'text' }
    const heard = sluice.submit({ endpoint: '/v1/audio/transcriptions', request })
    expect(await heard.result()).toEqual({ text: expect.stringContaining('A sound of 1000 bytes') })
  })
  it('tells why there is none', async () => {
    const job = sluice.submit({ ...speech, request: { ...speech.request, input: '' } })
    expect(await codeOf(job.content())).toBe('invalid_request')
    const chat = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=4' }] }
    expect(await sluice.submit({ request: chat }).result()).toMatchObject({ object: 'chat.completion' })
    expect(await codeOf(sluice.submit({ request: chat }).content())).toBe('file_not_found')
  })
})

const python = interpreterWith('httpx')
describe.skipIf(python === undefined)('the Python package', () => {
  it.each(['sync', 'async'])('gets what jobs have made: %s', { timeout: 60_000 }, async (kind) => {
    const body = `
import asyncio, hashlib, json
from sluice import *

def code(error):
    return [type(error).__name__, error.code]


async def main():
    async with AsyncSluice() as sluice:
        async def make(spec):
            return await sluice.submit(spec["request"], endpoint=spec["endpoint"])
        job = await make(json.loads(${JSON.stringify(JSON.stringify(speech))}))
        made = await job.content(timeout=30)
        print(json.dumps([made.content_type, hashlib.sha256(made.data).hexdigest(), repr(made)]))
        try:
            await job.result()
        except SluiceError as error:
            print(json.dumps(code(error)))
        job = await make(json.loads(${JSON.stringify(JSON.stringify(images))}))
        print(json.dumps([len((await job.result())["data"]), hashlib.sha256((await job.content(1)).data).hexdigest()]))
        try:
            await job.content(2)
        except SluiceError as error:
            print(json.dumps(code(error)))
        job = await make(json.loads(${JSON.stringify(JSON.stringify(vectors))}))
        print(json.dumps(len((await job.result())["data"])))
        request = {"model": "demo", "file": "${upload}", "response_format": "text"}
        job = await make({"endpoint": "/v1/audio/transcriptions", "request": request})
        print(json.dumps(await job.result()))

asyncio.run(main())
`
    const sync = body
      .replace('asyncio.run(main())', 'main()')
      .replace(/\basync (?=def|with)/g, '')
      .replace(/\bawait /g, '')
      .replace('AsyncSluice(', 'Sluice(')
    const env = { SLUICE_URL: `http://127.0.0.1:${app.port}`, SLUICE_API_KEY: app.key }
    const ran = await start(python!, kind === 'async' ? body : sync, env).done
    expect(ran.code, ran.err).toBe(0)
    const digest = async (bytes: Uint8Array): Promise<string> =>
      Buffer.from(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)).toString('hex')
    expect(ran.lines).toEqual([
      ['audio/wav', await digest(SOUND), "Content(content_type='audio/wav')"],
      ['InvalidAnswer', 'not_json'],
      [2, await digest(paint('a lake', 1))],
      ['NotFound', 'file_not_found'],
      2,
      { text: expect.stringContaining('A sound of 1000 bytes') },
    ])
  })
})
