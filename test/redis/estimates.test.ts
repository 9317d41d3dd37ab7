/** In a fleet, a gateway learns how models count from the answers that its own clients get. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'
import { NO_REDIS, RedisServer } from './server.ts'

it.skipIf(NO_REDIS)('every gateway learns, whichever has the coordinator', async () => {
  const upstream = createServer((req, res) => {
    req.resume().on('end', () =>
      res.setHeader('content-type', 'application/json').end(
        JSON.stringify({
          object: 'chat.completion',
          choices: [{ index: 0, message: { role: 'assistant', content: 'Two.' }, finish_reason: 'stop' }],
          usage: { prompt_tokens: 40, completion_tokens: 1, total_tokens: 41 },
        }),
      ),
    )
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const base_url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const redis = await RedisServer.start()
  const more = {
    engine: { redis: { url: redis.url } },
    models: [{ name: 'm', provider: 'openai-compatible', base_url }],
  }
  const apps: TestApp[] = []
  try {
    for (let i = 0; i < 2; i++) apps.push(await startTestApp({}, more))
    const { key } = apps[0]
    const post = async ({ port }: TestApp, path: string): Promise<any> => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'm',
          messages: [{ role: 'user', content: 'Which contracts can be terminated?' }],
        }),
      })
      expect(response.status).toBe(200)
      return response.json()
    }
    for (const app of apps) {
      const before = (await post(app, '/v1/estimate')).input_tokens
      for (let i = 0; i < 80; i++) await post(app, '/v1/chat/completions')
      expect((await post(app, '/v1/estimate')).input_tokens).toBeGreaterThan(before * 1.5)
    }
  } finally {
    for (const app of apps) await app.stop()
    await redis.remove()
    upstream.close()
  }
})
