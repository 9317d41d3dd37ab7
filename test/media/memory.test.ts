/** What a large upload, a large sound and a large image hold of a server's memory: pieces, in both directions. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEEP } from '../depth.ts'
import { type Server, startServer } from '../e2e/server.ts'

const SIZE = 224 << 20
/** Half of one of them: buffers that are used up wait for V8, which collects them at about 64 MiB. */
const MOST = SIZE / 2
const PIECE = Buffer.alloc(1 << 20, 'sound123')

let server: Server
let upstream: HttpServer
/** How many bytes the upstream has read, and whether all were as they should be. */
let got = 0

beforeAll(async () => {
  upstream = createServer((request, response) => {
    if (request.url!.endsWith('/transcriptions')) {
      got = 0
      request.on('data', (chunk: Buffer) => {
        got += chunk.length
        // Slower than the upload comes
        request.pause()
        setTimeout(() => request.resume(), got % 16 === 0 ? 1 : 0)
      })
      request.on('end', () => response.end('{"text":"all"}'))
      return
    }
    request.resume()
    const isImage = request.url!.endsWith('/generations')
    response.writeHead(200, { 'content-type': isImage ? 'application/json' : 'audio/mpeg' })
    const piece = isImage ? Buffer.from(PIECE.subarray(0, 786_432).toString('base64')) : PIECE
    let sent = 0
    const more = (): void => {
      while (sent < SIZE) {
        sent += piece.length
        if (!response.write(piece)) return void response.once('drain', more)
      }
      response.end(isImage ? '"}]}' : '')
    }
    if (isImage) response.write('{"data":[{"b64_json":"')
    more()
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const base = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const model = (kind: string) =>
    `  - { name: ${kind}, provider: openai-compatible, base_url: "${base}", kinds: [${kind}] }\n`
  server = await startServer(
    `models:\n${['image', 'speech', 'transcription'].map(model).join('')}` +
      'http: { max_upload_bytes: 256MiB, max_answer_bytes: 512MiB, request_timeout_ms: 120s }\n',
  )
}, 60_000)
afterAll(async () => {
  await server?.stop()
  upstream?.closeAllConnections()
  upstream?.close()
})

const status = (name: string): number =>
  Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) * 1024

/** How much more memory the server had at most while that ran. */
async function grown(work: () => Promise<void>): Promise<number> {
  writeFileSync(`/proc/${server.pid}/clear_refs`, '5')
  const before = status('VmRSS')
  await work()
  return status('VmHWM') - before
}

const headers = () => ({ authorization: `Bearer ${server.key}` })

async function upload(bytes: number): Promise<void> {
  const head = Buffer.from(
    '--b\r\ncontent-disposition: form-data; name="model"\r\n\r\ntranscription\r\n--b\r\n' +
      'content-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\n',
  )
  async function* body(): AsyncGenerator<Uint8Array> {
    yield head
    for (let sent = 0; sent < bytes; sent += PIECE.length) yield PIECE.subarray(0, Math.min(PIECE.length, bytes - sent))
    yield Buffer.from('\r\n--b--\r\n')
  }
  const response = await fetch(`${server.url}/v1/audio/transcriptions`, {
    method: 'POST',
    headers: { ...headers(), 'content-type': 'multipart/form-data; boundary=b' },
    body: body() as unknown as ReadableStream,
    duplex: 'half',
  } as RequestInit)
  expect(await response.json()).toEqual({ text: 'all' })
  expect(got).toBeGreaterThan(bytes)
}

async function answered(path: string, body: object): Promise<number> {
  const response = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { ...headers(), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  expect(response.status).toBe(200)
  let bytes = 0
  for await (const chunk of response.body!) bytes += chunk.length
  return bytes
}

describe.skipIf(process.platform !== 'linux' || !DEEP)('memory', () => {
  it('an upload of 224 MiB', async () => {
    // What it is warm with, it has
    await upload(4 << 20)
    const more = await grown(() => upload(SIZE))
    console.log(`upload: ${(more / 2 ** 20).toFixed(1)} MiB`)
    expect(more).toBeLessThan(MOST)
  }, 60_000)
  it('a sound of 224 MiB', async () => {
    const more = await grown(async () => {
      expect(await answered('/v1/audio/speech', { model: 'speech', input: 'x', voice: 'v' })).toBe(SIZE)
    })
    console.log(`sound: ${(more / 2 ** 20).toFixed(1)} MiB`)
    expect(more).toBeLessThan(MOST)
  }, 60_000)
  it('an image of 168 MiB', async () => {
    const more = await grown(async () => {
      expect(await answered('/v1/images/generations', { model: 'image', prompt: 'x' })).toBeGreaterThan(SIZE)
    })
    console.log(`image: ${(more / 2 ** 20).toFixed(1)} MiB`)
    expect(more).toBeLessThan(MOST)
  }, 60_000)
})
