/** Each proxy as `deploy` has it, in front of Sluice: nothing is buffered, cut off, or told wrongly. */
import { connect as dial } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect } from '../../client/src/index.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { FrontProxy, isHere, PROXY_NAMES } from './proxy.ts'

describe.each(PROXY_NAMES)('%s', (name) => {
  const where = describe.skipIf(!isHere(name))
  where('in front', () => {
    let app: TestApp
    let proxy: FrontProxy
    beforeAll(async () => {
      app = await startTestApp({ heartbeat_ms: 1_000, disconnect_grace_ms: 100 })
      // It is there twice, as two gateways
      proxy = await FrontProxy.start(name, [app.port, app.port])
      // Some look first whether it is ready
      while ((await post('Hi. demo: tokens=1').catch(() => null))?.status !== 200)
        await new Promise((done) => setTimeout(done, 50))
    })
    afterAll(async () => {
      await proxy?.close()
      await app?.stop()
    })

    const headers = () => ({ authorization: `Bearer ${app.key}`, 'content-type': 'application/json' })
    const post = (content: string, more: object = {}, signal?: AbortSignal): Promise<Response> =>
      fetch(`${proxy.url}/v1/chat/completions`, {
        method: 'POST',
        headers: headers(),
        body: JSON.stringify({ model: 'demo', messages: [{ role: 'user', content }], ...more }),
        ...(signal !== undefined && { signal }),
      })

    it('a whole answer', async () => {
      const answer = (await (await post('Hi. demo: tokens=5')).json()) as { usage: { completion_tokens: number } }
      expect(answer.usage.completion_tokens).toBe(5)
    })

    it('a stream comes as it is made, and its heartbeats while nothing is', async () => {
      const response = await post('Hi. demo: tokens=4 delay=700 ttft=2500', { stream: true })
      const began = performance.now()
      const cameMs: number[] = []
      let text = ''
      for await (const bytes of response.body!) {
        cameMs.push(performance.now() - began)
        text += Buffer.from(bytes).toString()
      }
      expect(text).toContain('data: [DONE]')
      // A proxy that buffers would bring all of it at the end, and the heartbeats before it too
      expect(cameMs.filter((ms) => ms < cameMs.at(-1)! - 300).length).toBeGreaterThanOrEqual(3)
      expect(text).toMatch(/^:/m)
    })

    it('a WebSocket, with the answer and what resumes it', async () => {
      const client = connect({ url: proxy.url, key: app.key, transport: 'websocket' })
      const job = client.submit({
        request: { model: 'demo', messages: [{ role: 'user', content: 'Hi. demo: tokens=6' }] },
      })
      expect((await job.answer()).usage).toMatchObject({ completion_tokens: 6 })
      client.close()
    })

    it('a long poll is held open, and answered when there is something', async () => {
      const submitted = await fetch(`${proxy.url}/v1/jobs`, {
        method: 'POST',
        headers: headers(),
        body: JSON.stringify({
          request: { model: 'demo', messages: [{ role: 'user', content: 'Hi. demo: tokens=2 ttft=2000' }] },
        }),
      })
      const { id } = (await submitted.json()) as { id: string }
      const job = await fetch(`${proxy.url}/v1/jobs/${id}?wait_ms=20000`, { headers: headers() })
      expect(((await job.json()) as { state: string }).state).toBe('done')
    })

    it('a reader that leaves is noticed behind it', async () => {
      const leaving = new AbortController()
      const response = await post('Hi. demo: tokens=1000 delay=50', { stream: true }, leaving.signal)
      const id = response.headers.get('sluice-job')!
      await response.body!.getReader().read()
      leaving.abort()
      const state = async (): Promise<string> => {
        const job = await fetch(`${proxy.url}/v1/jobs/${id}`, { headers: headers() })
        return ((await job.json()) as { state: string }).state
      }
      while ((await state()) !== 'canceled') await new Promise((done) => setTimeout(done, 50))
    })

    it('uploads that their clients break off keep no gateway from others', async () => {
      const { host, hostname, port } = new URL(proxy.url)
      const lines = [`host: ${host}`, `authorization: Bearer ${app.key}`, 'content-type: application/json']
      const head = `POST /v1/jobs HTTP/1.1\r\n${lines.join('\r\n')}\r\n`
      for (let i = 0; i < 8; i++) {
        const upload = dial(Number(port), hostname)
        upload.on('error', () => {})
        await new Promise<void>((sent) => {
          upload.write(`${head}content-length: 100000\r\n\r\n${'x'.repeat(20_000)}`, () => sent())
        })
        await new Promise((go) => setTimeout(go, 50))
        upload.destroy()
        const answers = await Promise.all(Array.from({ length: 4 }, () => post('demo: tokens=1 delay=1 ttft=1')))
        expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
      }
    })

    it('a body that Sluice takes is let through', async () => {
      expect((await post(`demo: tokens=1 delay=1 ttft=1 ${'x'.repeat(4_150_000)}`)).status).toBeLessThan(300)
    })

    it('errors keep their status, their words and their headers; what is too large is refused', async () => {
      const wrong = await fetch(`${proxy.url}/v1/models`, { headers: { authorization: 'Bearer no' } })
      expect([wrong.status, ((await wrong.json()) as { error: { code: string } }).error.code]).toEqual([
        401,
        'invalid_api_key',
      ])
      expect(wrong.headers.get('x-request-id')).not.toBeNull()
      const large = await post('x'.repeat(5 << 20)).catch(() => null)
      expect([413, 502]).toContain(large?.status ?? 413)
    })
  })
})
