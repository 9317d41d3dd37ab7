/** Hostile upstreams at one end, the official SDK at the other: done is complete, and complete is done (E1). */
import type { Socket } from 'node:net'
import fc from 'fast-check'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type HostileStream, hostileStream, pieced, splits } from '../../src/routing/providers/testing/hostile.ts'
import { HEAD, LAST, RawUpstream, response } from '../../src/routing/providers/testing/upstream.ts'
import { startTestApp, type TestApp } from './app.ts'

let app: TestApp
let upstream: RawUpstream
let openai: OpenAI

beforeAll(async () => {
  upstream = new RawUpstream()
  await upstream.start()
  app = await startTestApp(
    {},
    {
      models: [
        { name: 'm', provider: 'openai-compatible', base_url: `${upstream.url}/v1` },
        { name: 'folded', provider: 'openai-compatible', base_url: `${upstream.url}/v1`, stream: 'always' },
      ],
      queue: { retry_base_ms: 1, retry_cap_ms: 1, max_attempts: 2 },
    },
  )
  openai = new OpenAI({ baseURL: `http://127.0.0.1:${app.port}/v1`, apiKey: app.key, maxRetries: 0 })
})
afterAll(async () => {
  await app?.stop()
  await upstream?.stop()
})

/** In these pieces, each in a chunk of HTTP and a write of its own. */
function send(socket: Socket, { bytes, isWhole }: HostileStream, sizes: readonly number[]): void {
  socket.setNoDelay(true)
  socket.write(HEAD, 'latin1')
  const pieces = pieced(bytes, sizes)
  const next = (): void => {
    if (socket.destroyed) return
    const { value, done } = pieces.next()
    if (done !== true) socket.write(`${value.length.toString(16)}\r\n${value}\r\n`, 'latin1', () => setImmediate(next))
    else if (isWhole) socket.write(LAST, 'latin1')
    else socket.end()
  }
  next()
}

const request = (model: string) => ({ model, messages: [{ role: 'user' as const, content: 'hello' }] })

async function streamed(): Promise<Map<number, string> | null> {
  const texts = new Map<number, string>()
  try {
    for await (const { choices } of await openai.chat.completions.create({ ...request('m'), stream: true }))
      for (const { index, delta } of choices ?? []) texts.set(index, (texts.get(index) ?? '') + (delta.content ?? ''))
    return texts
  } catch {
    return null
  }
}

async function whole(): Promise<Map<number, string> | null> {
  try {
    const { choices } = await openai.chat.completions.create(request('folded'))
    return new Map(choices.map(({ index, message }) => [index, message.content ?? '']))
  } catch {
    return null
  }
}

it('streams, read as streams and as one answer', async () => {
  await fc.assert(
    fc.asyncProperty(hostileStream, splits, fc.boolean(), async (hostile, sizes, asStream) => {
      upstream.answer = (socket) => send(socket, hostile, sizes)
      const { truth, isWhole } = hostile
      const texts = await (asStream ? streamed() : whole())
      expect(texts !== null).toBe(isWhole ? truth.ifWhole : truth.ifBroken)
      if (texts !== null) expect(texts).toEqual(truth.texts)
    }),
    { numRuns: 60 },
  )
})

it('documents, cut anywhere: the very bytes, or an error', async () => {
  const document =
    '{\n"id":"c1","x":[1.50,{"y":null}],"choices":[{"index":0,"message":{"role":"assistant",' +
    '"content":"\\u4e16"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n'
  const bytes = response('200 OK', document)
  await fc.assert(
    // Without its last line end it is whole
    fc.asyncProperty(fc.option(fc.nat(bytes.length - 2), { freq: 2, nil: null }), async (cut) => {
      upstream.answer = (socket) =>
        cut === null ? void socket.write(bytes, 'latin1') : void socket.end(bytes.slice(0, cut), 'latin1')
      const answer = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
        body: JSON.stringify(request('m')),
      })
      expect(answer.status === 200).toBe(cut === null)
      const text = await answer.text()
      if (cut === null) expect(text).toBe(document)
      else expect(JSON.parse(text)).toHaveProperty('error.code')
    }),
    { numRuns: 40 },
  )
})
