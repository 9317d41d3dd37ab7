/** A browser's own EventSource, through a page's backend that adds the key and loses the connection now and then. */
import { existsSync } from 'node:fs'
import { createServer, type Server as HttpServer, request } from 'node:http'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from './server.ts'

const CHROMIUM = '/usr/bin/chromium'
const PAGE = `<!doctype html><meta charset="utf-8"><p id="text"></p><script>
  const got = (window.got = { ids: [], text: '', opens: 0, end: null })
  const source = new EventSource('/events' + location.search)
  source.onopen = () => got.opens++
  source.addEventListener('chunk', (e) => {
    got.ids.push(e.lastEventId)
    got.text += JSON.parse(e.data).choices[0]?.delta.content ?? ''
    document.getElementById('text').textContent = got.text
  })
  source.addEventListener('end', (e) => { got.end = JSON.parse(e.data); source.close() })
</script>`

/** Cuts a stream's body here, within an event; the whole answer is ten times as long. */
const CUT_AFTER_BYTES = 2_500

describe.skipIf(!existsSync(CHROMIUM))('EventSource in headless Chromium', () => {
  let server: Server
  let backend: HttpServer
  let browser: Browser
  let cuts = 0
  let streams = 0
  let port = 0

  beforeAll(async () => {
    server = await startServer('models:\n  - { name: demo, provider: demo }\n')
    backend = createServer((incoming, response) => {
      const url = new URL(incoming.url ?? '/', 'http://page')
      if (url.pathname !== '/events') return response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE)
      const cursor = incoming.headers['last-event-id']
      const upstream = request(
        `${server.url}/v1/jobs/${url.searchParams.get('job')}/events`,
        {
          headers: {
            authorization: `Bearer ${server.key}`,
            ...(cursor === undefined ? {} : { 'last-event-id': cursor }),
          },
        },
        (answer) => {
          response.writeHead(answer.statusCode ?? 502, {
            'content-type': answer.headers['content-type'] ?? 'text/plain',
          })
          if (answer.statusCode === 200) {
            streams++
            response.write('retry: 200\n\n')
          }
          let left = cuts < 2 ? CUT_AFTER_BYTES : Infinity
          answer.on('data', (part: Buffer) => {
            response.write(part.subarray(0, left))
            left -= part.length
            // As networks do: what was on its way arrives, the rest never does
            if (left <= 0 && !upstream.destroyed) {
              cuts++
              upstream.destroy()
              setTimeout(() => response.destroy(), 50)
            }
          })
          answer.on('end', () => response.end())
          answer.on('error', () => {})
        },
      )
      upstream.on('error', () => {})
      upstream.end()
      response.on('close', () => upstream.destroy())
    })
    await new Promise<void>((done) => backend.listen(0, '127.0.0.1', done))
    port = (backend.address() as { port: number }).port
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    })
  })
  afterAll(async () => {
    await browser?.close()
    backend?.closeAllConnections()
    backend?.close()
    await server?.stop()
  })

  it('comes back by itself behind its last event, and shows each token once', async () => {
    const headers = { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' }
    const submitted = await fetch(`${server.url}/v1/jobs`, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        request: {
          model: 'demo',
          messages: [{ role: 'user', content: 'Tell me of rivers. demo: tokens=200 delay=10 ttft=50' }],
        },
      }),
    })
    const { id } = (await submitted.json()) as { id: string }
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${port}/?job=${id}`)
    await page.waitForFunction('window.got.end !== null', null, { timeout: 90_000 })
    const got = (await page.evaluate('window.got')) as {
      ids: string[]
      text: string
      opens: number
      end: { state: string }
    }
    const answer = (await (await fetch(`${server.url}/v1/jobs/${id}/result`, { headers })).json()) as {
      choices: Array<{ message: { content: string } }>
    }
    expect(cuts).toBe(2)
    expect(streams).toBe(3) // the page may not have noticed the opening of one that was cut at once
    expect(got.text).toBe(answer.choices[0].message.content)
    expect(got.ids).toEqual([...new Set(got.ids)])
    expect(got.end.state).toBe('done')
  })
})
