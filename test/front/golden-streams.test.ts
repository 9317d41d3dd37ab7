/** What Sluice says of an answer's times is what the golden streams say: replayed through a real server. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { serveGolden } from '../golden-streams/serve.ts'
import { STREAMS } from '../golden-streams/streams.ts'
import { busyness } from '../in-time.ts'
import { startTestApp, type TestApp } from './app.ts'

let golden: Awaited<ReturnType<typeof serveGolden>>
let app: TestApp

beforeAll(async () => {
  golden = await serveGolden(0)
  app = await startTestApp(
    {},
    {
      models: STREAMS.map(({ name }) => ({
        name,
        deployment: name,
        provider: 'openai-compatible',
        base_url: `${golden.url}/v1`,
        model: name,
      })),
      queue: { max_attempts: 1 },
    },
  )
})
afterAll(async () => {
  await app?.stop()
  await golden?.close()
})

/** Of a timer, on a busy machine; tokens are gathered for as long. */
const LATE_MS = 60

async function timesOf(model: string): Promise<{ upstream: number; tpot: number | null; tokens: number | null }> {
  const response = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: 'hello' }],
    }),
  })
  const text = await response.text()
  const timing = /^: server-timing (.*)$/m.exec(text)?.[1] ?? ''
  const duration = (name: string): number | null => {
    const found = new RegExp(`(?:^|[ ,])${name};dur=([\\d.]+)`).exec(timing)
    return found === null ? null : Number(found[1])
  }
  const usages = [...text.matchAll(/"completion_tokens":(\d+)/g)]
  return {
    upstream: duration('upstream') ?? Number.NaN,
    tpot: duration('tpot'),
    tokens: usages.length === 0 ? null : Number(usages.at(-1)![1]),
  }
}

const COMPLETE = STREAMS.filter(({ expected }) => expected.complete && expected.first_token_ms !== null)

// Time is its subject: on a busy machine a chunk may come late
it.each(COMPLETE.map((stream) => [stream.name, stream] as const))('%s', { retry: 2 }, async (name, { expected }) => {
  const { upstream, tpot, tokens } = await timesOf(name)
  expect(upstream).toBeGreaterThan(expected.first_token_ms! - 5)
  expect(upstream).toBeLessThan(expected.first_token_ms! + LATE_MS * busyness())
  if (expected.token_source === 'usage') expect(tokens).toBe(expected.tokens)
  if (expected.tpot_ms === null) return expect(tpot).toBeNull()
  const paced = expected.tokens - expected.first_tokens
  // The last token may come late, or the first one
  expect(Math.abs(tpot! - expected.tpot_ms)).toBeLessThan((LATE_MS / paced + 0.03 * expected.tpot_ms) * busyness())
})
