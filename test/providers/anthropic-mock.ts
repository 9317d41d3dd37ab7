/** A scripted upstream that speaks Anthropic's dialect: does as the model's name says (see conformance/provider.ts). */
import { createServer, type ServerResponse } from 'node:http'

export interface AnthropicMock {
  readonly url: string
  /** Calls that are being answered. */
  active(): number
  close(): Promise<void>
}

export async function startAnthropicMock(): Promise<AnthropicMock> {
  let active = 0
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const part of request) body += part
    active++
    response.on('close', () => active--)
    if (request.method === 'GET') return void response.end('{"data":[]}')
    const { model = '', stream = false } = JSON.parse(body) as { model?: string; stream?: boolean }
    await answer(response, model, stream)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    active: () => active,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

const scriptOf = (model: string): Readonly<Record<string, number | undefined>> =>
  Object.fromEntries([...model.matchAll(/-([a-z])(\d+)/g)].map(([, name, value]) => [name, Number(value)]))

async function answer(response: ServerResponse, model: string, stream: boolean): Promise<void> {
  const { n = 5, d = 0, f = 0, b = 1, e, k, s, g } = scriptOf(model)
  if (e !== undefined) {
    const error = { type: 'error', error: { type: 'api_error', message: 'as asked' } }
    response.writeHead(e, { 'content-type': 'application/json' }).end(JSON.stringify(error))
    return
  }
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model, stop_sequence: null }
  const words = Array.from({ length: n }, (_, i) => `word${i} `)
  if (!stream) {
    const usage = { input_tokens: 3, output_tokens: n }
    const content = [{ type: 'text', text: words.join('') }]
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ ...message, content, stop_reason: 'end_turn', usage }))
    return
  }
  const event = (value: { type: string }): string => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`
  const text = (word: string) =>
    event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: word } } as never)
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  await sleep(f)
  const start = { ...message, content: [], stop_reason: null, usage: { input_tokens: 3, output_tokens: 1 } }
  response.write(event({ type: 'message_start', message: start } as never))
  response.write(event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } } as never))
  for (let i = 0; i < n && !response.destroyed; i += b) {
    if (s !== undefined && i >= s) return
    if (k !== undefined && i >= k) return void response.destroy()
    if (g !== undefined && i >= g) return void response.end('data: {"type": nonsense\n\n')
    response.write(
      words
        .slice(i, i + b)
        .map(text)
        .join(''),
    )
    if (d > 0) await sleep(d)
  }
  response.write(event({ type: 'content_block_stop', index: 0 } as never))
  const delta = { stop_reason: 'end_turn', stop_sequence: null }
  response.write(event({ type: 'message_delta', delta, usage: { output_tokens: n } } as never))
  response.end(event({ type: 'message_stop' }))
}

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))
