/** An upstream that answers with raw bytes, and a provider that calls it. */
import { createServer, type Server, type Socket } from 'node:net'
import { systemClock, Wheel } from '../../../core/clock.ts'
import type { Provider, ProviderEnd, Timeouts } from '../../../core/ports/provider.ts'
import { type Bytes, toBytes, toText } from '../../../core/record.ts'
import { createOpenAiProvider, type OpenAiOptions } from '../openai/provider.ts'

export const SECRET = 'sk-upstream-secret-0123456789'
export const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'
export const LAST = '0\r\n\r\n'

export const chunk = (delta: string, finish = 'null', more = '', index = 0): string =>
  `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m"${more},"choices":[{"index":${index},` +
  `"delta":${delta},"finish_reason":${finish}}]}`
export const sse = (payloads: readonly string[], end = '\n\n'): string =>
  payloads.map((p) => `data: ${p}${end}`).join('')
export const frame = (text: string, extension = ''): Bytes => {
  const bytes = toBytes(text)
  return `${bytes.length.toString(16)}${extension}\r\n${bytes}\r\n`
}
/** A response with its length. */
export function response(status: string, body: string, headers = ''): Bytes {
  const bytes = toBytes(body)
  return (
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\n${headers}content-length: ${bytes.length}\r\n\r\n` +
    `${bytes}`
  )
}
/** A stream with one chunk of HTTP for each payload. */
export const stream = (...payloads: string[]): Bytes => `${HEAD}${payloads.map((p) => frame(sse([p]))).join('')}${LAST}`

export interface Outcome {
  readonly events: string[]
  readonly document: string | null
  readonly usage: unknown
  readonly end: ProviderEnd
}

export const codeOf = ({ end }: Pick<Outcome, 'end'>): string => (end.kind === 'failed' ? end.error.code : end.kind)

const PATIENT: Timeouts = { ttftMs: 5_000, interTokenMs: 5_000, totalMs: 10_000 }

export class RawUpstream {
  readonly sockets: Socket[] = []
  /** The requests, heads included. */
  readonly asked: string[] = []
  answer: (socket: Socket, request: string) => void = () => {}
  provider!: Provider
  readonly #server: Server

  constructor() {
    this.#server = createServer((socket) => {
      this.sockets.push(socket)
      socket.on('error', () => {})
      let text = ''
      socket.on('data', (part) => {
        text += part.toString('latin1')
        const head = text.indexOf('\r\n\r\n')
        if (head < 0) return
        const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
        if (text.length < head + 4 + length) return
        const request = text
        this.asked.push(request)
        text = ''
        this.answer(socket, request)
      })
    })
  }

  async listen(): Promise<void> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
  }

  /** Listens, and makes the provider that calls it. */
  async start(options: Partial<OpenAiOptions> = {}): Promise<void> {
    await this.listen()
    this.provider = createOpenAiProvider({
      name: 'test',
      baseUrl: `${this.url}/v1`,
      apiKey: SECRET,
      upstreamModel: 'real-name',
      clock: systemClock,
      wheel: new Wheel(systemClock),
      gatherMs: () => 0,
      ...options,
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`
  }

  /** The bodies of the requests that have one: a check of an engine has none. */
  get bodies(): Array<Record<string, unknown>> {
    const bodies = this.asked.map((text) => toText(text.slice(text.indexOf('\r\n\r\n') + 4)))
    return bodies.filter((text) => text !== '').map((text) => JSON.parse(text) as never)
  }

  /** Answers each call with the next of these, the last one again and again. */
  says(...answers: Bytes[]): void {
    let next = 0
    this.answer = (socket) => void socket.write(answers[Math.min(next++, answers.length - 1)], 'latin1')
  }

  /** As `says`, then closes the connection. */
  saysAndEnds(bytes: Bytes): void {
    this.answer = (socket) => void socket.end(bytes, 'latin1')
  }

  call(
    body: object = { model: 'm', messages: [] },
    options: { readonly timeouts?: Timeouts; readonly stream?: boolean; readonly kind?: 'chat' | 'embedding' } = {},
  ): Promise<Outcome> {
    const { timeouts = PATIENT, stream = true, kind = 'chat' } = options
    return new Promise((resolve, reject) => {
      const events: string[] = []
      let document: string | null = null
      let usage: unknown
      let ended = false
      this.provider.start(
        { kind, body: Buffer.from(JSON.stringify(body)), stream, requestId: 'r', timeouts },
        {
          events: (payloads) => void events.push(...payloads.map(toText)),
          document(bytes, reported) {
            document = toText(bytes)
            usage = reported
          },
          end(end) {
            if (ended) reject(new Error('it ended twice'))
            ended = true
            resolve({ events, document, usage, end })
          },
        },
      )
    })
  }

  async stop(): Promise<void> {
    this.provider?.close()
    for (const socket of this.sockets) socket.destroy()
    await new Promise((done) => this.#server.close(done))
  }
}
