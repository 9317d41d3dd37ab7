/** Providers whose packages the tests need not have: held to the little that is here, where they are installed. */
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isInstalled, PACKAGES } from '../../src/routing/providers/ai-sdk/settings.ts'
import { RawUpstream } from '../../src/routing/providers/testing/upstream.ts'
import { named } from './dialects/fixture.ts'
import { ask, providerOf, whole } from './rig.ts'

const upstream = new RawUpstream()
beforeEach(() => upstream.listen())
afterEach(() => upstream.stop())

const HELLO = { model: 'some-model', messages: [{ role: 'user', content: 'Hi' }] }
const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }

/** A message of Amazon's event stream: lengths and sums around headers and a payload. */
function message(type: string, body: object): Buffer {
  const header = (name: string, value: string): Buffer =>
    Buffer.concat([
      Buffer.from([name.length]),
      Buffer.from(name),
      Buffer.from([7, 0, value.length]),
      Buffer.from(value),
    ])
  const headers = Buffer.concat([
    header(':event-type', type),
    header(':content-type', 'application/json'),
    header(':message-type', 'event'),
  ])
  const payload = Buffer.from(JSON.stringify(body))
  const start = Buffer.alloc(12)
  start.writeUInt32BE(16 + headers.length + payload.length, 0)
  start.writeUInt32BE(headers.length, 4)
  start.writeUInt32BE(crc32(start.subarray(0, 8)), 8)
  const all = Buffer.concat([start, headers, payload])
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(all))
  return Buffer.concat([all, sum])
}

async function told(model: object, bytes: string) {
  upstream.says(bytes)
  const provider = await providerOf(model as never)
  const outcome = await ask(provider, HELLO)
  provider.close()
  const chunks = outcome.events.map((text) => JSON.parse(text))
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
  return { text, usage: chunks.at(-1)?.usage, end: outcome.end.kind === 'failed' ? outcome.end.error.code : 'done' }
}

describe.skipIf(!isInstalled(PACKAGES.bedrock))('bedrock', () => {
  const KEY = { env: 'KEY' }
  const stream = (...messages: Buffer[]): string => {
    const bytes = Buffer.concat(messages).toString('latin1')
    const type = 'application/vnd.amazon.eventstream'
    return `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${bytes.length}\r\n\r\n${bytes}`
  }
  const begin = [
    message('messageStart', { role: 'assistant' }),
    message('contentBlockDelta', { contentBlockIndex: 0, delta: { text: 'Héllo' } }),
  ]
  const end = [
    message('messageStop', { stopReason: 'end_turn' }),
    message('metadata', { usage: { inputTokens: 3, outputTokens: 2, totalTokens: 5 } }),
  ]

  test.each([
    ['a key', { api_key: KEY }, /\r\nauthorization: Bearer /],
    ['a signature', { access_key_id: KEY, secret_access_key: KEY }, /\r\nauthorization: AWS4-HMAC-SHA256 /],
  ])('with %s', async (_, keys, header) => {
    const model = { provider: 'bedrock', region: 'us-east-1', base_url: upstream.url, ...keys }
    expect(await told(model, stream(...begin, ...end))).toMatchObject({ text: 'Héllo', usage, end: 'done' })
    expect(upstream.asked.at(-1)).toMatch(header)
    expect(await told(model, stream(...begin))).toMatchObject({ end: 'provider_cut' })
  })
})

describe.skipIf(!isInstalled(PACKAGES.cohere))('cohere', () => {
  test('a stream, whole and cut', async () => {
    const model = { provider: 'cohere', base_url: `${upstream.url}/v2`, api_key: { env: 'KEY' } }
    const tokens = { input_tokens: 3, output_tokens: 2 }
    const begin = [
      { type: 'message-start', id: 'c1', delta: { message: { role: 'assistant' } } },
      { type: 'content-start', index: 0, delta: { message: { content: { type: 'text', text: '' } } } },
      { type: 'content-delta', index: 0, delta: { message: { content: { text: 'Hello' } } } },
    ]
    const end = { type: 'message-end', delta: { finish_reason: 'COMPLETE', usage: { billed_units: tokens, tokens } } }
    const events = (all: readonly { type: string }[]): string => whole('200 OK', 'text/event-stream', named(all))
    expect(await told(model, events([...begin, end]))).toMatchObject({ text: 'Hello', usage, end: 'done' })
    expect(await told(model, events(begin))).toMatchObject({ end: 'provider_cut' })
  })
})

describe.skipIf(!isInstalled(PACKAGES.vertex))('vertex', () => {
  test('with a key', async () => {
    const model = { provider: 'vertex', base_url: `${upstream.url}/v1/publishers/google`, api_key: { env: 'KEY' } }
    const chunk = {
      candidates: [{ content: { role: 'model', parts: [{ text: 'Hello' }] }, finishReason: 'STOP' }],
      usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 2, totalTokenCount: 5 },
    }
    const bytes = whole('200 OK', 'text/event-stream', `data: ${JSON.stringify(chunk)}\n\n`)
    expect(await told(model, bytes)).toMatchObject({ text: 'Hello', usage, end: 'done' })
  })
})
