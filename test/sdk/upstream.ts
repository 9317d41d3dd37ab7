/** An upstream of OpenAI's dialect that says what it is told to, one answer a request, and keeps what it was asked. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const USAGE = {
  prompt_tokens: 11,
  completion_tokens: 7,
  total_tokens: 18,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 3 },
}
const told = { id: 'chatcmpl-1', created: 1, model: 'real' }
const ofStream = { ...told, object: 'chat.completion.chunk' }

const chunk = (delta: object, finish_reason: string | null = null, more: object = {}) => ({
  ...ofStream,
  choices: [{ index: 0, delta, finish_reason, ...more }],
})

export class SayingUpstream {
  /** What it says next: its status, and a document, or the payloads of a stream. */
  says: Array<readonly [status: number, body: object | readonly object[]]> = []
  asked: Array<Record<string, any>> = []
  readonly #server = createServer(async (request, response) => {
    let body = ''
    for await (const part of request) body += part
    this.asked.push(JSON.parse(body))
    const [status, said] = this.says.shift() ?? [500, {}]
    response.writeHead(status, { 'content-type': Array.isArray(said) ? 'text/event-stream' : 'application/json' })
    if (!Array.isArray(said)) return void response.end(JSON.stringify(said))
    response.end(`${said.map((payload) => `data: ${JSON.stringify(payload)}\n\n`).join('')}data: [DONE]\n\n`)
  })

  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`
  }

  close(): void {
    this.#server.close()
  }

  forget(): void {
    this.says = []
    this.asked = []
  }

  /** A message, in one piece or character by character. `more`: beside it. */
  answers(stream: boolean, message: Record<string, any>, reason = 'stop', more: object = {}): void {
    if (!stream) {
      const whole = { role: 'assistant', content: null, ...message }
      const choices = [{ index: 0, message: whole, finish_reason: reason, ...more }]
      this.says.push([200, { ...told, object: 'chat.completion', choices, usage: USAGE }])
      return
    }
    const deltas: object[] = [{ role: 'assistant', content: '' }]
    for (const name of ['reasoning_content', 'content'])
      for (const character of message[name] ?? '') deltas.push({ [name]: character })
    for (const [index, { function: called, ...call }] of (message['tool_calls'] ?? []).entries()) {
      deltas.push({ tool_calls: [{ index, ...call, function: { name: called.name, arguments: '' } }] })
      for (const part of called.arguments.match(/.{1,4}/g))
        deltas.push({ tool_calls: [{ index, function: { arguments: part } }] })
    }
    const last = { ...ofStream, choices: [], usage: USAGE }
    this.says.push([200, [...deltas.map((delta) => chunk(delta)), chunk({}, reason, more), last]])
  }
}
